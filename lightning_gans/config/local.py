"""Replace what a checkpoint's config does not decide: places to write to, addresses, devices, processes.

They are this installation's. A resumed run takes them from the command line, or else from what ``OWN`` says. Places to
read from stay, and are told before they are read. Nothing here imports torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_gans.config.errors import MISSING, ConfigError

OWN: dict[str, dict[str, Any]] = {  # by section of the config; of callbacks and loggers in every entry
    "data": {"mirror": None},
    "callbacks": {"cache": "auto", "dirpath": None},
    "logger": dict.fromkeys(
        ("mode", "offline", "save_dir", "dir", "root_dir", "base_url", "host", "entity", "settings", "tracking_uri")
    ),
    "trainer": {
        **{"accelerator": "auto", "devices": 1, "num_nodes": 1, "strategy": "auto"},
        **{"profiler": None, "default_root_dir": None, "plugins": None},
    },
}
ENTRIES = ("callbacks", "logger")  # sections that hold nodes by name
READ_FROM = (
    "root",
    "target_root",
    "weights",
    "perceptual_weights",
    "vgg19_weights",
    "vggface_weights",
)  # what options are called that name such a place
DATA_ROOT = "data"  # where sets are downloaded to unless somebody says otherwise
_REFERENCE = re.compile(r"\$\{\.*[A-Za-z_][\w\-]*(\.[\w\-]+|\[[\w\-]+\])*\}", re.ASCII)


def is_reference(text: str) -> bool:
    """Return whether a string's interpolations all name other values of the config, each by one plain name."""
    return "${" in text and "${" not in _REFERENCE.sub("", text)


def portable(raw: Any, resolved: Any) -> Any:
    """Copy a config with its references kept and resolver calls (``oc.env``, ...) replaced by their values.

    Args:
        raw: As plain containers, not resolved.
        resolved: The same, resolved.
    """
    if isinstance(raw, dict):
        return {key: portable(raw[key], resolved[key]) for key in raw}
    if isinstance(raw, list):
        return [portable(one, other) for one, other in zip(raw, resolved, strict=True)]
    return resolved if isinstance(raw, str) and "${" in raw and not is_reference(raw) else raw


def refuse_resolvers(node: Any, place: str = "") -> None:
    """Refuse a config out of a file whose interpolations are anything but references.

    Raises:
        ValueError: With the key and what stands there.
    """
    if isinstance(node, str) and "${" in node and not is_reference(node):
        rule = "the checkpoint's config calls a resolver; no library of ours wrote it"
        raise ConfigError(place, repr(node[:80]), rule)
    if isinstance(node, Mapping | Sequence) and not isinstance(node, str):
        for key, value in node.items() if isinstance(node, Mapping) else enumerate(node):
            refuse_resolvers(value, f"{place}.{key}" if place else str(key))


def localised(config: Mapping[str, Any], typed: Sequence[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """Replace all that a file does not decide in a checkpoint's config by this installation's values.

    Sets are downloaded only to where they are by default, or to a folder that was typed. A set is loaded by no more
    processes than there are cores.

    Args:
        config: Sections by name, with their references.
        typed: Keys that the user says, whatever the file does.

    Returns:
        The config, and ``key=value`` of what the file said otherwise.

    Raises:
        ValueError: It calls a resolver, or a section is no node.
    """
    refuse_resolvers(config)
    kept, left_out = dict(config), []
    for section, own in OWN.items():
        for place, node in _nodes(kept, section):
            for key in own.keys() & node.keys():
                mine = _surroundings().get(f"{section}.{key}", own[key])
                if node[key] not in (mine, None) and f"{place}.{key}" not in typed:
                    left_out.append(f"{place}.{key}={str(node[key])[:80]!r}")
                node[key] = mine
                if section == "logger" and mine is None and f"{place}.{key}" not in typed:
                    del node[key]
    for _, node in _nodes(kept, "data"):
        if isinstance(node.get("dataset"), dict):  # a user's, which may download too
            node["dataset"] = _not_downloading(node["dataset"], "data.dataset.root" in typed)
        node |= _not_downloading(node, "data.root" in typed)
        if "num_workers" in node:
            workers = node["num_workers"]
            node["num_workers"] = min(workers, os.cpu_count() or 1) if isinstance(workers, int) else 0
    return kept, sorted(left_out)


def _not_downloading(node: dict[str, Any], typed: bool) -> dict[str, Any]:
    """Return a set's options without a download to a folder that the file names."""
    elsewhere = node.get("root", DATA_ROOT) != DATA_ROOT and not typed
    return {**node, "download": False} if elsewhere and "download" in node else node


def _surroundings() -> dict[str, Any]:
    """Read what the environment says: W&B's mode, and the processes of a launcher such as torchrun."""
    said: dict[str, Any] = {"logger.mode": os.environ.get("WANDB_MODE", "online")}
    if {"WORLD_SIZE", "LOCAL_WORLD_SIZE"} <= os.environ.keys():
        here = max(1, int(os.environ["LOCAL_WORLD_SIZE"]))
        said |= {"trainer.devices": here, "trainer.num_nodes": max(1, int(os.environ["WORLD_SIZE"]) // here)}
    return said


def _nodes(config: dict[str, Any], section: str) -> list[tuple[str, dict[str, Any]]]:
    """List the nodes of a section with their keys, each a copy that stands in ``config`` from now on."""
    if config.get(section) is None:
        return []
    config[section] = _copied(config[section], section)
    if section not in ENTRIES:
        return [(section, config[section])]
    for name, node in config[section].items():
        config[section][name] = node if node is None else _copied(node, f"{section}.{name}")
    return [(f"{section}.{name}", node) for name, node in config[section].items() if node is not None]


def _copied(node: Any, place: str) -> dict[str, Any]:
    if not isinstance(node, dict):  # a reference, say, whose target could hold what is not looked at here
        raise ConfigError(place, MISSING, "the checkpoint's config is malformed: it must be a node")
    return dict(node)


def places_read(node: Any, typed: Sequence[str] = (), place: str = "") -> list[str]:
    """List ``key=value`` of the places that a resolved config wants to read from, without those that were typed.

    Raises:
        ValueError: One of them is an address.
    """
    found: list[str] = []
    for key, value in node.items() if isinstance(node, Mapping) else ():
        path = f"{place}.{key}" if place else str(key)
        if key in READ_FROM and isinstance(value, str) and value != "auto" and path not in typed:
            if re.match(r"\w+://|[\\/]{2}", value):
                raise ConfigError(path, repr(value[:80]), "a checkpoint may name a local place only; say another")
            found.append(f"{path}={value}")
        found += places_read(value, typed, path)
    return found

"""Validate a composed config: names before torch is imported, then types and ranges, before anything is built."""

from __future__ import annotations

import inspect
import logging
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationKeyError

from lightning_gans.config.errors import MISSING, REPLACED, ConfigError, unknown
from lightning_gans.config.overrides import BUDGETS, job_arguments, override_value
from lightning_gans.config.schemas import CONF_DIR, TrainSchema
from lightning_gans.config.signatures import fields_of, read_attribute, read_names, types_of
from lightning_gans.config.types import FractionBelowOne, NonNegative, check_value

logging.getLogger(hydra.utils.__name__).setLevel(logging.CRITICAL)  # what it raises it prints too

# Ranges of the options of torch's optimisers, which their annotations lack.
OPTIMIZER_OPTIONS: dict[str, Any] = {
    **dict.fromkeys(("lr", "eps", "weight_decay", "momentum", "alpha"), NonNegative),
    "betas": tuple[FractionBelowOne, FractionBelowOne],
}

# Some sets of each kind that a family may take.
SETS = {
    "image": ("folder", "celeba", "lsun"),
    "labelled": ("digits", "mnist", "cifar10"),
    "points": ("toy2d",),
    "table": ("table", "embedded_table"),
    "paired": ("digit_edges", "facades", "paired", "colorization"),
    "unpaired": ("digit_domains", "horse2zebra", "unpaired"),
    "super_resolution": ("photo_patches", "super_resolution"),
    "heads": ("avatar_heads", "talking_heads"),
}
_RESERVED = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")


def check_names(cfg: DictConfig, schema: type = TrainSchema) -> None:
    """Check what can be checked without importing torch: the root by its schema, and the keys of our own classes.

    Args:
        cfg: A composed config.
        schema: TypedDict of its root.

    Raises:
        ConfigError: An unknown or replaced key, or a value that is missing or not allowed.
    """
    _check_root_keys(cfg, schema)
    _check_interpolations(cfg)
    lacking = sorted(OmegaConf.missing_keys(cfg))
    if lacking:
        raise ConfigError(", ".join(lacking), MISSING, f"missing; say {' '.join(f'{key}=...' for key in lacking)}")
    _check_fields("", cfg, fields_of(schema) or {})
    for path, node in target_nodes(cfg, ""):
        for key in node:
            if f"{path}.{key}" in REPLACED:
                raise unknown(f"{path}.{key}", key, ())
        names = read_names(node["_target_"], f"{path}._target_")
        if names is not None:
            _check_keys(path, node, names)


def check_types(cfg: DictConfig, written: DictConfig | None = None) -> None:
    """Check the keys, types and ranges of every ``_target_`` node by the signature of what it names; imports torch.

    Args:
        cfg: A composed config.
        written: The same with its interpolations, if ``cfg`` is resolved: a mistake is told by the key that it was
            written for, and not by one that refers to it.

    Raises:
        ConfigError: An unknown or replaced key, or a value of another type or out of range.
    """
    for path, node in target_nodes(cfg, ""):
        try:
            _check_call(path, node)
        except ConfigError as error:
            error.key = _origin(error.key, OmegaConf.to_container(cfg if written is None else written))
            raise


def check_root(cfg: DictConfig, schema: type) -> None:
    """Check the keys, types and ranges of a config's root; values that are still missing are passed over.

    Raises:
        ConfigError: With what is allowed.
    """
    _check_root_keys(cfg, schema)
    _check_fields("", cfg, fields_of(schema) or {})


def check_tuned() -> None:
    """Refuse a typed ``tuned=CHOICE`` that does not exist; Hydra passes over it, since most pairs have no file.

    Raises:
        ConfigError: With what is allowed.
    """
    runtime = HydraConfig.get().runtime
    wanted = override_value(job_arguments(), "tuned")
    folders = [Path(source.path) / "tuned" for source in runtime.config_sources if source.schema == "file"]
    known = [path.stem for folder in folders for path in folder.glob("*.yaml")]
    stored = {name.removesuffix(".yaml") for name in ConfigStore.instance().repo.get("tuned", {})}  # NAME_without_PART
    if wanted is not None and "${" not in wanted and wanted not in {*known, *stored}:
        raise unknown("tuned", wanted, known, value=wanted)


def check_budget() -> None:
    """Refuse several budgets typed at once.

    Raises:
        ValueError: More than one was typed.
    """
    task = job_arguments()
    said = {key: override_value(task, key) for key in BUDGETS}
    said = {key: value for key, value in said.items() if value not in (None, "null")}
    if len(said) > 1:
        raise ValueError(f"{', '.join(f'{key}={value}' for key, value in said.items())}: say one of them")


def drop_absent(cfg: DictConfig) -> None:
    """Drop what other files say of callbacks and of growth that ``callbacks=none`` and ``model/growth=none`` left out.

    In place. A node that names a class at any depth stays, so that it is refused where it is none of ours.
    """
    known = OmegaConf.load(CONF_DIR / "callbacks" / "default.yaml")
    for name, node in list((cfg.callbacks or {}).items()):
        if name in known and _has_no_class(node):
            with open_dict(cfg):
                del cfg.callbacks[name]
    if _has_no_class(OmegaConf.select(cfg, "model.growth")):
        cfg.model.growth = None


def _has_no_class(node: Any) -> bool:
    return OmegaConf.is_dict(node) and "_target_" not in OmegaConf.to_yaml(node)


def wrong_data(cfg: DictConfig, reason: str, family: str, kinds: tuple[str, ...]) -> ConfigError:
    """Make the error of data that a family does not take, with the sets that it does.

    Args:
        cfg: The config.
        reason: What is wrong with the data.
        family: Name of its class.
        kinds: Kinds of data that it takes.
    """
    sets = "; ".join(f"{kind}: data={', '.join(SETS[kind])}" for kind in kinds)
    known = HydraConfig.initialized() and "data" in HydraConfig.get().runtime.choices
    choice = HydraConfig.get().runtime.choices["data"] if known else str(cfg.data.get("_target_")).rpartition(".")[2]
    return ConfigError("data", choice, f"{reason}; {family} takes {sets}")


def _check_root_keys(cfg: DictConfig, schema: type) -> None:
    known = fields_of(schema) or {}
    for key in cfg:
        if key not in known:
            raise unknown(str(key), str(key), known)


def _check_fields(path: str, node: Any, fields: Mapping[str, Any]) -> None:
    """Check the values of a node by the annotations of its keys, in nested schemas too."""
    for name, hint in fields.items():
        key = f"{path}{name}"
        if name not in node or OmegaConf.is_missing(node, name):
            continue
        value, nested = node[name], fields_of(hint)
        if nested is not None and OmegaConf.is_dict(value):
            for other in value:
                if other not in nested:
                    raise unknown(f"{key}.{other}", str(other), nested)
            _check_fields(f"{key}.", value, nested)
        else:
            check_value(key, OmegaConf.to_container(value) if OmegaConf.is_config(value) else value, hint)


def _check_interpolations(cfg: DictConfig) -> None:
    """Refuse a model that reads what the data does not declare: translation of a set that has one side only, say."""
    try:
        OmegaConf.to_container(cfg, resolve=True)
    except InterpolationKeyError as error:
        lacking = re.search(r"'data\.(\w+)'", str(error))
        kinds = read_attribute(cfg.model._target_, "data_kinds")
        if lacking is None or kinds is None:
            raise
        family = cfg.model._target_.rpartition(".")[2]
        raise wrong_data(cfg, f"has no {lacking[1]}, which {error.full_key} needs", family, kinds) from error


def target_nodes(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every ``_target_`` node with its dotted path, as plain containers; of lists too, ``metrics[1]``."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from target_nodes(value, f"{path}.{key}" if path else str(key))
    if isinstance(node, list):
        for number, value in enumerate(node):
            yield from target_nodes(value, f"{path}[{number}]")


def _origin(key: str, raw: Any) -> str:
    """Return the key that a key refers to by a plain interpolation, or itself; ``raw`` is the config unresolved."""
    value = raw
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    found = re.fullmatch(r"\$\{([A-Za-z_][\w.]*)\}", value) if isinstance(value, str) else None
    return _origin(found[1], raw) if found else key


def _check_keys(path: str, node: dict[str, Any], names: list[str]) -> None:
    for key in node:
        if key not in names and key not in _RESERVED:
            raise unknown(f"{path}.{key}", key, names)


def _check_call(path: str, node: dict[str, Any]) -> None:
    """Check a node's keys, types and ranges by the signature of what it names."""
    target, name = _imported(path, node["_target_"]), node["_target_"]
    types, is_open = types_of(target)
    if not is_open:
        try:
            _check_keys(path, node, read_names(name) or list(types))
        except ConfigError as error:
            if name.split(".")[0] in ("lightning_gans", "torch", "lightning"):
                raise
            way_out = (
                f". What is typed or stands in a file is laid over what was there before; ~{error.key} takes it out, "
                "and a file of your own in model/network takes the place of both networks"
            )
            raise ConfigError(error.key, error.value, error.rule + way_out) from error
    if name.startswith("torch.optim.") and inspect.isclass(target):
        types = {**types, **{key: hint for key, hint in OPTIMIZER_OPTIONS.items() if key in types}}
    for key, value in node.items():
        if isinstance(value, list):  # nodes in it are checked by themselves
            value = [one for one in value if not _is_node(one)]
        if key not in types or key in _RESERVED or _is_node(value):
            continue
        if value is None and key == "image_size" and type(None) not in typing.get_args(types[key]):
            points = "the data has points, not images; choose model=gan, or model/network=mlp"
            raise ConfigError(f"{path}.{key}", value, points)
        check_value(f"{path}.{key}", value, types[key])


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _imported(path: str, name: str) -> Any:
    """Import what a node names.

    Raises:
        ConfigError: It cannot be imported.
    """
    try:
        return hydra.utils.get_object(name)
    except Exception as error:
        root: BaseException = error
        while root.__cause__ is not None:
            root = root.__cause__
        hint = "; is its folder on PYTHONPATH?" if isinstance(root, ModuleNotFoundError) else ""
        rule = f"cannot be imported ({' '.join(str(root).split())}){hint}"
        raise ConfigError(f"{path}._target_", name, rule) from error

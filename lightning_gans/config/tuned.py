"""Choose what of ``conf/tuned`` suits the networks and parts of the model that are chosen. Imports no torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from lightning_gans.config.overrides import MODEL_PARTS, override_value, quote
from lightning_gans.config.schemas import CONF_DIR
from lightning_gans.runtime.instantiation import REPLACING

WITHOUT = "_without_"  # in a tuned file's name: what is left out of it
_OWN_CLASS = re.compile(r"\+\+?model\.(\w+)(\._target_=|=\{.*_target_)")


def drop_tuned(arguments: list[str]) -> list[str]:
    """Leave out what is tuned for a pair where another network is chosen, or of those parts of the model that are.

    By ``tuned=none``, or by ``tuned=dcgan_digits_without_augment``, whose other values stay. A network of the family
    that has a tuned file of its own, ``NETWORK_DATA.yaml``, gets that.
    """
    tuned = override_value(arguments, "tuned")
    if tuned is not None:
        for name in tuned.split(","):
            _store_without(name)
        return arguments
    chosen = {} if override_value(arguments, "resume") is not None else _choices(arguments)
    if not chosen.keys() & {"model/network", *MODEL_PARTS} or "tuned" in chosen:
        return arguments
    model, data, network = chosen["model"], chosen["data"], chosen.get("model/network", "")
    pairs = [f"{one}_{other}" for one in model.split(",") for other in data.split(",")]
    name = pairs[0] if len(pairs) == 1 else "${model}_${data}"
    own = network.startswith(f"{model}_") and bool(_tuned(f"{network}_{data}"))
    if own:
        name, pairs = f"{network}_{data}", [f"{network}_{data}"]
    elif network:
        return [*arguments, "tuned=none"] if any(map(_tuned, pairs)) else arguments
    parts = [part.partition("/")[2] for part in MODEL_PARTS if part in chosen]
    laid_over = [part for part in parts if any(part in _tuned(pair).get("model", {}) for pair in pairs)]
    if not (laid_over or own):
        return arguments
    if laid_over:
        name += WITHOUT + "-".join(laid_over)
        _store_without(name)
    return [*arguments, f"tuned={quote(name) if '$' in name else name}"]


def _choices(arguments: list[str]) -> dict[str, str]:
    """Return what is chosen of ``model``, ``data`` and parts of the model, typed or by an experiment.

    With ``tuned`` among the keys where that is said already, or where what is said cannot be known, as in a sweep of
    experiments.
    """
    chosen = {key: value for key, value in _defaults(CONF_DIR / "train.yaml").items() if key in ("model", "data")}
    sweep, experiment = (override_value(arguments, key) or "null" for key in ("sweep", "experiment"))
    if sweep != "null":
        swept = _read(_config_file(arguments, "sweep", sweep)).get("hydra", {}).get("sweeper", {}).get("params", {})
        chosen |= {"tuned": ""} if swept.keys() & {"experiment", "model", "data", "tuned"} else {}
    if experiment != "null":
        file = _config_file(arguments, "experiment", experiment)
        chosen |= _defaults(file) if file.is_file() else {"tuned": ""}
    for argument in arguments:
        key = argument.lstrip("+").partition("=")[0]
        if key in ("model", "data", "model/network", *MODEL_PARTS):
            chosen[key] = str(override_value([argument], key))
        elif (own := _OWN_CLASS.match(argument)) and f"model/{own[1]}" in MODEL_PARTS:
            chosen[f"model/{own[1]}"] = argument
    return chosen


def _config_file(arguments: list[str], group: str, name: str) -> Path:
    """Return the file of a choice, in the user's own folder of configs or in ours."""
    folders = [argument.partition("=")[2] for argument in arguments if argument.startswith("--config-dir=")]
    folders += [
        after for option, after in zip(arguments, arguments[1:], strict=False) if option in ("--config-dir", "-cd")
    ]
    files = [Path(folder, group, f"{name}.yaml") for folder in folders]
    return next((file for file in files if file.is_file()), CONF_DIR / group / f"{name}.yaml")


def _read(file: Path) -> dict[str, Any]:
    """Read a config; an absent one is empty, and one that is broken, of which Hydra will tell."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (yaml.YAMLError, UnicodeDecodeError):
        content = {}
    return content if isinstance(content, dict) else {}


def _defaults(file: Path) -> dict[str, str]:
    """Return the choices of a defaults list by group, those of its neighbours first."""
    chosen: dict[str, str] = {}
    for entry in _read(file).get("defaults") or []:
        if isinstance(entry, dict):
            chosen |= {str(key).removeprefix("override /"): str(value) for key, value in entry.items()}
        else:
            chosen |= _defaults(file.parent / f"{entry}.yaml")
    return chosen


def _tuned(name: str) -> dict[str, Any]:
    return _read(CONF_DIR / "tuned" / f"{name}.yaml")


def _store_without(tuned: str) -> None:
    """Let Hydra find ``NAME_without_PART-PART``: a tuned file without what it says of these parts of the model.

    All files of that ending where the name is for Hydra to find: ``${model}_${data}_without_PART``.
    """
    name, _, ending = tuned.partition(WITHOUT)
    parts = ending.split("-")
    if not {f"model/{part}" for part in parts} <= {*MODEL_PARTS}:
        return
    for file in (CONF_DIR / "tuned").glob("*.yaml" if "$" in name else f"{name}.yaml"):
        node = OmegaConf.load(file)
        for part in parts:
            if "model" in node:
                node.model.pop(part, None)
        store = ConfigStore.instance().store
        store(file.stem + WITHOUT + ending, node, group="tuned", package="_global_", **REPLACING)

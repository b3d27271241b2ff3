"""Checks of a composed config: keys before torch is imported, types and values after.

What our own classes take is read from their source, so that a wrong key answers at once.
"""

from __future__ import annotations

import ast
import inspect
import logging
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError

from lightning_gans.config.errors import REPLACED, ConfigError, unknown_key_message
from lightning_gans.config.overrides import BUDGETS, override_value
from lightning_gans.config.schemas import TrainSchema
from lightning_gans.config.types import check_value

logging.getLogger(hydra.utils.__name__).setLevel(logging.CRITICAL)  # what it raises it prints too

_PACKAGE = Path(__file__).resolve().parent.parent


# What torch calls an option that it refuses, and what is allowed.
OPTIMIZER_OPTIONS = {
    "lr": ("learning rate", "must be >= 0"),
    "betas": ("beta", "must be two numbers from 0 to below 1"),
    "eps": ("epsilon", "must be >= 0"),
    "weight_decay": ("weight_decay", "must be >= 0"),
    "momentum": ("momentum", "must be >= 0"),
    "alpha": ("alpha", "must be >= 0"),
}

# Some sets of each kind that a family may take.
SETS = {
    "image": ("folder", "celeba", "lsun"),
    "labelled": ("digits", "mnist", "cifar10"),
    "points": ("toy2d",),
    "paired": ("digit_edges", "facades", "paired", "colorization"),
    "unpaired": ("digit_domains", "horse2zebra", "unpaired"),
    "super_resolution": ("photo_patches", "super_resolution"),
}


def check_keys(cfg: DictConfig, schema: type = TrainSchema) -> None:
    """Check every key that can be checked without importing torch.

    Our own classes are read as text: what their signatures do not name is unknown.

    Args:
        cfg: A composed config.
        schema: Of its root.

    Raises:
        ValueError: An unknown or replaced key, or a value that is missing, by name.
    """
    check_root(cfg, schema)
    _check_what_data_lacks(cfg)
    for key in sorted(OmegaConf.missing_keys(cfg)):
        raise ValueError(f"{key}: missing; say {key}=...")
    for path, node in _targets(cfg, ""):
        for key in node:
            if f"{path}.{key}" in REPLACED:
                raise ValueError(f"{path}.{key}: not available here; use {REPLACED[f'{path}.{key}']}")
        known = _read_signature(node["_target_"])
        if known is not None:
            _check_keys(path, node, known)


def _check_what_data_lacks(cfg: DictConfig) -> None:
    """Refuse a model that reads what the data does not declare: translation of a set that has one side only, say."""
    try:
        OmegaConf.to_container(cfg, resolve=True)
    except InterpolationKeyError as error:
        lacking = re.search(r"'data\.(\w+)'", str(error))
        if lacking is None:
            raise
        family = hydra.utils.get_object(cfg.model._target_)
        raise ValueError(
            f"{choice_of(cfg, 'data')}: has no {lacking[1]}, which {error.full_key} needs; {compatible_data(family)}"
        ) from error


def choice_of(cfg: DictConfig, group: str) -> str:
    """What was chosen of a group, as it is typed where Hydra knows it."""
    if HydraConfig.initialized() and group in HydraConfig.get().runtime.choices:
        return f"{group}={HydraConfig.get().runtime.choices[group]}"
    return f"{group}={str(cfg[group].get('_target_')).rpartition('.')[2]}"


def compatible_data(family: Any) -> str:
    """What kinds of data a family takes, with some sets of each."""
    sets = "; ".join(f"{kind}: data={', '.join(SETS[kind])}" for kind in family.data_kinds)
    return f"{family.__name__ if inspect.isclass(family) else type(family).__name__} takes {sets}"


def check_root(cfg: DictConfig, schema: type) -> None:
    """Refuse a root key that the schema does not have, which ``+key=value`` would slip in, and a seed that is none.

    Raises:
        ValueError: With what is allowed.
    """
    known = list(getattr(schema, "__dataclass_fields__", {}))
    for key in cfg:
        if key not in known:
            raise ValueError(unknown_key_message(str(key), str(key), known))
    if "seed" in cfg and not 0 <= cfg.seed < 2**32:
        raise ValueError(f"seed={cfg.seed}: must be from 0 to 2^32 - 1")


def optimizer_mistake(path: str, factory: Any, error: Exception) -> str:
    """What an optimiser or schedule says of a bad value, with the option's own key and what is allowed.

    Args:
        path: Key of its node.
        factory: What makes it, with its options under ``keywords``.
        error: What it raised.
    """
    for name, value in getattr(factory, "keywords", {}).items():
        word, allowed = OPTIMIZER_OPTIONS.get(name, (None, None))
        if word is not None and f"invalid {word}" in str(error).lower():
            return f"{path}.{name}={value}: {allowed}"
    return f"{path}: {error}"


def check_tuned() -> None:
    """Refuse a typed ``tuned=CHOICE`` that does not exist; Hydra passes over it, since most pairs have no file.

    Raises:
        ValueError: With what is allowed.
    """
    runtime = HydraConfig.get().runtime
    wanted = override_value(list(HydraConfig.get().overrides.task), "tuned")
    folders = [Path(source.path) / "tuned" for source in runtime.config_sources if source.schema == "file"]
    known = [path.stem for folder in folders for path in folder.glob("*.yaml")]
    if wanted is not None and wanted not in known:
        raise ValueError(unknown_key_message(f"tuned={wanted}", wanted, known))


def check_budget() -> None:
    """Refuse several budgets typed at once.

    Raises:
        ValueError: More than one was typed.
    """
    task = list(HydraConfig.get().overrides.task)
    said = {key: override_value(task, key) for key in BUDGETS}
    said = {key: value for key, value in said.items() if value not in (None, "null")}
    if len(said) > 1:
        raise ValueError(f"{', '.join(f'{key}={value}' for key, value in said.items())}: say one of them")


def check(cfg: DictConfig, schema: type = TrainSchema) -> None:
    """Check every ``_target_`` node against the signature that it is about to be given to, types included.

    Raises:
        ValueError: An unknown, replaced or missing key or a value of the wrong type, by name.
    """
    check_keys(cfg, schema)
    for path, node in _targets(cfg, ""):
        _check_call(path, node)


def _targets(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every ``_target_`` node with its dotted path, as plain containers."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _targets(value, f"{path}.{key}" if path else str(key))


def _arguments(node: dict[str, Any]) -> list[str]:
    return [key for key in node if key not in ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")]


def _check_keys(path: str, node: dict[str, Any], known: list[str]) -> None:
    for key in _arguments(node):
        if key not in known:
            raise ValueError(unknown_key_message(f"{path}.{key}", key, known))


def _read_signature(target: str) -> list[str] | None:
    """Argument names of a class of this package, read from its source; ``None`` for anything else.

    ``**options`` in a class of ours stands for the arguments of its base that it does not give itself.
    """
    module, _, name = target.rpartition(".")
    if not module.startswith("lightning_gans."):
        return None
    source = _PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    if not source.is_file():
        raise ValueError(f"_target_={target}: there is no module {module}")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    owner = next((item for item in tree.body if isinstance(item, ast.ClassDef) and item.name == name), None)
    if owner is None:
        raise ValueError(f"_target_={target}: {module} has no class {name}")
    imported = {
        alias.asname or alias.name: f"{item.module}.{alias.name}"
        for item in ast.walk(tree)
        if isinstance(item, ast.ImportFrom)
        for alias in item.names
    }
    bases = [imported.get(base.id, f"{module}.{base.id}") for base in owner.bases if isinstance(base, ast.Name)]
    inherited = list(dict.fromkeys(key for base in bases for key in _read_signature(base) or []))
    for method in owner.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            own = [argument.arg for argument in (method.args.args + method.args.kwonlyargs)[1:]]
            calls = [node for node in ast.walk(method) if isinstance(node, ast.Call)]
            fixed = {k.arg for call in calls if ast.unparse(call.func) == "super().__init__" for k in call.keywords}
            return [*own, *(key for key in inherited if key not in fixed)] if method.args.kwarg else own
    return inherited


def _check_call(path: str, node: dict[str, Any]) -> None:
    """Check keys and types against the imported callable."""
    try:
        target = hydra.utils.get_object(node["_target_"])
    except Exception as error:
        root: BaseException = error
        while root.__cause__ is not None:
            root = root.__cause__
        hint = "; is its folder on PYTHONPATH?" if isinstance(root, ModuleNotFoundError) else ""
        reason = " ".join(str(root).split())
        raise ValueError(f"{path}._target_={node['_target_']}: cannot be imported ({reason}){hint}") from error
    hints, is_open = _signature(target)
    if not is_open:
        try:
            _check_keys(path, node, _read_signature(node["_target_"]) or list(hints))
        except ValueError as error:
            if node["_target_"].split(".")[0] in ("lightning_gans", "torch", "lightning"):
                raise
            key = str(error).partition(":")[0]
            raise ValueError(
                f"{error}. What is typed or stands in a file is laid over what was there before; ~{key} takes it out, "
                "and a file of your own in model/network takes the place of both networks"
            ) from error
    for key in _arguments(node):
        value = node[key]
        if key in hints and not (isinstance(value, dict) and "_target_" in value):
            _check_type(f"{path}.{key}", value, hints[key])


def _signature(target: Any) -> tuple[dict[str, Any], bool]:
    """Types by argument name, and whether a foreign callable takes any further keyword."""
    functions = [target]
    if inspect.isclass(target):
        functions = [vars(owner)["__init__"] for owner in target.__mro__ if "__init__" in vars(owner)]
    types: dict[str, Any] = {}
    for function in functions:
        parameters = inspect.signature(function).parameters
        try:
            hints = typing.get_type_hints(function, include_extras=True)
        except Exception:  # names that exist for type checkers only
            hints = {}
        variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        for name, parameter in parameters.items():
            if parameter.kind not in variadic and name != "self":
                types.setdefault(name, hints.get(name, Any))
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
            return types, False
        if not str(getattr(function, "__module__", "")).startswith("lightning_gans"):
            return types, True
    return types, False


def _check_type(path: str, value: Any, hint: Any) -> None:
    if value is None and path.endswith(".image_size") and type(None) not in typing.get_args(hint):
        raise ConfigError(path, value, "the data has points, not images; choose model=gan, or model/network=mlp")
    check_value(path, value, hint)

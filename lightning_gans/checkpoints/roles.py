"""Decide which classes a checkpoint may name, by the place in its config, before any is imported or built.

The place determines the role: the type in the signature of the enclosing class (``objective: Objective``,
``g_optimizer: Callable[..., Optimizer]``), and at the root ``ROOT``. A name is first matched as text. It may be a class
defined in this package under that path (networks only of ``lightning_gans.networks``), or one of torch's layers,
optimisers and schedules listed here. Everything else needs the caller's trust in its package, including Lightning's
callbacks and loggers.
"""

from __future__ import annotations

import collections.abc
import contextlib
import importlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import Any

import hydra
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from torch import nn
from torch.utils.data import Dataset

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.file_sources import printable
from lightning_gans.extractors.base import Extractor
from lightning_gans.models.base import GenerativeModule
from lightning_gans.runtime.instantiation import OURS, instantiate

# Types of the sections of a config; other sections name no class.
ROOT: dict[str, Any] = {
    "model": GenerativeModule,
    "data": ImageDataModule,
    "extractor": Callable[[], Extractor],
    "callbacks": dict[str, Callback],
    "logger": dict[str, Callable[..., Logger]],
    "trainer": Trainer,
}
TORCH: dict[str, tuple[str, ...]] = {
    "torch.optim": (
        *("ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD"),
    ),
    "torch.optim.lr_scheduler": (
        *("ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR", "LinearLR"),
        *("MultiStepLR", "OneCycleLR", "PolynomialLR", "StepLR"),
    ),
    "torch.nn": (
        *("Sequential", "Identity", "Linear", "Bilinear", "Flatten", "Unflatten", "Dropout", "Dropout2d"),
        *("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"),
        *("BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "InstanceNorm2d", "GroupNorm", "LayerNorm"),
        *("ReLU", "LeakyReLU", "PReLU", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Softplus", "Hardtanh"),
        *("Sigmoid", "Tanh", "Softmax", "PixelShuffle", "PixelUnshuffle", "Upsample", "ZeroPad2d"),
        *("ReflectionPad2d", "ReplicationPad2d", "AvgPool2d", "MaxPool2d", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d"),
    ),
}
_OURS = re.compile(r"(lightning_gans(?:\.[a-z]\w*)+)\.([A-Z]\w*)", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", re.ASCII)
_HYDRA = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")
_FOR_CODE = ("_execution_whitelist_", "_isolate_")  # options of Hydra 1.4 that only code gives
_DEEPEST = 40  # levels of a config; ours have seven
_PLAIN = object()  # the role of values: nothing may be named there
_ANY = object()  # of what a trusted class takes without saying of which kind


def plain(node: Any, place: str = "config", *, is_resolved: bool = True) -> Any:
    """Copy a config into dicts, lists and plain values; the copy is checked and built.

    Args:
        node: A checkpoint's config, or a section of it.
        place: Its key, for messages.
        is_resolved: Refuse interpolations.

    Raises:
        ValueError: It holds an interpolation, or a value of another type.
    """
    return _plain(node, place, _DEEPEST, is_resolved)


def _plain(node: Any, place: str, levels: int, is_resolved: bool) -> Any:
    if is_resolved and isinstance(node, str) and "${" in node:
        raise ValueError(f"{place}: the config is not resolved: {short_text(node)}")
    if isinstance(node, PurePath):  # of a config that was made in Python
        return str(node)
    if node is None or isinstance(node, bool | int | float | str):
        return node
    if levels and isinstance(node, list | tuple):
        return [_plain(value, f"{place}[{i}]", levels - 1, is_resolved) for i, value in enumerate(node)]
    if levels and isinstance(node, dict) and all(isinstance(key, bool | int | float | str) for key in node):
        return {
            key: _plain(value, f"{place}.{short_text(key)}", levels - 1, is_resolved) for key, value in node.items()
        }
    problem = f"is a {type(node).__name__}" if levels else "is nested too deeply"
    raise ValueError(f"{place}: the config is malformed: {problem}")


def check_run(config: dict[str, Any], trust: Sequence[str] = ()) -> None:
    """Refuse a run's config that names a class which does not belong at its place.

    Args:
        config: From ``plain``.
        trust: Packages that may be named besides this one.

    Raises:
        ValueError: Names the first such class.
    """
    for key, node in config.items():
        check(node, ROOT.get(key, _PLAIN), key, trust)


def build(node: Any, place: str, trust: Sequence[str] = ()) -> Any:
    """Build one section of a checkpoint's config, after checking every class that it names.

    Args:
        node: The section.
        place: Its key at the root.
        trust: Packages that may be named besides this one.

    Raises:
        ValueError: A class does not belong there, or the section is malformed or cannot be built.
    """
    checked = plain(node, place)
    if not isinstance(checked, dict) or "_target_" not in checked:
        raise ValueError(f"{place}: the checkpoint's config is malformed: it names no class there")
    check(checked, ROOT[place], place, trust)
    try:
        return instantiate(checked, allowed=whitelist(trust), _convert_="all")
    except Exception as error:  # a constructor that is given anything can fail in any way
        if isinstance(error, hydra.errors.InstantiationException) and isinstance(error.__cause__, TypeError):
            raise ValueError(f"the checkpoint is of another version of this package: {error.__cause__}") from error
        reason = (str(error.__cause__ or error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{place}: the checkpoint's config cannot be built: {reason}") from error


def whitelist(trust: Sequence[str] = ()) -> list[str]:
    """Return what a checkpoint's config may name, as Hydra 1.4 takes it: our classes, torch's and trusted packages.

    Args:
        trust: Packages that may be named besides this one.
    """
    of_torch = [f"{home}.{name}" for home, names in TORCH.items() for name in names]
    return [*OURS, *of_torch, "lightning.pytorch.Trainer", *(name for one in trust for name in (one, f"{one}.*"))]


def check(node: Any, role: Any, place: str, trust: Sequence[str]) -> None:
    """Refuse a node if a class in it, at any depth, does not fit its role.

    Args:
        node: From ``plain``.
        role: The type that a signature expects there.
        place: Its key, for messages.
        trust: Packages that may be named besides this one.

    Raises:
        ValueError: Names the first such class.
    """
    if isinstance(node, list):
        for number, value in enumerate(node):
            check(value, _element(role), f"{place}[{number}]", trust)
    if isinstance(node, dict) and "_target_" in node:
        _check_object(node, role, place, trust)
    elif isinstance(node, dict):
        for key, value in node.items():
            check(value, _element(role), f"{place}.{key}", trust)


def _check_object(node: dict[str, Any], role: Any, place: str, trust: Sequence[str]) -> None:
    target = node["_target_"]
    refusal = f"{place}: the checkpoint names {short_text(target)}, which is not trusted"
    if not isinstance(target, str):
        raise ValueError(refusal)
    kind = _class(target, place, refusal, trust)
    home = target.rpartition(".")[0]
    is_free = _is_trusted(target, trust)
    fitting = [(base, is_late) for base, is_late in _kinds(role) if _fits(kind, base, is_free)]
    if not inspect.isclass(kind) and not fitting:
        raise ValueError(f"{refusal}: it is no class")
    if not fitting and (role is not _ANY or (not is_free and issubclass(kind, _AT_THE_ROOT))):
        raise ValueError(f"{refusal} there: it is no {_said(role)}")
    if fitting and node.get("_partial_", False) not in [is_late for _, is_late in fitting]:
        wanted = str(fitting[0][1]).lower()
        raise ValueError(f"{place}: the checkpoint's config is malformed: _partial_ must be {wanted}")
    known = {} if home in TORCH or kind is Trainer or not inspect.isclass(kind) else _hints(kind)
    unnamed = nn.Module if home == "torch.nn" else _ANY if is_free else _PLAIN
    for key, value in node.items():
        if key in ("device", "dtype") and home in TORCH:
            raise ValueError(f"{place}.{key}={short_text(value)}: a checkpoint does not say it")
        if key in _FOR_CODE:
            raise ValueError(f"{place}.{key}: the checkpoint's config is malformed: a checkpoint does not say it")
        if key in ("_args_", "_recursive_") and not is_free and (home, key) != ("torch.nn", "_args_"):
            raise ValueError(f"{place}.{key}: the checkpoint's config is malformed")
        expected = unnamed if known.get(key, Any) is Any else known[key]
        check(value, _PLAIN if key in _HYDRA and key != "_args_" else expected, f"{place}.{key}", trust)


def _hints(kind: type) -> dict[str, Any]:
    """Return the types of a class's arguments, including its bases', which ``**options`` passes on."""
    found: dict[str, Any] = {}
    for owner in kind.__mro__:
        with contextlib.suppress(Exception):  # names that exist for type checkers only
            found = {**typing.get_type_hints(owner.__init__), **found}  # type: ignore[misc]
    return found


def _class(target: str, place: str, refusal: str, trust: Sequence[str]) -> type:
    """Return the class of a path; only this package, torch and trusted packages are imported for it."""
    found: Any = None
    own = _OURS.fullmatch(target)
    home, _, name = target.rpartition(".")
    if own is not None:
        try:
            found = getattr(importlib.import_module(own[1]), own[2], None)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise ValueError(f"{place}: the checkpoint is of another version of this package: there is no {target}")
        homes: tuple[str, ...] = (own[1],)  # it must be defined there, and not imported from elsewhere
    elif name in TORCH.get(home, ()):
        found, homes = getattr(importlib.import_module(home), name, None), ("torch",)
    elif target == "lightning.pytorch.Trainer":
        return Trainer
    elif _is_trusted(target, trust):
        homes = tuple(trust)
        try:
            found = hydra.utils.get_object(target)
        except Exception as error:
            reason = (str(error.__cause__ or error) or type(error).__name__).splitlines()[0]
            raise ValueError(f"{place}: the checkpoint names {target}, which cannot be imported ({reason})") from error
    else:
        raise ValueError(f"{refusal}; if it is yours, add its package to trust=[...]")
    is_made = inspect.isclass(found) or (inspect.isfunction(found) and _is_trusted(target, trust))
    is_defined = is_made and (found.__module__ == own[1] if own else _inside(found.__module__, homes))
    if not is_defined:
        raise ValueError(f"{refusal}: it is no class of {homes[0]}")
    return typing.cast(type, found)


def _is_trusted(target: str, trust: Sequence[str]) -> bool:
    is_ours = target.partition(".")[0] == "lightning_gans"
    return not is_ours and _NAME.fullmatch(target) is not None and _inside(target, tuple(trust))


def _inside(name: str, homes: Sequence[str]) -> bool:
    return any(name == home or name.startswith(home + ".") for home in homes)


def _fits(kind: type, base: type, is_free: bool) -> bool:
    if base is Dataset and is_free:  # a user's map-style dataset need not be a subclass; a function may make it
        return True
    if not inspect.isclass(kind) or not issubclass(kind, base):
        return False
    if base is nn.Module and not is_free:  # families and extractors are modules too, and extractors download
        return _inside(kind.__module__, ("lightning_gans.networks", "torch.nn"))
    return True


def _kinds(role: Any) -> Iterator[tuple[type, bool]]:
    """Yield the classes that a role names, each with whether the role is a factory of it (``_partial_``)."""
    origin = typing.get_origin(role)
    if origin in (typing.Union, types.UnionType):
        for one in typing.get_args(role):
            yield from _kinds(one)
    elif origin is typing.Annotated:
        yield from _kinds(typing.get_args(role)[0])
    elif origin is collections.abc.Callable:
        yield from ((base, True) for base, _ in _kinds(typing.get_args(role)[-1]))
    elif origin is Dataset or (inspect.isclass(role) and role.__module__ != "builtins"):
        yield origin or role, False


def _element(role: Any) -> Any:
    """Return the role of the items of a list or mapping."""
    if role in (_ANY, nn.Module):
        return role
    for one in typing.get_args(role) if typing.get_origin(role) in (typing.Union, types.UnionType) else (role,):
        if typing.get_origin(one) in (dict, list, tuple, collections.abc.Sequence, collections.abc.Mapping):
            return typing.get_args(one)[-1 if typing.get_origin(one) in (dict, collections.abc.Mapping) else 0]
    return _PLAIN


def _said(role: Any) -> str:
    return " or ".join(dict.fromkeys(base.__name__ for base, _ in _kinds(role))) or "plain value"


def short_text(value: Any) -> str:
    """Format a value from a file for a message: short, on one line, without terminal control characters."""
    text = printable(str(value)[:200])
    return text if len(text) < 120 else text[:117] + "..."


_AT_THE_ROOT = tuple(base for role in ROOT.values() for base, _ in (*_kinds(role), *_kinds(_element(role))))

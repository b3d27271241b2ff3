"""Check published state dicts: every key of a file and every weight of a network is used or named."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

_SHOWN = 3


def without_wrappers(state: Mapping[Any, Any], wrapper: str, where: str) -> dict[str, Any]:
    """Return a state dict without the wrapper prefixes that a regular expression matches in its keys.

    Raises:
        ValueError: Two keys become the same.
    """
    names = {name: re.sub(wrapper, "", str(name)) for name in state}
    twice = [str(name) for name, short in names.items() if short != name and short in state]
    if twice:
        raise ValueError(f"{where}: holds a layer twice: {join_names(twice)}, and without its prefix")
    return {names[name]: value for name, value in state.items()}


def check_keys(state: Mapping[str, Any], required: Collection[str], optional: Collection[str], where: str) -> None:
    """Refuse a state dict with missing or unexpected keys.

    Args:
        state: Tensors by the published names.
        required: Keys that must be there.
        optional: Keys that may be there.
        where: Prefix of messages: ``FILE: as a ...``.

    Raises:
        ValueError: Names the keys.
    """
    lacking = [name for name in required if name not in state]
    allowed = {*required, *optional}
    foreign = [name for name in state if name not in allowed]
    problems = [f"lacks {join_names(lacking)}"] if lacking else []
    problems += [f"has {join_names(foreign)} too"] if foreign else []
    if problems:
        raise ValueError(f"{where} it {' and '.join(problems)}")


def check_values(state: Mapping[str, Any], where: str) -> None:
    """Refuse a state dict that holds values other than tensors, or numbers that are not finite.

    Args:
        state: The entries that will be used.
        where: Prefix of messages, e.g. the file.

    Raises:
        ValueError: Names the keys.
    """
    odd = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if odd:
        raise ValueError(f"{where}: {join_names(odd)}: must be tensors")
    bad = {name: int((~value.isfinite()).sum()) for name, value in state.items()}
    bad = {name: count for name, count in bad.items() if count}
    if bad:
        counted = ", ".join(f"{count} of {state[name].numel()} in {name}" for name, count in list(bad.items())[:_SHOWN])
        more = f" and in {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise ValueError(f"{where}: holds weights that are not finite: {counted}{more}")


def check_shape(found: tuple[int, ...], expected: tuple[int, ...], name: str, where: str) -> None:
    """Refuse a tensor whose shape differs from the expected one.

    Raises:
        ValueError: Names both shapes.
    """
    if found != expected:
        raise ValueError(f"{where}: {name} has shape {found}; must be {expected}")


def join_names(names: Collection[str]) -> str:
    """Join the first three names for a message, and count the others."""
    first = ", ".join(list(names)[:_SHOWN])
    return f"{first} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else first

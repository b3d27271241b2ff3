"""Types of options with their ranges, checked by pydantic: in a config before anything is built, and in constructors.

An option declares its range or choices once, in its annotation: ``batch_size: PositiveInt``, ``weight: NonNegative``,
``order: Literal["a2b", "b2a"]``, any of them ``| None``. ``@checked`` holds a constructor to them when it is called
from Python; ``config/validation.py`` reads the same annotations for ``_target_`` nodes. Imports no torch.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from annotated_types import Ge, Gt, Le, Lt, MinLen

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.signatures import types_of

PositiveInt = Annotated[int, Ge(1)]
NonNegativeInt = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Le(1)]
FractionBelowOne = Annotated[float, Ge(0), Lt(1)]
FractionAboveZero = Annotated[float, Gt(0), Le(1)]
MaxPixels = Annotated[int, Ge(1), Le(178_956_970)]  # of a picture; Pillow refuses more
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]

Function = TypeVar("Function", bound=Callable[..., Any])
_CONFIG = pydantic.ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
_UNIONS = (typing.Union, types.UnionType)
_NAMES: dict[Any, str] = {int: "an integer", float: "a number", bool: "true or false", str: "text", type(None): "null"}
_RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")  # what pydantic calls such mistakes


MADE_WITH = "_made_with"  # attribute of objects: their outermost checked constructor, and what it was given


def checked(constructor: Function) -> Function:
    """Check arguments against the ranges and choices of their annotations before the constructor runs.

    Only annotations with a range (``Annotated``) or choices (``Literal``) are checked; plain types are mypy's. The keys
    of ``**options: Unpack[TypedDict]`` are checked as arguments are. The object keeps what it was made with, which
    ``node_of`` writes down.

    Raises:
        ConfigError: Where it is called with a value that is not allowed, by the argument's name.
        TypeError: An option that the TypedDict does not have.
    """
    signature = inspect.signature(constructor)
    rest = next((one.name for one in signature.parameters.values() if one.kind is one.VAR_KEYWORD), "")

    @functools.cache
    def declared() -> tuple[dict[str, Any], bool]:
        return types_of(constructor)

    @functools.wraps(constructor)
    def check(*arguments: Any, **options: Any) -> Any:
        bound = signature.bind_partial(*arguments, **options)
        given = dict(bound.arguments)
        given |= given.pop(rest, {})
        if constructor.__name__ == "__init__":
            vars(arguments[0]).setdefault(MADE_WITH, (check, given, signature))
        hints, is_open = declared()
        for name, value in given.items():
            if name not in hints and name != "self" and not is_open:
                raise TypeError(f"{constructor.__qualname__}() got an unexpected keyword argument '{name}'")
            if _is_limited(hints.get(name)):
                check_value(name, value, hints[name])
        return constructor(*arguments, **options)

    return typing.cast(Function, check)


def check_value(key: str, value: Any, hint: Any) -> None:
    """Check one value against its type, range and choices; a type that pydantic has no schema for allows everything.

    Raises:
        ConfigError: With the key, the value and what is allowed.
    """
    adapter = _adapter(hint)
    if adapter is None:
        return
    try:
        accepted = adapter.validate_python(value)
    except pydantic.ValidationError as error:
        raise ConfigError(key, value, _rule(value, hint, error.errors(include_url=False))) from None
    if type(accepted) is not type(value) and (isinstance(accepted, int) or isinstance(value, bool)):
        raise ConfigError(key, value, f"must be {describe(hint)}")  # pydantic takes 8.0 for 8, and true for 1


def describe(hint: Any) -> str:
    """Return an annotation in the words of configs: ``an integer >= 1, or null``, ``stop or skip``."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        not_empty = ", not empty" if any(isinstance(bound, MinLen) for bound in inner[1:]) else ""
        return f"{describe(inner[0])} {_bounds(inner[1:])}".rstrip() + not_empty
    if origin is Literal:
        return _either([str(choice) for choice in inner])
    if origin in _UNIONS:
        parts = [describe(part) for part in inner if part is not type(None)]
        return _either(parts) + (", or null" if type(None) in inner else "")
    if origin is Callable:
        return "a node {_target_: ..., _partial_: true, ...}"
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return f"{_plural(inner[1])} by name" if inner else "values by name"
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        count = f"{len(inner)} " if issubclass(origin, tuple) and Ellipsis not in inner else ""
        return f"a list of {count}{_plural(inner[0]) if len(set(inner) - {Ellipsis}) == 1 else 'values'}"
    return _NAMES.get(hint, f"a node {{_target_: ...}} of a {getattr(hint, '__name__', hint)}")


def _rule(value: Any, hint: Any, problems: Sequence[Any]) -> str:
    """Return what is allowed: the range alone for a value of the right type, else the type with its range."""
    kinds = {problem["type"] for problem in problems}
    or_null = ", or null" if type(None) in typing.get_args(hint) else ""
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite number{or_null}"
    if kinds == {"sequence_str"}:
        return f"must be a list, e.g. [{value}]{or_null}"
    of_range = [_bounds(typing.get_args(part)[1:]) for part in _limited_parts(hint) if kinds & set(_RANGE)]
    if of_range and not isinstance(value, str | Sequence):
        words = [describe(part) for part in typing.get_args(hint) if typing.get_origin(part) is Literal]
        return f"must be {' or '.join(of_range + words)}{or_null}"
    return f"must be {describe(hint)}{_hint(value, hint)}"


def _hint(value: Any, hint: Any) -> str:
    """Name the choice that is nearest to a word, if one is."""
    choices = [
        str(choice)
        for one in (hint, *typing.get_args(hint))
        if typing.get_origin(one) is Literal
        for choice in typing.get_args(one)
    ]
    near = difflib.get_close_matches(str(value), choices, n=1)
    return f". Did you mean '{near[0]}'?" if near else ""


def _bounds(metadata: Sequence[Any]) -> str:
    """Return bounds in words: ``>= 1``, ``from 0 to below 1``, ``above 0, to 1``."""
    kinds = {Ge: "ge", Gt: "gt", Le: "le", Lt: "lt"}
    found = {type(bound): getattr(bound, kinds[type(bound)]) for bound in metadata if type(bound) in kinds}
    low = f"from {found[Ge]}" if Ge in found else f"above {found[Gt]}," if Gt in found else ""
    high = f"to {found[Le]}" if Le in found else f"to below {found[Lt]}" if Lt in found else ""
    if low and high:
        return f"{low} {high}"
    signs = {Ge: ">=", Gt: ">", Le: "<=", Lt: "<"}
    return " ".join(f"{signs[kind]} {bound}" for kind, bound in found.items())


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)


def _plural(hint: Any) -> str:
    """Describe the items of a list: ``integers >= 1``, ``color or cutout``, or ``values`` of any other kind."""
    if typing.get_origin(hint) is Literal:
        return describe(hint)
    return re.sub(r"^an? (\w+)", r"\1s", describe(hint)) if hint in (int, float) or _limited_parts(hint) else "values"


def _limited_parts(hint: Any) -> list[Any]:
    """List the parts of an annotation that have a range, those of unions too."""
    if typing.get_origin(hint) is Annotated:
        return [hint]
    is_union = typing.get_origin(hint) in _UNIONS
    return [part for one in typing.get_args(hint) for part in _limited_parts(one)] if is_union else []


def _is_limited(hint: Any) -> bool:
    """Return whether an annotation has a range or choices anywhere in it."""
    return typing.get_origin(hint) in (Annotated, Literal) or any(
        _is_limited(one) for one in typing.get_args(hint) if not isinstance(one, list)
    )


def _adapter(hint: Any) -> pydantic.TypeAdapter[Any] | None:
    try:
        return _cached_adapter(hint)
    except TypeError:  # an annotation that cannot be hashed
        return None


@functools.cache
def _cached_adapter(hint: Any) -> pydantic.TypeAdapter[Any] | None:
    try:
        return pydantic.TypeAdapter(hint, config=_CONFIG)
    except Exception:  # pydantic has no schema for it
        return None

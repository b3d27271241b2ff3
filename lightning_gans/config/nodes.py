"""Write down what an object was made with, as the node of a config that makes it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning_gans.config.types import MADE_WITH


def node_of(value: Any) -> Any:
    """Return plain containers from which Hydra makes an equal object: ``_target_`` nodes, lists, numbers, strings.

    Args:
        value: A plain value, a container, a class's factory (``functools.partial``), or an object of a class whose
            constructor is ``checked``, made of the same.

    Raises:
        TypeError: Something in it cannot be written down, such as a network of another package.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [node_of(one) for one in value]
    if isinstance(value, Mapping):
        return {key: node_of(one) for key, one in value.items()}
    made_by = getattr(value, "func", None)
    if isinstance(made_by, type) and not getattr(value, "args", ()):
        return {"_target_": _path(made_by), "_partial_": True, **node_of(value.keywords)}
    kind = type(value)
    if kind.__init__ is object.__init__ and kind.__module__.startswith("lightning_gans."):
        return {"_target_": _path(kind)}
    constructor, given, signature = getattr(value, "__dict__", {}).get(MADE_WITH, (None, {}, None))
    if constructor is not kind.__init__:
        raise TypeError(f"{_path(kind)}: has no checked constructor")
    named = {name: one.default for name, one in signature.parameters.items() if one.default is not one.empty}
    return {"_target_": _path(kind), **node_of({**named, **dict(list(given.items())[1:])})}


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"

"""Build what configs name, under Hydra 1.3 and under 1.4, which asks for a list of what may be named.

The list comes from code and never from a config. Hydra 1.3 has no such list, and there what a checkpoint names is held
to the same rule by ``checkpoints/roles.py`` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hydra

OURS = ("lightning_gans.*",)

_HAS_LISTS = hasattr(hydra.utils, "execution_whitelist")
_ANYTHING: Any = getattr(hydra.utils, "UNSAFE_DISABLE_EXECUTION_CHECKS", None)

# Options of hydra.main and hydra.initialize: what a user's own command line names is the user's to choose.
VERSION: dict[str, Any] = {} if _HAS_LISTS else {"version_base": "1.3"}
MAIN: dict[str, Any] = {"execution_whitelist": _ANYTHING} if _HAS_LISTS else VERSION
REPLACING: dict[str, Any] = (
    {"replace": True} if _HAS_LISTS else {}
)  # of ConfigStore.store, which replaces anyway in 1.3


def instantiate(node: Any, *, allowed: Sequence[str] | None = None, **extra: Any) -> Any:
    """Build the object of a config node, and of those in it.

    Args:
        node: The node, or a list of nodes; ``None`` gives ``None``.
        allowed: Dotted paths that it may name, ``package.*`` for all of a package; ``None``: the user's own config,
            which may name anything.
        **extra: Arguments beside the node's, and Hydra's options such as ``_convert_``.

    Raises:
        hydra.errors.InstantiationException: A name is not allowed, or something cannot be built.
    """
    if _HAS_LISTS:
        names = _ANYTHING if allowed is None else tuple(allowed)
        extra["_execution_whitelist_"] = hydra.utils.execution_whitelist(names, reset=True)
    return hydra.utils.instantiate(node, **extra)

"""Define what a config may compute: ``${avatar_classes:...}``, classes of a label of avatars, and ``${draw:...}``.

A run's checkpoint keeps the value in its place.
"""

from __future__ import annotations

import hashlib
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from lightning_gans.avatars.parts import class_count


def avatar_classes(label: Any, parts: Any, expressions: Any) -> int | None:
    """Return the number of classes; ``None`` without a label, and for words that are refused by their own key."""
    try:
        return class_count(label, parts, expressions)
    except (KeyError, TypeError):
        return None


def draw(name: str, *, _root_: DictConfig) -> Any:
    """Draw a hyper-parameter of a study, a function of the config's (seed, study.family, study.trial) and the name.

    Args:
        name: Key of ``study.ranges``: a list of choices, or ``low`` and ``high`` of a uniform number, of one whose
            logarithm is uniform with ``log: true``.
        _root_: The config.

    Raises:
        ValueError: There is no such range.
    """
    study = _root_.study
    if name not in study.ranges:
        raise ValueError(f"study.ranges: has no {name!r} to draw, only {', '.join(map(str, study.ranges))}")
    chosen = study.ranges[name]
    digest = hashlib.sha256(f"{_root_.seed}/{study.family}/{study.trial}/{name}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64  # in [0, 1)
    if isinstance(chosen, ListConfig):
        return chosen[int(share * len(chosen))]
    low, high = float(chosen.low), float(chosen.high)
    return low * (high / low) ** share if chosen.get("log") else low + (high - low) * share


def register() -> None:
    """Make the resolvers known to OmegaConf; may be called again."""
    OmegaConf.register_new_resolver("draw", draw, replace=True)
    OmegaConf.register_new_resolver("avatar_classes", avatar_classes, replace=True)

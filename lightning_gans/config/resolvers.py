"""Define what a config may compute: ``${avatar_classes:...}``, the number of classes that a label of avatars has.

A run's checkpoint keeps the number in its place.
"""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

from lightning_gans.avatars.parts import class_count


def avatar_classes(label: Any, parts: Any, expressions: Any) -> int | None:
    """Return the number of classes; ``None`` without a label, and for words that are refused by their own key."""
    try:
        return class_count(label, parts, expressions)
    except (KeyError, TypeError):
        return None


def register() -> None:
    """Make the resolvers known to OmegaConf; may be called again."""
    OmegaConf.register_new_resolver("avatar_classes", avatar_classes, replace=True)

"""Translate the class paths of older checkpoints to today's.

Format 2 has the package's present layout; ``integrity`` refuses formats newer than it knows.
"""

from __future__ import annotations

from typing import Any

from lightning_gans.checkpoints.integrity import FORMAT
from lightning_gans.runtime.aliases import MOVED

_PACKAGE = "lightning_gans."


def upgrade(content: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's content with today's class paths in its config."""
    if content.get(FORMAT, 0) < 2 and "config" in content:
        content = {**content, "config": rename_targets(content["config"])}
    return content


def rename_targets(node: Any) -> Any:
    """Return nested plain containers with every moved ``_target_`` path replaced by today's."""
    if isinstance(node, list | tuple):
        return type(node)(rename_targets(value) for value in node)
    if not isinstance(node, dict):
        return node
    renamed = {key: rename_targets(value) for key, value in node.items()}
    target = node.get("_target_")
    if isinstance(target, str) and target.startswith(_PACKAGE):
        renamed["_target_"] = _PACKAGE + MOVED.get(target[len(_PACKAGE) :], target[len(_PACKAGE) :])
    return renamed

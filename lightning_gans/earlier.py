"""What configs of earlier versions meant by options that they do not name."""

from __future__ import annotations

from typing import Any

# By class: options that came later and whose default is not what the class did before.
_MEANT: dict[str, dict[str, Any]] = {
    "lightning_gans.networks.r3gan.Generator": {"base_levels": 2, "padding": "edge"},
    "lightning_gans.networks.r3gan.Discriminator": {"base_levels": 2},
}


def name_earlier_options(node: Any) -> None:
    """Add to a checkpoint's config what it meant without saying it, so that its networks are built as they were.

    Args:
        node: Plain containers, changed in place; a class's options stand beside its ``_target_``.
    """
    if isinstance(node, dict):
        for key, value in _MEANT.get(str(node.get("_target_")), {}).items():
            node.setdefault(key, value)
    if isinstance(node, dict | list):
        for value in list(node.values()) if isinstance(node, dict) else node:
            name_earlier_options(value)

"""Fill in options that older checkpoints lack, with the values that they were trained with."""

from __future__ import annotations

from typing import Any

_NETWORKS = "lightning_gans.networks."
_WAS: dict[str, dict[str, Any]] = {  # the old value of every default that changed a network
    "began.Autoencoder": {"widen": "down"},
    "patchgan.Discriminator": {"bias_before_norm": False},
    "pix2pix_hd.Discriminator": {"bias_before_norm": False},
    "pix2pix_hd.Encoder": {"bias_before_norm": False},
    "pix2pix_hd.Generator": {"bias_before_norm": False},
    "progan.Discriminator": {"group_size": 4},
    "progan.Generator": {"bias_before_norm": True},
    "r3gan.Discriminator": {"base_levels": 2},
    "r3gan.Generator": {"base_levels": 2, "padding": "edge"},
    "translation_resnet.Generator": {"bias_before_norm": False},
    "unet.Generator": {"bias_before_norm": False},
}


def add_old_values(node: Any) -> None:
    """Set the missing options of every ``_target_`` node of a config (dicts and lists), in place."""
    if isinstance(node, dict):
        for key, value in _WAS.get(str(node.get("_target_", "")).removeprefix(_NETWORKS), {}).items():
            node.setdefault(key, value)
        node = list(node.values())
    if isinstance(node, list | tuple):
        for value in node:
            add_old_values(value)

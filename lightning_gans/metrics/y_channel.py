"""Luma, of which the literature on super-resolution reports PSNR and SSIM."""

from __future__ import annotations

import torch
from torch import Tensor

RED, GREEN, BLUE = 65.481, 128.553, 24.966  # ITU-R BT.601, RGB in [0, 1] to luma in [16, 235]


def luma(images: Tensor) -> Tensor:
    """The Y of YCbCr as ITU-R BT.601 defines it, not rounded.

    Args:
        images: (N, 1 or 3, H, W) uint8; of one channel, all three are taken to be equal.

    Returns:
        (N, 1, H, W) float64, from 16 to 235.

    Raises:
        ValueError: Other images.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"luma: needs (N, 1 or 3, H, W) uint8, not {tuple(images.shape)} {images.dtype}")
    weights = torch.tensor([RED, GREEN, BLUE], dtype=torch.float64, device=images.device)
    unit = images.double().expand(-1, 3, -1, -1) / 255
    return 16 + torch.einsum("nchw,c->nhw", unit, weights)[:, None]


def shaved_luma(images: Tensor, border: int) -> Tensor:
    """Luma without the pixels at the edges.

    Args:
        images: (N, 1 or 3, H, W) uint8.
        border: Pixels left out at every edge; the factor of super-resolution by custom.

    Returns:
        (N, 1, H - 2 border, W - 2 border) float64, from 16 to 235.

    Raises:
        ValueError: Nothing would be left.
    """
    height, width = images.shape[-2:]
    if border < 0 or 2 * border >= min(height, width):
        raise ValueError(f"border={border}: must be >= 0 and leave something of {height}x{width}")
    return luma(images)[..., border : height - border, border : width - border]

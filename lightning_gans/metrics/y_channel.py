"""PSNR and SSIM of luma, as the literature on super-resolution reports them."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

RED, GREEN, BLUE = 65.481, 128.553, 24.966  # ITU-R BT.601, RGB in [0, 1] to luma in [16, 235]
PEAK = 255.0
RADIUS = 5  # of SSIM's window of 11 pixels


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


def psnr_y(fake: Tensor, real: Tensor, *, border: int) -> Tensor:
    """Peak signal-to-noise ratio of luma in dB, the peak being 255.

    Args:
        fake: (N, 1 or 3, H, W) uint8.
        real: The same shape.
        border: Pixels left out at every edge; the factor of super-resolution by custom.

    Returns:
        (N,), one an image; infinite where both are equal.
    """
    pairs = zip(_shaved(fake, border), _shaved(real, border), strict=True)
    return torch.stack([peak_signal_noise_ratio(a[None], b[None], data_range=PEAK) for a, b in pairs])


def ssim_y(fake: Tensor, real: Tensor, *, border: int) -> Tensor:
    """Structural similarity of luma (Wang et al. 2004), a Gaussian window of 11 pixels, whole windows only.

    Args:
        fake: (N, 1 or 3, H, W) uint8; sides of at least 11 pixels without their borders.
        real: The same shape.
        border: Pixels left out at every edge.

    Returns:
        (N,), one an image, at most 1.

    Raises:
        ValueError: Smaller images.
    """
    pair = _shaved(fake, border), _shaved(real, border)
    if min(pair[0].shape[-2:]) < 2 * RADIUS + 1:
        raise ValueError(f"border={border}: leaves less than {2 * RADIUS + 1} pixels of {tuple(fake.shape[-2:])}")
    _, windows = structural_similarity_index_measure(
        *pair, data_range=PEAK, sigma=1.5, reduction="none", return_full_image=True
    )  # (N, 1, H, W), those at the edges over mirrored pixels
    whole: Tensor = windows[..., RADIUS:-RADIUS, RADIUS:-RADIUS]
    return whole.mean((1, 2, 3))


def _shaved(images: Tensor, border: int) -> Tensor:
    height, width = images.shape[-2:]
    if border < 0 or 2 * border >= min(height, width):
        raise ValueError(f"border={border}: must be >= 0 and leave something of {height}x{width}")
    return luma(images)[..., border : height - border, border : width - border]

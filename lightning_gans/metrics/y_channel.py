"""PSNR and SSIM of luma, which the literature on super-resolution reports."""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.images.pixels import to_uint8
from lightning_gans.metrics.ms_ssim import ssim
from lightning_gans.metrics.paired import Batch, PairMean, psnr

RED, GREEN, BLUE = 65.481, 128.553, 24.966  # ITU-R BT.601, RGB in [0, 1] to luma in [16, 235]


class LumaMean(PairMean):
    """Average a score of luma, of translations and, beside them, of bicubic interpolation.

    As many pixels as the factor of enlargement are left out at every edge.
    """

    data_kinds = ("super_resolution",)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of the score and of that of bicubic interpolation."""
        return (self.name, f"{self.name}_bicubic")

    @staticmethod
    @abstractmethod
    def similarity(one: Tensor, two: Tensor) -> Tensor:
        """Compare luma (N, 1, H, W) from 16 to 235: (N,)."""

    def compare(self, batch: Batch) -> list[Tensor]:
        """Compare translations, and sources enlarged by bicubic interpolation, with their targets: (N,) both."""
        target, source = batch["target"], batch["source"]
        enlarged = F.interpolate(source.float(), target.shape[-2:], mode="bicubic", antialias=True, align_corners=False)
        border = target.shape[-1] // source.shape[-1]
        images = (target, batch["image"], to_uint8(enlarged))
        of_target, *others = (shaved_luma(some, border) for some in images)
        return [self.similarity(other, of_target) for other in others]


class LumaPSNR(LumaMean):
    """Compute the peak signal-to-noise ratio of luma in dB; of several metrics this one picks the best checkpoint."""

    name = "psnr_y"
    scores = ("psnr_y",)
    higher_is_better = True
    best_rank = 2
    similarity = staticmethod(psnr)


class LumaSSIM(LumaMean):
    """Compute the structural similarity of luma."""

    name = "ssim_y"
    scores = ("ssim_y",)
    higher_is_better = True
    similarity = staticmethod(ssim)


def luma(images: Tensor) -> Tensor:
    """Compute the Y of YCbCr as ITU-R BT.601 defines it, not rounded.

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
    """Compute luma without the pixels at the edges.

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

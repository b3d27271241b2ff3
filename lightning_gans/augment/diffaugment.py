"""DiffAugment: colour, translation and cutout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import MinLen
from torch import Tensor

from lightning_gans.augment.base import Augmentation, Draws
from lightning_gans.config.types import checked

Policy = Literal["color", "translation", "cutout"]


class DiffAugment(Augmentation):
    """Augment real and generated images alike (DiffAugment). Zhao et al. 2020, arXiv:2006.10738, section 3.2.

    ``color``: brightness +- 0.5 in [-1, 1], saturation times 0 to 2, contrast times 0.5 to 1.5. ``translation``: by up
    to 1/8 of the side, what enters is 0. ``cutout``: a square of half the side is set to 0.

    Args:
        policy: Transformations, in this order.
    """

    @checked
    def __init__(self, policy: Annotated[Sequence[Policy], MinLen(1)] = ("color", "translation", "cutout")) -> None:
        super().__init__()
        self.policy = tuple(policy)

    def augment(self, samples: Tensor, draws: Draws) -> Tensor:
        """Augment images (N, C, H, W) by the policy."""
        for name in self.policy:
            samples = getattr(self, f"_{name}")(samples, draws)
        return samples

    def _color(self, images: Tensor, draws: Draws) -> Tensor:
        brightness, saturation, contrast = draws.uniform(len(images), 3, 1, 1, 1).unbind(1)
        images = images + (brightness - 0.5)
        grey = images.mean(1, keepdim=True)
        images = grey + 2 * saturation * (images - grey)
        mean = images.mean((1, 2, 3), keepdim=True)
        return mean + (contrast + 0.5) * (images - mean)

    def _translation(self, images: Tensor, draws: Draws) -> Tensor:
        n, _, height, width = images.shape
        u = draws.uniform(n, 2)
        rows, row_inside = _shifted(height, u[:, 0])
        columns, column_inside = _shifted(width, u[:, 1])
        moved = images[torch.arange(n, device=u.device)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        inside = row_inside[:, :, None] & column_inside[:, None, :]  # (N, H, W)
        return moved.permute(0, 3, 1, 2) * inside[:, None]

    def _cutout(self, images: Tensor, draws: Draws) -> Tensor:
        n, _, height, width = images.shape
        u = draws.uniform(n, 2)
        row_cut, column_cut = _within(height, u[:, 0]), _within(width, u[:, 1])
        cut = row_cut[:, :, None] & column_cut[:, None, :]
        return images * ~cut[:, None]


def _shifted(side: int, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return each position's source index after a shift of up to side / 8, and if it is inside; both (N, side)."""
    most = round(side / 8)
    shift = (u * (2 * most + 1)).floor().long() - most
    source = torch.arange(side, device=u.device) + shift[:, None]
    return source.clamp(0, side - 1), (source >= 0) & (source < side)


def _within(side: int, u: Tensor) -> Tensor:
    """Return the positions inside a window of side / 2 around a random centre, (N, side)."""
    window = side // 2
    start = (u * (side + 1 - window % 2)).floor().long() - window // 2
    position = torch.arange(side, device=u.device)
    return (position >= start[:, None]) & (position < start[:, None] + window)

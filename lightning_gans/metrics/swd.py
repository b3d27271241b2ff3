"""Sliced Wasserstein distance between patches of Laplacian pyramids (Karras et al. 2018, arXiv:1710.10196)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.images.pyramid import enlarge, shrink
from lightning_gans.metrics.base import Buffered
from lightning_gans.runtime.seeding import derive_seed

SMALLEST = 16  # pixels of the coarsest level
PATCH, PATCHES = 7, 128  # pixels of a patch; patches of an image and level
REPEATS, DIRECTIONS = 4, 128


class SlicedWasserstein(Buffered):
    """Compute the distance x 10^3 at each level of the Laplacian pyramid from 16x16 to the image size, and their mean.

    From every image and level 128 patches of 7x7 pixels at random places; patches are normalised by mean and standard
    deviation per channel over their set and level; the distance is the mean difference of sorted projections onto
    4 x 128 random directions. Needs no network. Images are kept as uint8, and one level's patches at a time are made
    of them. Places and directions are functions of the seed, so two equal sets are at distance 0. A rectangle is halved
    while both sides are even and the shorter one at least 32; its levels are named by their heights.

    Args:
        limit: Use the first so many images of either side; the paper has 16,384.
    """

    name = "swd"
    feed = "images"
    scores = ("swd",)
    higher_is_better = False
    min_size = SMALLEST
    limit: int

    @checked
    def __init__(self, *, limit: PositiveInt = 16384) -> None:
        super().__init__()
        self.limit = limit

    def update(self, values: Tensor, real: bool) -> None:
        """Take images (N, C, H, W) uint8, all of one size of at least 16."""
        if min(values.shape[-2:]) < SMALLEST:
            raise ValueError(f"swd: images of {tuple(values.shape[-2:])}; must be at least {SMALLEST} pixels wide")
        super().update(values, real)

    def compute(self) -> dict[str, Tensor]:
        """Return ``swd_16``, ``swd_32``, ... by the level's height, and ``swd``, their mean."""
        real, fake = self.real_and_fake()
        if real.shape[1:] != fake.shape[1:]:
            raise ValueError(f"swd: real images are {tuple(real.shape[1:])} and samples {tuple(fake.shape[1:])}")
        n = min(self.limit, len(real), len(fake))
        heights = level_heights(*real.shape[-2:])
        scores = {
            f"swd_{height}": self._distance(real[:n], fake[:n], level) * 1000 for level, height in enumerate(heights)
        }
        return {**dict(reversed(scores.items())), "swd": torch.stack([*scores.values()]).mean()}

    def _distance(self, real: Tensor, fake: Tensor, level: int) -> Tensor:
        one, two = (_normalised(self._patches(images, level)) for images in (real, fake))
        rng = torch.Generator().manual_seed(derive_seed("directions", self.seed, level))
        distances = []
        for _ in range(REPEATS):
            directions = torch.randn(one.shape[1], DIRECTIONS, generator=rng).to(one.device)
            directions /= directions.square().sum(0).sqrt()
            for some in torch.split(directions, 16, dim=1):  # so that few projections stand in memory
                sorted_one, sorted_two = (_sorted((patches @ some).T) for patches in (one, two))
                distances.append((sorted_one - sorted_two).abs().mean(1))
        return torch.cat(distances).mean()

    def _patches(self, images: Tensor, level: int) -> Tensor:
        """Cut the patches of one level, (N * 128, C, 7, 7)."""
        height, width = (size >> level for size in images.shape[-2:])
        rng = torch.Generator().manual_seed(derive_seed("places", self.seed, level))
        top = torch.randint(height - PATCH + 1, (len(images), PATCHES), generator=rng).to(images.device)
        left = torch.randint(width - PATCH + 1, (len(images), PATCHES), generator=rng).to(images.device)
        inner = torch.arange(PATCH, device=images.device)
        found = []
        for start in range(0, len(images), 64):
            band = _level(images[start : start + 64].float(), level)
            rows = top[start : start + 64, :, None, None] + inner[:, None]
            columns = left[start : start + 64, :, None, None] + inner
            which = torch.arange(len(band), device=band.device)[:, None, None, None]
            found.append(band[which, :, rows, columns].movedim(-1, 2).flatten(0, 1))  # (N * 128, C, 7, 7)
        return torch.cat(found)


def _sorted(rows: Tensor) -> Tensor:
    """Sort each row; on a CPU by NumPy, ten times as fast as torch."""
    rows = rows.contiguous()
    return torch.from_numpy(np.sort(rows.numpy(), 1)) if rows.device.type == "cpu" else rows.sort(1).values


def level_heights(height: int, width: int) -> list[int]:
    """Return the heights of the pyramid's levels, finest first: halved while both sides stay whole and at least 16."""
    heights = [height]
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 2 * SMALLEST:
        height, width = height // 2, width // 2
        heights.append(height)
    return heights


def _level(images: Tensor, level: int) -> Tensor:
    """Compute one level of the Laplacian pyramid of images (N, C, H, W); the coarsest is the blurred image itself."""
    coarsest = len(level_heights(*images.shape[-2:])) - 1
    for _ in range(level):
        images = shrink(images)
    return images if level == coarsest else images - enlarge(shrink(images))


def _normalised(patches: Tensor) -> Tensor:
    """Flatten patches (N, C, 7, 7) to rows (N, C * 49), each channel of mean 0 and standard deviation 1 over all."""
    mean = patches.mean((0, 2, 3), keepdim=True, dtype=torch.float64)
    patches = patches.sub_(mean.float())
    scale = torch.stack([channel.square().mean(dtype=mean.dtype).sqrt() for channel in patches.unbind(1)])
    return patches.div_(scale.float().clamp_(min=1e-12)[:, None, None]).flatten(1)

"""Compute the similarity of images within a class, as a measure of its diversity (Odena et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.metrics.labelled import LabelledBuffered
from lightning_gans.metrics.ms_ssim import SMALLEST, ms_ssim


class ClassSimilarity(LabelledBuffered):
    """Compute the mean MS-SSIM of random pairs of one class, the mean over classes; the real images' is to be reached.

    Args:
        pairs: Pairs of a class.
        limit: Number of images of a side that it looks at.
    """

    name = "class_ms_ssim"
    feed = "labelled_images"
    scores = ("class_ms_ssim",)
    higher_is_better = None  # near ``class_ms_ssim_real`` is best
    min_size = SMALLEST

    @checked
    def __init__(self, *, pairs: PositiveInt = 200, limit: PositiveInt = 5000) -> None:
        super().__init__()
        self.pairs, self.limit = pairs, limit

    def compute(self) -> dict[str, Tensor]:
        """Return ``class_ms_ssim`` and ``class_ms_ssim_real`` over the classes that have two images on both sides."""
        fakes, reals = [], []
        for c, (real, fake) in self.classes(2).items():
            fakes.append(self.note(c, pair_similarity(fake, self.pairs)))
            reals.append(pair_similarity(real, self.pairs))
        return {"class_ms_ssim": torch.stack(fakes).mean(), "class_ms_ssim_real": torch.stack(reals).mean()}


def pair_similarity(images: Tensor, pairs: int) -> Tensor:
    """Compute the mean MS-SSIM of random pairs of different images, the same pairs whenever it is called.

    Args:
        images: (N, C, H, W) uint8, N >= 2, H and W >= 16.
        pairs: Number of pairs.
    """
    rng = torch.Generator().manual_seed(0)
    first = torch.randint(len(images), (pairs,), generator=rng)
    second = (first + torch.randint(1, len(images), (pairs,), generator=rng)) % len(images)
    return ms_ssim(images[first], images[second]).double().mean()

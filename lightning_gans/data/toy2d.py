"""Points in the plane, drawn from the mixtures of the literature."""

from __future__ import annotations

from typing import Any

import torch

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.subset import spread
from lightning_gans.extractors.mixture import Distribution, mixture
from lightning_gans.runtime.seeding import derive_seed


class Toy2D(ImageDataModule):
    """Points (N, 2), drawn by the seed; their labels are the modes.

    Args:
        distribution: ``ring`` of 8, ``grid`` of 25, ``swiss_roll`` or ``moons``; see ``mixture``.
        n: How many points are drawn.
        **options: See ``ImageDataModule``; ``image_size`` is ``None``, ``channels`` 2.
    """

    points = True

    def __init__(self, *, distribution: Distribution = "ring", n: int = 50000, **options: Any) -> None:
        super().__init__(**options)
        self.mixture = mixture(distribution)
        if n < 1:
            raise ValueError(f"data.n={n}: must be >= 1")
        if self.channels != 2:
            raise ValueError(f"data.channels={self.channels}: points of the plane have 2")
        if self.flip:
            raise ValueError("data.flip=true: points are not mirrored; must be false")
        if self.num_classes is not None:
            raise ValueError(f"data.num_classes={self.num_classes}: points are of kind points; must be null")
        self.distribution, self.n = distribution, n

    def load(self) -> InMemoryImages:
        """Draw the points."""
        rng = torch.Generator().manual_seed(derive_seed("toy2d", self.seed))
        modes, anchors = self.mixture.centres.shape[:2]
        mode = torch.randint(modes, (self.n,), generator=rng)
        anchor = torch.randint(anchors, (self.n,), generator=rng)
        noise = torch.randn(self.n, 2, generator=rng)
        points = self.mixture.centres[mode, anchor] + self.mixture.sigma * noise
        taken = spread(self.n, self.limit, mode)
        return InMemoryImages(points[taken], mode[taken])

"""Draw points in the plane from the mixtures of the literature."""

from __future__ import annotations

import torch
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import Positive, PositiveInt, checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import DataOptions
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import spread
from lightning_gans.extractors.mixture import Distribution, Mixture, mixture
from lightning_gans.runtime.seeding import derive_seed


class Toy2D(ImageDataModule):
    """Draw points (N, 2) by the seed; their labels are the modes.

    Args:
        distribution: ``ring`` of 8, ``grid`` of 25, ``swiss_roll`` or ``moons``; see ``mixture``.
        n: Number of points drawn.
        std: Standard deviation of a mode in the literature's units, e.g. 0.02 or 0.1 on the ring of radius 2; ``None``:
            the distribution's own.
        **options: See ``ImageDataModule``; ``image_size`` is ``None``, ``channels`` 2.

    Raises:
        ValueError: A value out of range.
    """

    @checked
    def __init__(
        self,
        *,
        distribution: Distribution = "ring",
        n: PositiveInt = 50000,
        std: Positive | None = None,
        **options: Unpack[DataOptions],
    ) -> None:
        self.mixture = mixture(distribution, std)
        super().__init__(source=MixtureSource(self.mixture, n), **options)
        self.distribution, self.n, self.std = distribution, n, std
        if options.get("flip"):
            raise ConfigError("data.flip", True, "points are not mirrored; must be false")


class MixtureSource(ImageSource):
    """Draw points from a mixture.

    Args:
        mixture: The distribution.
        n: Number of points.
    """

    points = True

    def __init__(self, mixture: Mixture, n: int) -> None:
        self.mixture, self.n = mixture, n

    def check(self, spec: ImageSpec) -> None:
        """Refuse other coordinates than those of the plane, and classes."""
        if spec.channels != 2:
            raise ConfigError("data.channels", spec.channels, "points of the plane have 2")
        if spec.num_classes is not None:
            raise ConfigError("data.num_classes", spec.num_classes, "points are of kind points; must be null")

    def load(self, spec: ImageSpec) -> InMemoryImages:
        """Draw the points."""
        rng = torch.Generator().manual_seed(derive_seed("toy2d", spec.seed))
        modes, anchors = self.mixture.centres.shape[:2]
        mode = torch.randint(modes, (self.n,), generator=rng)
        anchor = torch.randint(anchors, (self.n,), generator=rng)
        noise = torch.randn(self.n, 2, generator=rng)
        points = self.mixture.centres[mode, anchor] + self.mixture.sigma * noise
        taken = spread(self.n, spec.max_images, mode)
        return InMemoryImages(points[taken], mode[taken])

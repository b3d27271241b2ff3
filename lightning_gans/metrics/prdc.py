"""Neighbours in feature space: precision, recall, density, coverage, and the training images nearest to samples.

Distances are Euclidean, in double precision, one slab of rows at a time, so that the 10,000 x 10,000 distances are
never all in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.metrics.base import Buffered

SLAB = 2**24  # distances held at once


def slabs(queries: Tensor, points: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield squared Euclidean distances of queries (N, F) to points (M, F), by rows: slices and (rows, M) tensors."""
    centre = points.mean(0, dtype=torch.float64)
    points = points.double() - centre
    norms = points.square().sum(1)
    rows = max(1, SLAB // len(points))
    for start in range(0, len(queries), rows):
        some = queries[start : start + rows].double() - centre
        squared = torch.addmm(norms, some, points.T, alpha=-2).add_(some.square().sum(1, keepdim=True))
        yield slice(start, start + len(some)), squared.clamp_(min=0)


def neighbour_radii(points: Tensor, ks: tuple[int, ...]) -> list[Tensor]:
    """Compute the squared distance of every point (N, F) to its k-th nearest other point, for each k: (N,)."""
    found: list[list[Tensor]] = [[] for _ in ks]
    for rows, squared in slabs(points, points):
        squared[torch.arange(len(squared)), torch.arange(rows.start, rows.stop)] = torch.inf  # not its own neighbour
        nearest = squared.topk(max(ks), largest=False, sorted=True).values
        for radii, k in zip(found, ks, strict=True):
            radii.append(nearest[:, k - 1])
    return [torch.cat(radii) for radii in found]


class PRDC(Buffered):
    """Compute precision, recall, density and coverage.

    After Kynkaanniemi et al. 2019, arXiv:1904.06991, and Naeem et al. 2020, arXiv:2002.09797.

    A ball around each real feature reaches to its k-th nearest other real feature. Precision is the share of samples
    inside any ball; recall the share of real images inside any ball of the samples; density the mean number of real
    balls around a sample, over k; coverage the share of real balls with a sample inside. The edge belongs to the ball.

    Args:
        k: Neighbours for precision and recall; the paper has 3.
        k_density: Neighbours for density and coverage; the paper has 5.
        limit: Use the first so many features of either side, since the work grows with their product.
    """

    name = "prdc"
    feed = "features"
    scores = ("precision", "recall", "density", "coverage")
    higher_is_better = True
    limit: int

    @checked
    def __init__(self, *, k: PositiveInt = 3, k_density: PositiveInt = 5, limit: PositiveInt = 10000) -> None:
        super().__init__()
        self.k, self.k_density, self.limit = k, k_density, limit
        self.min_images = max(k, k_density) + 1

    def compute(self) -> dict[str, Tensor]:
        """Return ``precision``, ``recall``, ``density`` and ``coverage``.

        Raises:
            ValueError: A side has too few features.
        """
        real, fake = (side[: self.limit] for side in self.real_and_fake())
        if min(len(real), len(fake)) < self.min_images:
            raise ValueError(f"prdc: {len(real)} real images and {len(fake)} samples; needs {self.min_images} of each")
        real_radii, dense_radii = neighbour_radii(real, (self.k, self.k_density))
        (fake_radii,) = neighbour_radii(fake, (self.k,))
        inside = torch.zeros(len(fake), dtype=torch.bool, device=fake.device)
        balls = torch.zeros((), dtype=torch.float64, device=fake.device)
        recalled, covered = [], []
        for rows, squared in slabs(real, fake):  # (some real, all fake)
            inside |= (squared <= real_radii[rows, None]).any(0)
            recalled.append((squared <= fake_radii).any(1))
            around = squared <= dense_radii[rows, None]
            covered.append(around.any(1))
            balls += around.sum()
        return {
            "precision": inside.float().mean(),
            "recall": torch.cat(recalled).float().mean(),
            "density": balls / (self.k_density * len(fake)),
            "coverage": torch.cat(covered).float().mean(),
        }

    def report(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Return the scores; none if a time budget left too few images, which the card's counts show."""
        return super().report(scores) if min(self.n, self.n_real) >= self.min_images else {}

    def settings(self) -> dict[str, Any]:
        """Return the numbers of images and of neighbours."""
        n_real = min(self.limit, self.n_real)
        return {**super().settings(), "prdc_n_real": n_real, "k": self.k, "k_density": self.k_density}


class NearestNeighbours(Buffered):
    """Find the real images nearest to each sample in feature space: what a memorising generator would have copied.

    Args:
        k: Neighbours of a sample.
    """

    def __init__(self, *, k: int = 5) -> None:
        super().__init__()
        self.k = k

    def compute(self) -> tuple[Tensor, Tensor]:
        """Return distances and positions among the real features, nearest first: both (N, k)."""
        real, fake = self.real_and_fake()
        found = [squared.topk(min(self.k, len(real)), largest=False, sorted=True) for _, squared in slabs(fake, real)]
        return torch.cat([some.values for some in found]).sqrt(), torch.cat([some.indices for some in found])

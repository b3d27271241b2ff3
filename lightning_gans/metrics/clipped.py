"""Clipped density and clipped coverage (Salvy, Talbot, Thirion 2025, arXiv:2507.01761).

Both say which share of good samples, among others that are far from everything, would score as much: 0 to 1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.metrics.base import Buffered
from lightning_gans.metrics.prdc import neighbour_radii, slabs


class Clipped(Buffered):
    """Keep features of either side for scores by balls around the real ones.

    Args:
        k: Neighbours; the paper has 5.
        limit: Use the first so many features of either side, since the work grows with their product.
    """

    feed = "features"
    higher_is_better = True
    limit: int

    @checked
    def __init__(self, *, k: PositiveInt = 5, limit: PositiveInt = 10000) -> None:
        super().__init__()
        self.k, self.limit, self.min_images = k, limit, k + 2

    def sides(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return real features (N, F), samples' (M, F), and the squared radii of the real balls, (N,).

        Raises:
            ValueError: A side has too few features.
        """
        real, fake = (side[: self.limit] for side in self.real_and_fake())
        if min(len(real), len(fake)) < self.min_images:
            counts = f"{len(real)} real images and {len(fake)} samples"
            raise ValueError(f"{self.name}: {counts}; needs {self.min_images} of each")
        return real, fake, neighbour_radii(real, (self.k,))[0]


class ClippedDensity(Clipped):
    """Compute the clipped density, which measures fidelity.

    A ball around each real feature reaches to its k-th nearest other one, but not further than the median of these
    distances. A feature counts as the number of balls that it lies in over k, at most 1. The score is the mean over the
    samples, over the mean over the real features (in balls of others), at most 1.
    """

    name = "clipped_density"
    scores = ("clipped_density",)

    def compute(self) -> Tensor:
        """Return the clipped density, a scalar."""
        real, fake, radii = self.sides()
        median = float(np.median(radii.sqrt().cpu().numpy()))
        radii = radii.clamp(max=median**2)
        own = self._share(real, real, radii, own=True)
        return (self._share(real, fake, radii, own=False) / own).clamp(max=1)

    def _share(self, real: Tensor, points: Tensor, radii: Tensor, *, own: bool) -> Tensor:
        """Return the mean over points of the number of balls around them over k, at most 1."""
        balls = torch.zeros(len(points), dtype=torch.float64, device=points.device)
        for rows, squared in slabs(real, points):  # (some real, all points)
            inside = squared <= radii[rows, None]
            if own:  # no point lies in its own ball
                inside[torch.arange(len(inside)), torch.arange(rows.start, rows.stop)] = False
            balls += inside.sum(0)
        return (balls / self.k).clamp(max=1).mean()


class ClippedCoverage(Clipped):
    """Compute the clipped coverage.

    A real feature counts as the number of samples in its ball (see ``ClippedDensity``; the radius is not clipped here)
    over k, at most 1. The mean c over the real features is calibrated by ``expected_coverage``: the score is the share
    of M samples that, if drawn from the real distribution, have the expectation c.
    """

    name = "clipped_coverage"
    scores = ("clipped_coverage",)

    def compute(self) -> Tensor:
        """Return the clipped coverage, a scalar."""
        real, fake, radii = self.sides()
        counts = [(squared <= radii[rows, None]).sum(1) for rows, squared in slabs(real, fake)]
        covered = float((torch.cat(counts) / self.k).clamp(max=1).double().mean())
        expected = expected_coverage(self.k, len(real), len(fake)).numpy()
        share = np.interp(covered, expected, np.linspace(0, 1, len(expected)))
        return torch.tensor(share, dtype=torch.float64, device=real.device)


def expected_coverage(k: int, n: int, m: int) -> Tensor:
    """Compute the expected coverage before calibration for 0 to ``m`` samples of the real distribution, (m + 1,).

    The mass of a ball that reaches to the k-th of n - 1 other points is Beta(k, n - k) whatever the distribution is, so
    the number J of i samples inside is beta-binomial, and the expectation is E[min(J, k)] / k.

    Args:
        k: Neighbours, below ``n``.
        n: Real features.
        m: Samples.
    """
    drawn, inside = torch.arange(m + 1, dtype=torch.float64)[:, None], torch.arange(k, dtype=torch.float64)
    drawn = torch.maximum(drawn, inside)  # where fewer are drawn, the probability below is set to 0
    log_choices = torch.lgamma(drawn + 1) - torch.lgamma(inside + 1) - torch.lgamma(drawn - inside + 1)
    log_ratio = _log_beta(k + inside, n - k + drawn - inside) - _log_beta(*torch.tensor([k, n - k]).double())
    probability = (log_choices + log_ratio).exp() * (torch.arange(m + 1)[:, None] >= inside)  # (m + 1, k)
    return 1 - (probability * (k - inside)).sum(1) / k


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)

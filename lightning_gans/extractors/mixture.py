"""Densities of toy sets: equally likely modes in the plane."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Distribution = Literal["ring", "grid", "swiss_roll", "moons"]
DISTRIBUTIONS = ("ring", "grid", "swiss_roll", "moons")
SCALES = {"ring": 2.0, "grid": 4.0, "swiss_roll": 4.5 * math.pi, "moons": 1.5}  # what the literature's are divided by
ANCHORS = 64  # that stand for the stretch of a curve that is one mode


class Mixture(NamedTuple):
    """Describe a mixture of equally likely modes: normal distributions around points or around stretches of a curve."""

    centres: Tensor  # (K, A, 2): K modes, A anchors along each
    sigma: float

    def log_likelihood(self, points: Tensor) -> Tensor:
        """Compute log p(point | mode) of points (N, 2): (N, K)."""
        centres = self.centres.to(points.device)
        squares = torch.cdist(points, centres.flatten(0, 1)).square().view(len(points), *centres.shape[:2])  # (N, K, A)
        logs = -squares / (2 * self.sigma**2) - math.log(2 * math.pi * self.sigma**2)
        return logs.logsumexp(2) - math.log(centres.shape[1])

    def nearest(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return distances from points (N, 2) to the nearest anchor, and the modes that it belongs to: (N,) each."""
        found = torch.cdist(points, self.centres.to(points).flatten(0, 1)).min(1)
        return found.values, found.indices // self.centres.shape[1]


def mixture(distribution: str, std: float | None = None) -> Mixture:
    """Return a mixture of the literature, scaled to about [-1, 1].

    ``ring``: 8 normal distributions of 0.02 on a circle of radius 2 (Metz et al. 2017, arXiv:1611.02163), halved.
    ``grid``: 25 of 0.05 at {-4, -2, 0, 2, 4} squared (Lin et al. 2018, arXiv:1712.04086), divided by 4.
    ``swiss_roll``: (t cos t, t sin t), t from 1.5 pi to 4.5 pi, noise 0.25 (Gulrajani et al. 2017, arXiv:1704.00028),
    divided by 4.5 pi; its modes are ten stretches of equal probability. ``moons``: two half circles of radius 1 as
    scikit-learn's ``make_moons`` has them, noise 0.05, centred and divided by 1.5.

    Args:
        distribution: The set.
        std: Standard deviation of a mode before the scaling, in the literature's units; ``None``: as above.

    Raises:
        ValueError: There is no such set, or ``std`` is not above 0.
    """
    made = _mixture(distribution)
    if std is None:
        return made
    if not std > 0:
        raise ValueError(f"data.std={std}: must be above 0")
    return made._replace(sigma=std / SCALES[distribution])


def _mixture(distribution: str) -> Mixture:
    along = (torch.arange(ANCHORS) + 0.5) / ANCHORS
    if distribution == "ring":
        angles = torch.arange(8) * (2 * math.pi / 8)
        return Mixture(_on_circle(angles)[:, None], 0.01)
    if distribution == "grid":
        steps = torch.linspace(-1, 1, 5)
        return Mixture(torch.cartesian_prod(steps, steps)[:, None], 0.0125)
    if distribution == "swiss_roll":
        t = 1.5 * math.pi * (1 + 2 * (torch.arange(10)[:, None] + along) / 10)  # (10, A)
        return Mixture(_on_circle(t) * (t / (4.5 * math.pi))[..., None], 0.25 / (4.5 * math.pi))
    if distribution == "moons":
        outer = _on_circle(math.pi * along)
        inner = torch.tensor([1.0, 0.5]) - outer
        return Mixture((torch.stack([outer, inner]) - torch.tensor([0.5, 0.25])) / 1.5, 0.05 / 1.5)
    raise ValueError(f"data.distribution={distribution}: must be one of {', '.join(DISTRIBUTIONS)}")


def _on_circle(angles: Tensor) -> Tensor:
    return torch.stack([angles.cos(), angles.sin()], -1)

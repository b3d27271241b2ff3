"""Modes that points of the plane cover, and how many of them lie in one."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.config.types import FractionAboveZero, Positive, checked
from lightning_gans.extractors.mixture import Distribution, mixture
from lightning_gans.metrics.base import GenerativeMetric


class MixtureModes(GenerativeMetric):
    """Count the modes of a toy set that samples cover, and the samples of high quality.

    A sample is of high quality if it lies within three standard deviations of a mode (Srivastava et al. 2017,
    arXiv:1705.07761), as 98.9 % of the points of a normal distribution in the plane do; a mode is covered if at least
    1 % of all samples are of high quality and nearest to it. The divergence is KL(samples || real) in nats between the
    shares of points that are nearest to each mode; a mode without any real point counts as if it had one.

    Args:
        distribution: ``ring``, ``grid``, ``swiss_roll`` or ``moons``; that of the data.
        std: Standard deviation of a mode in the literature's units, that of the data; ``None``: the set's own.
        share: Share of the samples from which on a mode is covered.

    Raises:
        ValueError: At the first score, where the data are not points of the plane, or of another set.
    """

    name = "mixture"
    feed = "features"
    scores = ("covered_modes", "high_quality", "mixture_kl")
    higher_is_better = {"covered_modes": True, "high_quality": True, "mixture_kl": False}

    real_counts: Tensor
    fake_counts: Tensor
    real_good: Tensor
    fake_good: Tensor

    @checked
    def __init__(
        self, *, distribution: Distribution = "ring", std: Positive | None = None, share: FractionAboveZero = 0.01
    ) -> None:
        super().__init__()
        self.mixture, self.share = mixture(distribution, std), share
        for name in ("real_counts", "fake_counts", "real_good", "fake_good"):  # points by mode, and the good among them
            zeros = torch.zeros(len(self.mixture.centres), dtype=torch.long)
            self.add_state(name, default=zeros, dist_reduce_fx="sum")

    def update(self, values: Tensor, real: bool) -> None:
        """Take points (N, 2)."""
        if values.shape[1:] != (2,):
            raise ValueError(f"mixture: features {tuple(values.shape)}; must be points of the plane, (N, 2)")
        distances, modes = self.mixture.nearest(values)
        counts, good = (self.real_counts, self.real_good) if real else (self.fake_counts, self.fake_good)
        counts += torch.bincount(modes, minlength=len(counts))
        good += torch.bincount(modes[distances <= 3 * self.mixture.sigma], minlength=len(good))

    def compute(self) -> dict[str, Tensor]:
        """Return ``covered_modes``, ``high_quality`` (a share) and ``mixture_kl``.

        Raises:
            ValueError: Less than nine tenths of the real points lie within three standard deviations.
        """
        n = self.fake_counts.sum()
        if self.real_good.sum() < 0.9 * self.real_counts.sum():
            raise ValueError("mixture: the real points are of another set; say its distribution and std")
        reference = self.real_counts.clamp(min=1).double()
        shares, reference = self.fake_counts / n.double(), reference / reference.sum()
        return {
            "covered_modes": (self.fake_good >= self.share * n).sum(),
            "high_quality": self.fake_good.sum() / n,
            "mixture_kl": torch.xlogy(shares, shares / reference).sum(),
        }

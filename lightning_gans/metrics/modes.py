"""Mode coverage by a classifier (Lin et al. 2018, arXiv:1712.04086; Srivastava et al. 2017, arXiv:1705.07761)."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.metrics.base import RealFakeMetric


class ModeCoverage(RealFakeMetric):
    """How many classes the samples reach, and how far their shares are from those of the real images.

    A class is covered if the classifier puts one sample there. The divergence is KL(samples || real) in nats, between
    shares of predicted classes; a class without any real image counts as if it had one.

    Args:
        num_classes: Classes that the classifier tells apart.
    """

    real_counts: Tensor
    fake_counts: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.add_state("real_counts", default=torch.zeros(num_classes, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("fake_counts", default=torch.zeros(num_classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, values: Tensor, real: bool) -> None:
        """Take predicted classes (N,) int64."""
        counts = torch.bincount(values, minlength=len(self.fake_counts))
        if real:
            self.real_counts += counts
        else:
            self.fake_counts += counts

    def compute(self) -> dict[str, Tensor]:
        """``modes``, the number of covered classes, and ``modes_kl``."""
        reference = self.real_counts.clamp(min=1).double()
        reference = reference / reference.sum()
        share = self.fake_counts.double() / self.fake_counts.sum()
        divergence = torch.where(share > 0, share * (share / reference).log(), 0.0).sum()
        return {"modes": (self.fake_counts > 0).sum(), "modes_kl": divergence}

"""Mode coverage by a classifier (Lin et al. 2018, arXiv:1712.04086; Srivastava et al. 2017, arXiv:1705.07761)."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.metrics.base import GenerativeMetric


class ModeCoverage(GenerativeMetric):
    """Count the classes that the samples cover, and compare their shares with those of the real images.

    A class is covered if the classifier assigns one sample to it. The divergence is KL(samples || real) in nats,
    between shares of predicted classes; a class without any real image counts as if it had one.
    """

    name = "modes"
    feed = "logits"
    scores = ("modes", "modes_kl")
    higher_is_better = {"modes": True, "modes_kl": False}

    real_counts: Tensor
    fake_counts: Tensor

    def setup(self, num_features: int, num_classes: int) -> None:
        """Add a count for each class."""
        self.add_state("real_counts", default=torch.zeros(num_classes, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("fake_counts", default=torch.zeros(num_classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, values: Tensor, real: bool) -> None:
        """Take logits (N, K)."""
        counts = torch.bincount(values.argmax(1), minlength=len(self.fake_counts))
        if real:
            self.real_counts += counts
        else:
            self.fake_counts += counts

    def compute(self) -> dict[str, Tensor]:
        """Return ``modes``, the number of covered classes, and ``modes_kl``."""
        reference = self.real_counts.clamp(min=1).double()
        reference = reference / reference.sum()
        share = self.fake_counts.double() / self.fake_counts.sum()
        divergence = torch.where(share > 0, share * (share / reference).log(), 0.0).sum()
        return {"modes": (self.fake_counts > 0).sum(), "modes_kl": divergence}

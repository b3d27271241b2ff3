"""Kernel distance (Binkowski et al. 2018, arXiv:1801.01401)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.image.kid import KernelInceptionDistance

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.metrics.base import FromTorchmetrics


class KernelDistance(FromTorchmetrics):
    """Compute the unbiased squared MMD with the kernel ``(x.y / F + 1)^3``, a mean over random subsets.

    With Inception's features it is KID. By torchmetrics. Where subsets would be all images of both sides there is one,
    and no standard deviation.

    Args:
        subsets: Number of subsets.
        subset_size: Images in a subset; fewer where there are fewer.
    """

    name = "kernel"
    feed = "features"
    scores = ("kd",)
    higher_is_better = False
    published = "kid"

    @checked
    def __init__(self, *, subsets: PositiveInt = 50, subset_size: PositiveInt = 1000) -> None:
        super().__init__()
        self.subsets, self.subset_size = subsets, subset_size

    def make(self, features: nn.Module) -> Metric:
        """Return torchmetrics' metric, whose real side outlives ``reset``."""
        return KernelInceptionDistance(feature=features, reset_real_features=False)

    def compute(self) -> dict[str, Tensor]:
        """Return ``kd`` and ``kd_std``, its standard deviation over subsets."""
        size, inner = self._subset_size(), self.inner
        takes_all = size == self.n == self.n_real
        inner.subset_size, inner.subsets = size, 1 if takes_all else self.subsets
        mean, deviation = super().compute()
        return {"kd": mean} if takes_all else {"kd": mean, "kd_std": deviation}

    def settings(self) -> dict[str, Any]:
        """Return the size of a subset."""
        return {"kernel_subset_size": self._subset_size()}

    def _subset_size(self) -> int:
        return min(self.subset_size, self.n, self.n_real)

"""Inception score (Salimans et al. 2016, arXiv:1606.03498)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.image.inception import InceptionScore as TorchmetricsInceptionScore

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.metrics.base import FromTorchmetrics


class InceptionScore(FromTorchmetrics):
    """``exp(E KL(p(y|x) || p(y)))`` of generated images, a mean over random splits, by torchmetrics.

    Args:
        splits: Number of splits; fewer where there are fewer images.
    """

    name = "inception_score"
    feed = "logits"
    scores = ("is",)
    higher_is_better = True
    published = "is"

    @checked
    def __init__(self, *, splits: PositiveInt = 10) -> None:
        super().__init__()
        self.splits = splits

    def make(self, features: nn.Module) -> Metric:
        """Return torchmetrics' metric."""
        return TorchmetricsInceptionScore(feature=features, splits=self.splits)

    def update(self, values: Tensor, real: bool) -> None:
        """Take logits (N, K) of generated images; real ones are passed over."""
        if not real:
            self.inner.update(values)

    def compute(self) -> dict[str, Tensor]:
        """Return ``is`` and ``is_std``, its standard deviation over splits."""
        self.inner.splits = min(self.splits, self.n)
        mean, deviation = super().compute()
        return {"is": mean, "is_std": deviation}

    def settings(self) -> dict[str, Any]:
        """Return the number of splits."""
        return {"inception_score_splits": min(self.splits, self.n)}

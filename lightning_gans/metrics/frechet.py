"""Compute the Frechet distance (Heusel et al. 2017, arXiv:1706.08500)."""

from __future__ import annotations

from torch import nn
from torchmetrics import Metric
from torchmetrics.image.fid import FrechetInceptionDistance

from lightning_gans.metrics.base import FromTorchmetrics


class FrechetDistance(FromTorchmetrics):
    """Compute the Frechet distance of normal distributions fitted to real and generated features.

    With Inception's features it is FID.

    ``|mu_r - mu_f|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2))``, by torchmetrics. Few samples raise it.
    """

    name = "frechet"
    feed = "features"
    scores = ("fd",)
    higher_is_better = False
    published = "fid"
    best_rank = 1

    def make(self, features: nn.Module) -> Metric:
        """Return torchmetrics' metric, whose real side outlives ``reset``."""
        return FrechetInceptionDistance(feature=features, reset_real_features=False)

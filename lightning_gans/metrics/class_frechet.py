"""Compute the Frechet distance of every class."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.metrics.labelled import LabelledBuffered


class ClassFrechet(LabelledBuffered):
    """Compute the mean over classes of the Frechet distance between samples and real images of one class.

    Classes count equally, whatever their frequency. Few images of a class raise its distance, more so than that of all.
    """

    name = "class_frechet"
    feed = "labelled_features"
    scores = ("class_fd",)
    higher_is_better = False

    def compute(self) -> Tensor:
        """Return ``class_fd``, over the classes that have two images on both sides."""
        found = self.classes(2).items()
        return torch.stack([self.note(c, frechet_distance(real, fake)) for c, (real, fake) in found]).mean()


def frechet_distance(one: Tensor, two: Tensor) -> Tensor:
    """Compute the Frechet distance of normal distributions fitted to features (N, F) and (M, F), N, M >= 2.

    ``|mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))`` in float64, with unbiased covariances.
    """
    one, two = one.double(), two.double()
    first, second = torch.cov(one.T), torch.cov(two.T)
    roots = torch.linalg.eigvals(first @ second).real.clamp(min=0).sqrt().sum()  # tr (S_1 S_2)^(1/2)
    distance: Tensor = (one.mean(0) - two.mean(0)).square().sum() + first.trace() + second.trace() - 2 * roots
    return distance

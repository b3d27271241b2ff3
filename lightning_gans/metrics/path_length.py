"""Perceptual path length (Karras et al. 2019, arXiv:1812.04948)."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

EPSILON = 1e-4  # step along the path between two latents, of which the whole is 1
CUT = 0.01  # share of the shortest, and of the longest steps, that are left out


class PathLength(Metric):
    """Mean squared distance of features over a small step along random paths between latents, per squared step.

    Low where the images change evenly. The paper's distance is LPIPS by VGG-16; with another extractor the value
    compares only with values of that extractor, which the score's name says.
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = False
    steps: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("steps", default=[], dist_reduce_fx="cat")

    def update(self, before: Tensor, after: Tensor) -> None:
        """Take features (N, F) of images a step of ``EPSILON`` apart."""
        self.steps.append((after.double() - before.double()).square().sum(1) / EPSILON**2)

    def compute(self) -> Tensor:
        """The mean, without the lowest and the highest hundredth."""
        steps = dim_zero_cat(self.steps)
        low = torch.quantile(steps, CUT, interpolation="lower")
        high = torch.quantile(steps, 1 - CUT, interpolation="higher")
        return steps[(steps >= low) & (steps <= high)].mean()

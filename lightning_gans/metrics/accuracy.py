"""Compute the accuracy of a family that classifies images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_gans.metrics.base import GenerativeMetric


class ClassifierAccuracy(GenerativeMetric):
    """Compute the share of test images, or else of held-out ones, whose class the model's own classifier finds.

    Its labels, of the few images that it learnt from, are no part of it.
    """

    name = "accuracy"
    feed = "classified"
    scores = ("accuracy",)
    higher_is_better = True
    data_kinds = ("labelled",)

    right: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        for state in ("right", "total"):
            self.add_state(state, default=torch.tensor(0), dist_reduce_fx="sum")
        self.n_classified = 0  # of all processes, for the card

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Take logits (N, K) of real images and their classes (N,) int64."""
        self.right += logits.argmax(1).eq(labels).sum()
        self.total += len(labels)

    def compute(self) -> Tensor:
        """Return the share, from 0 to 1."""
        self.n_classified = int(self.total)
        return self.right.double() / self.total

    def settings(self) -> dict[str, Any]:
        """Return the number of images that were classified."""
        return {"accuracy_n": self.n_classified}

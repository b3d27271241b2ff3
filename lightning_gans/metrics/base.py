"""What our metrics share beyond torchmetrics' ``Metric``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat


class RealFakeMetric(Metric):
    """Compares generated with real. ``reset`` forgets the generated side alone: the real one is read once.

    States whose names begin with ``real_`` are the real side. On several processes every process updates with its
    share, and ``compute`` gives the same on all.
    """

    is_differentiable = False
    full_state_update = False

    def update(self, values: Tensor, real: bool) -> None:
        """Take a batch of either side."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget what was generated."""
        real: dict[str, Any] = {name: self._defaults.pop(name) for name in [*self._defaults] if name[:5] == "real_"}
        super().reset()
        self._defaults.update(real)


class Buffered(RealFakeMetric):
    """Keeps what it is given of either side, in the order of the updates and then of the processes."""

    real_values: list[Tensor]
    fake_values: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("real_values", default=[], dist_reduce_fx="cat")
        self.add_state("fake_values", default=[], dist_reduce_fx="cat")

    def update(self, values: Tensor, real: bool) -> None:
        """Take a batch, e.g. of features (N, F)."""
        (self.real_values if real else self.fake_values).append(values)

    def real_and_fake(self) -> tuple[Tensor, Tensor]:
        """Everything real, and everything generated."""
        return dim_zero_cat(self.real_values), dim_zero_cat(self.fake_values)


class PrecomputedFeatures(nn.Module):
    """Take the place of the network that torchmetrics expects, where features are computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """Return the features as they are."""
        return features


def join_batches(metric: Metric) -> None:
    """Make one tensor of each list in torchmetrics' IS and KID.

    They gather lists entry by entry: processes with unequal numbers of batches would wait for each other, and equal
    numbers come out interleaved.
    """
    for name in ("features", "real_features", "fake_features"):
        if isinstance(getattr(metric, name, None), list):
            setattr(metric, name, [torch.cat(getattr(metric, name))])

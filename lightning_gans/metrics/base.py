"""What our metrics share beyond torchmetrics' ``Metric``."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat


class TwoSided(Metric):
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


class Collected(TwoSided):
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

    def sides(self) -> tuple[Tensor, Tensor]:
        """Everything real, and everything generated."""
        return dim_zero_cat(self.real_values), dim_zero_cat(self.fake_values)

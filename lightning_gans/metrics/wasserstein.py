"""Wasserstein distance between points or features, by the best assignment."""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Ge, Le
from torch import Tensor

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.metrics.base import Buffered
from lightning_gans.theory.transport import wasserstein


class WassersteinDistance(Buffered):
    """Compute the exact Wasserstein distance between as many samples as real points, in the units of the features.

    Two sets of one distribution are apart too, in the plane by about n^(-1/2), in F dimensions by n^(-1/F): it is for
    points of the plane, and for comparisons at one n.

    Args:
        limit: Use the first so many of either side; the work grows with the cube.
        power: Order p of the distance.
    """

    name = "wasserstein"
    feed = "features"
    scores = ("wasserstein",)
    higher_is_better = False
    limit: int

    @checked
    def __init__(self, *, limit: PositiveInt = 1000, power: Annotated[int, Ge(1), Le(2)] = 1) -> None:
        super().__init__()
        self.limit, self.power = limit, power

    def compute(self) -> Tensor:
        """Return the distance, a scalar."""
        real, fake = self.real_and_fake()
        n = min(self.limit, len(real), len(fake))
        return wasserstein(real[:n], fake[:n], power=self.power).to(real.device)

    def settings(self) -> dict[str, Any]:
        """Return the number of points of either side."""
        return {"wasserstein_n": min(self.limit, self.n, self.n_real), "wasserstein_power": self.power}

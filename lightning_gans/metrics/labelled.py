"""Define metrics of samples whose classes are known, against real images of the same classes."""

from __future__ import annotations

from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from lightning_gans.metrics.base import GenerativeMetric


class LabelledBuffered(GenerativeMetric):
    """Define metrics that keep what they are given with its classes, in the order of the updates and the processes."""

    data_kinds = ("labelled",)
    real_values: list[Tensor]
    real_labels: list[Tensor]
    fake_values: list[Tensor]
    fake_labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for side in ("real", "fake"):
            for kind in ("values", "labels"):
                self.add_state(f"{side}_{kind}", default=[], dist_reduce_fx="cat")
        self.by_class: list[float | None] = []  # the last score of each class, for the card

    def update(self, values: Tensor, labels: Tensor, real: bool) -> None:
        """Keep a batch, e.g. of features (N, F), and its classes (N,) int64."""
        (self.real_values if real else self.fake_values).append(values)
        (self.real_labels if real else self.fake_labels).append(labels)

    def kept(self, real: bool) -> tuple[Tensor, Tensor]:
        """Return all values of a side, and their classes."""
        sides = (self.real_values, self.real_labels) if real else (self.fake_values, self.fake_labels)
        values, labels = (dim_zero_cat(some) for some in sides)
        return values, labels

    def classes(self, fewest: int) -> dict[int, tuple[Tensor, Tensor]]:
        """Return the real and the generated values of every class that has ``fewest`` on both sides.

        Raises:
            ValueError: There is no such class.
        """
        (real, of_real), (fake, of_fake) = self.kept(True), self.kept(False)
        self.by_class = [None] * (1 + int(max(of_real.max(), of_fake.max())))
        found = {}
        for c in range(len(self.by_class)):
            both = real[of_real == c], fake[of_fake == c]
            if min(map(len, both)) >= fewest:
                found[c] = both
        if not found:
            raise ValueError(f"{self.name}: no class has {fewest} samples and {fewest} real images; ask for more")
        return found

    def note(self, c: int, value: Tensor) -> Tensor:
        """Keep the score of class ``c`` for the card, and return it."""
        self.by_class[c] = round(float(value), 6)
        return value

    def settings(self) -> dict[str, object]:
        """Return the scores by class; ``None`` where a class had too few images."""
        return {**super().settings(), f"{self.name}_by_class": self.by_class}

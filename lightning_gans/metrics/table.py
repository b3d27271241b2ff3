"""Compare rows of tables with real ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from lightning_gans.config.errors import ConfigError, unknown
from lightning_gans.config.types import FractionBelowOne, PositiveInt, checked
from lightning_gans.metrics.base import GenerativeMetric
from lightning_gans.tables import models, scores
from lightning_gans.tables.codec import Table
from lightning_gans.tables.modes import Floats


class TableMetric(GenerativeMetric):
    """Define metrics of a table's rows. They read the real ones themselves, in ``begin``.

    Attributes:
        needs_held_out: Whether it needs rows that training has not seen.
        table: Of the rows.
        real: Values of the training rows, (N, E) as ``Table.values`` has them, in an order that never changes.
        held_out: Values of the rows that training has not seen, likewise.
    """

    feed = "rows"
    data_kinds = ("table",)
    needs_held_out: ClassVar[bool] = False
    table: Table
    real: Floats
    held_out: Floats
    fake_values: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("fake_values", default=[], dist_reduce_fx="cat")

    def begin(self, data: Any) -> None:
        """Take the values of all real rows."""
        self.table = data.table
        parts = [data.train_images, *([data.val_images] if self.needs_held_out else [])]
        sides = [self.table.values(part.codes) for part in parts]
        rng = np.random.default_rng(0)
        self.real, self.held_out = (side[rng.permutation(len(side))] for side in (sides[0], sides[-1]))

    def update(self, rows: Tensor, real: bool) -> None:
        """Keep the values of encoded rows (N, D); real ones are known."""
        if not real:
            self.fake_values.append(torch.from_numpy(self.table.values(self.table.codes(rows))))

    def sides(self) -> tuple[Floats, Floats, Floats]:
        """Return the training rows that are compared, held-out ones, and generated ones."""
        fake: Floats = dim_zero_cat(self.fake_values).cpu().numpy()
        return self.real[: self.n_real or None], self.held_out, fake


class ColumnShapes(TableMetric):
    """Compute the mean similarity of columns, as SDMetrics' report has it.

    1 - Kolmogorov-Smirnov distance of numbers, 1 - total variation of levels. ``column_tv`` is the mean total variation
    with numbers in 20 quantile bins of the real ones, missing ones in a bin of their own; 0 is best.
    """

    name = "column_shapes"
    scores = ("column_shapes", "column_tv")
    higher_is_better: bool | dict[str, bool] | None = {"column_shapes": True, "column_tv": False}  # type: ignore[assignment]
    best_rank = 1

    def compute(self) -> dict[str, Tensor]:
        """Return both means."""
        real, _, fake = self.sides()
        shapes, variations = [], []
        for place, column in enumerate(self.table.encoded):
            pair = real[:, place], fake[:, place]
            same = scores.tv_similarity(*pair) if column.levels else scores.ks_similarity(*pair)
            shapes.append(same)
            variations.append(1 - same if column.levels else scores.quantile_variation(*pair))
        return _tensors(column_shapes=scores.mean_of(shapes), column_tv=scores.mean_of(variations))


class PairTrends(TableMetric):
    """Compute the mean similarity of pairs of columns: of correlations of numbers, else of contingency tables.

    As SDMetrics' report has it. With thresholds only pairs count that depend on each other in the real table.

    Args:
        correlation_threshold: Pairs of numbers with a correlation up to it are left out.
        association_threshold: Other pairs with Cramer's V up to it are left out.
    """

    name = "pair_trends"
    scores = ("pair_trends",)
    higher_is_better = True

    @checked
    def __init__(
        self, *, correlation_threshold: FractionBelowOne = 0.0, association_threshold: FractionBelowOne = 0.0
    ) -> None:
        super().__init__()
        self.correlation_threshold, self.association_threshold = correlation_threshold, association_threshold

    def compute(self) -> Tensor:
        """Return the mean."""
        real, _, fake = self.sides()
        columns, found = self.table.encoded, []
        binned = [
            [side[:, p] if column.levels else scores.binned(side[:, p]) for p, column in enumerate(columns)]
            for side in (real, fake)
        ]
        for a, b in combinations(range(len(columns)), 2):
            if not columns[a].levels and not columns[b].levels:
                pair = real[:, [a, b]], fake[:, [a, b]]
                found.append(scores.correlation_similarity(*pair, threshold=self.correlation_threshold))
            else:
                pair = np.stack([binned[0][a], binned[0][b]], 1), np.stack([binned[1][a], binned[1][b]], 1)
                found.append(scores.contingency_similarity(*pair, threshold=self.association_threshold))
        return torch.tensor(scores.mean_of(found), dtype=torch.float64)

    def settings(self) -> dict[str, Any]:
        """Return the thresholds."""
        return {"pair_trends_thresholds": [self.correlation_threshold, self.association_threshold]}


class Detection(TableMetric):
    """Compute how well classifiers tell generated rows from real ones: AUC, 0.5 is best.

    ``detection_real`` is what boosted trees make of shuffled columns, the floor that a generator should beat.

    Args:
        limit: Rows of either side.
    """

    name = "detection"
    scores = ("detection_linear", "detection")
    higher_is_better = False
    limit: int

    @checked
    def __init__(self, *, limit: PositiveInt = 10_000) -> None:
        super().__init__()
        self.limit = limit

    def compute(self) -> dict[str, Tensor]:
        """Return the AUC of logistic regression, of boosted trees, and of these for independent columns."""
        real, _, fake = (side[: self.limit] for side in self.sides())
        how: dict[str, Any] = {"seed": self.seed}
        floor = models.independent(real, self.seed)
        return _tensors(
            detection_linear=models.detection_auc(self.table, real, fake, learner="linear", **how),
            detection=models.detection_auc(self.table, real, fake, learner="boosting", **how),
            detection_real=models.detection_auc(self.table, real, floor, learner="boosting", **how),
        )


class TrainTest(TableMetric):
    """Compute how well a column of held-out rows is predicted by boosted trees that learn from generated rows (TSTR).

    Macro F1 of a discrete column, R^2 of numbers. Beside it what real rows teach, as many of them, and what shuffled
    columns do; ``tstr_share`` is the generated rows' part of the real score.

    Args:
        target: Column to predict; ``None``: the last discrete one, or the last.
    """

    name = "tstr"
    scores = ("tstr", "tstr_share", "trtr", "tstr_floor")
    higher_is_better = True
    needs_held_out = True

    @checked
    def __init__(self, *, target: str | None = None) -> None:
        super().__init__()
        self.target = target

    def compute(self) -> dict[str, Tensor]:
        """Return the score of generated rows, its part of the ceiling, the ceiling and the floor."""
        real, held_out, fake = self.sides()
        place = self.target_place()
        n, how = min(len(real), len(fake)), {"learner": "boosting", "seed": self.seed}
        floor = models.independent(real, self.seed)[:n]
        found = [models.predicted(self.table, side[:n], held_out, place, **how) for side in (fake, real, floor)]  # type: ignore[arg-type]
        share = found[0] / found[1] if found[1] > 0 else float("nan")
        return _tensors(tstr=found[0], tstr_share=share, trtr=found[1], tstr_floor=found[2])

    def target_place(self) -> int:
        """Return the number of the column that is predicted.

        Raises:
            ConfigError: There is no such column.
        """
        names = [column.name for column in self.table.encoded]
        if self.target is None:
            return self.table.discrete[-1] if self.table.discrete else len(names) - 1
        if self.target not in names:
            raise unknown("metrics.tstr.target", self.target, names)
        return names.index(self.target)

    def settings(self) -> dict[str, Any]:
        """Return the column."""
        return {"tstr_target": self.table.encoded[self.target_place()].name}


class ClosestRecord(TableMetric):
    """Compute whether generated rows are closer to training rows than to as many held-out ones.

    ``closer_to_train`` is the share of generated rows whose closest record is a training row, ties counted half: 0.5 if
    nothing is remembered. ``copies`` is the share of generated rows that equal a training row, ``copies_real`` that of
    held-out rows.

    Args:
        limit: Generated rows.
    """

    name = "closest_record"
    scores = ("closer_to_train", "copies")
    higher_is_better = False
    needs_held_out = True
    limit: int

    @checked
    def __init__(self, *, limit: PositiveInt = 2000) -> None:
        super().__init__()
        self.limit = limit

    def compute(self) -> dict[str, Tensor]:
        """Return the shares."""
        real, held_out, fake = self.sides()
        fake, rng = fake[: self.limit], np.random.default_rng(self.seed)
        n = min(len(real), len(held_out))
        some = real[rng.permutation(len(real))[:n]]
        to_train, to_others = (models.closest(self.table, fake, side[:n]) for side in (some, held_out))
        closer = (to_train < to_others).mean() + (to_train == to_others).mean() / 2
        known = {row.tobytes() for row in real}
        copies = [float(np.mean([row.tobytes() in known for row in side])) for side in (fake, held_out)]
        return _tensors(closer_to_train=closer, copies=copies[0], copies_real=copies[1])


def check_held_out(metrics: Sequence[GenerativeMetric], has_held_out: bool) -> None:
    """Refuse metrics that need held-out rows where there are none.

    Raises:
        ConfigError: With the option.
    """
    for metric in metrics:
        if isinstance(metric, TableMetric) and metric.needs_held_out and not has_held_out:
            rule = "needs rows that training has not seen; train with data.val_fraction above 0"
            raise ConfigError("metrics", metric.name, rule)


def _tensors(**values: float) -> dict[str, Tensor]:
    return {name: torch.tensor(float(value), dtype=torch.float64) for name, value in values.items()}

"""Train classifiers and regressors on tables: to tell real rows from made ones, and to predict a column."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lightning_gans.tables.codec import Table
from lightning_gans.tables.modes import Floats

Learner = Literal["linear", "boosting"]
_FEW = 2  # rows of a class that a classifier needs


def design(table: Table, values: Floats, *, leave_out: int | None = None) -> Floats:
    """Return rows as numbers for a learner, (N, F): one-hot levels, numbers, and whether one is missing (then it is 0).

    Args:
        table: Of the rows.
        values: ``Table.values`` (N, E).
        leave_out: Number of an encoded column.
    """
    parts = []
    for place, column in enumerate(table.encoded):
        if place == leave_out:
            continue
        if column.levels:
            parts.append(np.eye(len(column.levels))[values[:, place].astype(int)])
        else:
            scale = max(column.high - column.low, 1e-300)
            missing = np.isnan(values[:, place])
            parts.append(np.where(missing, 0, (values[:, place] - column.low) / scale)[:, None])
            parts += [missing[:, None].astype(float)] if column.has_missing else []
    return np.concatenate(parts, 1)


def detection_auc(table: Table, real: Floats, fake: Floats, *, learner: Learner, seed: int = 0) -> float:
    """Return how well a learner tells real rows from made ones: the area under its ROC curve, 0.5 if not at all.

    Half of as many rows of either side are learnt from, and the others judged.

    Args:
        table: Of the rows.
        real: ``Table.values`` (N, E).
        fake: Likewise, (M, E).
        learner: Logistic regression (``linear``), or boosted trees.
        seed: Of the halves and of the learner.
    """
    from sklearn.metrics import roc_auc_score

    rng, n = np.random.default_rng(seed), min(len(real), len(fake))
    sides = [design(table, side[rng.permutation(len(side))[:n]]) for side in (real, fake)]
    half = n // 2
    learnt = np.concatenate([side[:half] for side in sides]), np.repeat([0, 1], half)
    judged = np.concatenate([side[half:] for side in sides]), np.repeat([0, 1], n - half)
    model = make(learner, classifies=True, seed=seed).fit(*learnt)
    return float(roc_auc_score(judged[1], model.predict_proba(judged[0])[:, 1]))


def predicted(table: Table, train: Floats, test: Floats, target: int, *, learner: Learner, seed: int = 0) -> float:
    """Return how well a column of test rows is predicted by a learner of other rows, made or real.

    Args:
        table: Of the rows.
        train: ``Table.values`` (N, E) to learn from.
        test: Likewise, (M, E), real.
        target: Number of an encoded column.
        learner: Logistic or ridge regression (``linear``), or boosted trees.
        seed: Of the learner.

    Returns:
        Of a discrete column the mean over classes of the F1 score (macro), of numbers R^2; 0 where one class is learnt.
    """
    from sklearn.metrics import f1_score, r2_score

    column = table.encoded[target]
    if not column.levels:
        train, test = (side[~np.isnan(side[:, target])] for side in (train, test))
    x, y = design(table, train, leave_out=target), train[:, target]
    if column.levels:
        classes, counts = np.unique(y, return_counts=True)
        kept = np.isin(y, classes[counts >= _FEW])
        x, y = x[kept], y[kept]
        if len(np.unique(y)) < 2:
            return 0.0
    found = (
        make(learner, classifies=bool(column.levels), seed=seed)
        .fit(x, y)
        .predict(design(table, test, leave_out=target))
    )
    if column.levels:
        return float(f1_score(test[:, target], found, average="macro", labels=np.unique(test[:, target])))
    return float(r2_score(test[:, target], found))


def make(learner: Learner, *, classifies: bool, seed: int) -> Any:
    """Return scikit-learn's learner."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, Ridge

    if learner == "linear":
        return LogisticRegression(max_iter=500) if classifies else Ridge(alpha=1e-3)
    made = HistGradientBoostingClassifier if classifies else HistGradientBoostingRegressor
    return made(max_iter=60, early_stopping=False, random_state=seed)


def independent(values: Floats, seed: int = 0) -> Floats:
    """Return rows whose columns are shuffled apart: all marginals are right, and nothing depends on anything."""
    rng = np.random.default_rng(seed)
    return np.stack([column[rng.permutation(len(column))] for column in values.T], 1)


def closest(table: Table, rows: Floats, others: Floats, at_once: int = 256) -> Floats:
    """Return each row's distance to the closest of others, (N,): levels differ by 1, numbers as parts of the range.

    Args:
        table: Of the rows.
        rows: ``Table.values`` (N, E).
        others: Likewise, (M, E).
        at_once: Rows compared at once.
    """
    from sklearn.metrics import pairwise_distances

    sides: list[NDArray[np.float64]] = []
    for values in (rows, others):
        spread = design(table, values)
        weights = np.concatenate([_weights(column) for column in table.encoded])
        sides.append(spread * weights)
    found = [
        pairwise_distances(sides[0][i : i + at_once], sides[1], "cityblock").min(1)
        for i in range(0, len(rows), at_once)
    ]
    return np.concatenate(found)


def _weights(column: Any) -> Floats:
    if column.levels:
        return np.full(len(column.levels), 0.5)
    return np.ones(2 if column.has_missing else 1)

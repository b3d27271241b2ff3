"""Compare two tables column by column and pair by pair, and tell what a classifier makes of them.

Definitions are those that SDMetrics 0.32.0 documents and gives; ``tests/tables/sdmetrics.json`` holds its figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_gans.tables.modes import Floats

BINS = 10  # of numbers in contingency tables, equally wide
Values = NDArray[Any]


def ks_similarity(real: Floats, fake: Floats) -> float:
    """Return 1 minus the Kolmogorov-Smirnov distance of two columns of numbers, without missing ones; 1 is best."""
    real, fake = np.sort(real[~np.isnan(real)]), np.sort(fake[~np.isnan(fake)])
    if not len(real) or not len(fake):
        return float("nan")
    points = np.concatenate([real, fake])
    below = [np.searchsorted(side, points, side="right") / len(side) for side in (real, fake)]
    return float(1 - np.abs(below[0] - below[1]).max())


def tv_similarity(real: Values, fake: Values) -> float:
    """Return 1 minus the total variation distance of two columns of levels, missing ones a level; 1 is best."""
    shares = _shares(_named(real), _named(fake))
    return float(1 - np.abs(shares[0] - shares[1]).sum() / 2)


def correlation_similarity(real: Floats, fake: Floats, *, threshold: float = 0.0) -> float:
    """Return 1 minus half the difference of two Pearson correlations.

    Args:
        real: Two columns (N, 2).
        fake: Two columns (M, 2).
        threshold: Pairs whose real correlation is not larger are left out.

    Returns:
        1 is best; NaN where a column is constant, or the pair is left out.
    """
    found = [correlation_of(side) for side in (real, fake)]
    if threshold and not abs(found[0]) > threshold:
        return float("nan")
    return float(1 - abs(found[0] - found[1]) / 2)


def contingency_similarity(real: Values, fake: Values, *, threshold: float = 0.0) -> float:
    """Return 1 minus the total variation distance of two contingency tables.

    Args:
        real: Two columns of levels (N, 2).
        fake: Two columns of levels (M, 2).
        threshold: Pairs whose real association (Cramer's V) is not larger are left out.

    Returns:
        1 is best; NaN where the pair is left out.
    """
    if threshold and not cramers_v(real) > threshold:
        return float("nan")
    pairs = [np.array(["\x00".join(row) for row in zip(*map(_named, side.T), strict=True)]) for side in (real, fake)]
    shares = _shares(*pairs)
    return float(1 - np.abs(shares[0] - shares[1]).sum() / 2)


def cramers_v(pair: Values) -> float:
    """Return the association of two columns of levels (N, 2), 0 to 1."""
    rows, columns = (np.unique(_named(side), return_inverse=True)[1] for side in pair.T)
    counts = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(counts, (rows, columns), 1)
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    chi = ((counts - expected) ** 2 / expected).sum()
    freedom = min(counts.shape) - 1
    return float(np.sqrt(chi / counts.sum() / freedom)) if freedom else 0.0


def binned(column: Floats, bins: int = BINS) -> Values:
    """Return a column of numbers by equally wide bins between its own ends, as SDMetrics does; none are in the last.

    Bins follow each side's ends, so that a shift of a whole column is seen by its shape alone.
    """
    known = column[~np.isnan(column)]
    edges = np.histogram_bin_edges(known, bins) if len(known) else np.zeros(1)
    places: Values = np.digitize(column, edges)
    return places


def quantile_variation(real: Floats, fake: Floats, bins: int = 20) -> float:
    """Return the total variation distance of two columns of numbers over quantile bins of the real one; 0 is best."""
    known = real[~np.isnan(real)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]))
    sides = [np.where(np.isnan(side), -1, np.searchsorted(edges, side, side="left")) for side in (real, fake)]
    return 1 - tv_similarity(*sides)


def _named(values: Values) -> Values:
    """Return levels as text, a missing one as a text of its own."""
    return np.array(["\x01" if value is None or value != value else str(value) for value in values.tolist()])


def _shares(real: Values, fake: Values) -> tuple[Floats, Floats]:
    levels, places = np.unique(np.concatenate([real, fake]), return_inverse=True)
    counts = [np.bincount(side, minlength=len(levels)) for side in np.split(places, [len(real)])]
    return counts[0] / len(real), counts[1] / len(fake)


def correlation_of(pair: Floats) -> float:
    """Return the Pearson correlation of two columns (N, 2), where both have a number; NaN where one is constant."""
    known = pair[~np.isnan(pair).any(1)]
    if len(known) < 2 or (np.ptp(known, axis=0) == 0).any():
        return float("nan")
    centred = known - known.mean(0)
    spread = np.sqrt((centred**2).sum(0))
    return float((centred[:, 0] * centred[:, 1]).sum() / (spread[0] * spread[1]))


def mean_of(scores: Sequence[float]) -> float:
    """Return the mean of the scores that are numbers; NaN if none is."""
    known = [score for score in scores if score == score]
    return float(np.mean(known)) if known else float("nan")

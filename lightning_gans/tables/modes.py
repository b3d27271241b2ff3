"""Fit and apply mode-specific normalisation (Xu et al. 2019, arXiv:1907.00503, section 4.2)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
REACH = 4.0  # standard deviations from a mode's mean to 1
_LEAST = 0.005  # weight of a mode that is kept


class Modes(NamedTuple):
    """Hold the modes of a column: parts of its numbers, each around a mean.

    Attributes:
        means: (K,).
        stds: (K,); 0 where the mode is a single value.
        weights: (K,), which sum to 1.
    """

    means: Floats
    stds: Floats
    weights: Floats


def fit_modes(values: Floats, *, most: int, subsample: int, single: float, seed: int) -> Modes:
    """Fit a variational Gaussian mixture to a column's numbers.

    Modes are those of scikit-learn's ``BayesianGaussianMixture`` that weigh 0.5 % and more. Before it, values that make
    up a share of ``single`` and more become modes of width 0, which the paper has not: zeros of amounts, say.

    Args:
        values: (N,), finite.
        most: Modes of the mixture at most.
        subsample: Numbers that it is fitted to at most, drawn by the seed.
        single: Share of a single value from which it is a mode; 1: never.
        seed: Of the draw and of the mixture.
    """
    distinct, counts = np.unique(values, return_counts=True)
    frequent = distinct[counts >= max(2, single * len(values))] if single < 1 else distinct[:0]
    rest = values[~np.isin(values, frequent)]
    means, stds, weights = [frequent], [np.zeros(len(frequent))], [counts[np.isin(distinct, frequent)] / len(values)]
    if len(rest):
        found = _mixture(rest, most, subsample, seed)
        means, stds = [*means, found.means], [*stds, found.stds]
        weights = [*weights, found.weights * (len(rest) / len(values))]
    return Modes(*(np.concatenate(parts) for parts in (means, stds, weights)))


def _mixture(values: Floats, most: int, subsample: int, seed: int) -> Modes:
    from sklearn.mixture import BayesianGaussianMixture

    rng = np.random.default_rng(seed)
    chosen = values if len(values) <= subsample else rng.choice(values, subsample, replace=False)
    centre, scale = chosen.mean(), chosen.std()
    if not scale > 1e-12 * max(1.0, abs(centre)):
        return Modes(np.array([centre]), np.array([max(1e-6 * abs(centre), 1e-9)]), np.ones(1))
    n = min(most, len(np.unique(chosen)))
    mixture = BayesianGaussianMixture(
        n_components=n, weight_concentration_prior=1e-3, max_iter=100, random_state=seed, init_params="kmeans"
    )
    mixture.fit(((chosen - centre) / scale)[:, None])
    kept = mixture.weights_ >= min(_LEAST, mixture.weights_.max())
    means = mixture.means_[kept, 0] * scale + centre
    stds = np.sqrt(mixture.covariances_[kept].reshape(-1)) * scale
    weights = mixture.weights_[kept]
    return Modes(means, stds, weights / weights.sum())


def assign(values: Floats, modes: Modes, uniform: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Draw each number's mode from its posterior, and return its place within the mode.

    Args:
        values: (N,).
        modes: Of the column.
        uniform: (N,) in [0, 1).

    Returns:
        Modes (N,) and (x - mean) / (4 std), clipped to [-1, 1], (N,). A number has a mode that it
        lies outside of only if it lies outside of all.
    """
    single = modes.stds == 0
    stds = np.where(single, 1.0, modes.stds)
    place = (values[:, None] - modes.means) / stds  # (N, K)
    with np.errstate(divide="ignore"):
        log = np.log(modes.weights) - np.log(stds) - place**2 / 2
    log = np.where(np.abs(place) > REACH, log - 1e6, log)
    log[:, single] = -np.inf
    hit = values[:, None] == modes.means[single]  # (N, singles)
    log[:, single] = np.where(hit, 0.0, -np.inf)
    if single.any():
        of_single = np.zeros_like(log, dtype=bool)
        of_single[:, single] = hit
        log = np.where(hit.any(1)[:, None] & ~of_single, -np.inf, log)
    posterior = np.exp(log - log.max(1, keepdims=True))
    ends = posterior.cumsum(1)
    mode = (uniform[:, None] * ends[:, -1:] >= ends).sum(1).clip(max=len(modes.means) - 1)
    alpha = np.take_along_axis(place, mode[:, None], 1)[:, 0] / REACH
    return mode, np.where(single[mode], 0.0, alpha.clip(-1, 1))

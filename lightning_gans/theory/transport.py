"""Distances of optimal transport: on a line, between point sets of any dimension, and along random directions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def earth_movers_distance(p: Tensor, q: Tensor) -> Tensor:
    """Compute the least work that turns one row of piles into another, at neighbouring places 1 apart.

    The sum of |delta|, where delta_i+1 = delta_i + p_i - q_i is the earth that is carried from place i on.

    Args:
        p: Earth at each place, (..., K), >= 0.
        q: Earth at each place, (..., K), as much in all as ``p`` has.

    Returns:
        Amount times distance, (...).

    Raises:
        ValueError: The piles are not equally much.
    """
    if not torch.allclose(p.sum(-1).double(), q.sum(-1).double()):
        raise ValueError("earth_movers_distance: both sides must have equally much earth")
    return (p - q).cumsum(-1).abs().sum(-1)


def wasserstein(points: Tensor, others: Tensor, *, power: int = 1) -> Tensor:
    """Compute the Wasserstein distance of order ``power`` between two sets of equally many points, exactly.

    W_p = (min over permutations s of the mean of |x_i - y_s(i)|^p)^(1/p), by SciPy's assignment.

    Args:
        points: (N, D), each of weight 1 / N.
        others: (N, D).
        power: p, >= 1, of the Euclidean distance.

    Returns:
        A scalar, float64.

    Raises:
        ValueError: The sets have different sizes or dimensions, or none.
    """
    from scipy.optimize import linear_sum_assignment

    if points.shape != others.shape or points.ndim != 2 or len(points) == 0:
        raise ValueError(f"wasserstein: points {tuple(points.shape)} and {tuple(others.shape)}; must be as many (N, D)")
    costs = torch.cdist(points.double(), others.double()).pow(power).cpu().numpy()
    rows, columns = linear_sum_assignment(costs)
    return torch.tensor(costs[rows, columns].mean() ** (1 / power), dtype=torch.float64)


def sliced_wasserstein(points: Tensor, others: Tensor, directions: Tensor, *, power: int = 2) -> Tensor:
    """Compute the mean over directions u of W_p^p between the projections u.x of two sets of equally many points.

    On a line the best assignment is by rank: W_p^p is the mean of |x_(i) - y_(i)|^p over the sorted values.

    Args:
        points: (N, D).
        others: (N, D).
        directions: Unit vectors (M, D).
        power: p, >= 1.

    Returns:
        A scalar, float64; not its p-th root.

    Raises:
        ValueError: The sets have different sizes or dimensions.
    """
    if points.shape != others.shape or points.ndim != 2:
        raise ValueError(f"sliced_wasserstein: points {tuple(points.shape)} and {tuple(others.shape)}; must be alike")
    total, columns = 0.0, (points.double().T, others.double().T)  # (D, N)
    for some in torch.split(directions.double(), 64):  # (m, D), so that few projections are in memory
        sides = [_sorted(some @ side) for side in columns]  # (m, N)
        total += float((sides[0] - sides[1]).abs().pow(power).mean(1).sum())
    return torch.tensor(total / len(directions), dtype=torch.float64)


def _sorted(rows: Tensor) -> Tensor:
    """Sort each row; on a CPU by NumPy, which is faster."""
    return torch.from_numpy(np.sort(rows.numpy(), 1)) if rows.device.type == "cpu" else rows.sort(1).values

"""Draw levels of discrete columns: a column, all alike, and one of its levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def cumulative(counts: Sequence[Tensor], *, logarithmic: bool) -> Tensor:
    """Return where the levels of all columns end, (C,) float64: column number + share of its levels up to each.

    Args:
        counts: Rows of every level, by column.
        logarithmic: Weigh levels by log(1 + rows), and not by rows.
    """
    ends = []
    for number, column in enumerate(counts):
        weights = column.double().log1p() if logarithmic else column.double()
        shares = weights.cumsum(0) / weights.sum()
        ends.append(number + shares)
    return torch.cat(ends) if ends else torch.zeros(0, dtype=torch.float64)


def draw_levels(ends: Tensor, columns: int, u: Tensor) -> Tensor:
    """Map numbers (N, 2) in [0, 1), uniform, to levels numbered over all columns, (N,) int64; 0 without columns.

    Args:
        ends: See ``cumulative``.
        columns: Number of columns.
        u: Of the column, and of its level.
    """
    if not columns:
        return torch.zeros(len(u), dtype=torch.int64, device=u.device)
    column = (u[:, 0].double() * columns).floor_().clamp_(max=columns - 1)  # rounded up at most
    place = column + u[:, 1].double().clamp(max=1 - 1e-12)
    return torch.searchsorted(ends.to(u.device), place, right=True).clamp_(max=len(ends) - 1)

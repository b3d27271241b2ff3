"""Score codes that were learnt without labels: clusters, whose order means nothing."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Assignment(NamedTuple):
    """Hold the best assignment of categories to classes.

    Attributes:
        accuracy: Share of the examples whose category is assigned to their class, 0 to 1.
        classes: The class of each category, or -1 for one that is left over.
    """

    accuracy: float
    classes: tuple[int, ...]


def best_assignment(categories: Tensor, classes: Tensor) -> Assignment:
    """Match categories with classes one to one so that most examples agree (the Hungarian method).

    Args:
        categories: (N,) int64 from 0, of a code or a cluster.
        classes: (N,) int64 from 0, the labels.

    Raises:
        ValueError: There are no examples.
    """
    if not len(classes):
        raise ValueError("classes: no examples to match")
    from scipy.optimize import linear_sum_assignment

    k, n = int(categories.max()) + 1, int(classes.max()) + 1
    counts = torch.zeros(k, n, dtype=torch.int64)
    counts.index_put_((categories.cpu(), classes.cpu()), torch.ones(len(classes), dtype=torch.int64), accumulate=True)
    rows, columns = linear_sum_assignment(counts.numpy(), maximize=True)
    matched = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    agree = sum(int(counts[category, label]) for category, label in matched.items())
    return Assignment(agree / len(classes), tuple(matched.get(category, -1) for category in range(k)))

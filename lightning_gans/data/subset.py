"""Choose images of a set where not all of them are used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import torch
from torch import Tensor

from lightning_gans.runtime.seeding import derive_seed


def spread(n: int, limit: int | None, classes: Tensor | None = None) -> Tensor:
    """Choose images for ``data.limit``: of every class its share, at least one as long as there are enough.

    The choice depends on nothing but the arguments, no seed of the user's included, and a smaller one is part of a
    larger.

    Args:
        n: Images in the set.
        limit: How many to choose; ``None``: all.
        classes: (n,) int64 below the number of classes; ``None``: there are none.

    Returns:
        (min(n, limit),) int64, their numbers in ascending order.
    """
    if limit is None or limit >= n:
        return torch.arange(n)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(derive_seed("limit")))
    if classes is not None:
        shuffled = classes[order]
        grouped = shuffled.argsort(stable=True)
        counts = shuffled.bincount()
        rank = torch.empty(n, dtype=torch.int64)  # of each image within its class
        rank[grouped] = torch.arange(n) - (counts.cumsum(0) - counts)[shuffled[grouped]]
        order = order[(rank / counts[shuffled]).argsort(stable=True)]
    return order[:limit].sort().values


def class_folders(names: Sequence[str]) -> list[str]:
    """Return the sub-folder that each image lies in, "" for none; top folders that hold everything do not count."""
    parents = [PurePosixPath(name).parent.parts for name in names]
    while len({part[:1] for part in parents}) == 1 and parents[0]:
        parents = [part[1:] for part in parents]
    return [part[0] if part else "" for part in parents]

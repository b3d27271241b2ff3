"""Choose the few examples of a set whose labels a semi-supervised training uses."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.runtime.seeding import derive_seed


def balanced_indices(labels: Tensor, n: int, seed: int) -> Tensor:
    """Draw n examples, equally many of every class up to one: (n,) int64 in ascending order.

    Args:
        labels: Classes (N,) int64 of all examples.
        n: How many; a class that is too small gives all that it has, and the others more.
        seed: Seed of the choice.

    Raises:
        ConfigError: There are fewer examples.
    """
    if n > len(labels):
        raise ConfigError("model.labels", n, f"the training set has {len(labels)} examples")
    rng = torch.Generator().manual_seed(derive_seed("labelled", seed))
    order = torch.randperm(len(labels), generator=rng)
    shuffled = labels[order]
    rank = torch.empty(len(labels), dtype=torch.int64)  # of each example within its class
    for label in range(int(labels.max()) + 1 if len(labels) else 0):
        members = (shuffled == label).nonzero()[:, 0]
        rank[members] = torch.arange(len(members))
    return order[rank.argsort(stable=True)[:n]].sort().values

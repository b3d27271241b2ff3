"""Draw and parse latent codes: conditions that no batch has and that no discriminator is given."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.models.conditions import Condition, Kinds


class CategoricalCodes(Condition):
    """Draw categorical codes, (N, n) int64, all categories equally frequent.

    Args:
        sizes: Number of categories of each of the n codes.
    """

    argument = "code"
    from_batch = False

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.numbers = len(self.sizes)

    def draw(self, u: Tensor) -> Tensor:
        """Map numbers (N, n) in [0, 1) to categories (N, n) int64."""
        sizes = torch.tensor(self.sizes, device=u.device)
        return torch.minimum((u * sizes).long(), sizes - 1)  # rounded up at most

    def parse(self, values: Sequence[Any]) -> Tensor:
        """Turn categories of a single code, or lists of n categories, into (N, n) int64."""
        values = _plain(values)
        rows = [[value] if isinstance(value, SupportsIndex) and len(self.sizes) == 1 else value for value in values]
        for row, value in zip(rows, values, strict=True):
            if not _is_row(row, len(self.sizes)) or not all(
                isinstance(c, SupportsIndex) and 0 <= index(c) < k for c, k in zip(row, self.sizes, strict=True)
            ):
                raise ConfigError(self.argument, value, self._rule())
        return torch.tensor([[index(c) for c in row] for row in rows])

    def _rule(self) -> str:
        if len(self.sizes) == 1:
            return f"must be from 0 to {self.sizes[0] - 1}"
        ends = ", ".join(str(k - 1) for k in self.sizes)
        return f"must be a list of {len(self.sizes)} categories, up to {ends}" if self.sizes else "the model has none"

    def overview(self) -> Sequence[int] | None:
        """Return every category of a single code once."""
        return range(self.sizes[0]) if len(self.sizes) == 1 else None


class ContinuousCodes(Condition):
    """Draw continuous codes, (N, n) float32, uniform in [-1, 1).

    Args:
        n: Number of codes.
    """

    argument = "continuous"
    from_batch = False

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = self.numbers = n

    def draw(self, u: Tensor) -> Tensor:
        """Map numbers (N, n) in [0, 1) to codes (N, n) in [-1, 1)."""
        return u * 2 - 1

    def parse(self, values: Sequence[Any]) -> Tensor:
        """Turn numbers of a single code, or lists of n numbers, into (N, n) float32; beyond [-1, 1] too."""
        values = _plain(values)
        rows = [[value] if isinstance(value, int | float) and self.n == 1 else value for value in values]
        for row, value in zip(rows, values, strict=True):
            if not self.n or not _is_row(row, self.n) or not all(isinstance(c, int | float) for c in row):
                allowed = f"must be a list of {self.n} numbers" if self.n else "the model has none"
                raise ConfigError(self.argument, value, allowed)
        return torch.tensor([[float(c) for c in row] for row in rows])

    def overview(self) -> None:
        """Return nothing: a grid shows drawn ones."""


def _plain(values: Any) -> list[Any]:
    """Turn a tensor, or another sequence, into a list."""
    return values.tolist() if isinstance(values, Tensor) else list(values)


def _is_row(value: Any, n: int) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == n


def _categorical(generator: nn.Module) -> CategoricalCodes:
    return CategoricalCodes(_of(generator, "categorical"))


def _continuous(generator: nn.Module) -> ContinuousCodes:
    return ContinuousCodes(_of(generator, "continuous"))


def _of(generator: nn.Module, codes: str) -> Any:
    found = getattr(generator, codes, None)
    if found is None:
        name = f"{type(generator).__module__.rpartition('.')[2]}.{type(generator).__name__}"
        raise ConfigError("model.generator", name, "takes no codes; use model/network=infogan")
    return found


CODES: Kinds = {"categorical": _categorical, "continuous": _continuous}

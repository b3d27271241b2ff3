"""Draw and parse levels of a table's discrete columns: what rows are asked to have."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.models.conditions import Condition, Kinds
from lightning_gans.networks.table import RowNetwork
from lightning_gans.tables.codec import Table
from lightning_gans.tables.drawing import cumulative, draw_levels


class ColumnLevels(Condition):
    """Draw levels, numbered over all discrete columns, (N,) int64: a column, all alike, and one of its levels.

    In sampling levels are as frequent as in the table, in training as the logarithms of their rows (Xu et al. 2019,
    arXiv:1907.00503, section 4.3). Of a table without discrete columns all are 0.

    Args:
        counts: Rows of every level, by column.
    """

    argument = "category"
    from_batch = False
    numbers = 2

    def __init__(self, counts: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.sizes = [len(column) for column in counts]
        self.n = sum(self.sizes)
        tensors = [torch.tensor(column) for column in counts]
        self.ends = {how: cumulative(tensors, logarithmic=how) for how in (False, True)}

    def draw(self, u: Tensor) -> Tensor:
        """Map numbers (N, 2) in [0, 1) to levels (N,) int64, as frequent as in the table."""
        return draw_levels(self.ends[False], len(self.sizes), u)

    def draw_evenly(self, u: Tensor) -> Tensor:
        """Map numbers (N, 2) in [0, 1) to levels (N,) int64, as frequent as log(1 + rows)."""
        return draw_levels(self.ends[True], len(self.sizes), u)

    def of_rows(self, rows: Tensor, positions: Tensor, u: Tensor) -> Tensor:
        """Return a level (N,) that each encoded row (N, D) has, of a column drawn by u (N,) in [0, 1)."""
        level = torch.zeros(len(u), dtype=torch.int64, device=u.device)
        column, start = (u * len(self.sizes)).long().clamp(max=max(0, len(self.sizes) - 1)), 0
        for number, size in enumerate(self.sizes):
            found = rows[:, positions[start : start + size]].argmax(1)
            level = torch.where(column == number, found + start, level)
            start += size
        return level

    def parse(self, values: Sequence[Any]) -> Tensor:
        """Turn numbers of levels into (N,) int64."""
        for value in values:
            if not isinstance(value, SupportsIndex) or not 0 <= index(value) < max(1, self.n):
                raise ConfigError(
                    self.argument, value, f"must be from 0 to {max(0, self.n - 1)}; rows are asked by where="
                )
        return torch.tensor([index(value) for value in values])

    def overview(self) -> None:
        """Return nothing: drawn ones are shown."""


def _levels_of(generator: nn.Module) -> ColumnLevels:
    if not isinstance(generator, RowNetwork):
        name = f"{type(generator).__module__.rpartition('.')[2]}.{type(generator).__name__}"
        raise ConfigError("model.generator", name, "makes no rows of a table; use networks.table.Generator")
    return ColumnLevels(generator.table.condition_counts)


def table_of(module: Any) -> Table | None:
    """Return the table whose rows a module makes; ``None`` if it makes something else.

    Args:
        module: A family.
    """
    found = getattr(module.generator, "table", None)
    if isinstance(found, Table):
        return found
    node = (module.config or {}).get("resolved", {}).get("data")
    columns = node.get("columns") if isinstance(node, dict) else None
    return None if columns is None else Table.from_text(columns)


LEVELS: Kinds = {"category": _levels_of}

"""Parse what rows are asked to have: ``{sex: F, age: [30, 40]}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_gans.config.errors import ConfigError, unknown
from lightning_gans.tables.codec import Table, parse
from lightning_gans.tables.columns import Column
from lightning_gans.tables.detection import number
from lightning_gans.tables.modes import Floats
from lightning_gans.tables.reading import shown

_TRUE, _FALSE = ("true", "yes", "t", "y", "1"), ("false", "no", "f", "n", "0")


class Where:
    """Decide which rows have what was asked for.

    Args:
        table: Of the rows.
        asked: By column: a level or a list of levels, of numbers and dates ``[lowest, highest]``; ``None``: no value.

    Attributes:
        levels: Levels that are asked for, by the number of the encoded column.
        ranges: Lowest and highest value, or ``None`` for no value, by the number of the encoded column.

    Raises:
        ConfigError: A column or a level that there is not.
    """

    def __init__(self, table: Table, asked: Mapping[str, Any]) -> None:
        names = [column.name for column in table.encoded]
        self.table = table
        self.levels: dict[int, list[int]] = {}
        self.ranges: dict[int, tuple[float, float] | None] = {}
        for name, value in asked.items():
            if str(name) not in names:
                raise unknown(f"where.{name}", str(name), names)
            place = names.index(str(name))
            column = table.encoded[place]
            if column.levels:
                wanted = list(value) if _is_list(value) else [value]
                if not wanted:
                    raise ConfigError(f"where.{name}", [], "must name a value at least")
                self.levels[place] = sorted({_level(column, one) for one in wanted})
            else:
                self.ranges[place] = _range(column, value)

    def rarest(self) -> int | None:
        """Return the discrete column whose levels are asked for and the fewest rows have; ``None``: there is none."""

        def share(place: int) -> float:
            counts = self.table.encoded[place].counts
            return sum(counts[level] for level in self.levels[place]) / max(1, sum(counts))

        return min(self.levels, key=share, default=None)

    def accepts(self, values: Floats) -> NDArray[np.bool_]:
        """Return which rows have all that was asked for, (N,) bool, from ``Table.values`` (N, E)."""
        kept = np.ones(len(values), dtype=bool)
        for place, levels in self.levels.items():
            kept &= np.isin(values[:, place], levels)
        for place, ends in self.ranges.items():
            column = values[:, place]
            kept &= np.isnan(column) if ends is None else (column >= ends[0]) & (column <= ends[1])
        return kept


def _is_list(value: Any) -> bool:
    return not isinstance(value, str | bytes) and hasattr(value, "__iter__")


def _level(column: Column, value: Any) -> int:
    """Return the number of a level that a user has written: as its text, as a number, or as true and false."""
    if (text := None if value is None else str(value)) in column.levels:
        return column.levels.index(text)
    for place, level in enumerate(column.levels):
        if level is None:
            continue
        if isinstance(value, bool):
            if column.kind == "boolean" and level.strip().lower() in (_TRUE if value else _FALSE):
                return place
        elif number(str(value)) is not None and number(level) == number(str(value)):
            return place
    known = ", ".join("null" if level is None else shown(level) for level in column.levels[:20])
    more = f" and {len(column.levels) - 20} more" if len(column.levels) > 20 else ""
    raise ConfigError(f"where.{shown(column.name)}", value, f"must be among {known}{more}")


def _range(column: Column, value: Any) -> tuple[float, float] | None:
    key = f"where.{shown(column.name)}"
    if value is None:
        if not column.has_missing:
            raise ConfigError(key, value, "every row of the table has a value")
        return None
    ends = list(value) if _is_list(value) else [value, value]
    found = [x for end in ends if not isinstance(end, bool) and (x := parse(column, str(end))) is not None]
    if len(ends) != 2 or len(found) != 2 or found[0] > found[1]:
        form = f", dates as {column.form}" if column.form else ""
        raise ConfigError(key, value, f"must be [lowest, highest]{form}")
    low, high = found
    if low > column.high or high < column.low:
        raise ConfigError(key, value, f"the table has values from {column.low:g} to {column.high:g}")
    return low, high

"""Report the columns of a table as they were found."""

from __future__ import annotations

from lightning_gans.tables.codec import Table
from lightning_gans.tables.columns import Column
from lightning_gans.tables.reading import RawTable, shown

_LEVELS = 5  # named in a line


def lines(table: Table, raw: RawTable) -> list[tuple[str, str]]:
    """Return a line for every column, with its name: its type, how it is encoded, and what training does not see.

    Args:
        table: Fitted to it.
        raw: The table.
    """
    found = []
    for column, cells in zip(table.columns, raw.columns, strict=True):
        missing = sum(cell is None for cell in cells)
        gaps = f"; {missing:,} missing, their own code" if missing and column.width else ""
        found.append((shown(column.name), f"{column.kind}: {_encoding(column)}{gaps}"))
    return found


def _encoding(column: Column) -> str:
    if column.kind == "identifier":
        return f"not learnt; made anew as {column.form or '1, 2, 3, ...'}"
    if column.kind == "constant":
        return f"not learnt; always {shown(column.form)}"
    if column.kind == "missing":
        return "not learnt; no row has a value"
    if column.levels:
        order = sorted(zip(column.counts, map(str, column.levels), column.levels, strict=True), reverse=True)
        named = [f"{shown(text)} {count:,}" for count, text, level in order if level is not None]
        more = f", and {len(named) - _LEVELS} more" if len(named) > _LEVELS else ""
        rare = f"; the {column.pooled:,} rarest are (other)" if column.pooled else ""
        return f"{len(named)} values one-hot, {', '.join(named[:_LEVELS])}{more}{rare}"
    single = sum(std == 0 for std in column.stds)
    singles = f" and {single} single value{'s' * (single != 1)}" if single else ""
    ends = "" if column.kind == "date" else f", {column.low:g} to {column.high:g}"
    written = f" as {column.form}" if column.form else f", {max(column.decimals, 0)} decimals"
    return f"{len(column.means) - single} modes{singles}{ends}{written}"

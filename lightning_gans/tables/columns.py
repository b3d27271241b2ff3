"""Describe the columns of a table, as they are fitted to it and kept in configs and checkpoints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from lightning_gans.config.errors import ConfigError

Kind = Literal["continuous", "integer", "categorical", "boolean", "date", "identifier", "constant", "missing"]
KINDS: tuple[str, ...] = get_args(Kind)
OTHER = "(other)"  # level of all rare categories
_VERSION = 1


@dataclass(frozen=True)
class Column:
    """Describe a column: how it is encoded, and how its values are written.

    A column with ``levels`` is one-hot; one with ``means`` is a number within a mode, and the one-hot mode. Others are
    not modelled: identifiers are made anew, constants repeated.

    Attributes:
        name: As the file has it.
        kind: What its values are.
        levels: Texts of its values, and ``None`` if some are missing; ``(other)``, where rare ones are pooled.
        counts: Rows of each level or mode, in the same order; of a missing mode last.
        means: Of the modes.
        stds: Of the modes; 0 for a single value.
        has_missing: Whether the last mode stands for no value.
        low: Smallest number.
        high: Largest number.
        decimals: That numbers are rounded to; negative ones are significant digits.
        places: Decimals that are written; ``None``: as few as the number needs.
        form: Format of dates (``strptime``), pattern of identifiers, or the text of a constant.
        pooled: Rare values that are one level.
    """

    name: str
    kind: Kind
    levels: tuple[str | None, ...] = ()
    counts: tuple[int, ...] = ()
    means: tuple[float, ...] = ()
    stds: tuple[float, ...] = ()
    has_missing: bool = False
    low: float = 0.0
    high: float = 0.0
    decimals: int = 0
    places: int | None = None
    form: str = ""
    pooled: int = 0

    @property
    def width(self) -> int:
        """Return the length of the one-hot code: levels, or modes with the missing one; 0 if it is not modelled."""
        return len(self.levels) or len(self.means) + (self.has_missing and bool(self.means))


def to_text(columns: Sequence[Column]) -> str:
    """Write columns as one line of JSON, without characters that a config would take for more than text."""
    defaults = {field.name: field.default for field in fields(Column)}
    told = [{key: value for key, value in asdict(column).items() if value != defaults[key]} for column in columns]
    text = json.dumps({"version": _VERSION, "columns": told}, separators=(",", ":"))
    return text.replace("$", "\\u0024")


def from_text(text: str | None) -> tuple[Column, ...]:
    """Read what ``to_text`` has written.

    Raises:
        ConfigError: It is something else.
    """
    if text is None:
        raise ConfigError("columns", None, "are not known; data=table finds them, from Python fit_table(frame).text")
    try:
        content = json.loads(text)
        if content["version"] != _VERSION:
            raise ValueError("another version")
        columns = tuple(_column(node) for node in content["columns"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConfigError("columns", text[:40], f"is no description of a table ({error})") from None
    if not any(column.width for column in columns):
        raise ConfigError("columns", text[:40], "has no column to learn: all are constant, missing or identifiers")
    return columns


def _column(node: dict[str, Any]) -> Column:
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in node.items()}
    column = Column(**given)
    texts = (column.name, column.form, *(level for level in column.levels if level is not None))
    numbers = (*column.means, *column.stds, *column.counts, column.low, column.high, column.decimals)
    if column.kind not in KINDS or not all(isinstance(text, str) for text in texts):
        raise ValueError("a column's kind or text")
    if not all(isinstance(one, int | float) and abs(one) < 1e300 for one in numbers):
        raise ValueError("a column's numbers")
    if len(column.means) != len(column.stds) or (column.width and len(column.counts) != column.width):
        raise ValueError("a column's lengths")
    return column

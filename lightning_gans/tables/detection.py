"""Find the types of columns in their texts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from lightning_gans.config.errors import ConfigError
from lightning_gans.tables.columns import Kind
from lightning_gans.tables.reading import Cell, shown

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
INTEGER = re.compile(r"[+-]?[0-9]+(?:\.0*)?")
PAIRS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"}, {"0", "1"})  # of booleans
FORMS = (  # of dates; the first that every value has
    *("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y/%m/%d"),
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.%f"),
)
MOST_DIGITS = 15  # of an integer that a float holds
_NAMED_ID = re.compile(r"(?:^|[_ .-])(?:id|uuid|guid|rownames|index)$|^(?:unnamed: 0|key)$|^$", re.IGNORECASE)
_SHARE, _FEWEST = 0.9, 50  # of texts that differ, and of values, from which texts are identifiers


class Found(NamedTuple):
    """Hold the type of a column.

    Attributes:
        kind: See ``Column``.
        form: Format of dates, or "".
        counts: Rows by text, without missing ones.
        missing: Rows without a value.
    """

    kind: Kind
    form: str
    counts: Counter[str]
    missing: int


def number(text: str) -> float | None:
    """Return a finite decimal number, or ``None``; no words such as ``nan`` or ``inf``."""
    if not NUMBER.fullmatch(text.strip()):
        return None
    value = float(text)
    return value if math.isfinite(value) and abs(value) < 1e300 else None


def moment(text: str, form: str) -> float | None:
    """Return a date as days since 1970, or as seconds where its format has a time; ``None`` if it has another."""
    try:
        parted = datetime.strptime(text.strip(), form) - datetime(1970, 1, 1)
    except (ValueError, OverflowError):
        return None
    return parted.total_seconds() if "%H" in form else float(parted.days)


def find_kind(name: str, cells: Iterable[Cell], asked: str | None = None) -> Found:
    """Find the type of a column.

    Args:
        name: Of the column.
        cells: Its texts.
        asked: The type that the user says it has.

    Raises:
        ConfigError: A value is not of the type that was asked for.
    """
    counts = Counter(cells)
    missing = counts.pop(None, 0)
    found: Counter[str] = Counter({text: n for text, n in counts.items() if text is not None})
    if asked is not None:
        return Found(*_as_asked(name, found, asked), found, missing)
    return Found(*_kind(name, found, missing), found, missing)


def _kind(name: str, counts: Mapping[str, int], missing: int) -> tuple[Kind, str]:
    total = sum(counts.values())
    if not counts:
        return "missing", ""
    if len(counts) == 1 and not missing:
        return "constant", ""
    if {text.strip().lower() for text in counts} in PAIRS and len(counts) == 2:
        return "boolean", ""
    if all(number(text) is not None for text in counts):
        if not all(INTEGER.fullmatch(text.strip()) for text in counts):
            return "continuous", ""
        return ("identifier" if _numbers_rows(name, counts, total) else "integer"), ""
    form = next((form for form in FORMS if all(moment(text, form) is not None for text in counts)), None)
    if form is not None:
        return "date", form
    if len(counts) >= max(_FEWEST, _SHARE * total) or (len(counts) == total > 2 and _NAMED_ID.search(name)):
        return "identifier", ""
    return "categorical", ""


def _numbers_rows(name: str, counts: Mapping[str, int], total: int) -> bool:
    """Return whether integers name rows: too long ones, or different ones without a gap or with such a name."""
    if max(len(text.strip().lstrip("+-")) for text in counts) > MOST_DIGITS:
        return True
    values = {int(float(text)) for text in counts}
    if len(values) < total or total < 3:
        return False
    return max(values) - min(values) == total - 1 >= _FEWEST - 1 or bool(_NAMED_ID.search(name))


def _as_asked(name: str, counts: Mapping[str, int], asked: str) -> tuple[Kind, str]:
    """Return the type that was asked for, after a check of every value."""
    key = f"data.types.{name}"
    if asked in ("continuous", "integer"):
        wrong = next((text for text in counts if number(text) is None), None)
        if wrong is None and asked == "integer":
            wrong = next((text for text in counts if float(text) != round(float(text))), None)
        if wrong is not None:
            raise ConfigError(key, asked, f"the column has the value {shown(wrong)!r}")
        return ("continuous" if asked == "continuous" else "integer"), ""
    if asked == "date":
        near = max(FORMS, key=lambda form: sum(moment(text, form) is not None for text in counts))
        wrong = next((text for text in counts if moment(text, near) is None), None)
        if wrong is not None:
            raise ConfigError(
                key, asked, f"the column has the value {shown(wrong)!r}; known formats: {', '.join(FORMS)}"
            )
        return "date", near
    if asked == "boolean":
        if len(counts) > 2:
            raise ConfigError(key, asked, f"the column has {len(counts):,} values")
        return "boolean", ""
    if asked == "identifier":
        return "identifier", ""
    if asked == "categorical":
        return "categorical", ""
    raise ConfigError(key, asked, "must be continuous, integer, categorical, boolean, date or identifier")

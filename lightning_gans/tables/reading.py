"""Read tables as text: CSV, TSV and Parquet files, and data frames. Files may come from strangers."""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from lightning_gans.config.errors import ConfigError

Cell = str | None  # text as the file has it; None: missing
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "<NA>", "?")
SEPARATORS = (",", ";", "\t", "|")
MOST_COLUMNS = 10_000
_SIGNED = re.compile(r"[+-][0-9.]")  # how numbers begin
_SHOWN = 40  # characters of a cell in messages


@dataclass(frozen=True)
class RawTable:
    """Hold a table as text.

    Attributes:
        names: Of its columns, each once.
        columns: Cells of every column, all as many.
        skipped: Lines that were left out since they cannot be read.
    """

    names: tuple[str, ...]
    columns: tuple[list[Cell], ...]
    skipped: int = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.columns[0]) if self.columns else 0

    def take(self, rows: Sequence[int]) -> RawTable:
        """Return some of the rows."""
        return replace(self, columns=tuple([column[i] for i in rows] for column in self.columns))

    def column(self, name: str) -> list[Cell]:
        """Return the cells of a column by its name."""
        return self.columns[self.names.index(name)]


def shown(cell: object) -> str:
    """Format a cell for a message: short, on one line, without control characters."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(cell)[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def read_table(
    root: str,
    *,
    separator: str | None = None,
    encoding: str = "utf-8",
    missing: Sequence[str] = MISSING,
    on_error: Literal["stop", "skip"] = "stop",
) -> RawTable:
    """Read a file whose first line names the columns.

    Args:
        root: ``.csv``, ``.tsv`` or other text, or ``.parquet``.
        separator: Of cells; ``None``: a tab in ``.tsv``, else what parts the first line into most names.
        encoding: Of text.
        missing: Texts that stand for no value.
        on_error: At a line with too many or too few cells: stop, or skip it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: By the option or the line, and what is wrong.
    """
    path = Path(root).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"data.root={root}: no such file")
    if path.is_dir():
        raise ConfigError("data.root", root, "is a folder; name a file: .csv, .tsv or .parquet")
    if path.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path, root, missing)
    try:
        found = codecs.lookup(encoding)
        if not getattr(found, "_is_text_encoding", True):
            raise LookupError
    except (LookupError, ValueError):
        raise ConfigError("data.encoding", encoding, "is no encoding of text, such as utf-8 or latin-1") from None
    with path.open(encoding="utf-8-sig" if found.name == "utf-8" else found.name, newline="") as file:
        try:
            return _parse(file, root, separator or _separator(path, file), frozenset(missing), on_error)
        except UnicodeError as error:
            raise ConfigError(
                "data.encoding", encoding, f"{root} is not in it ({_reason(error)}); say e.g. data.encoding=latin-1"
            ) from None


def _reason(error: UnicodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte 0x{error.object[error.start]:02x}: {error.reason}"
    return str(error).splitlines()[0]


def _separator(path: Path, file: Any) -> str:
    """Return the separator that parts the first line into most names, and go back to the start."""
    if path.suffix.lower() in (".tsv", ".tab"):
        return "\t"
    first = file.readline(2**20)
    file.seek(0)
    counts = {one: len(next(csv.reader([first], delimiter=one), [])) for one in SEPARATORS}
    return max(SEPARATORS, key=lambda one: counts[one])


def _parse(file: Iterable[str], root: str, separator: str, missing: frozenset[str], on_error: str) -> RawTable:
    if len(separator) != 1:
        raise ConfigError("data.separator", separator, "must be one character")
    lines = csv.reader(file, delimiter=separator, strict=True)
    names = _names(next(_told(lines, root), []), root)
    known: list[dict[str, Cell]] = [{} for _ in names]  # equal cells are one object
    columns: list[list[Cell]] = [[] for _ in names]
    skipped = 0
    for cells in _told(lines, root):
        if len(cells) != len(names):
            if not cells:  # an empty line
                continue
            if on_error == "stop":
                count = f"line {lines.line_num} has {len(cells)} cells and the first line {len(names)}"
                raise ConfigError("data.root", root, f"{count}; data.on_error=skip leaves such lines out")
            skipped += 1
            continue
        for cell, column, seen in zip(cells, columns, known, strict=True):
            column.append(seen.setdefault(cell, None if cell.strip() in missing else cell))
    return RawTable(names, tuple(columns), skipped)


def _told(lines: Any, root: str) -> Iterator[list[str]]:
    """Yield lines; what the parser cannot read becomes a mistake in the file, with its line."""
    try:
        yield from lines
    except csv.Error as error:
        raise ConfigError("data.root", root, f"line {lines.line_num} cannot be read: {error}") from None


def _names(cells: Sequence[object], root: str) -> tuple[str, ...]:
    names = tuple(str(cell).strip() for cell in cells)
    if not names:
        raise ConfigError("data.root", root, "is empty; its first line must name the columns")
    if len(names) > MOST_COLUMNS:
        raise ConfigError("data.root", root, f"has {len(names):,} columns; at most {MOST_COLUMNS:,} are read")
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise ConfigError("data.root", root, f"has the column {shown(twice)!r} twice")
    return names


def _read_parquet(path: Path, root: str, missing: Sequence[str]) -> RawTable:
    pandas = _pandas("data.root", root)
    try:
        frame = pandas.read_parquet(path)
    except ImportError as error:
        raise ConfigError("data.root", root, 'needs pyarrow; pip install "lightning_gans[tables]"') from error
    except Exception as error:  # a damaged file can fail anywhere in the reader
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError("data.root", root, f"cannot be read as Parquet: {reason}") from error
    return from_frame(frame, missing=missing)


def from_frame(frame: Any, *, missing: Sequence[str] = MISSING) -> RawTable:
    """Return a pandas data frame as text; its index is left out.

    Args:
        frame: The data frame.
        missing: Texts that stand for no value, beside what pandas takes for none.

    Raises:
        ConfigError: It is no data frame, or has a column twice.
    """
    if not hasattr(frame, "columns") or not hasattr(frame, "isna"):
        raise ConfigError("frame", type(frame).__name__, "must be a pandas DataFrame")
    names, tokens = _names(list(frame.columns), "frame"), frozenset(missing)
    columns = []
    for place in range(len(names)):
        series = frame.iloc[:, place]
        empty = series.isna().tolist()
        cells = [None if is_empty else _text(value) for value, is_empty in zip(series.tolist(), empty, strict=True)]
        columns.append([None if cell is None or cell.strip() in tokens else cell for cell in cells])
    return RawTable(names, tuple(columns))


def _text(value: Any) -> str:
    if isinstance(value, datetime):  # a date where no value has a time is found as one
        return value.isoformat(sep=" ")
    text = value.isoformat() if isinstance(value, date) else str(value)
    return text.encode("utf-8", "replace").decode()  # no lone surrogates, which no file can hold


def to_frame(table: RawTable, kinds: Sequence[str]) -> Any:
    """Return a table as a pandas data frame with numbers, booleans and dates by the kinds of its columns.

    Args:
        table: The table.
        kinds: Of its columns, see ``Column``.
    """
    pandas = _pandas("to_frame", "")
    made = {}
    for name, cells, kind in zip(table.names, table.columns, kinds, strict=True):
        if kind in ("continuous", "integer"):
            numbers = pandas.to_numeric(pandas.Series(cells, dtype=object))
            made[name] = numbers.astype("Int64") if kind == "integer" and None in cells else numbers
        elif kind == "date":
            made[name] = pandas.to_datetime(pandas.Series(cells, dtype=object), format="mixed", dayfirst=False)
        elif kind == "boolean" and {cell for cell in cells if cell} <= {"True", "False"} and None not in cells:
            made[name] = pandas.Series([cell == "True" for cell in cells])
        else:
            made[name] = pandas.Series(cells, dtype=object)
    return pandas.DataFrame(made, columns=list(table.names))


def write_table(table: RawTable, path: str | os.PathLike[str], ending: str) -> None:
    """Write a table as CSV, TSV or Parquet by the ending that is given; a missing value is an empty cell.

    Raises:
        ConfigError: Another ending.
        OSError: The file cannot be written.
    """
    if ending == ".parquet":
        columns = dict(zip(table.names, table.columns, strict=True))
        _pandas("out", path).DataFrame(columns, dtype=object).to_parquet(path, index=False)
        return
    if ending not in (".csv", ".tsv"):
        raise ConfigError("out", path, "must end in .csv, .tsv or .parquet")
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if ending == ".tsv" else ",", lineterminator="\n")
        writer.writerow(table.names)
        if len(table.names) == 1:  # an empty line would be none
            writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerows(zip(*([("" if c is None else c) for c in column] for column in table.columns), strict=True))


def formulas(table: RawTable) -> list[str]:
    """Name the columns with texts that spreadsheets take for formulas; numbers are none."""

    def is_formula(cell: Cell) -> bool:
        return cell is not None and cell[:1] in ("=", "+", "-", "@", "\t", "\r") and not _SIGNED.match(cell)

    return [name for name, column in zip(table.names, table.columns, strict=True) if any(map(is_formula, set(column)))]


def _pandas(key: str, value: object) -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ConfigError(key, value, 'needs pandas; pip install "lightning_gans[tables]"') from error
    return pandas

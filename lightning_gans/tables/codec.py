"""Turn rows of a table into numbers and back."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.runtime.seeding import derive_seed
from lightning_gans.tables import identifiers
from lightning_gans.tables.columns import OTHER, Column, from_text, to_text
from lightning_gans.tables.detection import moment, number
from lightning_gans.tables.modes import REACH, Floats, Modes, assign
from lightning_gans.tables.reading import Cell, RawTable, from_frame, shown, to_frame


class Codes(NamedTuple):
    """Hold encoded rows in little memory: numbers of levels and modes in place of one-hot codes.

    Attributes:
        chosen: (N, E) int32, level or mode of each encoded column.
        alpha: (N, S) float32 in [-1, 1], place within the mode of each column of numbers.
    """

    chosen: Tensor
    alpha: Tensor

    def take(self, rows: Tensor) -> Codes:
        """Return some of the rows."""
        return Codes(self.chosen[rows], self.alpha[rows])


class Table:
    """Encode and decode the rows of a table whose columns are fitted.

    A row is (D,) float32: first the places of numbers within their modes, in [-1, 1], then the one-hot levels and
    modes, columns of few levels first. A condition is a level of a discrete column, numbered over all of them.

    Args:
        columns: As ``Fit`` makes them.

    Attributes:
        encoded: Columns that are modelled, in the file's order.
        num_alphas: S, columns of numbers.
        groups: One-hot codes in a row's order: how many codes of which width stand side by side.
        width: D.
        discrete: Numbers, among the encoded, of the columns that give conditions.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self.encoded = tuple(column for column in self.columns if column.width)
        if not self.encoded:
            rule = "has no column to learn: all are constant, missing or identifiers"
            raise ConfigError("data.root", f"{len(self.columns)} columns", rule)
        numeric = [place for place, column in enumerate(self.encoded) if column.means]
        self.numeric, self.num_alphas = numeric, len(numeric)
        order = sorted(range(len(self.encoded)), key=lambda place: self.encoded[place].width)
        widths = [self.encoded[place].width for place in order]
        self.groups = tuple((len(list(same)), width) for width, same in groupby(widths))
        starts = np.cumsum([self.num_alphas, *widths])
        self.width = int(starts[-1])
        self.starts = [0] * len(order)  # of each encoded column's one-hot code in a row
        for start, place in zip(starts.tolist(), order, strict=False):
            self.starts[place] = start
        self.discrete = [place for place, column in enumerate(self.encoded) if column.levels]

    @classmethod
    def from_text(cls, text: str | None) -> Table:
        """Read what ``text`` is.

        Raises:
            ConfigError: It is no description of a table.
        """
        return cls(from_text(text))

    @functools.cached_property
    def text(self) -> str:
        """Return the fitted columns as one line of JSON: types, categories with their counts, modes; no row."""
        return to_text(self.columns)

    # ------------------------------------------------------------------------------ conditions

    @property
    def condition_counts(self) -> list[tuple[int, ...]]:
        """Return the rows of every level, by discrete column."""
        return [self.encoded[place].counts for place in self.discrete]

    @property
    def num_conditions(self) -> int:
        """Return C, the number of levels of all discrete columns."""
        return sum(map(len, self.condition_counts))

    @property
    def condition_positions(self) -> list[int]:
        """Return the place in a row of every condition."""
        return [self.starts[p] + i for p in self.discrete for i in range(self.encoded[p].width)]

    def condition(self, place: int, level: int) -> int:
        """Return the number of the condition that an encoded column has a level."""
        before = self.discrete[: self.discrete.index(place)]
        return sum(self.encoded[one].width for one in before) + level

    # ------------------------------------------------------------------------------ encode

    def encode(self, table: RawTable, *, seed: int = 0) -> Codes:
        """Encode the rows of a table that has the same columns.

        Args:
            table: The table, or a pandas data frame.
            seed: Of the modes, which are drawn from each number's posterior.

        Raises:
            ConfigError: A column is lacking, or has a value that it did not have when it was fitted.
        """
        table = table if isinstance(table, RawTable) else from_frame(table)
        index = torch.zeros(len(table), len(self.encoded), dtype=torch.int32)
        alpha = torch.zeros(len(table), self.num_alphas)
        for place, column in enumerate(self.encoded):
            if column.name not in table.names:
                raise ConfigError("data.root", shown(column.name), "the table has no such column")
            cells = table.column(column.name)
            if column.levels:
                index[:, place] = torch.from_numpy(_level_numbers(column, cells))
            else:
                rng = np.random.default_rng(derive_seed("mode", seed, column.name))
                modes, places = _mode_numbers(column, cells, rng)
                index[:, place] = torch.from_numpy(modes)
                alpha[:, self.numeric.index(place)] = torch.from_numpy(places)
        return Codes(index, alpha)

    def rows(self, codes: Codes) -> Tensor:
        """Return encoded rows (N, D) float32 with one-hot codes written out."""
        rows = torch.zeros(len(codes.chosen), self.width)
        rows[:, : self.num_alphas] = codes.alpha
        rows.scatter_(1, codes.chosen.long() + torch.tensor(self.starts), 1.0)
        return rows

    # ------------------------------------------------------------------------------ decode

    def codes(self, rows: Tensor) -> Codes:
        """Return the levels and modes that rows (N, D) weigh most, and the places within the modes."""
        rows = rows.detach().float().cpu()
        pieces = [rows[:, s : s + c.width].argmax(1) for s, c in zip(self.starts, self.encoded, strict=True)]
        return Codes(torch.stack(pieces, 1).int(), rows[:, : self.num_alphas].clamp(-1, 1))

    def values(self, codes: Codes) -> Floats:
        """Return the values of encoded columns (N, E): numbers, NaN where one is missing, and numbers of levels."""
        made = codes.chosen.numpy().astype(np.float64)
        for alpha, place in enumerate(self.numeric):
            made[:, place] = _numbers(self.encoded[place], made[:, place].astype(int), codes.alpha[:, alpha].numpy())
        return made

    def decode(self, rows: Tensor, *, first: int = 0) -> RawTable:
        """Write rows (N, D) as texts; levels are always known ones.

        Args:
            rows: Of a generator, or encoded.
            first: Number of the first row, by which identifiers are made.
        """
        values, made = self.values(self.codes(rows)), []
        places = iter(range(len(self.encoded)))
        for column in self.columns:
            if column.width:
                made.append(_texts(column, values[:, next(places)]))
            elif column.kind == "identifier":
                made.append([identifiers.make(column.form, first + i) for i in range(len(rows))])
            else:
                made.append([column.form if column.kind == "constant" else None] * len(rows))
        return RawTable(tuple(column.name for column in self.columns), tuple(made))

    def frame(self, rows: Tensor, *, first: int = 0) -> Any:
        """Return rows (N, D) as a pandas data frame; see ``decode``."""
        return to_frame(self.decode(rows, first=first), [column.kind for column in self.columns])


def sizes_of(columns: str) -> dict[str, int]:
    """Return what follows from fitted columns for the networks: ``channels``, D, and ``conditions``, C."""
    table = Table.from_text(columns)
    return {"channels": table.width, "conditions": table.num_conditions}


def _level_numbers(column: Column, cells: list[Cell]) -> NDArray[np.int64]:
    known: dict[Cell, int] = {level: i for i, level in enumerate(column.levels)}
    rare = known.get(OTHER) if column.pooled else None
    try:
        return np.array([known[cell] if rare is None else known.get(cell, rare) for cell in cells], dtype=np.int64)
    except KeyError as error:
        value = "no value" if error.args[0] is None else repr(shown(error.args[0]))
        raise ConfigError(f"data.{shown(column.name)}", value, "the column had none such when it was fitted") from None


def _mode_numbers(column: Column, cells: list[Cell], rng: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
    numbers = {text: parse(column, text) for text in set(cells) if text is not None}
    wrong = next((text for text, value in numbers.items() if value is None), None)
    if wrong is not None or (None in cells and not column.has_missing):
        value = "no value" if wrong is None else repr(shown(wrong))
        raise ConfigError(f"data.{shown(column.name)}", value, f"the column was fitted as {column.kind}")
    values = np.array([math.nan if cell is None else numbers[cell] for cell in cells])
    is_missing = np.isnan(values)
    weights = np.maximum(np.array(column.counts[: len(column.means)], dtype=float), 0.5)
    modes = Modes(np.array(column.means), np.array(column.stds), weights / weights.sum())
    mode = np.full(len(values), len(column.means))
    place = np.zeros(len(values))
    uniform = rng.random(len(values))
    for start in range(0, len(values), 100_000):  # memory
        some = np.flatnonzero(~is_missing[start : start + 100_000]) + start
        mode[some], place[some] = assign(values[some], modes, uniform[some])
    return mode, place


def _numbers(column: Column, mode: NDArray[np.int64], alpha: NDArray[np.float32]) -> Floats:
    means, stds = np.array([*column.means, math.nan]), np.array([*column.stds, 0.0])
    value = means[mode] + REACH * stds[mode] * alpha.astype(np.float64)
    if column.decimals >= 0:
        value = np.round(value, column.decimals)
    return value.clip(column.low, column.high)


def parse(column: Column, text: str) -> float | None:
    """Return the number of a text in a column of numbers or dates; ``None`` if it is none."""
    return moment(text, column.form) if column.kind == "date" else number(text)


def _texts(column: Column, values: Floats) -> list[Cell]:
    if column.levels:
        return [column.levels[int(value)] for value in values]
    distinct, inverse = np.unique(values, return_inverse=True)
    texts: list[Cell] = [None if math.isnan(value) else _text(column, value) for value in distinct.tolist()]
    return [texts[i] for i in inverse.tolist()]


def _text(column: Column, value: float) -> str:
    if column.kind == "date":
        step = timedelta(seconds=value) if "%H" in column.form else timedelta(days=value)
        return (datetime(1970, 1, 1) + step).strftime(column.form)
    if column.decimals < 0:
        return f"{value:.{-column.decimals}g}"
    if column.places is not None:
        return f"{value:.{column.places}f}"
    text = f"{value:.{column.decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text

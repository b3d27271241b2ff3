"""Fit the columns of a table: types, categories and modes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from lightning_gans.config.errors import ConfigError, unknown
from lightning_gans.config.types import Fraction, PositiveInt, checked
from lightning_gans.runtime.seeding import derive_seed
from lightning_gans.tables.codec import Table
from lightning_gans.tables.columns import OTHER, Column
from lightning_gans.tables.detection import Found, find_kind, moment, number
from lightning_gans.tables.identifiers import pattern
from lightning_gans.tables.modes import Floats, fit_modes
from lightning_gans.tables.reading import Cell, RawTable, from_frame

_DECIMALS = 9  # beyond them numbers are rounded to significant digits


class Fit:
    """Fit the columns of tables.

    Args:
        types: Types of columns by name, in place of those that are found.
        max_levels: Numbers and dates of at most so many different values are one-hot.
        max_categories: Categories of a column; rarer ones are pooled as ``(other)``.
        max_modes: Modes of a column of numbers.
        subsample: Rows that modes are fitted to.
        single: Share of a single number from which it is a mode of its own; 1: never, as in the paper.
        seed: Of draws.

    Raises:
        ConfigError: A value out of range.
    """

    @checked
    def __init__(
        self,
        *,
        types: Mapping[str, str] | None = None,
        max_levels: PositiveInt = 20,
        max_categories: PositiveInt = 100,
        max_modes: PositiveInt = 10,
        subsample: PositiveInt = 10_000,
        single: Fraction = 0.05,
        seed: int = 0,
    ) -> None:
        self.types = dict(types or {})
        self.max_levels, self.max_categories, self.max_modes = max_levels, max_categories, max_modes
        self.subsample, self.single, self.seed = subsample, single, seed

    def __call__(self, table: RawTable) -> Table:
        """Return the fitted table; a function of the arguments alone, columns fitted by as many threads as cores.

        Raises:
            ConfigError: There is no such column, a value is not of its type, or there are too few rows.
        """
        for name in self.types:
            if name not in table.names:
                raise unknown(f"data.types.{name}", name, table.names)
        if len(table) < 2:
            raise ConfigError("data.root", f"{len(table)} rows", "a table must have two rows at least")
        with warnings.catch_warnings(), threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
            warnings.filterwarnings("ignore", module="sklearn")  # of mixtures that could be fitted for longer
            return Table(tuple(pool.map(self.column, table.names, table.columns)))

    def column(self, name: str, cells: list[Cell]) -> Column:
        """Fit one column."""
        found = find_kind(name, cells, self.types.get(name))
        if found.kind in ("constant", "missing"):
            return Column(name, found.kind, form=next(iter(found.counts), ""))
        if found.kind == "identifier":
            return Column(name, "identifier", form=pattern(found.counts))
        if found.kind in ("categorical", "boolean"):
            return self._categorical(name, found)
        if len(found.counts) <= self.max_levels:
            order = sorted(found.counts, key=lambda text: (_value(text, found), text))
            return _levels(name, found, order)
        return self._numbers(name, found)

    def _categorical(self, name: str, found: Found) -> Column:
        order = sorted(found.counts, key=lambda text: (-found.counts[text], text))
        if len(order) <= self.max_categories:
            return _levels(name, found, sorted(order))
        kept = sorted(order[: self.max_categories - 1])
        counts = {text: found.counts[text] for text in kept}
        counts[OTHER] = counts.get(OTHER, 0) + sum(found.counts.values()) - sum(counts.values())
        pooled = len(order) - len(kept)
        return _levels(name, found._replace(counts=counts), list(counts), pooled=pooled)  # type: ignore[arg-type]

    def _numbers(self, name: str, found: Found) -> Column:
        texts = list(found.counts)
        distinct = np.array([_value(text, found) for text in texts])
        values = np.repeat(distinct, [found.counts[text] for text in texts])
        values.sort()  # independent of the order of rows
        seed = derive_seed("modes", self.seed, name) % 2**32
        how: dict[str, Any] = {"most": self.max_modes, "subsample": self.subsample, "single": self.single}
        modes = fit_modes(values, seed=seed, **how)
        counts = [round(share * len(values)) for share in modes.weights]
        decimals, places = (0, None) if found.kind == "date" else _decimals(texts, distinct)
        return Column(
            name,
            found.kind,
            counts=(*counts, *([found.missing] if found.missing else [])),
            means=tuple(modes.means.tolist()),
            stds=tuple(modes.stds.tolist()),
            has_missing=found.missing > 0,
            low=float(distinct.min()),
            high=float(distinct.max()),
            decimals=decimals,
            places=places,
            form=found.form,
        )


def fit_table(frame: Any, **options: Any) -> Table:
    """Fit a pandas data frame; see ``Fit``.

    Args:
        frame: The data frame, or a ``RawTable``.
        **options: See ``Fit``.
    """
    return Fit(**options)(frame if isinstance(frame, RawTable) else from_frame(frame))


def _value(text: str, found: Found) -> float:
    value = moment(text, found.form) if found.kind == "date" else number(text)
    assert value is not None
    return value


def _levels(name: str, found: Found, order: list[str], pooled: int = 0) -> Column:
    levels: list[str | None] = [*order, *([None] if found.missing else [])]
    counts = [*(found.counts[text] for text in order), *([found.missing] if found.missing else [])]
    return Column(name, found.kind, levels=tuple(levels), counts=tuple(counts), form=found.form, pooled=pooled)


def _decimals(texts: list[str], values: Floats) -> tuple[int, int | None]:
    """Return the decimals that numbers are rounded to, and those that are always written, if they are."""
    given = [text.strip() for text in texts]
    if any("e" in text.lower() for text in given):
        return -7, None
    written = {len(text.partition(".")[2]) for text in given}
    needed = max(len(text.partition(".")[2].rstrip("0")) for text in given)
    if needed > _DECIMALS:
        return -7, None
    return needed, written.pop() if len(written) == 1 else None

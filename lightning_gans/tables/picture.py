"""Draw the marginals of a table's columns and how they depend on each other."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_gans.tables.codec import Table
from lightning_gans.tables.modes import Floats
from lightning_gans.tables.scores import binned, correlation_of, cramers_v

MOST_COLUMNS, MOST_LEVELS, BINS = 12, 12, 25
_REAL, _FAKE = "#9a9a9a", "#1e50c8"
_INCH, _DPI = 2.4, 80


def picture(table: Table, fake: Floats, real: Floats | None = None) -> Tensor:
    """Draw up to twelve columns, generated rows in blue over real ones in grey, and matrices of dependence.

    These hold correlations of numbers and Cramer's V of other pairs, without signs. Needs matplotlib; without it the
    values are drawn as grey pixels, a row a row.

    Args:
        table: Of the rows.
        fake: ``Table.values`` (N, E).
        real: Likewise, (M, E); ``None``: not known.

    Returns:
        (3, H, W) uint8.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return _pixels(fake)
    sides = [(real, _REAL), (fake, _FAKE)] if real is not None else [(fake, _FAKE)]
    shown = min(MOST_COLUMNS, len(table.encoded))
    rows, n = -(-shown // 4) + 1, 4
    figure = Figure((n * _INCH, rows * _INCH), dpi=_DPI, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    for place in range(shown):
        _marginal(figure.add_subplot(rows, n, place + 1), table, place, sides)
    matrices = [_dependence(table, side[:2000]) for side, _ in sides]
    titles = ["real", "generated", "difference"] if len(sides) == 2 else ["generated"]
    matrices += [abs(matrices[0] - matrices[1])] if len(sides) == 2 else []
    for number, (matrix, title) in enumerate(zip(matrices, titles, strict=True)):
        axes = figure.add_subplot(rows, n, (rows - 1) * n + number + 1)
        axes.imshow(matrix, vmin=0, vmax=1, cmap="Greys")
        axes.set_title(f"dependence, {title}", fontsize=7)
        axes.set_xticks([])
        axes.set_yticks([])
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def _marginal(axes: Any, table: Table, place: int, sides: list[tuple[Floats, str]]) -> None:
    """Draw the shares of a column's levels, or of bins between its ends."""
    column = table.encoded[place]
    if column.levels:
        order = sorted(range(len(column.levels)), key=lambda level: -column.counts[level])[:MOST_LEVELS]
        if column.kind not in ("categorical", "boolean"):
            order.sort()
        for number, (side, colour) in enumerate(sides):
            shares = [(side[:, place] == level).mean() for level in order]
            axes.bar(np.arange(len(order)) + 0.4 * number, shares, 0.4, color=colour)
        names = ["none" if column.levels[level] is None else _plain(str(column.levels[level]), 8) for level in order]
        axes.set_xticks(np.arange(len(order)) + 0.2 * (len(sides) - 1), names, rotation=60, fontsize=5)
    else:
        edges = np.linspace(column.low, column.high, BINS + 1) if column.high > column.low else np.array([0.0, 1.0])
        for side, colour in sides:
            known = side[~np.isnan(side[:, place]), place]
            weights = np.full(len(known), 1 / max(1, len(side)))
            axes.hist(known, edges, weights=weights, color=colour, histtype="step" if colour == _FAKE else "stepfilled")
        axes.tick_params(axis="x", labelsize=5)
        axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="y", labelsize=5)
    axes.set_title(_plain(column.name, 24), fontsize=7)


def _plain(text: str, longest: int) -> str:
    """Return a text without characters that matplotlib takes for formulas or its font lacks."""
    kept = "".join(c if 32 <= ord(c) < 127 and c != "$" else "?" for c in text)
    return kept if len(kept) <= longest else kept[: longest - 2] + ".."


def _dependence(table: Table, values: Floats) -> Floats:
    """Return the strength of dependence of all pairs of columns, (E, E) from 0 to 1."""
    places = range(min(len(table.encoded), 40))
    levels = [values[:, p] if table.encoded[p].levels else binned(values[:, p]) for p in places]
    made = np.eye(len(places))
    for a, b in combinations(places, 2):
        if table.encoded[a].levels or table.encoded[b].levels:
            found = cramers_v(np.stack([levels[a], levels[b]], 1))
        else:
            found = abs(correlation_of(values[:, [a, b]]))
        made[a, b] = made[b, a] = 0.0 if found != found else found
    return made


def _pixels(values: Floats) -> Tensor:
    some = np.nan_to_num(values[:64])
    low, high = some.min(0), some.max(0)
    grey = ((some - low) / np.where(high > low, high - low, 1) * 255).astype(np.uint8)
    return torch.from_numpy(grey)[None].expand(3, -1, -1).contiguous()

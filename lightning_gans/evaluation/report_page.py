"""Write a report on runs as one static HTML page: scores, curves, sample grids and score cards."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path

from lightning_gans.evaluation.score_history import ScoredRun
from lightning_gans.runtime.atomic import write_text

PAGE_HEADS = ("<!doctype html>\n<!-- lightning_gans report -->",)  # how the page begins
_LARGEST = 20 * 2**20  # bytes of a picture that is embedded
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # nothing is loaded and no script is run
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid #ccc; padding: .3rem .7rem; text-align: left; white-space: nowrap }
img { max-width: 100%; image-rendering: pixelated }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; max-width: 30rem }
pre { background: #f4f4f4; padding: .7rem; overflow-x: auto }
"""


def write_page(runs: Sequence[ScoredRun], table: str, path: Path, curves: Sequence[Path] = ()) -> Path:
    """Write one page that opens from a file, with its pictures in it; text from runs is escaped.

    Args:
        runs: Runs to show.
        table: Their comparison, from ``compare``.
        path: Of the page.
        curves: Figures to embed, PNG.

    Returns:
        The path.
    """
    grids = [(run.name, grid) for run in runs if (grid := newest_grid(run)) is not None]
    parts = [
        *PAGE_HEADS,
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{len(runs)} runs</title><style>{_STYLE}</style></head><body>",
        "<h1>Scores</h1>",
        _as_html(table),
        *(["<h2>Curves</h2>"] if curves else []),
        *(_picture(curve, "scores against training") for curve in curves),
        *(["<h2>Newest sample grids</h2>"] if grids else []),
        *(_picture(grid, f"{name}, {grid.stem}") for name, grid in grids),
        "<h2>Score cards</h2>",
        *(_cards(run) for run in runs),
        "</body></html>",
    ]
    return write_text(path, "\n".join(parts) + "\n")


def newest_grid(run: ScoredRun) -> Path | None:
    """Return the sample grid of a run's last step, ``None`` without any that is small enough to embed."""
    grids = [path for path in sorted(run.folder.glob("samples/step-*.png")) if path.is_file()]
    return next((path for path in reversed(grids) if path.stat().st_size <= _LARGEST), None)


def _as_html(table: str) -> str:
    """Convert a Markdown table, and the lines below it, whose cells are plain text."""
    lines = [line for line in table.splitlines() if line]
    rows = [[html.escape(cell.strip()) for cell in line[1:-1].split(" | ")] for line in lines if line[:1] == "|"]
    head, _, *body = rows
    made = "".join(f"<th>{cell}</th>" for cell in head)
    made += "".join("</tr>\n<tr>" + "".join(f"<td>{cell}</td>" for cell in row) for row in body)
    notes = "".join(f"<p>{html.escape(line)}</p>" for line in lines if line[:1] != "|")
    return f"<table><tr>{made}</tr></table>{notes}"


def _picture(path: Path, caption: str) -> str:
    data, text = base64.b64encode(path.read_bytes()).decode(), html.escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def _cards(run: ScoredRun) -> str:
    card = html.escape(json.dumps(run.cards[-1], indent=2))
    steps = ", ".join(f"{card['step']:,}" for card in run.cards)
    name, about = html.escape(run.name), html.escape(f"{run.model} on {run.data}, scored at updates {steps}")
    return f"<details><summary>{name}: {about}; the last card</summary><pre>{card}</pre></details>"

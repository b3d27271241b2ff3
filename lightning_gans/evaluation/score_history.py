"""Score history of runs, read from the score cards in their folders."""

from __future__ import annotations

import csv
import glob
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_gans.images.files import MARK
from lightning_gans.metrics.base import find_score, is_qualifier
from lightning_gans.metrics.library import package_metrics
from lightning_gans.runtime.atomic import atomic_write, write_text

# What two scores of one key must share to be comparable.
CONDITIONS = (
    *("n", "n_real", "seed", "weights", "resize", "precision", "content", "split", "kernel_subset_size"),
    *("translated", "translated_content", "direction"),
)
ABOUT = ("run", "model", "data")  # the first columns of tables
HEADS = ("| " + " | ".join(ABOUT), ",".join(ABOUT))  # how the Markdown and the CSV begin


@dataclass
class ScoredRun:
    """Run with its score cards, in the order of their generator updates.

    Attributes:
        name: Its name in tables.
        folder: Its folder.
        cards: Content of ``scores/step-*.json``.
        model: Class of the family.
        data: Class of the image set.
    """

    name: str
    folder: Path
    cards: list[dict[str, Any]]
    model: str
    data: str

    @property
    def keys(self) -> list[str]:
        """Return the keys of all scores in the cards, without those that qualify others."""
        return [
            key for key in dict.fromkeys(key for card in self.cards for key in card["scores"]) if not is_qualifier(key)
        ]

    def best(self, key: str) -> dict[str, Any] | None:
        """Return the card with the best value of a score, NaN being none; ``None`` without any."""
        cards = [card for card in self.cards if isinstance(card["scores"].get(key), int | float)]
        cards = [card for card in cards if not math.isnan(card["scores"][key])]
        sign = -1 if _is_higher_better(key, self.cards) else 1
        return min(cards, key=lambda card: sign * card["scores"][key], default=None)


def find_runs(paths: Sequence[str]) -> list[ScoredRun]:
    """Find the runs in folders: each is one, or holds some; ``*`` and ``**`` match any names.

    Raises:
        FileNotFoundError: A folder without any scores in it.
        ValueError: A card that cannot be read.
    """
    folders: dict[Path, None] = {}
    for path in paths:
        found = sorted(glob.glob(os.path.expanduser(path), recursive=True)) or [path]
        cards = {card for root in found for card in Path(root).glob("**/scores/step-*.json")}
        if not cards:
            raise FileNotFoundError(f"run={path}: no scores there; give the folder of a run with scores/step-*.json")
        folders.update(dict.fromkeys(sorted(card.parent.parent for card in cards)))
    common = Path(os.path.commonpath([folder.resolve().parent for folder in folders]))
    names = [str(folder.resolve().relative_to(common)) for folder in folders]
    readable = [name.encode(errors="replace").decode() for name in names]  # of bytes that are no UTF-8
    return [_read(folder, name) for folder, name in zip(folders, readable, strict=True)]


def _read(folder: Path, name: str) -> ScoredRun:
    cards = []
    for path in sorted((folder / "scores").glob("step-*.json")):
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            cards.append({**card, "scores": dict(card["scores"]), "step": int(card["step"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a score card ({error})") from error
    config = folder / "config.yaml"
    nodes: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8")) if config.is_file() else {}
    model, data = (str(nodes.get(key, {}).get("_target_", "?")).rpartition(".")[2] for key in ("model", "data"))
    return ScoredRun(name, folder, sorted(cards, key=lambda card: card["step"]), model, data)


def compare(runs: Sequence[ScoredRun]) -> str:
    """Return a Markdown table of the runs, last and best value of every score, and what hinders a comparison."""
    keys = list(dict.fromkeys(key for run in runs for key in run.keys))
    head = [*ABOUT, "updates", "kimg", "hours", *(f"{key} {_arrow(key, runs)}" for key in keys)]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for run in runs:
        last = run.cards[-1]
        row = [run.name, run.model, run.data, f"{last['step']:,}", _kimg(last), _hours(last)]
        for key in keys:
            best = run.best(key)
            newest = next((card for card in reversed(run.cards) if key in card["scores"]), None)
            if newest is None:
                row.append("")
            else:
                text = f"{newest['scores'][key]:.4g}"
                if f"{key}_real" in newest["scores"]:
                    text += f" (real {newest['scores'][f'{key}_real']:.4g})"
                elif best is not None and best is not newest:
                    text += f" (best {best['scores'][key]:.4g} at {best['step']:,})"
                row.append(text)
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, *_differences(runs)])


def _is_higher_better(key: str, cards: Sequence[dict[str, Any]]) -> bool | None:
    """Return whether more of a score is better; ``None``: neither way. Cards have it of scores of other packages."""
    for card in cards:
        if key in card.get("higher_is_better", {}):
            return bool(card["higher_is_better"][key])
    metric, score = find_score(key, package_metrics()) or (None, "")
    if metric is not None and metric.higher_is_better is None:
        return None
    return metric is not None and metric.is_higher_better(score)


def _arrow(key: str, runs: Sequence[ScoredRun]) -> str:
    return {True: "↑", False: "↓", None: ""}[_is_higher_better(key, [card for run in runs for card in run.cards])]


def _kimg(card: dict[str, Any]) -> str:
    return f"{card.get('images_seen', 0) / 1000:,.1f}"


def _hours(card: dict[str, Any]) -> str:
    return f"{card['train_seconds'] / 3600:.2f}" if "train_seconds" in card else ""


def _differences(runs: Sequence[ScoredRun]) -> list[str]:
    """Return a line for every condition that differs between cards."""
    lines = []
    for condition in CONDITIONS:
        found: dict[str, list[str]] = {}
        for run in runs:
            for value in dict.fromkeys(str(card.get(condition)) for card in run.cards):
                found.setdefault(value, []).append(run.name)
        if len(found) > 1:
            told = "; ".join(f"{value} ({', '.join(names[:3])})" for value, names in list(found.items())[:4])
            lines.append(f"\nNot comparable as they stand: `{condition}` differs: {told}.")
    return lines


def write_csv(runs: Sequence[ScoredRun], path: Path) -> Path:
    """Write every card of every run as a row."""
    keys = list(dict.fromkeys(key for run in runs for card in run.cards for key in card["scores"]))
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*ABOUT, "updates", "images", "seconds", "n", "n_real", *keys])
        for run in runs:
            for card in run.cards:
                about = [card["step"], card.get("images_seen"), card.get("train_seconds"), card["n"], card["n_real"]]
                writer.writerow([run.name, run.model, run.data, *about, *(card["scores"].get(key) for key in keys)])
    return path


def draw(runs: Sequence[ScoredRun], path: Path, axis: str = "updates") -> list[Path]:
    """Draw a figure with one panel for each score and one line for each run; without matplotlib, say so.

    Args:
        runs: Runs to draw.
        path: Of the PNG.
        axis: ``updates``, ``kimg`` or ``seconds``.

    Returns:
        The files written.
    """
    keys = list(dict.fromkeys(key for run in runs for key in run.keys))
    columns = min(3, len(keys))
    rows = -(-len(keys) // columns)
    figure = new_figure(4.6 * columns, 3.2 * rows + 0.3 * len(runs))
    if figure is None:
        return []
    label = {"updates": "generator updates", "kimg": "thousands of real images", "seconds": "seconds of training"}[axis]
    for place, key in enumerate(keys, 1):
        panel = figure.add_subplot(rows, columns, place)
        for run in runs:
            cards = [card for card in run.cards if key in card["scores"]]
            where, values = [_at(card, axis) for card in cards], [card["scores"][key] for card in cards]
            (line,) = panel.plot(where, values, marker="o", markersize=3, label=run.name)
            pairs = list(zip(cards, values, strict=True))
            ends = (f"{key}_low", f"{key}_high")
            low, high = ([card["scores"].get(end, value) for card, value in pairs] for end in ends)
            if low != high:
                panel.fill_between(where, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        panel.set_title(f"{key} {_arrow(key, runs)}")
        panel.set_xlabel(label)
        values = [card["scores"][key] for run in runs for card in run.cards if key in card["scores"]]
        if 0 < 10 * min(values) < max(values):
            panel.set_yscale("log")
        panel.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=1)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png", metadata={MARK: "overview"})
    return [path]


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of matplotlib, in inches; ``None``, and say so, where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print('no picture: it needs matplotlib; pip install "lightning_gans[report]"', file=sys.stderr)
        return None
    return Figure(figsize=(width, height), layout="constrained")


def _at(card: dict[str, Any], axis: str) -> float:
    seen = {"updates": card["step"], "kimg": card.get("images_seen", 0) / 1000, "seconds": card.get("train_seconds", 0)}
    return float(seen[axis])


def caveat(card: dict[str, Any]) -> str:
    """Return a warning about a card's scores in one sentence, "" without one."""
    if card.get("inception_score_splits") != card["n"]:
        return ""
    return (
        f"the inception score of {card['n']} images means nothing: it is split in {card['n']}, and a split of one "
        "image scores 1 whatever it shows"
    )


CARD_HEADS = ('{\n  "scores": {',)  # how a card's file begins


def write_card(card: dict[str, Any], path: Path) -> Path:
    """Write a score card as JSON, atomically."""
    return write_text(path, json.dumps(card, indent=2) + "\n")

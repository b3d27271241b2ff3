"""Compare families over the trials of a study, such as those of ``sweep=lucic``."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lightning_gans.evaluation.score_history import ScoredRun, new_figure
from lightning_gans.images.files import MARK
from lightning_gans.runtime.atomic import atomic_write


class Study(NamedTuple):
    """Hold the trials of every family.

    Attributes:
        key: The score, lower being better.
        scores: Best score of each scored trial, by family, in the order of the trials.
        failed: Trials without a score, by family.
    """

    key: str
    scores: dict[str, list[float]]
    failed: dict[str, int]


def find_study(runs: Sequence[ScoredRun], roots: Sequence[str]) -> Study | None:
    """Return the study that runs are trials of; ``None``: fewer than two of them are.

    Args:
        runs: Scored runs.
        roots: Folders in which unscored trials are counted as failed.
    """
    trials = {run.folder: run for run in runs if _trial_of(run.folder)}
    if len(trials) < 2:
        return None
    key = next(iter(trials.values())).keys[0]
    folders = {path.parent for root in roots for path in Path(root).expanduser().glob("**/config.yaml")} | trials.keys()
    ordered = sorted((trial, folder) for folder in folders if (trial := _trial_of(folder)))
    scores: dict[str, list[float]] = {family: [] for (family, _), _ in ordered}
    failed = dict.fromkeys(scores, 0)
    for (family, _), folder in ordered:
        best = trials[folder].best(key) if folder in trials else None
        if best is None:
            failed[family] += 1
        else:
            scores[family].append(float(best["scores"][key]))
    return Study(key, scores, failed)


def expected_best(scores: Sequence[float], budget: int) -> float:
    """Return the expected lowest of ``budget`` scores drawn without replacement, 1 <= budget <= len(scores).

    The i-th lowest of n is the lowest of k with probability C(n - i, k - 1) / C(n, k).
    """
    n = len(scores)
    shares = [math.comb(n - i, budget - 1) / math.comb(n, budget) for i in range(1, n + 1)]
    return sum(share * score for share, score in zip(shares, sorted(scores), strict=True))


def compare_families(study: Study) -> str:
    """Return a Markdown table of the families, the one with the lowest score first."""
    head = ("family", "trials", "failed", f"best {study.key}", "mean ± std", "median", "expected best of half")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for family, scores in sorted(study.scores.items(), key=lambda item: min(item[1], default=math.inf)):
        row = [family, str(len(scores) + study.failed[family]), str(study.failed[family])]
        if scores:
            spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
            half = expected_best(scores, max(1, len(scores) // 2))
            row += [f"{min(scores):.4g}", f"{statistics.mean(scores):.4g} ± {spread:.3g}"]
            row += [f"{statistics.median(scores):.4g}", f"{half:.4g}"]
        lines.append(f"| {' | '.join([*row, *[''] * (len(head) - len(row))])} |")
    return "\n".join(lines)


def draw_study(study: Study, path: Path) -> list[Path]:
    """Draw box plots of each family's trials and the expected best of a budget; without matplotlib, say so.

    Args:
        study: The study.
        path: Of the PNG.

    Returns:
        The files written.
    """
    shown = {family: scores for family, scores in study.scores.items() if scores}
    figure = new_figure(10, 3.6)
    if figure is None:
        return []
    boxes, curves = figure.subplots(1, 2)
    boxes.boxplot(list(shown.values()), tick_labels=list(shown))
    boxes.tick_params(axis="x", rotation=45)
    boxes.set_title("trials")
    for family, scores in shown.items():
        budgets = range(1, len(scores) + 1)
        curves.plot(budgets, [expected_best(scores, budget) for budget in budgets], marker="o", ms=3, label=family)
    curves.set_title("expected best of a budget")
    curves.set_xlabel("trials")
    curves.legend(fontsize="small")
    for panel in (boxes, curves):
        panel.set_ylabel(study.key)
        panel.set_yscale("log")
        panel.grid(alpha=0.3)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png", metadata={MARK: "overview"})
    return [path]


def _trial_of(folder: Path) -> tuple[str, int] | None:
    """Return the family and the number of a trial; ``None``: the run is none."""
    path = folder / "config.yaml"
    nodes: Any = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    study = nodes.get("study") if isinstance(nodes, dict) else None
    return (str(study["family"]), int(study["trial"])) if isinstance(study, dict) else None

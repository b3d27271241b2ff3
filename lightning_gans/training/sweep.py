"""Run the jobs of a sweep: a failed one does not end the others, each leaves a record, and a table sums them up.

Nothing here imports torch. A job may run in another process (joblib, submitit), so what is known of it stands in
``job.json`` in its folder.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from lightning_gans.config import claims, command, explain
from lightning_gans.config.overrides import job_arguments
from lightning_gans.runtime.atomic import write_text

RECORD = "job.json"


def is_multirun() -> bool:
    """Return whether this is a job of a multirun."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def name() -> str | None:
    """Return the name of this job's sweep, its folder's; ``None`` outside a multirun."""
    return Path(HydraConfig.get().sweep.dir).name if is_multirun() else None


def job(function: Callable[[DictConfig], float | None]) -> Callable[[DictConfig], float | None]:
    """Let a command be a job of a sweep; it returns a score, lower being better.

    In a multirun its outcome is written to ``job.json``, and a failure is printed and does not end the other jobs; a
    search such as Optuna's gets it as an error. Outside a multirun this is ``handle_errors``.
    """

    @functools.wraps(function)
    def recorded(cfg: DictConfig) -> float | None:
        if not is_multirun():
            return command.handle_errors(function)(cfg)  # type: ignore[no-any-return]
        hydra = HydraConfig.get()
        overrides = job_arguments()
        print(f"job {hydra.job.num}: {' '.join(overrides)}", file=sys.stderr)
        score, error = None, None
        try:
            score = function(cfg)
            if score is None and _is_search(hydra.sweeper._target_):
                raise ValueError("no score to search by; callbacks.evaluation made none")
        except Exception as problem:
            message = explain.format_error(problem)
            if message is None or os.environ.get(command.TRACEBACK) == "1":
                traceback.print_exc()
            error = message or f"{type(problem).__name__}: {problem}"
            print(f"error in job {hydra.job.num}: {error}", file=sys.stderr)
        record = {"job": hydra.job.num, "overrides": overrides, "score": score, "error": error}
        if claims.is_first_process():
            write_text(Path(hydra.runtime.output_dir, RECORD), json.dumps(record, indent=2))
        if error and _is_search(hydra.sweeper._target_):
            raise ValueError(error)  # a plain one, since it may have to reach another process
        return score

    return recorded


def _is_search(sweeper: str) -> bool:
    """Return whether a sweeper, by its ``_target_``, chooses the next jobs by the scores of those before."""
    return not sweeper.endswith(".BasicSweeper")


class Summary(Callback):
    """End a multirun with a table (a callback of Hydra's); exit code 1 if a job failed."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse a search that would never see a score."""
        callbacks = config.callbacks or {}
        if _is_search(config.hydra.sweeper._target_) and not (
            callbacks.get("evaluation") and callbacks.get("checkpoint")
        ):
            choice = config.hydra.runtime.choices["hydra/sweeper"]
            print(
                f"error: hydra/sweeper={choice}: searches by the best score; it needs callbacks.evaluation and "
                "callbacks.checkpoint",
                file=sys.stderr,
            )
            raise SystemExit(1)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table."""
        folder = Path(config.hydra.sweep.dir)
        records = {path.parent: json.loads(path.read_text(encoding="utf-8")) for path in folder.rglob(RECORD)}
        print(table(folder, records))
        if any(record["error"] for record in records.values()):
            raise SystemExit(1)


def table(folder: Path, records: dict[Path, dict[str, Any]]) -> str:
    """Format each job's folder, best score and overrides, in the order of the jobs.

    Args:
        folder: The sweep's.
        records: Contents of ``job.json``, by the job's folder.
    """
    ordered = sorted(records.items(), key=lambda item: item[1]["job"])
    everywhere = set.intersection(*(set(record["overrides"]) for _, record in ordered)) if len(ordered) > 1 else set()
    rows = [("job", "best score", "overrides")]
    for path, record in ordered:
        score = "failed" if record["error"] else "none" if record["score"] is None else f"{record['score']:.4g}"
        rows.append((str(path), score, " ".join(o for o in record["overrides"] if o not in everywhere)))
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    lines = [f"  {path:<{widths[0]}}  {score:<{widths[1]}}  {varied}".rstrip() for path, score, varied in rows]
    failed = [f"  {path.name} failed: {record['error']}" for path, record in ordered if record["error"]]
    scored = [(record["score"], path) for path, record in ordered if record["score"] is not None]
    best = [f"  lowest: {min(scored)[1]}"] if scored else []
    return "\n".join([f"sweep of {len(ordered)} jobs in {folder}", *lines, *failed, *best])

"""Write losses and scores as CSV; a resumed run continues its file."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from lightning_gans.runtime.atomic import atomic_write, set_aside
from lightning_gans.runtime.tolerance import warn_on_os_error


class CSV(CSVLogger):
    """Write losses and scores to ``metrics.csv`` in the run's folder; a resumed run continues the file.

    Args:
        save_dir: The run's folder.
    """

    def __init__(self, *, save_dir: str) -> None:
        super().__init__(save_dir, name="", version="", flush_logs_every_n_steps=1)

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """Return the writer of the file."""
        if not isinstance(self._experiment, _ContinuingWriter):
            self._experiment = _ContinuingWriter(self.log_dir)
        return self._experiment

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Delete the rows of steps after the one that a session resumes from."""
        self.experiment.rewind(step)


class _ContinuingWriter(ExperimentWriter):
    """Append to the file of an earlier session, whose rows of later steps are dropped."""

    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        self.path = Path(self.metrics_file_path)
        self._rows_before = os.path.lexists(self.path)
        self._resumed_at: int | None = None

    def _check_log_dir_exists(self) -> None:
        """Skip the base's check, which deletes an existing file."""

    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        """Record a row; it replaces an older one of the same step and keys, and all of later steps."""
        if self._rows_before and step is not None:
            self._cut(step, metrics_dict)
            self._rows_before = self._resumed_at is not None and step <= self._resumed_at
        super().log_metrics(metrics_dict, step)

    def rewind(self, step: int) -> None:
        """Delete the rows of steps after the one that a session resumes from."""
        self._resumed_at, self._rows_before = step, os.path.lexists(self.path)
        if self._rows_before:
            self._cut(step)

    def save(self) -> None:
        """Append the waiting rows, all or none; on a full disk warn and keep them for the next call."""
        if not self.metrics:
            return
        with warn_on_os_error(self.path):
            is_there = self.path.is_file()
            if self._record_new_keys() or not is_there:
                self._write(self._read() if is_there else [])
            size = self.path.stat().st_size
            try:
                with self.path.open("a", newline="", encoding="utf-8") as file:
                    csv.DictWriter(file, fieldnames=self.metrics_keys).writerows(self.metrics)
            except OSError:
                os.truncate(self.path, size)  # half a row would spoil the next one
                raise
            self.metrics = []

    def _cut(self, step: int, replaced: Iterable[str] = ()) -> None:
        """Keep the rows of earlier steps, and those of ``step`` without a value in the columns ``replaced``."""
        if not os.path.lexists(self.path):
            return
        with warn_on_os_error(self.path):
            try:
                rows = self._read()
                steps = [float(row["step"]) for row in rows]
            except (OSError, csv.Error, KeyError, ValueError, TypeError):
                set_aside(self.path, "not the metrics of a run")
                return
            pairs = list(zip(steps, rows, strict=True))
            self._write([row for at, row in pairs if at < step or (at == step and not any(map(row.get, replaced)))])

    def _read(self) -> list[dict[str, str]]:
        """Read the complete rows: a killed process may have cut the last one short."""
        with self.path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = [row for row in reader if None not in row.values()]
        if "step" not in (reader.fieldnames or []):
            raise ValueError(f"{self.path}: has no column of steps")
        self.metrics_keys = sorted({*self.metrics_keys, *(reader.fieldnames or [])})
        return rows

    def _write(self, rows: list[dict[str, str]]) -> None:
        with atomic_write(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=self.metrics_keys, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)

"""Loggers that know where a run lives and go on where it stopped."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from lightning_gans.atomic import set_aside, write_text, written_whole
from lightning_gans.callbacks.tolerance import unless_the_disk_fails


class CSV(CSVLogger):
    """``metrics.csv`` in the run's folder; a resumed run continues the file.

    Args:
        save_dir: The run's folder.
    """

    def __init__(self, *, save_dir: str) -> None:
        super().__init__(save_dir, name="", version="", flush_logs_every_n_steps=1)

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer of the file."""
        if not isinstance(self._experiment, _ContinuingWriter):
            self._experiment = _ContinuingWriter(self.log_dir)
        return self._experiment

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Drop the rows of later steps than the one that a session begins with."""
        self.experiment.rewind(step)


class _ContinuingWriter(ExperimentWriter):
    """Goes on with the file of an earlier session, of which it keeps the rows that lie before its own."""

    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        self.path = Path(self.metrics_file_path)
        self._rows_before = os.path.lexists(self.path)
        self._resumed_at: int | None = None

    def _check_log_dir_exists(self) -> None:
        """Nothing is deleted here."""

    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        """Record a row; it takes the place of an older one of its step and keys, and of all of later steps."""
        if self._rows_before and step is not None:
            self._cut(step, metrics_dict)
            self._rows_before = self._resumed_at is not None and step <= self._resumed_at
        super().log_metrics(metrics_dict, step)

    def rewind(self, step: int) -> None:
        """Drop the rows of later steps than the one that a session begins with."""
        self._resumed_at, self._rows_before = step, os.path.lexists(self.path)
        if self._rows_before:
            self._cut(step)

    def save(self) -> None:
        """Append the rows, whole or not at all; a full disk does not end the training, and they are kept for later."""
        if not self.metrics:
            return
        with unless_the_disk_fails(self.path):
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
        """Keep the rows of earlier steps, and those of this one that have no value of the names in ``replaced``."""
        if not os.path.lexists(self.path):
            return
        with unless_the_disk_fails(self.path):
            try:
                rows = self._read()
                steps = [float(row["step"]) for row in rows]
            except (OSError, csv.Error, KeyError, ValueError, TypeError):
                set_aside(self.path, "not the metrics of a run")
                return
            pairs = list(zip(steps, rows, strict=True))
            self._write([row for at, row in pairs if at < step or (at == step and not any(map(row.get, replaced)))])

    def _read(self) -> list[dict[str, str]]:
        """Read the rows that are whole: a kill may have cut the last one short."""
        with self.path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = [row for row in reader if None not in row.values()]
        if "step" not in (reader.fieldnames or []):
            raise ValueError(f"{self.path}: has no column of steps")
        self.metrics_keys = sorted({*self.metrics_keys, *(reader.fieldnames or [])})
        return rows

    def _write(self, rows: list[dict[str, str]]) -> None:
        with written_whole(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=self.metrics_keys, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)


class TensorBoard(TensorBoardLogger):
    """TensorBoard event files in the run's folder.

    Args:
        save_dir: The run's folder.
    """

    def __init__(self, *, save_dir: str) -> None:
        super().__init__(save_dir, name="", version="tensorboard")


class WandB(WandbLogger):
    """Weights & Biases; a resumed run continues its curves under the same id.

    Everything is drawn over generator updates (``trainer/global_step``). All files go under ``wandb`` in the run's
    folder, the service's own log too unless ``WANDB_CACHE_DIR`` is set.

    Args:
        save_dir: The run's folder; keeps the id in ``wandb_id.txt``.
        project: Project on the dashboard.
        name: Name of the run; ``None``: the folder's name.
        group: Group of runs; ``None``: in a multirun the name of the sweep's folder.
        mode: ``online``, ``offline`` or ``disabled``.

    Raises:
        ValueError: Another mode; or, when the run is opened, no login or no connection.
    """

    def __init__(
        self,
        *,
        save_dir: str,
        project: str = "lightning_gans",
        name: str | None = None,
        group: str | None = None,
        mode: str = "online",
    ) -> None:
        if mode not in ("online", "offline", "disabled"):
            raise ValueError(f"logger.wandb.mode={mode}: must be online, offline or disabled")
        self.mode = mode
        kept = Path(save_dir, "wandb_id.txt")
        run_id = _kept_id(kept) if kept.is_file() else None
        super().__init__(
            name=name or Path(save_dir).name,
            save_dir=save_dir,
            project=project,
            group=group,
            mode=mode,
            id=run_id,
            resume="allow",
        )
        self._wandb_init.pop("anonymous", None)  # which Lightning passes on and W&B warns of

    @property
    @rank_zero_experiment
    def experiment(self) -> object:
        """The W&B run; its id is written down for a later session."""
        import wandb

        try:
            with _cache_in(Path(self.save_dir or ".", "wandb", "cache")):
                run = super().experiment
        except wandb.errors.Error as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"logger.wandb.mode={self.mode}: {reason} (or say logger.wandb.mode=offline and upload later by "
                "`wandb sync`)"
            ) from error
        kept = Path(self.save_dir or ".", "wandb_id.txt")
        if not kept.is_file() and self.mode != "disabled":
            write_text(kept, str(run.id))
            self._wandb_init["id"] = run.id  # of a second session of this process too
        return run


def _kept_id(path: Path) -> str | None:
    """The id of an earlier session; a file that holds none is set aside."""
    found = re.fullmatch(rb"[\w-]{1,128}", path.read_bytes().strip())
    if found is None:
        set_aside(path, "not the id of a W&B run")
    return found[0].decode() if found else None


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """Let the service that W&B starts write its log here and not under the home, unless the user says where."""
    if "WANDB_CACHE_DIR" in os.environ:
        yield
        return
    os.environ["WANDB_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        del os.environ["WANDB_CACHE_DIR"]


def log_config(logger: Logger, cfg: DictConfig) -> None:
    """Store a run's resolved config with its curves.

    Args:
        logger: W&B keeps it as the run's config, TensorBoard shows it as text; others are passed over.
        cfg: The config as it was built.
    """
    if isinstance(logger, WandbLogger):
        logger.experiment.config.update(_as_utf8(OmegaConf.to_container(cfg, resolve=True)), allow_val_change=True)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_text("config", f"```yaml\n{OmegaConf.to_yaml(cfg, resolve=True)}```")


def _as_utf8(node: Any) -> Any:
    """Replace what is no UTF-8 in a container's texts: bytes of file names that Python keeps as surrogates."""
    if isinstance(node, dict):
        return {key: _as_utf8(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_as_utf8(value) for value in node]
    return node.encode(errors="replace").decode() if isinstance(node, str) else node


def log_image(logger: Logger, name: str, image: Tensor, step: int) -> None:
    """Show an image on whatever dashboard the logger has.

    Args:
        logger: Any; those without pictures are passed over.
        name: Where it stands on the dashboard.
        image: (C, H, W) uint8.
        step: Generator updates.
    """
    if isinstance(logger, WandbLogger):
        from PIL import Image

        pixels = np.asarray(image.permute(1, 2, 0)).squeeze()
        logger.log_image(name, [Image.fromarray(pixels)], step=step)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(name, torch.as_tensor(image), step)

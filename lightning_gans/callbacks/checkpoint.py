"""Save checkpoints at intervals, at the end, for the best score and before a signal ends the training."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lightning_gans.callbacks.stability import DivergedError, StabilityGuard
from lightning_gans.checkpoints.files import BEST, FOLDER, GOOD, LAST, last_good, read
from lightning_gans.config.claims import refuse_taken
from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.runtime.atomic import atomic_write, set_aside
from lightning_gans.runtime.distributed import max_over_processes
from lightning_gans.runtime.tolerance import warn_on_os_error


class Checkpoint(Callback):
    """Save checkpoints: ``step-000300.ckpt`` files, the newest also as ``last.ckpt``, the best scored as ``best.ckpt``.

    The ends of the phases of a module's ``schedule`` are saved as well and never deleted. While weights or
    updates are close to the limits of ``StabilityGuard``, the newest checkpoint from before is kept as ``good.ckpt``.

    Ctrl-C and SIGTERM let the step finish, save and end the training; a second one ends it at once. Files lie under
    ``checkpoints`` in the run's folder and are written atomically, by process 0. Lightning runs its own kind of
    checkpoint callback last; this one runs before grids and scores, so that none of them can cost a step.

    Args:
        every_n_train_steps: Generator updates between saves.
        keep: Newest step files to keep; ``None``: all.
        monitor: Score that picks the best, e.g. ``kd_digits``; ``None``: the Frechet distance, or what
            ``lightning_gans.metrics.base.best_by`` chooses where there is none.

    Attributes:
        interrupted_by: The signal that ended the training, once all processes know of it.

    Raises:
        ValueError: A value out of range, or too little free disk at the start.
        OSError: The last save failed.
        DivergedError: A value to be saved is not finite.
    """

    AGREE_EVERY = 8  # steps between the looks of several processes at each other's signals

    @checked
    def __init__(
        self, *, every_n_train_steps: PositiveInt = 1000, keep: PositiveInt | None = 2, monitor: str | None = None
    ) -> None:
        self.every_n_train_steps, self.keep, self.monitor = every_n_train_steps, keep, monitor
        self.best: float | None = None
        self.interrupted_by: int | None = None
        self._signal: int | None = None  # what this process has heard
        self._saved_at: int | None = None
        self._processes = 1
        self._handlers: dict[int, Any] = {}

    @staticmethod
    def of(trainer: Trainer) -> Checkpoint | None:
        """Return the trainer's callback of this kind."""
        found = [callback for callback in trainer.callbacks if isinstance(callback, Checkpoint)]  # type: ignore[attr-defined]
        return found[0] if found else None

    # ------------------------------------------------------------------------------ Lightning's hooks

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the disk, read the best score so far and listen for signals."""
        self.interrupted_by = self._signal = None
        self._saved_at, self._processes = trainer.global_step, trainer.world_size
        _raise_on_all(trainer, ValueError, self._taken(trainer) if trainer.is_global_zero else None)
        self._check_disk(trainer, pl_module)
        self.best = trainer.strategy.broadcast(
            _best_score(self.folder(trainer) / BEST) if trainer.is_global_zero else None
        )
        if trainer.is_global_zero:
            for left_over in self.folder(trainer).glob("*.ckpt.*.tmp"):
                left_over.unlink()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._on_signal)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save where the interval, the end of a phase or a signal asks for it."""
        step = trainer.global_step
        if step % self.every_n_train_steps == 0 or step in pl_module.schedule.ends:
            self.save(trainer, pl_module)
        if self._must_stop(trainer, step):
            self.save(trainer, pl_module, final=True)
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what came after the last interval."""
        self.save(trainer, pl_module, final=True)
        self._give_signals_back()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save nothing: the step is not whole."""
        self._give_signals_back()

    def state_dict(self) -> dict[str, Any]:
        """Return the best score so far, and how many processes train."""
        return {"best": self.best, "processes": self._processes}

    # ------------------------------------------------------------------------------ saving

    def save(self, trainer: Trainer, pl_module: Any, *, final: bool = False) -> None:
        """Write this step's checkpoint, once; on all processes.

        Args:
            trainer: The trainer.
            pl_module: The module.
            final: Whether a failure is an error, since there will be no other try.
        """
        step = trainer.global_step
        if self._saved_at == step or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        name = f"step-{step:06d}.ckpt"
        guard = StabilityGuard.of(trainer)
        good = guard is None or guard.accept(trainer)
        if not self._write(trainer, pl_module, name, final):
            return
        self._saved_at = step
        if trainer.is_global_zero:
            folder = self.folder(trainer)
            with warn_on_os_error(folder / LAST):
                _keep_good(folder, trainer.ckpt_path, newest_is_good=good)
                _alias(folder / name, folder / LAST)
                kept = sorted((number, path) for path in folder.iterdir() if 0 < (number := _step_of(path)) <= step)
                for number, old in kept[: -self.keep] if self.keep else []:
                    if number not in pl_module.schedule.ends:
                        old.unlink(missing_ok=True)

    def save_best(self, trainer: Trainer, pl_module: Any, score: float, *, higher_is_better: bool) -> None:
        """Write ``best.ckpt`` if a new score is better than all before, NaN never being; on all processes."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        score = -score if higher_is_better else score
        before = self.best
        if not math.isnan(score) and (before is None or score < before):
            self.best = score
            if guard := StabilityGuard.of(trainer):
                guard.look(trainer)
            if not self._write(trainer, pl_module, BEST, final=False):
                self.best = before

    def folder(self, trainer: Trainer) -> Path:
        """Return the folder of this run's checkpoints."""
        return Path(trainer.default_root_dir, FOLDER)

    def _write(self, trainer: Trainer, pl_module: Any, name: str, final: bool) -> bool:
        pl_module.prepare_sampling()
        path = self.folder(trainer) / name
        _raise_on_all(trainer, DivergedError, _not_finite(pl_module, trainer.global_step, self.folder(trainer)))
        writer: Any = trainer.strategy.checkpoint_io
        writer.deferring = True
        try:
            trainer.save_checkpoint(path)
        finally:
            writer.deferring = False
        failure = trainer.strategy.broadcast(repr(getattr(writer, "failure", None)))
        if failure == "None":
            return True
        message = f"could not save {path}: {failure}; earlier checkpoints are untouched"
        if final:
            raise OSError(message)
        rank_zero_warn(message + "; training goes on and tries again at the next interval")
        return False

    def _taken(self, trainer: Trainer) -> str | None:
        """Return what a new training would replace, for a Trainer of the caller's own, where no ``Run`` has checked."""
        if trainer.global_step or trainer.ckpt_path or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return None
        try:
            refuse_taken(Path(trainer.default_root_dir), (), key="default_root_dir")
        except ValueError as error:
            return str(error)
        return None

    def _check_disk(self, trainer: Trainer, pl_module: Any) -> None:
        folder = self.folder(trainer)
        folder.mkdir(parents=True, exist_ok=True)
        weights = sum(tensor.numel() * tensor.element_size() for tensor in _tensors(pl_module))
        last = trainer.max_steps if trainer.max_steps > 0 else float("inf")
        ends = sum(trainer.global_step < step <= last for step in pl_module.schedule.ends)  # whose files stay
        needed = 3 * weights * ((self.keep or 2) + 3 + ends)  # Adam keeps two values a weight; one more, best and good
        free = shutil.disk_usage(folder).free
        problem = (
            f"{folder}: {free / 2**20:.0f} MB of disk are free, checkpoints need about {needed / 2**20:.0f} MB; "
            "free some, keep fewer (callbacks.checkpoint.keep) or set hydra.run.dir"
        )
        _raise_on_all(trainer, ValueError, problem if free < needed else None)

    # ------------------------------------------------------------------------------ signals

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            raise KeyboardInterrupt
        self._signal = number
        with contextlib.suppress(OSError):  # closed or full
            os.write(2, b"\nstopping after this step; once more to stop at once\n")  # print is not safe in a handler

    def _must_stop(self, trainer: Trainer, step: int) -> bool:
        if trainer.world_size == 1:
            self.interrupted_by = self._signal
        elif step % self.AGREE_EVERY == 0:
            number = torch.tensor(self._signal or 0, device=trainer.strategy.root_device)
            max_over_processes(number)
            self.interrupted_by = int(number) or None
        return self.interrupted_by is not None

    def _give_signals_back(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


def _best_score(path: Path) -> float | None:
    """Return the score of ``best.ckpt``; a broken one is set aside, and the next score is the best."""
    if not os.path.lexists(path):
        return None
    try:
        score = _state_of(read(path)).get("best")
        return None if score is None or math.isnan(score) else float(score)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        with warn_on_os_error(path):
            set_aside(path, "not a checkpoint that can be read")
    return None


def _state_of(content: dict[str, Any]) -> dict[str, Any]:
    """Return this callback's state in a checkpoint."""
    states = content["callbacks"].items()
    return next((state for name, state in states if name.startswith("Checkpoint")), {})


def processes_of(content: dict[str, Any]) -> int | None:
    """Return how many processes trained a checkpoint; ``None`` if it does not say."""
    return _state_of(content).get("processes")


def _step_of(path: Path) -> int:
    """Return the step of a checkpoint by its name; 0 for any other file."""
    found = re.fullmatch(r"step-(\d+)\.ckpt", path.name)
    return int(found[1]) if found else 0


def _tensors(module: LightningModule) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _alias(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, atomically; a copy where the file system has no links."""
    with atomic_write(target, flushed=True) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def _keep_good(folder: Path, resumed: Any, *, newest_is_good: bool) -> None:
    """Keep ``last.ckpt``, or the checkpoint ``resumed``, as ``good.ckpt`` until a newer one is good again.

    So ``last.ckpt`` is good wherever there is no ``good.ckpt``, in a resumed run too.
    """
    if newest_is_good:
        (folder / GOOD).unlink(missing_ok=True)
    elif not (folder / GOOD).is_file():
        before = next((path for path in (folder / LAST, Path(resumed or "")) if path.is_file()), None)
        if before is not None:
            _alias(before, folder / GOOD)


def _not_finite(module: LightningModule, step: int, folder: Path) -> str | None:
    for name, tensor in module.state_dict().items():
        if isinstance(tensor, Tensor) and not torch.isfinite(tensor).all():
            return f"{name} is not finite after generator update {step}; nothing was saved; {last_good(folder)}"
    return None


def _raise_on_all(trainer: Trainer, kind: type[Exception], problem: str | None) -> None:
    """Raise process 0's problem on every process, so that none waits for another."""
    problem = trainer.strategy.broadcast(problem)
    if problem is not None:
        raise kind(problem)

"""Show the progress of a training in one line."""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from lightning_gans.config.types import PositiveInt, checked


class Progress(ProgressBar):
    """Show a bar over generator updates with the time left, images per second and both losses.

    Args:
        every_n_train_steps: Generator updates between refreshes; each reads the losses from the device.
    """

    @checked
    def __init__(self, *, every_n_train_steps: PositiveInt = 20) -> None:
        super().__init__()
        self.every_n_train_steps = every_n_train_steps
        self._bar: tqdm[Any] | None = None
        self._enabled = True
        self._since, self._images = 0.0, 0

    def disable(self) -> None:
        """Show nothing."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar again."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Open the bar where the training stands."""
        if self._enabled and trainer.is_global_zero:
            total = None if trainer.max_steps < 0 else trainer.max_steps
            self._bar = tqdm(
                desc="training",
                total=total,
                initial=trainer.global_step,
                unit="update",
                mininterval=0.5 if sys.stderr.isatty() else 10,
                dynamic_ncols=True,
            )
        self._since, self._images = time.perf_counter(), pl_module.images_seen

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Refresh at intervals."""
        if self._bar is None or trainer.global_step % self.every_n_train_steps:
            return
        now, images = time.perf_counter(), pl_module.images_seen
        speed = (images - self._images) / max(now - self._since, 1e-9)
        self._since, self._images = now, images
        losses = {
            f"{player}_loss": f"{sum(float(v) for name, v in pl_module.terms.items() if name.startswith(player)):.3f}"
            for player in "dg"
        }
        self._bar.set_postfix({"images/s": f"{speed:.0f}", **losses}, refresh=False)
        self._bar.update(trainer.global_step - self._bar.n)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Show the last state."""
        if self._bar is not None:
            self._bar.update(trainer.global_step - self._bar.n)
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Leave the line free for the message."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Clock(Callback):
    """Measure training speed for the summary.

    The median over windows between two logs, so that neither scores and grids nor the queue of a GPU count.
    """

    def __init__(self) -> None:
        self._speeds: list[float] = []

    @property
    def images_per_second(self) -> float | None:
        """Return real images per second over all processes; ``None`` before the first window."""
        return statistics.median(self._speeds) if self._speeds else None

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start the first window."""
        self._since, self._images, self._speeds = time.perf_counter(), pl_module.images_seen, []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End a window where the logs are written."""
        every = min(trainer.log_every_n_steps, max(1, trainer.max_steps // 4))  # type: ignore[attr-defined]
        if trainer.global_step % every == 0:
            now = time.perf_counter()
            self._speeds.append((pl_module.images_seen - self._images) / (now - self._since))
            self._since, self._images = now, pl_module.images_seen

"""Stops a training whose losses are no numbers any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from lightning_gans.checkpoint import FOLDER, last_good


class DivergedError(FloatingPointError):
    """A loss became NaN or infinite."""


class StabilityGuard(Callback):
    """Watches every loss term of every step on the device, and looks at the outcome at intervals.

    Args:
        every_n_train_steps: Generator updates between the looks.

    Raises:
        DivergedError: With the first bad step, its terms and the last good checkpoint.
    """

    def __init__(self, *, every_n_train_steps: int = 50) -> None:
        if every_n_train_steps < 1:
            raise ValueError(f"callbacks.stability.every_n_train_steps={every_n_train_steps}: must be >= 1")
        self.every_n_train_steps = every_n_train_steps
        self._first_bad: Tensor | None = None  # step number by term, 0: none
        self._names: list[str] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Note the first step at which a term is not finite; look every so often."""
        step = trainer.global_step
        bad = ~torch.isfinite(torch.stack(list(pl_module.terms.values())))
        if self._first_bad is None or self._names != list(pl_module.terms):
            self._names = list(pl_module.terms)
            self._first_bad = torch.zeros(len(bad), dtype=torch.long, device=bad.device)
        self._first_bad = torch.where(bad & (self._first_bad == 0), step, self._first_bad)
        if step % self.every_n_train_steps == 0:
            self.look(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Look once more."""
        self.look(trainer)

    def look(self, trainer: Trainer) -> None:
        """Raise if any term was bad; on all processes together."""
        if self._first_bad is None:
            return
        worst = self._first_bad.clone()
        if trainer.world_size > 1:
            torch.distributed.all_reduce(worst, op=torch.distributed.ReduceOp.MAX)
        steps = {name: step for name, step in zip(self._names, worst.tolist(), strict=True) if step}
        if steps:
            first = min(steps.values())
            terms = ", ".join(f"train/{name}" for name, step in steps.items() if step == first)
            good = last_good(Path(trainer.default_root_dir, FOLDER))
            raise DivergedError(
                f"{terms} not finite at generator update {first}; {good}. Lower the learning rates, set "
                "model.clip_grad or train in 32-true"
            )

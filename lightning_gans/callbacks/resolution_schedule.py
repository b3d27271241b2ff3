"""Grow networks progressively while a training goes on."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from lightning_gans.schedules.growth import Growth
from lightning_gans.schedules.learning_rate import scale_rates
from lightning_gans.schedules.training_schedule import TrainingSchedule


class GrowingModule(Protocol):
    """Declare what the callback asks of a module whose networks grow."""

    schedule: TrainingSchedule
    iteration: int

    def networks_at(self, step: int) -> None:
        """Bring all networks to the resolution and alpha of step number ``step``."""

    def player_optimizers(self) -> Mapping[str, LightningOptimizer]:
        """Return every player's optimiser."""

    def log_dict(self, dictionary: Mapping[str, Tensor]) -> None:
        """Log values, as ``LightningModule.log_dict``."""


class ResolutionSchedule(Growth, Callback):
    """Grow both players of a family through the phases of its schedule.

    Before each step the networks are brought to its resolution and alpha; where a fade begins or ends the optimisers
    forget their moments, as in the authors' code; learning rates are multiplied by the phase's factor. Resolution and
    alpha are logged, and the phases are printed as a table when the training starts. All of it is a function of the
    step, so that the callback has no state.

    A family takes it as ``growth`` and returns it from ``configure_callbacks``, so that it runs under any Trainer.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the phases."""
        if trainer.is_global_zero:
            print(_growing(pl_module).schedule.table, file=sys.stderr)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the learning rates of the phase that the training starts in."""
        self._scale_rates(trainer, _growing(pl_module))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Grow the networks, and reset the optimisers' moments where a phase begins."""
        module = _growing(pl_module)
        step = module.iteration
        module.networks_at(step)
        if self.reset_optimizers and 0 < step == module.schedule.phase(step).first:
            for optimizer in module.player_optimizers().values():
                optimizer.optimizer.state.clear()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log resolution and alpha of the step that is done; set the learning rates of the next one."""
        module = _growing(pl_module)
        if module.iteration % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            phase = module.schedule.phase(module.iteration - 1)
            shown = {"resolution": float(phase.resolution or 0), "alpha": phase.alpha(module.iteration - 1)}
            module.log_dict({f"train/{name}": torch.tensor(value) for name, value in shown.items()})
        self._scale_rates(trainer, module)

    def _scale_rates(self, trainer: Trainer, module: GrowingModule) -> None:
        factor = module.schedule.phase(module.iteration).lr_factor
        for config in trainer.strategy.lr_scheduler_configs:
            scale_rates(config.scheduler, factor)


def _growing(module: LightningModule) -> GrowingModule:
    return cast(GrowingModule, module)

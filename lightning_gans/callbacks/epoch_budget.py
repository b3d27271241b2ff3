"""Budgets in real images and in passes over them, as generator updates."""

from __future__ import annotations

import math
from typing import Any

from lightning.pytorch import Callback, Trainer

from lightning_gans.data.base import data_of
from lightning_gans.models.base import GenerativeModule


class EpochBudget(Callback):
    """End the training after a number of epochs, once it is known how many training images there are.

    Args:
        epochs: Passes over the training images.
    """

    def __init__(self, epochs: float) -> None:
        self.epochs = epochs

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Convert the epochs to generator updates, which Lightning counts."""
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            images = data_of(trainer, "max_epochs").images_per_epoch
            updates = steps_for(pl_module, self.epochs * images)
            trainer.fit_loop.epoch_loop.max_steps = updates
            pl_module.schedule.check_budget(updates)


def steps_for(model: GenerativeModule, images: float) -> int:
    """Return the number of generator updates that show at least so many real images."""
    step, seen = 0, 0
    while seen < images:
        plan = model.plan(step)
        needed = math.ceil((images - seen) / plan.images)
        steps = needed if plan.steps is None else min(needed, plan.steps)
        step, seen = step + steps, seen + steps * plan.images
    return step

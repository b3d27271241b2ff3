"""Pictures of the same latents as the training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from lightning_gans import images
from lightning_gans.callbacks.tolerance import unless_the_disk_fails
from lightning_gans.loggers import log_image


class SampleGrid(Callback):
    """Grids of samples at fixed latents, to ``samples/step-000300.png`` and every logger, at intervals and at the end.

    Of points a scatter plot, with a thousand real ones in grey.

    Args:
        every_n_train_steps: Generator updates between grids.
        n: Samples in a grid.
        seed: Seed of their latents.
    """

    def __init__(self, *, every_n_train_steps: int = 1000, n: int = 64, seed: int = 0) -> None:
        if every_n_train_steps < 1 or n < 1:
            raise ValueError(f"callbacks.samples: every_n_train_steps={every_n_train_steps} and n={n} must be >= 1")
        self.every_n_train_steps, self.n, self.seed = every_n_train_steps, n, seed
        self.newest: Path | None = None
        self._drawn_at: int | None = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Draw at intervals."""
        if trainer.global_step % self.every_n_train_steps == 0:
            self.draw(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Draw the end."""
        self.draw(trainer, pl_module)

    def draw(self, trainer: Trainer, pl_module: Any) -> None:
        """Write the grid, once a step."""
        step = trainer.global_step
        if self._drawn_at == step:
            return
        self._drawn_at = step
        pl_module.prepare_sampling()
        if not trainer.is_global_zero:
            return
        samples = torch.cat([images.to_uint8(s) for s in pl_module.samples(range(self.n), seed=self.seed)])
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        behind = next(data.real_images(range(min(1000, len(data.train_images))), 1000)) if samples.ndim == 2 else None
        sheet = images.overview(samples, behind)
        path = Path(trainer.default_root_dir, "samples", f"step-{step:06d}.png")
        with unless_the_disk_fails(path):
            self.newest = images.save(sheet, path)
        for logger in trainer.loggers:
            log_image(logger, "samples", sheet, step)

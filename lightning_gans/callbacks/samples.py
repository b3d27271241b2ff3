"""Draw grids of the same latents, or of the same sources, during training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from lightning_gans.config.types import PositiveInt, Seed, checked
from lightning_gans.data.base import ImageDataModule, data_of
from lightning_gans.images import files, sheets
from lightning_gans.inference.codes import has_codes, traverse_codes
from lightning_gans.loggers.dashboards import dashboard
from lightning_gans.runtime.tolerance import warn_on_os_error


class SampleGrid(Callback):
    """Draw grids of samples at fixed latents, at intervals and at the end.

    They go to ``samples/step-000300.png`` and every logger. Samples of a network that has still to grow are of its
    resolution, enlarged to 64 pixels where they are smaller. Of a conditional family every class has a column, and of
    InfoGAN every category; its ``samples/codes-000300.png`` shows what each code does (see ``traverse_codes``). Of
    points it is a scatter plot, with a thousand real ones in grey. A translation family shows examples of its data,
    spread evenly over the test part (see ``ImageDataModule.examples``), each beside its translation and its target.

    Args:
        every_n_train_steps: Generator updates between grids.
        n: Samples in a grid; ``None``: 64, or 16 examples.
        seed: Seed of their latents.
    """

    @checked
    def __init__(
        self,
        *,
        every_n_train_steps: PositiveInt = 1000,
        n: Annotated[int, Ge(1), Le(MOST)] | None = None,
        seed: Seed = 0,
    ) -> None:
        self.every_n_train_steps, self.n, self.seed = every_n_train_steps, n, seed
        self.newest: Path | None = None
        self._drawn_at: int | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Refuse translations of a loader that gives no examples to translate."""
        if pl_module.translates:
            data_of(trainer, "callbacks.samples")

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
        data = getattr(trainer, "datamodule", None)
        sheet = pl_module.preview(data if isinstance(data, ImageDataModule) else None, n=self.n, seed=self.seed)
        self.newest = self._show(trainer, "samples", "step", sheet)
        if has_codes(pl_module):
            rows = traverse_codes(pl_module, seed=self.seed)
            self._show(trainer, "codes", "codes", sheets.grid(rows.flatten(0, 1), columns=rows.shape[1]))

    def _show(self, trainer: Trainer, name: str, stem: str, sheet: Tensor) -> Path | None:
        """Write a picture to the samples' folder and to every logger."""
        step, saved = trainer.global_step, self.newest
        path = Path(trainer.default_root_dir, "samples", f"{stem}-{step:06d}.png")
        with warn_on_os_error(path):
            saved = files.save(sheet, path)
        for logger in trainer.loggers:
            dashboard(logger).log_image(name, sheet, step)
        return saved


MOST = 10_000  # samples in a grid

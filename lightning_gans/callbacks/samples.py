"""Draw grids of the same latents, or of the same sources, during training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from lightning_gans.config.types import PositiveInt, Seed, checked
from lightning_gans.data.base import ImageDataModule, data_of
from lightning_gans.images import files, pixels, sheets
from lightning_gans.inference.codes import has_codes, traverse_codes
from lightning_gans.loggers.dashboards import dashboard
from lightning_gans.models.translation import TranslationModule
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
        data = data_of(trainer, "callbacks.samples")
        with_sources = isinstance(pl_module, TranslationModule)
        sheet = self._translations(pl_module, data) if with_sources else self._samples(pl_module, data)
        self.newest = self._show(trainer, "samples", "step", sheet)
        if not with_sources and has_codes(pl_module):
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

    def _samples(self, module: Any, data: ImageDataModule) -> Tensor:
        classes = module.conditioning.overview()
        n = self.n or 64
        columns = sheets.aligned_columns(n, max(map(len, classes.values()), default=0))
        n = self.n or (n // columns * columns if columns else n)  # whole rows
        samples = torch.cat([pixels.to_uint8(s) for s in module.samples(range(n), seed=self.seed, **classes)])
        resolution = module.schedule.phase(max(module.iteration - 1, 0)).resolution
        if resolution is not None:  # pixels are repeated up to the data's size
            step = min(samples.shape[-1] // resolution, max(1, samples.shape[-1] // VISIBLE))
            samples = samples[..., ::step, ::step]
        behind = next(data.real_images(range(min(1000, len(data.train_images))), 1000)) if samples.ndim == 2 else None
        return sheets.overview(samples, behind, columns=columns)

    def _translations(self, module: TranslationModule, data: ImageDataModule) -> Tensor:
        rows: list[list[Tensor]] = []
        shown = torch.linspace(0, data.n_examples - 1, min(self.n or 16, data.n_examples)).long().tolist()
        for start in range(0, len(shown), AT_ONCE):
            batch = data.examples(shown[start : start + AT_ONCE])
            panels = module.visuals({key: value.to(module.device) for key, value in batch.items()})
            rows += zip(*(list(pixels.visible(panel)) for panel in panels.values()), strict=True)  # type: ignore[arg-type]
        return sheets.panels(rows)


MOST = 10_000  # samples in a grid
VISIBLE = 64  # pixels of a sample's side in a grid, of those that are enlarged
AT_ONCE = 4  # examples, whose images may be large

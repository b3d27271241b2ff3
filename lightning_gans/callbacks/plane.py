"""Draw a discriminator of points of the plane during training, and animate the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Le
from lightning.pytorch import Callback, Trainer
from PIL import Image
from torch import Tensor

from lightning_gans.config.errors import MISSING, ConfigError
from lightning_gans.config.types import Positive, PositiveInt, Seed, checked
from lightning_gans.data.base import ImageDataModule, data_of
from lightning_gans.images import files
from lightning_gans.images.field import field, plane_grid
from lightning_gans.loggers.dashboards import dashboard
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.runtime.tolerance import warn_on_os_error

CELLS, ARROWS = 64, 20  # in a row of the surface and of the gradients


class PlaneView(Callback):
    """Draw samples over real points, the discriminator's surface and its gradients, at intervals and at the end.

    ``samples/plane-000100.png`` and every logger; at the end ``samples/plane.gif`` of all of them, those before a
    resume too. The surface is s(D(x) - midpoint): green is taken for real and orange for generated. A critic without a
    midpoint (Wasserstein, relativistic) is standardised over the picture. The lines along grad D(x) are where samples
    of the generator are sent. Nothing of the training is changed.

    Args:
        every_n_train_steps: Generator updates between pictures.
        n: Samples in a picture.
        reach: Largest coordinate in a picture, in units of the data, whose points reach to about 1.
        milliseconds: Duration of a picture in the animation.
        seed: Seed of the samples' latents.

    Raises:
        ConfigError: At the start of a training on anything but points of the plane, or without a discriminator of them.
    """

    @checked
    def __init__(
        self,
        *,
        every_n_train_steps: PositiveInt = 100,
        n: Annotated[int, Ge(1), Le(10_000)] = 1000,
        reach: Positive = 1.25,
        milliseconds: PositiveInt = 150,
        seed: Seed = 0,
    ) -> None:
        self.every_n_train_steps, self.n, self.reach = every_n_train_steps, n, reach
        self.milliseconds, self.seed = milliseconds, seed
        self._drawn_at: int | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Refuse data that are no points of the plane, and families without a discriminator of these alone."""
        data = data_of(trainer, "callbacks.plane")
        plain = isinstance(pl_module, AdversarialModule) and not pl_module.conditions
        if not data.points or not plain:
            raise ConfigError("callbacks.plane", MISSING, "draws an unconditional discriminator of data=toy2d's points")

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Draw after the first update and at intervals."""
        step = trainer.global_step
        if step == 1 or step % self.every_n_train_steps == 0:
            self.draw(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Draw the end, and animate all pictures."""
        self.draw(trainer, pl_module)
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir, "samples")
            paths = sorted(folder.glob("plane-*.png"))
            frames = [torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) for path in paths]
            with warn_on_os_error(folder):
                files.animate(frames, folder / "plane.gif", self.milliseconds)

    def draw(self, trainer: Trainer, pl_module: AdversarialModule) -> None:
        """Write the picture, once a step."""
        step = trainer.global_step
        if self._drawn_at == step:
            return
        self._drawn_at = step
        pl_module.prepare_sampling()
        if not trainer.is_global_zero:
            return
        data: ImageDataModule = data_of(trainer, "callbacks.plane")
        real = torch.cat([*data.real_images(range(min(self.n, len(data.train_images))), self.n)])
        samples = pl_module.sample(self.n, seed=self.seed, batch_size=self.n)
        surface, gradients = discriminator_field(pl_module, self.reach)
        picture = field(surface, gradients, real, samples, reach=self.reach)
        path = Path(trainer.default_root_dir, "samples", f"plane-{step:06d}.png")
        with warn_on_os_error(path):
            files.save(picture, path)
        for logger in trainer.loggers:
            dashboard(logger).log_image("plane", picture, step)


def discriminator_field(module: AdversarialModule, reach: float) -> tuple[Tensor, Tensor]:
    """Compute the discriminator's surface and its gradients over [-reach, reach]^2, in evaluation mode.

    Args:
        module: A family whose discriminator maps points (N, 2) to logits (N,).
        reach: Largest coordinate.

    Returns:
        s(D(x) - midpoint) at 64 x 64 points, (4096,), of critics without a midpoint s((D(x) - mean) / deviation); and
        grad D(x) at 20 x 20 points, (400, 2).
    """
    training = module.discriminator.training
    module.discriminator.eval()
    try:
        with torch.no_grad():
            values = module.logits(plane_grid(CELLS, reach).to(module.device)).flatten()
        with torch.enable_grad():
            points = plane_grid(ARROWS, reach).to(module.device).requires_grad_()
            (gradients,) = torch.autograd.grad(module.logits(points).sum(), points)
    finally:
        module.discriminator.train(training)
    middle = module.objective.midpoint
    relative = (values - values.mean()) / values.std().clamp(min=1e-12) if middle is None else values - middle
    return relative.sigmoid(), gradients

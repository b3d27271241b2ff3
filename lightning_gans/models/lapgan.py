"""Train LAPGAN, a generator for each level of a Laplacian pyramid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.subset import spread
from lightning_gans.images import pixels, sheets
from lightning_gans.images.pyramid import gaussian_pyramid, laplacian_pyramid, shrink
from lightning_gans.losses.objectives import NonSaturating
from lightning_gans.losses.penalties import RealFakeConditions
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.base import Batch, Terms
from lightning_gans.models.ema import evaluating
from lightning_gans.models.options import AdversarialOptions, adam
from lightning_gans.networks import lapgan
from lightning_gans.runtime.distributed import sum_over_processes
from lightning_gans.runtime.precision import full_precision
from lightning_gans.schedules.training_schedule import Phase, Plan, TrainingSchedule

MEASURED = 10_000  # training images that means and standard deviations are measured on
Fakes = list[tuple[Tensor, tuple[Tensor, ...]]]  # images of each level and the classes that they were made for


class LAPGAN(AdversarialModule):
    """Train LAPGAN. Denton, Chintala, Szlam, Fergus 2015, arXiv:1506.05751.

    An image x_0 is blurred and halved K times to x_K; u enlarges. At each finer level k a generator adds a residual to
    the enlarged coarse image, and a discriminator sees the sum; at the coarsest they play the usual game:

        D_k: -E[log s(D_k(x_k))] - E[log(1 - s(D_k(u(x_{k+1}) + G_k(z_k, u(x_{k+1})))))]
        G_k: -E[log s(D_k(u(x_{k+1}) + G_k(z_k, u(x_{k+1}))))]

    s is the logistic function. Levels learn from real coarse images, each alone: all of them in every update, or one
    after the other (``level_updates``). A sample is made from the coarsest level up, each level from what the one
    before has made, which no level saw in training; ``refine`` makes the last levels from real coarse images. With
    ``model.discriminator.classes=plane`` all levels are told the class, on finer ones that of the coarse image.

    Generators put out residuals of mean 0 and standard deviation 1 per pixel; the mean and standard deviation of each
    level are measured on up to 10,000 training images (of a plain loader on its first batch) before the first update,
    and are part of the checkpoint. Samples are clamped to [-1, 1], since the sums are not bounded.

    Differs from the paper: blurring is by [1, 4, 6, 4, 1] / 16; images are not standardised, residuals alone are; of
    several trained models none is selected by its samples. Adam, where the paper has SGD, which
    ``experiment=lapgan_cifar10`` has too. Samples come from an average of the generator, which the paper has not:
    ``model.ema=null``.

    Args:
        generator: Player, of ``lightning_gans.networks.lapgan``.
        discriminator: Player, likewise, of as many levels.
        level_updates: Generator updates of each level but the finest, which gets the rest, coarsest first; ``None``:
            all levels learn in every update.
        **options: See ``AdversarialModule``.

    Raises:
        ConfigError: A value out of range, or networks that do not fit each other.
    """

    data_kinds = ("image", "labelled")
    generator: lapgan.Generator
    discriminator: lapgan.Discriminator

    @checked
    def __init__(
        self,
        generator: lapgan.Generator,
        discriminator: lapgan.Discriminator,
        *,
        level_updates: PositiveInt | None = None,
        **options: Unpack[AdversarialOptions],
    ) -> None:
        paper: AdversarialOptions = {
            "objective": NonSaturating(),
            "batch_size": 128,
            "latent": "uniform",
            "g_optimizer": adam(),
            "d_optimizer": adam(),
        }
        super().__init__(generator, discriminator, **(paper | options))
        for name, network in {"generator": generator, "discriminator": discriminator}.items():
            if not isinstance(network, lapgan.Generator | lapgan.Discriminator):
                raise ConfigError(name, type(network).__name__, "has no levels; use model/network=lapgan")
        n_levels = len(generator.levels)
        if len(discriminator.levels) != n_levels:
            rule = f"must be that of model.generator, {n_levels}"
            raise ConfigError("model.discriminator.levels", len(discriminator.levels), rule)
        if self.g_batch_size is not None:
            rule = "must be null, since generators start from the coarse images of the discriminators' batch"
            raise ConfigError("g_batch_size", self.g_batch_size, rule)
        self.names = [f"{height}x{width}" for _, height, width in generator.shapes]
        self.level_updates = level_updates
        if level_updates is not None:
            steps: list[int | None] = [level_updates] * (n_levels - 1) + [None]
            phases = [
                Phase(name, some, self.batch_size, self.n_critic) for name, some in zip(self.names, steps, strict=True)
            ]
            advice = f"finer levels are not trained; say a smaller model.level_updates={level_updates}"
            self.schedule = TrainingSchedule(phases, advice=advice)
        self._fakes: Fakes = []

    @property
    def active(self) -> Sequence[int]:
        """Return the levels that the coming step trains, 0 for the coarsest."""
        if self.level_updates is None:
            return range(len(self.names))
        return [self.names.index(self.schedule.phase(self.iteration).name)]

    # ------------------------------------------------------------------------------ scales

    def on_fit_start(self) -> None:
        """Start as the base does; before the first step measure the scales of all levels on the training images."""
        super().on_fit_start()
        data = getattr(self.trainer, "datamodule", None)
        if self.iteration == 0 and isinstance(data, ImageDataModule):
            chosen = spread(len(data.train_images), MEASURED).tolist()
            batches = (data.training_examples(chosen[i : i + 256])["image"] for i in range(0, len(chosen), 256))
            self.measure(batches)

    def update_order(self, batch: Batch, plan: Plan) -> list[tuple[str, Batch]]:
        """List the updates as the base does; of a plain loader measure the scales on the first batch."""
        if self.iteration == 0 and not isinstance(getattr(self.trainer, "datamodule", None), ImageDataModule):
            self.measure([batch["image"]], shared=True)
        return super().update_order(batch, plan)

    @torch.no_grad()
    def measure(self, batches: Iterable[Tensor], *, shared: bool = False) -> None:
        """Set every level's mean and standard deviation per pixel, unless a checkpoint that training starts from has.

        Args:
            batches: Images (N, C, H, W) in [-1, 1].
            shared: Those of all processes count, which hold different ones.
        """
        if any(bool(scale.mean.any()) for scale in self.generator.standards):  # type: ignore[operator]
            return
        count = torch.zeros((), dtype=torch.float64, device=self.device)
        sums = [torch.zeros(2, *shape, dtype=torch.float64, device=self.device) for shape in self.generator.shapes]
        for images in batches:
            count += len(images)
            for total, values in zip(sums, laplacian_pyramid(images.to(self.device).double(), len(sums)), strict=True):
                total += torch.stack([values.sum(0), values.square().sum(0)])
        if shared:
            count, sums = sum_over_processes(count), [sum_over_processes(total) for total in sums]
        for network in filter(None, (self.generator, self.generator_ema)):
            for standard, total in zip(network.standards, sums, strict=True):  # type: ignore[arg-type]
                mean, square = total / count
                standard.mean.copy_(mean)
                standard.std.copy_((square - mean.square()).clamp(min=0).sqrt())

    # ------------------------------------------------------------------------------ losses

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Compute the weighted terms of each level's discriminator, named by its size."""
        reals, given = gaussian_pyramid(batch["image"], len(self.names)), self.conditioning.of(batch)
        with torch.set_grad_enabled(self.reuse_fakes):
            self._fakes = self.fakes(reals, given)
        found: Terms = {}
        for level in self.active:
            images, classes = self._fakes[level]
            real, fake = self.augmented(reals[level]), self.augmented(images.detach())
            real_logits = self.logits_at(level, real, *given)
            self.update_statistics(real_logits.detach())
            terms = self.objective.discriminator(real_logits, self.logits_at(level, fake, *classes))
            if self.penalty is not None:
                network, both = self.discriminator.levels[level], RealFakeConditions(given, classes)
                terms["penalty"] = self.penalty(network, real, fake, self.uniform, both, images_seen=self.images_seen)
            found |= {f"{name}_{self.names[level]}": term for name, term in terms.items()}
        return found

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the weighted terms of each level's generator, named by its size."""
        reals, given = gaussian_pyramid(batch["image"], len(self.names)), self.conditioning.of(batch)
        if not self.reuse_fakes:
            self._fakes = self.fakes(reals, given)
        found: Terms = {}
        for level in self.active:
            images, classes = self._fakes[level]
            real_logits = None
            if self.objective.needs_real:
                real_logits = self.logits_at(level, self.augmented(reals[level]), *given)
            fake_logits = self.logits_at(level, self.augmented(images), *classes)
            terms = self.objective.generator(fake_logits, real_logits)
            found |= {f"{name}_{self.names[level]}": term for name, term in terms.items()}
        return found

    def fakes(self, reals: Sequence[Tensor], given: tuple[Tensor, ...]) -> Fakes:
        """Make images of the active levels, each from real coarse images and newly drawn latents.

        Args:
            reals: Images of each level, coarsest first.
            given: Their classes, if the family is conditional. The coarsest level's samples have drawn ones.
        """
        latents, *drawn = self.draw_inputs(len(reals[0]))
        made: Fakes = [(reals[0], ())] * len(reals)
        for level, part in enumerate(self.generator.split(latents)):
            if level in self.active:
                coarse, classes = (reals[level - 1], given) if level else (None, tuple(drawn))
                made[level] = self.generator.at(level, part, coarse, *classes), classes
        return made

    def logits_at(self, level: int, images: Tensor, *classes: Tensor) -> Tensor:
        """Return the raw logits (N,) of a level's discriminator in float32."""
        return full_precision(self.discriminator.levels[level](images, *classes))

    # ------------------------------------------------------------------------------ samples

    def postprocess(self, images: Tensor) -> Tensor:
        """Clamp images to [-1, 1]."""
        return images.clamp(-1, 1)

    @torch.no_grad()
    def refine(self, images: Tensor, *classes: Tensor, levels: int = 1, seed: int = 0) -> Tensor:
        """Replace the finest residuals of real images by generated ones.

        Args:
            images: (N, C, H, W) in [-1, 1].
            *classes: Of the images, (N,) int64, of a conditional family.
            levels: Finest levels that are generated, from 1 to all but the coarsest.
            seed: Seed of the latents, as of ``sample``.

        Returns:
            (N, C, H, W) in [-1, 1].
        """
        if not 0 < levels < len(self.names):
            raise ConfigError("levels", levels, f"must be from 1 to {len(self.names) - 1}")
        self.prepare_sampling()
        latents = self.sampling_inputs(range(len(images)), seed)[0]
        made = images.to(latents)
        for _ in range(levels):
            made = shrink(made)
        with evaluating(self.sampler) as network:
            assert isinstance(network, lapgan.Generator)
            for level, part in list(enumerate(network.split(latents)))[-levels:]:
                made = network.at(level, part, made, *(some.to(made.device) for some in classes))
        return self.postprocess(made)

    def preview(self, data: ImageDataModule | None, *, n: int | None = None, seed: int = 0) -> Tensor:
        """Lay out samples, each beside what its coarser levels made: (C, H, W) uint8."""
        classes = dict(self.conditioning.overview())
        self.prepare_sampling()
        rows: list[list[Tensor]] = []
        with torch.no_grad(), evaluating(self.sampler) as network:
            for inputs in self._input_batches(range(n or 64), seed, 64, classes, {}):
                assert isinstance(network, lapgan.Generator)
                levels = [pixels.to_uint8(self.postprocess(images)) for images in network.pyramid(*inputs)]
                rows += [list(images) for images in zip(*levels, strict=True)]
        return sheets.panels(rows)

"""Train SRGAN, which enlarges images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from lightning_gans.config.types import NonNegative, NonNegativeInt, Positive, checked
from lightning_gans.losses.objectives import NonSaturating
from lightning_gans.losses.perceptual import Perceptual
from lightning_gans.models.base import Batch, Terms
from lightning_gans.models.options import TranslationOptions, adam
from lightning_gans.models.translation import TranslationModule
from lightning_gans.runtime.precision import full_precision
from lightning_gans.schedules.learning_rate import ExponentialDecay
from lightning_gans.schedules.training_schedule import Phase, TrainingSchedule

LAYER = "relu5_4"  # the paper's phi_5,4: the fourth convolution before the fifth pooling, after its activation
SCALE = 12.75  # features are divided by it, which makes the loss about as large as that of pixels


class SRGAN(TranslationModule):
    """Train SRGAN. Ledig et al. 2017, arXiv:1609.04802.

    One run of two phases, told apart by the number of generator updates alone. First SRResNet: the generator minimises
    the mean squared error of pixels, and the discriminator rests. Then both play,

        D: objective (non-saturating)        G: content + 1e-3 adversarial

    where content is the mean squared distance between VGG19 features divided by 12.75, or, without VGG19's weights, the
    mean squared error of pixels (SRGAN-MSE in the paper). Batches lie in [-1, 1]; the generator brings its input to the
    paper's [0, 1] itself. Differs from the paper: torchvision's VGG19 sees images normalised as in its own training,
    whose features are not of the scale of the authors'; Adam keeps its moments from one phase to the next.

    The checkpoint of the last update of the first phase, SRResNet, is kept.

    Args:
        generator: Player; enlarges.
        discriminator: Player; sees large images alone.
        mse_updates: Generator updates of the first phase; 0: none.
        content_weight: Of the content loss in the second phase.
        adversarial_weight: Of the objective, > 0; for none, raise ``mse_updates``.
        perceptual_weights: ``auto``, the path of torchvision's VGG19, or ``None``; see ``perceptual.Perceptual``.
        **options: See ``TranslationModule``.

    Raises:
        ValueError: A value out of range.
    """

    data_kinds: tuple[str, ...] = ("super_resolution",)

    @checked
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        mse_updates: NonNegativeInt = 1_000_000,
        content_weight: NonNegative = 1.0,
        adversarial_weight: Positive = 1e-3,
        perceptual_weights: str | None = "auto",
        **options: Unpack[TranslationOptions],
    ) -> None:
        decay = partial(ExponentialDecay, gamma=0.1, every=100_000, after=mse_updates, floor=1e-5)
        paper: TranslationOptions = {
            "objective": NonSaturating(),
            "batch_size": 16,
            "g_optimizer": adam(1e-4, 0.9),
            "d_optimizer": adam(1e-4, 0.9),
            "g_scheduler": decay,
            "d_scheduler": decay,
        }
        super().__init__(generator, discriminator, **(paper | options))
        pretraining = Phase("mse", mse_updates, self.batch_size, players=("g",))
        game = Phase("adversarial", None, self.batch_size, players=("g", "d"))
        advice = "no GAN is trained before; say more, or a smaller model.mse_updates"
        self.schedule = TrainingSchedule([pretraining, game], complete_after=mse_updates, advice=advice)
        self.content_weight, self.adversarial_weight = content_weight, adversarial_weight
        instead = "the content loss of the GAN phase is the mean squared error of pixels"
        self.perceptual = Perceptual(perceptual_weights, [LAYER], instead=instead)

    @property
    def pretraining(self) -> bool:
        """Return whether the coming step belongs to the first phase."""
        return self.schedule.phase(self.iteration).name == "mse"

    @property
    def scale(self) -> int:  # type: ignore[override]
        """Return the side of an output divided by that of its input."""
        return int(self.generator.scale)  # type: ignore[arg-type]

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the pixels' error, or later the content loss and the objective."""
        fake, real = self.generator(batch["source"]), batch["target"]
        if self.pretraining:
            return {"mse": F.mse_loss(full_precision(fake), real)}
        self.stash_fakes(fake=fake)
        real_logits = self.logits(real) if self.objective.needs_real else None
        terms = self.objective.generator(self.logits(fake), real_logits)
        adversarial = {name: self.adversarial_weight * term for name, term in terms.items()}
        return {"content": self.content_weight * self.content(fake, real), **adversarial}

    def content(self, fake: Tensor, real: Tensor) -> Tensor:
        """Compute the content loss: the mean squared distance of VGG19's features, or of pixels."""
        if not self.perceptual.on:
            return F.mse_loss(full_precision(fake), real)
        (mine,), (theirs,) = self.perceptual(fake), self.perceptual(real)
        return F.mse_loss(mine / SCALE, theirs / SCALE)

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Compute the objective's terms of the discriminator."""
        return self.objective.discriminator(self.logits(batch["target"]), self.logits(self.pop_fakes(batch)["fake"]))

    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check shapes as the base does, and that VGG19 takes the images."""
        super().check_data(shapes)
        self.perceptual.check(shapes["target"])

    def on_fit_start(self) -> None:
        """Compile as the base does, and load VGG19's weights unless the training ends with the first phase."""
        super().on_fit_start()
        if not 0 <= self.trainer.max_steps <= self.schedule.phases[-1].first:
            self.perceptual.load_weights(self.trainer)

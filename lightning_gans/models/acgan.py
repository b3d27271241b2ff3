"""Train the auxiliary classifier GAN."""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import NonNegative, checked
from lightning_gans.losses.objectives import NonSaturating
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.base import Batch, Terms
from lightning_gans.models.options import AdversarialOptions, adam
from lightning_gans.runtime.precision import full_precision


class TwoHeaded(Protocol):
    """Describe a discriminator that classifies too."""

    def heads(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, C, H, W) to raw logits (N,) of being real and (N, K) of the class."""


class ACGAN(AdversarialModule):
    """Train the auxiliary classifier GAN. Odena, Olah, Shlens 2017, arXiv:1610.09585.

    D tells real from generated and, from the same features, the class c; it is not told the class. With s the logistic
    function and P the softmax of D's raw class logits (the paper's L_S and L_C):

        D: -E[log s(D(x))] - E[log(1 - s(D(G(z, c))))] - w (E[log P(c | x)] + E[log P(c | G(z, c))])
        G: -E[log s(D(G(z, c)))] - w E[log P(c | G(z, c))]

    The classes of generated images are drawn from the training set's frequencies. High class probabilities reward
    images without variety, so look at the similarity within classes beside the accuracy. Samples come from an average
    of the generator, which the paper has not: ``model.ema=null``.

    Args:
        generator: Player.
        discriminator: Player; has ``heads``, see ``networks/acgan.py``.
        class_weight: Weight w of the class terms in the discriminator's loss, >= 0.
        g_class_weight: Weight of the class term in the generator's loss, >= 0; ``None``: ``class_weight``. Its
            gradient is what makes late trainings collapse; less of it keeps more variety.
        classify_fakes: Let the discriminator learn classes from generated images too, as in the paper; ``False``: from
            real ones only, so that images that miss their class teach it nothing.
        **options: See ``AdversarialModule``.
    """

    conditions = ("label",)
    data_kinds = ("labelled",)

    @checked
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        class_weight: NonNegative = 1.0,
        g_class_weight: NonNegative | None = None,
        classify_fakes: bool = True,
        **options: Unpack[AdversarialOptions],
    ) -> None:
        paper: AdversarialOptions = {
            "objective": NonSaturating(),
            "batch_size": 100,
            "g_optimizer": adam(),
            "d_optimizer": adam(),
        }
        super().__init__(generator, discriminator, **(paper | options))
        if not hasattr(discriminator, "heads"):
            name = f"{type(discriminator).__module__.rpartition('.')[2]}.{type(discriminator).__name__}"
            raise ConfigError("model.discriminator", name, "does not classify; use model/network=acgan")
        self.class_weight, self.classify_fakes = class_weight, classify_fakes
        self.g_class_weight = class_weight if g_class_weight is None else g_class_weight
        self._class_losses: list[Tensor] = []  # cross entropies of what D has just seen, in that order

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Compute the base's terms and the cross entropies of the classes of real and of generated images."""
        self._class_losses = []
        terms = super().discriminator_loss(batch)
        real, fake = self._class_losses
        terms["class_real"] = self.class_weight * real
        if self.classify_fakes:
            terms["class_fake"] = self.class_weight * fake
        return terms

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the base's terms and the cross entropy of the classes of generated images."""
        self._class_losses = []
        terms = super().generator_loss(batch)
        return {**terms, "class": self.g_class_weight * self._class_losses[-1]}  # before them those of real images

    def logits(self, images: Tensor, *conditions: Tensor) -> Tensor:
        """Return raw logits (N,) of being real; note the cross entropy of the classes, from one pass of the network."""
        discriminator: TwoHeaded = self.discriminator  # type: ignore[assignment]
        logits, class_logits = discriminator.heads(images)
        (classes,) = conditions
        self._class_losses.append(F.cross_entropy(full_precision(class_logits), classes))
        return full_precision(logits)

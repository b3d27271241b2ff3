"""Train R3GAN, the regularised relativistic GAN."""

from __future__ import annotations

from functools import partial

from torch import nn
from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.losses.objectives import Relativistic
from lightning_gans.losses.penalties import R1R2
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.options import AdversarialOptions, adam
from lightning_gans.schedules.learning_rate import CosineDecay


class R3GAN(AdversarialModule):
    """Train R3GAN. Huang, Gokaslan, Kuleshov, Tompkin 2024, arXiv:2501.05441.

        D: E[softplus(D(G(z)) - D(x))] + gamma / 2 (E|grad D(x)|^2 + E|grad D(G(z))|^2)
        G: E[softplus(D(x) - D(G(z)))]

    on residual networks without normalisation. gamma is ``penalty.weight``: it grows with the resolution. In the
    authors' code gamma falls, and Adam's beta2, the half-life of the averaged generator and the probability of ADA's
    transformations rise, by half a cosine over the first 20 million images; the experiments have it so
    (``schedules.CosineValue``, ``CosineDecay.beta2``, ``model/augment=scheduled``), and the family by itself keeps them
    constant and augments nothing.

    The published FID of 1.96 on CIFAR-10 is class-conditional: ``model.discriminator.classes=projection``, by an
    embedding beside the latents and a projection on another one. Without it the family is unconditional, as on FFHQ.
    Two things differ from the authors' code: G is paired with the real images that D has just seen, there with a batch
    of its own, and the penalties differentiate at the augmented samples, there at the samples before augmentation.
    """

    @checked
    def __init__(self, generator: nn.Module, discriminator: nn.Module, **options: Unpack[AdversarialOptions]) -> None:
        batch_size = options.get("batch_size", 512)
        paper: AdversarialOptions = {
            "objective": Relativistic(),
            "penalty": R1R2(1.0),
            "batch_size": batch_size,
            "g_optimizer": adam(2e-4, 0.0, 0.9),
            "d_optimizer": adam(2e-4, 0.0, 0.9),
            "g_scheduler": partial(CosineDecay, kimg=20_000.0, batch_size=batch_size, final=0.25),
            "d_scheduler": partial(CosineDecay, kimg=20_000.0, batch_size=batch_size, final=0.25),
        }
        super().__init__(generator, discriminator, **(paper | options))

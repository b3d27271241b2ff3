"""Train pix2pix, which translates by paired images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch.nn.functional as F
from torch import nn
from typing_extensions import Unpack

from lightning_gans.config.types import NonNegative, checked
from lightning_gans.losses.objectives import NonSaturating
from lightning_gans.models.base import Batch, Terms
from lightning_gans.models.options import TranslationOptions, adam
from lightning_gans.models.translation import TranslationModule
from lightning_gans.runtime.precision import full_precision
from lightning_gans.schedules.learning_rate import EpochDecay


class Pix2Pix(TranslationModule):
    """Train pix2pix. Isola, Zhu, Zhou, Efros 2017, arXiv:1611.07004.

    From pairs of a source x and a target y, with D a PatchGAN that sees both side by side:

        D: 1/2 (-log s(D(x, y)) - log(1 - s(D(x, G(x)))))        G: -log s(D(x, G(x))) + lambda |y - G(x)|_1

    The only noise is dropout inside G, on at test time too. There its mask is a function of a seed, so that a
    translation can be had again. The generator moves first and the discriminator sees the same translation; the
    authors' code moves the discriminator first.

    Args:
        generator: Player.
        discriminator: Player; sees source and image side by side.
        l1_weight: lambda, >= 0.
        **options: See ``TranslationModule``.
    """

    @checked
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        l1_weight: NonNegative = 100.0,
        **options: Unpack[TranslationOptions],
    ) -> None:
        batch_size = options.get("batch_size", options.get("accumulate", 1))
        paper: TranslationOptions = {
            "objective": NonSaturating(),
            "g_optimizer": adam(),
            "d_optimizer": adam(),
            "g_scheduler": partial(EpochDecay, batch_size=batch_size, constant=100, decay=100),
            "d_scheduler": partial(EpochDecay, batch_size=batch_size, constant=100, decay=100),
        }
        super().__init__(generator, discriminator, **(paper | options))
        self.l1_weight = l1_weight

    def input_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Return the discriminator's input: source and target side by side in channels."""
        source, target = shapes["source"], shapes["target"]
        return {"discriminator": (source[0] + target[0], *target[1:])}

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the objective's terms and the weighted mean absolute error."""
        source, target = batch["source"], batch["target"]
        fake = self.generator(source)
        self.stash_fakes(fake=fake)
        real_logits = self.logits(source, target) if self.objective.needs_real else None
        terms = self.objective.generator(self.logits(source, fake), real_logits)
        return {**terms, "l1": self.l1_weight * F.l1_loss(full_precision(fake), target)}

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Compute half the objective's terms, which slows the discriminator down."""
        source = batch["source"]
        real_logits, fake_logits = (
            self.logits(source, batch["target"]),
            self.logits(source, self.pop_fakes(batch)["fake"]),
        )
        terms = self.objective.discriminator(real_logits, fake_logits)
        return {name: term / 2 for name, term in terms.items()}

"""Train ProGAN, which grows progressively."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.losses.objectives import Wasserstein
from lightning_gans.losses.penalties import GradientPenalty
from lightning_gans.models.ema import EMA
from lightning_gans.models.options import AdversarialOptions, adam
from lightning_gans.models.progressive import ProgressiveModule
from lightning_gans.networks import progan
from lightning_gans.schedules.growth import Growth
from lightning_gans.schedules.training_schedule import Plan


class ProGAN(ProgressiveModule):
    """Train ProGAN. Karras, Aila, Laine, Lehtinen 2018, arXiv:1710.10196.

        D: E[D(G(z))] - E[D(x)] + 10 E[(|grad D(x')| - 1)^2] + 0.001 E[D(x)^2]        G: -E[D(G(z))]

    on networks that grow from 4x4: a new block is faded in, x and G(z) being (1 - alpha) old + alpha new, and then
    trained on. With ``model/objective=least_squares model.discriminator.noise=true`` it is the paper's appendix B, with
    ``non_saturating`` and ``penalty=r1`` the logistic loss of its successors.

    Samples are clamped to [-1, 1], since the generator's colours are linear; the discriminator sees them as they are.

    Args:
        generator: Player, of ``lightning_gans.networks.progan`` or growing like it.
        discriminator: Player, likewise.
        growth: The callback that grows the networks, and its schedule; ``None``: full resolution from the start.
        **options: See ``AdversarialModule``.
    """

    @checked
    def __init__(
        self,
        generator: progan.Generator,
        discriminator: progan.Discriminator,
        *,
        growth: Growth | None,
        **options: Unpack[AdversarialOptions],
    ) -> None:
        paper: AdversarialOptions = {
            "objective": Wasserstein(drift=0.001),
            "penalty": GradientPenalty(),
            "batch_size": 16,
            "ema": EMA(half_life_kimg=None, ramp_up=None, decay=0.999),
            "g_optimizer": adam(1e-3, 0.0, 0.99),
            "d_optimizer": adam(1e-3, 0.0, 0.99),
        }
        super().__init__(generator, discriminator, growth=growth, **(paper | options))
        self._logits: list[Tensor] = []  # means of the logits of reals in this step

    # ------------------------------------------------------------------------------ the discriminator's noise

    def on_fit_start(self) -> None:
        """Compile as the base does; let the discriminator's noise be drawn for the global batch."""
        super().on_fit_start()
        if self.discriminator.noise is not None:
            self.discriminator.noise.draw = self.normal

    def update_statistics(self, real_logits: Tensor) -> None:
        """Pass the logits on as the base does; keep their mean for the discriminator's noise."""
        super().update_statistics(real_logits)
        if self.discriminator.noise is not None:
            self._logits.append(real_logits.mean())

    def on_update_end(self, plan: Plan) -> None:
        """Update the average that the discriminator's noise follows, by all processes' logits."""
        super().on_update_end(plan)
        if self._logits:
            mean = self.trainer.strategy.reduce(self.reader.weight * torch.stack(self._logits).mean(), reduce_op="mean")
            self.discriminator.follow(mean)
            self._logits = []

    def extra_logs(self) -> dict[str, Tensor]:
        """Return the base's logs, and the average that the noise follows."""
        noise = {} if self.discriminator.noise is None else {"logit_average": self.discriminator.logit_average.clone()}
        return {**super().extra_logs(), **noise}

    @property
    def normalizes_latents(self) -> bool:
        """Return whether the generator normalises latents."""
        return isinstance(self.generator.normalise, progan.PixelNorm)

"""Wasserstein GAN."""

from __future__ import annotations

from typing import Any

from torch import nn

from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.base import Plan


class WGAN(AdversarialModule):
    """WGAN. Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875.

        D: E[D(G(z))] - E[D(x)]        G: -E[D(G(z))]

    The critic's weights are clipped before each of its updates, so that it stays Lipschitz (algorithm 1; the authors'
    released code clips before, the paper after). -(d_real + d_fake) estimates the Wasserstein distance up to a factor.
    Samples come from an average of the generator, which the paper has not: ``model.ema=null``.

    Args:
        generator: Player.
        discriminator: Player, the critic.
        warm_up_critic: Critic updates in each of the first 25 generator updates and in every 500th, 100 in the
            authors' code; ``None``: always ``n_critic``.
        **options: See ``AdversarialModule``.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, *, warm_up_critic: int | None = None, **options: Any
    ) -> None:
        super().__init__(generator, discriminator, **options)
        if warm_up_critic is not None and warm_up_critic < 1:
            raise ValueError(f"model.warm_up_critic={warm_up_critic}: must be >= 1, or null")
        self.warm_up_critic = warm_up_critic

    def plan(self, step: int) -> Plan:
        """``n_critic`` chunks, or ``warm_up_critic`` where the critic is to get ahead."""
        if self.warm_up_critic is None:
            return super().plan(step)
        if step < 25:
            return Plan(self.warm_up_critic, self.batch_size, steps=25 - step)
        if step % 500 == 0:
            return Plan(self.warm_up_critic, self.batch_size)
        return Plan(self.n_critic, self.batch_size, steps=500 - step % 500)

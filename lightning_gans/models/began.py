"""Train BEGAN, the boundary equilibrium GAN."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import FractionAboveZero, Positive, checked
from lightning_gans.losses.objectives import Objective
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.ema import evaluating
from lightning_gans.models.options import OwnObjectiveOptions, adam
from lightning_gans.runtime.precision import full_precision
from lightning_gans.schedules.learning_rate import ExponentialDecay
from lightning_gans.schedules.training_schedule import Plan


class Equilibrium(Objective, nn.Module):
    """Compute BEGAN's losses from reconstruction errors in place of logits.

    Args:
        gamma: Wanted E[L(G(z))] / E[L(x)], 0 to 1.
        k_rate: Step of k, lambda_k in the paper.
    """

    midpoint = None
    k: Tensor

    def __init__(self, gamma: float, k_rate: float) -> None:
        nn.Module.__init__(self)
        self.gamma, self.k_rate = gamma, k_rate
        self.register_buffer("k", torch.zeros(()))

    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return the terms of L(x) - k L(G(z))."""
        return {"real": real.mean(), "fake": -self.k * fake.mean()}

    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Return the term L(G(z))."""
        return {"adversarial": fake.mean()}

    def balance(self, real: Tensor, fake: Tensor) -> Tensor:
        """Update k and return the convergence measure M = L(x) + |gamma L(x) - L(G(z))|."""
        gap = self.gamma * real - fake
        self.k.add_(self.k_rate * gap).clamp_(0, 1)
        return real + gap.abs()


class BEGAN(AdversarialModule):
    """Train BEGAN. Berthelot, Schumm, Metz 2017, arXiv:1703.10717.

    The discriminator is an autoencoder, and L(v) = |v - D(v)| the mean absolute error of a reconstruction:

        D: L(x) - k L(G(z))        G: L(G(z))        k <- k + lambda (gamma L(x) - L(G(z))), within [0, 1], from 0

    ``train/convergence`` is M = L(x) + |gamma L(x) - L(G(z))|, which falls as the training converges, and ``train/k``
    the balance. Both losses are means over all processes before they move k. As in the paper z is uniform and new for
    each player's update; the networks' vanishing residuals and skip connections are left out. Samples come from an
    average of the generator, which the paper has not: ``model.ema=null``.

    Args:
        generator: Player.
        discriminator: Player, an autoencoder: images to reconstructions of the same shape.
        gamma: Diversity, 0 to 1: wanted E[L(G(z))] / E[L(x)].
        k_rate: Step of k, > 0.
        **options: See ``AdversarialModule``.
    """

    objective: Equilibrium
    judges_by_logits = False

    @checked
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        gamma: FractionAboveZero = 0.5,
        k_rate: Positive = 0.001,
        **options: Unpack[OwnObjectiveOptions],
    ) -> None:
        paper: OwnObjectiveOptions = {
            "batch_size": 16,
            "latent": "uniform",
            "g_optimizer": adam(1e-4),
            "d_optimizer": adam(1e-4),
            "g_scheduler": partial(ExponentialDecay, gamma=0.5, every=100_000, floor=2e-5),
            "d_scheduler": partial(ExponentialDecay, gamma=0.5, every=100_000, floor=2e-5),
        }
        super().__init__(generator, discriminator, objective=Equilibrium(gamma, k_rate), **(paper | options))
        if self.penalty is not None:
            raise ConfigError("penalty", type(self.penalty).__name__, "BEGAN has none; set it to null")
        self._convergence = torch.zeros(())

    @torch.no_grad()
    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check shapes as the base does, and that the discriminator is an autoencoder."""
        super().check_data(shapes)
        shape = shapes["image"]
        with evaluating(self.discriminator):
            given = self.sampling_inputs([0, 1], 0)[1:]
            found = tuple(self.discriminator(torch.zeros(2, *shape), *given).shape[1:])
        if found != shape:
            raise ValueError(f"model.discriminator gives {found} for images {shape}: BEGAN's is an autoencoder")

    def logits(self, images: Tensor, *conditions: Tensor) -> Tensor:
        """Return the mean absolute error of every image's reconstruction, (N,)."""
        errors: Tensor = full_precision(self.discriminator(images, *conditions)) - full_precision(images)
        return errors.abs().flatten(1).mean(1)

    def on_update_end(self, plan: Plan) -> None:
        """Update k by both losses, averaged over processes."""
        super().on_update_end(plan)
        losses = torch.stack([self.terms["d_real"], self.terms["g_adversarial"]]) * self.reader.weight
        real, fake = self.trainer.strategy.reduce(losses, reduce_op="mean").unbind()
        self._convergence = self.objective.balance(real, fake)

    def extra_logs(self) -> dict[str, Tensor]:
        """Return k and the convergence measure beside the base's logs."""
        return {**super().extra_logs(), "k": self.objective.k.clone(), "convergence": self._convergence}

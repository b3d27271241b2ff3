"""Train WGAN, the Wasserstein GAN."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.optim import RMSprop
from typing_extensions import Unpack

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.losses.objectives import Wasserstein
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.options import AdversarialOptions
from lightning_gans.schedules.training_schedule import Phase, TrainingSchedule


class WGAN(AdversarialModule):
    """Train WGAN. Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875.

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

    @checked
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        warm_up_critic: PositiveInt | None = None,
        **options: Unpack[AdversarialOptions],
    ) -> None:
        paper: AdversarialOptions = {
            "objective": Wasserstein(),
            "n_critic": 5,
            "clip_weights": 0.01,
            "g_optimizer": partial(RMSprop, lr=5e-5),
            "d_optimizer": partial(RMSprop, lr=5e-5),
        }
        super().__init__(generator, discriminator, **(paper | options))
        if warm_up_critic is not None:
            ahead = Phase("critic ahead", 25, self.batch_size, warm_up_critic)
            game = Phase("training", 475, self.batch_size, self.n_critic)
            cycle = [ahead._replace(steps=1), game._replace(steps=499)]
            self.schedule = TrainingSchedule([ahead, game], cycle=cycle)

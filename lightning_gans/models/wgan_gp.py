"""Train WGAN-GP, the Wasserstein GAN with gradient penalty."""

from __future__ import annotations

from torch import nn
from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.losses.objectives import Wasserstein
from lightning_gans.losses.penalties import GradientPenalty
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.options import AdversarialOptions, adam


class WGANGP(AdversarialModule):
    """Train WGAN-GP. Gulrajani et al. 2017, arXiv:1704.00028.

        D: E[D(G(z))] - E[D(x)] + 10 E[(|grad D(x')| - 1)^2]        G: -E[D(G(z))]

    at x' = u x + (1 - u) G(z) with one u ~ U[0, 1) per sample (its equation 3). The penalty is per sample, so the
    critic has no batch norm. On DCGAN's networks the weights start as DCGAN's; as in the authors' code
    ``model/network=resnet_critic`` starts by Glorot's rule and ``mlp_critic`` by He's. Samples come from an average of
    the generator, which the paper has not: ``model.ema=null``.
    """

    @checked
    def __init__(self, generator: nn.Module, discriminator: nn.Module, **options: Unpack[AdversarialOptions]) -> None:
        paper: AdversarialOptions = {
            "objective": Wasserstein(),
            "penalty": GradientPenalty(),
            "n_critic": 5,
            "g_optimizer": adam(1e-4, 0.0, 0.9),
            "d_optimizer": adam(1e-4, 0.0, 0.9),
        }
        super().__init__(generator, discriminator, **(paper | options))

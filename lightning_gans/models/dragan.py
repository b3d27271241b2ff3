"""Train DRAGAN, the GAN with a gradient penalty around the data."""

from __future__ import annotations

from torch import nn
from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.losses.objectives import NonSaturating
from lightning_gans.losses.penalties import Dragan
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.options import AdversarialOptions, adam


class DRAGAN(AdversarialModule):
    """Train DRAGAN. Kodali et al. 2017, arXiv:1705.07215.

        D: -E[log s(D(x))] - E[log(1 - s(D(G(z))))] + 10 E[(|grad D(x')| - 1)^2]        G: -E[log s(D(G(z)))]

    where x' lies near a real sample (see ``penalties.Dragan``); the critic has no batch norm. Samples come from an
    average of the generator, which the paper has not: ``model.ema=null``.
    """

    @checked
    def __init__(self, generator: nn.Module, discriminator: nn.Module, **options: Unpack[AdversarialOptions]) -> None:
        paper: AdversarialOptions = {
            "objective": NonSaturating(),
            "penalty": Dragan(),
            "batch_size": 128,
            "latent": "uniform",
            "g_optimizer": adam(1e-4, 0.5, 0.9),
            "d_optimizer": adam(1e-4, 0.5, 0.9),
        }
        super().__init__(generator, discriminator, **(paper | options))

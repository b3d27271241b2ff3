"""Train LSGAN, the least squares GAN."""

from __future__ import annotations

from torch import nn
from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.losses.objectives import LeastSquares
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.options import AdversarialOptions, adam


class LSGAN(AdversarialModule):
    """Train LSGAN. Mao et al. 2017, arXiv:1611.04076.

        D: E[(D(x) - b)^2] / 2 + E[(D(G(z)) - a)^2] / 2        G: E[(D(G(z)) - c)^2] / 2

    with a = 0 and b = c = 1 (its equation 9), on DCGAN's networks in place of the paper's 112x112 ones. Samples come
    from an average of the generator, which the paper has not: ``model.ema=null``.
    """

    @checked
    def __init__(self, generator: nn.Module, discriminator: nn.Module, **options: Unpack[AdversarialOptions]) -> None:
        paper: AdversarialOptions = {
            "objective": LeastSquares(),
            "g_optimizer": adam(1e-3),
            "d_optimizer": adam(1e-3),
        }
        super().__init__(generator, discriminator, **(paper | options))

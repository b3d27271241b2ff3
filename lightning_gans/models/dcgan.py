"""Train DCGAN, the deep convolutional GAN."""

from __future__ import annotations

from torch import nn
from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.losses.objectives import NonSaturating
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.options import AdversarialOptions, adam


class DCGAN(AdversarialModule):
    """Train DCGAN. Radford, Metz, Chintala 2016, arXiv:1511.06434.

    The networks make the family (see ``networks/dcgan.py``); the players minimise, with z ~ N(0, I),

        D: -E[log s(D(x))] - E[log(1 - s(D(G(z))))]        G: -E[log s(D(G(z)))]

    by Adam at 2e-4 with beta1 0.5, batches of real and of generated images going through D separately, since its
    batch norm sees them as two populations. As in the authors' released code z is normal, not uniform, and the
    generator learns from the samples that the discriminator has just seen. Samples come from an average of the
    generator, which the paper has not: ``model.ema=null``.
    """

    @checked
    def __init__(self, generator: nn.Module, discriminator: nn.Module, **options: Unpack[AdversarialOptions]) -> None:
        paper: AdversarialOptions = {
            "objective": NonSaturating(),
            "reuse_fakes": True,
            "g_optimizer": adam(),
            "d_optimizer": adam(),
        }
        super().__init__(generator, discriminator, **(paper | options))

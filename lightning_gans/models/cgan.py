"""Train the conditional GAN."""

from __future__ import annotations

from torch import nn
from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.losses.objectives import NonSaturating
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.options import AdversarialOptions, adam


class CGAN(AdversarialModule):
    """Train the conditional GAN. Mirza and Osindero 2014, arXiv:1411.1784.

    Both players are told the class y, one-hot (its equation 2), with z uniform in [-1, 1) and s the logistic function:

        D: -E[log s(D(x|y))] - E[log(1 - s(D(G(z|y)|y)))]        G: -E[log s(D(G(z|y)|y))]

    or E[log(1 - s(D(G(z|y)|y)))] for G with ``model/objective=saturating``. The classes of generated images are drawn
    from the training set's frequencies. Dense networks as in the paper (``networks/cgan.py``); those of DCGAN with the
    class beside latents and images by ``model/network=cgan_dcgan``. Samples come from an average of the generator,
    which the paper has not: ``model.ema=null``.
    """

    @checked
    def __init__(self, generator: nn.Module, discriminator: nn.Module, **options: Unpack[AdversarialOptions]) -> None:
        paper: AdversarialOptions = {
            "objective": NonSaturating(),
            "batch_size": 100,
            "latent": "uniform",
            "g_optimizer": adam(),
            "d_optimizer": adam(),
        }
        super().__init__(generator, discriminator, **(paper | options))

    conditions = ("label",)
    data_kinds = ("labelled",)

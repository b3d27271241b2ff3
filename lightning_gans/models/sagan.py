"""Train SAGAN, the GAN with self-attention."""

from __future__ import annotations

from torch import nn
from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.losses.objectives import Hinge
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.options import AdversarialOptions, adam
from lightning_gans.models.sampling_options import TRUNCATION


class SAGAN(AdversarialModule):
    """Train SAGAN, the self-attention GAN. Zhang et al. 2018, arXiv:1805.08318.

        D: E[max(0, 1 - D(x, y))] + E[max(0, 1 + D(G(z, y), y))]        G: -E[D(G(z, y), y)]

    on residual networks with one layer of self-attention each, at 32x32: x + gate o(softmax(theta(x)^T phi(x)) g(x)),
    whose gate starts at 0. Spectral norm in both players, class-conditional batch norm in G, a projection of the class
    in D, and a rate of D four times that of G. Samples come from an average of the generator, which the paper has not:
    ``model.ema=null``. ``truncation`` of samples, which the paper has not either, is BigGAN's.
    """

    conditions = ("label",)
    data_kinds = ("labelled",)
    sampling_options = {"truncation": TRUNCATION}  # noqa: RUF012

    @checked
    def __init__(self, generator: nn.Module, discriminator: nn.Module, **options: Unpack[AdversarialOptions]) -> None:
        paper: AdversarialOptions = {
            "objective": Hinge(),
            "batch_size": 256,
            "g_optimizer": adam(1e-4, 0.0, 0.9),
            "d_optimizer": adam(4e-4, 0.0, 0.9),
        }
        super().__init__(generator, discriminator, **(paper | options))

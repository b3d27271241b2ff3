"""Train SNGAN, the GAN with spectral normalisation."""

from __future__ import annotations

from functools import partial

from torch import nn
from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.losses.objectives import Hinge
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.options import AdversarialOptions, adam
from lightning_gans.schedules.learning_rate import LinearDecay


class SNGAN(AdversarialModule):
    """Train SNGAN. Miyato et al. 2018, arXiv:1802.05957.

        D: E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]        G: -E[D(G(z))]

    on residual networks, every weight of D divided by its largest singular value (one power iteration per forward
    pass, by ``torch.nn.utils.parametrizations.spectral_norm``). Samples come from an average of the generator, which
    the paper has not: ``model.ema=null``.

    With ``model.discriminator.classes=projection`` it is class-conditional as in Miyato and Koyama 2018,
    arXiv:1802.05637: D(x, y) = w^T phi(x) + <embed(y), phi(x)>, and G's batch norm has a gain and a bias by class.
    """

    @checked
    def __init__(self, generator: nn.Module, discriminator: nn.Module, **options: Unpack[AdversarialOptions]) -> None:
        paper: AdversarialOptions = {
            "objective": Hinge(),
            "n_critic": 5,
            "g_batch_size": 128,
            "g_optimizer": adam(2e-4, 0.0, 0.9),
            "d_optimizer": adam(2e-4, 0.0, 0.9),
            "g_scheduler": partial(LinearDecay, updates=100_000),
            "d_scheduler": partial(LinearDecay, updates=100_000),
        }
        super().__init__(generator, discriminator, **(paper | options))

"""Train DRAGAN, the GAN with a gradient penalty around the data."""

from __future__ import annotations

from lightning_gans.models.adversarial import AdversarialModule


class DRAGAN(AdversarialModule):
    """Train DRAGAN. Kodali et al. 2017, arXiv:1705.07215.

        D: -E[log s(D(x))] - E[log(1 - s(D(G(z))))] + 10 E[(|grad D(x')| - 1)^2]        G: -E[log s(D(G(z)))]

    where x' lies near a real sample (see ``penalties.Dragan``); the critic has no batch norm. Samples come from an
    average of the generator, which the paper has not: ``model.ema=null``.
    """

"""Train LSGAN, the least squares GAN."""

from __future__ import annotations

from lightning_gans.models.adversarial import AdversarialModule


class LSGAN(AdversarialModule):
    """Train LSGAN. Mao et al. 2017, arXiv:1611.04076.

        D: E[(D(x) - b)^2] / 2 + E[(D(G(z)) - a)^2] / 2        G: E[(D(G(z)) - c)^2] / 2

    with a = 0 and b = c = 1 (its equation 9), on DCGAN's networks in place of the paper's 112x112 ones. Samples come
    from an average of the generator, which the paper has not: ``model.ema=null``.
    """

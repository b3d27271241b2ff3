"""Train WGAN-GP, the Wasserstein GAN with gradient penalty."""

from __future__ import annotations

from lightning_gans.models.adversarial import AdversarialModule


class WGANGP(AdversarialModule):
    """Train WGAN-GP. Gulrajani et al. 2017, arXiv:1704.00028.

        D: E[D(G(z))] - E[D(x)] + 10 E[(|grad D(x')| - 1)^2]        G: -E[D(G(z))]

    at x' = u x + (1 - u) G(z) with one u ~ U[0, 1) per sample (its equation 3). The penalty is per sample, so the
    critic has no batch norm. On DCGAN's networks the weights start as DCGAN's; as in the authors' code
    ``model/network=resnet_critic`` starts by Glorot's rule and ``mlp_critic`` by He's. Samples come from an average of
    the generator, which the paper has not: ``model.ema=null``.
    """

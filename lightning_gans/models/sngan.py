"""Train SNGAN, the GAN with spectral normalisation."""

from __future__ import annotations

from lightning_gans.models.adversarial import AdversarialModule


class SNGAN(AdversarialModule):
    """Train SNGAN. Miyato et al. 2018, arXiv:1802.05957.

        D: E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]        G: -E[D(G(z))]

    on residual networks, every weight of D divided by its largest singular value (one power iteration per forward
    pass, by ``torch.nn.utils.parametrizations.spectral_norm``). Samples come from an average of the generator, which
    the paper has not: ``model.ema=null``.

    With ``model.discriminator.classes=projection`` it is class-conditional as in Miyato and Koyama 2018,
    arXiv:1802.05637: D(x, y) = w^T phi(x) + <embed(y), phi(x)>, and G's batch norm has a gain and a bias by class.
    """

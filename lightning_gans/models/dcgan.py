"""Train DCGAN, the deep convolutional GAN."""

from __future__ import annotations

from lightning_gans.models.adversarial import AdversarialModule


class DCGAN(AdversarialModule):
    """Train DCGAN. Radford, Metz, Chintala 2016, arXiv:1511.06434.

    The networks make the family (see ``networks/dcgan.py``); the players minimise, with z ~ N(0, I),

        D: -E[log s(D(x))] - E[log(1 - s(D(G(z))))]        G: -E[log s(D(G(z)))]

    by Adam at 2e-4 with beta1 0.5, batches of real and of generated images going through D separately, since its
    batch norm sees them as two populations. As in the authors' released code z is normal, not uniform, and the
    generator learns from the samples that the discriminator has just seen. Samples come from an average of the
    generator, which the paper has not: ``model.ema=null``.
    """

"""Regularised relativistic GAN."""

from __future__ import annotations

from lightning_gans.models.adversarial import AdversarialModule


class R3GAN(AdversarialModule):
    """R3GAN. Huang, Gokaslan, Kuleshov, Tompkin 2024, arXiv:2501.05441.

        D: E[softplus(D(G(z)) - D(x))] + gamma / 2 (E|grad D(x)|^2 + E|grad D(G(z))|^2)
        G: E[softplus(D(x) - D(G(z)))]

    on residual networks without normalisation. gamma is ``penalty.weight``: it grows with the resolution. Unlike the
    authors' code, gamma and Adam's beta2 stay constant.
    """

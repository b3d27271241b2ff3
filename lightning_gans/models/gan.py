"""The first GAN."""

from __future__ import annotations

from lightning_gans.models.adversarial import AdversarialModule


class GAN(AdversarialModule):
    """GAN. Goodfellow et al. 2014, arXiv:1406.2661.

    With z uniform in [-1, 1) and s the logistic function,

        D: -E[log s(D(x))] - E[log(1 - s(D(G(z))))]

    G minimises -E[log s(D(G(z)))], or E[log(1 - s(D(G(z))))] with ``model/objective=saturating``, the minimax game of
    equation 1, after ``n_critic`` (k in the paper) updates of D. Dense networks, D of maxout units with dropout; SGD
    whose rate decays by 1.000004 per update while its momentum rises.
    """

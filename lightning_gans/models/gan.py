"""The first GAN."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.base import Batch


class GAN(AdversarialModule):
    """GAN. Goodfellow et al. 2014, arXiv:1406.2661.

    With z uniform in [-1, 1) and s the logistic function,

        D: -E[log s(D(x))] - E[log(1 - s(D(G(z))))]

    G minimises -E[log s(D(G(z)))], or E[log(1 - s(D(G(z))))] with ``model/objective=saturating``, the minimax game of
    equation 1, after ``n_critic`` (k in the paper) updates of D. Dense networks, D of maxout units with dropout; SGD
    whose rate decays by 1.000004 per update while its momentum rises. Samples come from an average of the generator,
    which the paper has not: ``model.ema=null``.

    Args:
        generator: Player.
        discriminator: Player.
        max_norm: Largest norm of the weights into a unit of D's dense layers, kept after each of its updates, 1.9365
            in the authors' released code; spectral norm has a bound of its own. ``None``: no bound.
        **options: See ``AdversarialModule``.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, *, max_norm: float | None = None, **options: Any
    ) -> None:
        super().__init__(generator, discriminator, **options)
        if max_norm is not None and max_norm <= 0:
            raise ValueError(f"model.max_norm={max_norm}: must be > 0, or null")
        self.max_norm = max_norm
        layers = [layer for layer in discriminator.modules() if isinstance(layer, nn.Linear)]
        self._bounded = [layer.weight for layer in layers if not hasattr(layer, "parametrizations")]

    def update(self, player: str, batch: Batch) -> None:
        """One update of ``player``; the discriminator's weights are bounded after its own."""
        super().update(player, batch)
        if player == "d" and self.max_norm is not None:
            with torch.no_grad():
                for weight in self._bounded:
                    weight.copy_(weight.renorm(2, 0, self.max_norm))

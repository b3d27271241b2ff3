"""Train BigGAN, class-conditional residual networks with large batches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from lightning_gans.config.types import NonNegative, checked
from lightning_gans.losses.objectives import Hinge
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.base import Batch, Terms
from lightning_gans.models.ema import EMA
from lightning_gans.models.options import AdversarialOptions, adam
from lightning_gans.models.sampling_options import TRUNCATION


class BigGAN(AdversarialModule):
    """Train BigGAN. Brock, Donahue, Simonyan 2019, arXiv:1809.11096.

        D: E[max(0, 1 - D(x, y))] + E[max(0, 1 + D(G(z, y), y))]
        G: -E[D(G(z, y), y)] + beta sum over layers |W W^T (1 - I)|^2

    with the products of a layer's filters W (out, in) off the diagonal (the paper's equation 3). G's batch norm depends
    on an embedding of the class, which all layers share, and on a part of z of their own; self-attention at 64x64;
    spectral norm in both. Two updates of D for each of G; the average of G starts after 20,000 updates.

    A batch of 2,048 is shared among processes and micro-batches: ``trainer.sync_batchnorm=true`` and
    ``model.accumulate``, by which spectral norm and running statistics move once an update. ``truncation`` of samples
    has statistics of batch norm of its own, measured on truncated latents. The released code takes half the gradient of
    the orthogonal term. ``model/network=biggan_deep`` has the networks of the paper's appendix B.

    Args:
        generator: Player.
        discriminator: Player.
        orthogonal: Weight beta of the orthogonal regularisation of G's layers but the shared embedding, >= 0.
        **options: See ``AdversarialModule``.
    """

    conditions = ("label",)
    data_kinds = ("labelled",)
    sampling_options = {"truncation": TRUNCATION}  # noqa: RUF012

    @checked
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        orthogonal: NonNegative = 1e-4,
        **options: Unpack[AdversarialOptions],
    ) -> None:
        paper: AdversarialOptions = {
            "objective": Hinge(),
            "batch_size": 2048,
            "n_critic": 2,
            "g_optimizer": adam(5e-5, 0.0, 0.999),
            "d_optimizer": adam(2e-4, 0.0, 0.999),
            "ema": EMA(None, None, decay=0.9999, start=20_000),
        }
        super().__init__(generator, discriminator, **(paper | options))
        self.orthogonal = orthogonal
        shared = getattr(generator, "shared", None)
        left_out = {id(weight) for weight in shared.parameters()} if isinstance(shared, nn.Module) else set()
        self._layers = [weight for weight in generator.parameters() if weight.ndim > 1 and id(weight) not in left_out]

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the base's term and the orthogonal regularisation of the generator's weights."""
        terms = super().generator_loss(batch)
        layers = [weight for weight in self._layers if weight.requires_grad]
        if self.orthogonal and layers:
            terms["orthogonal"] = self.orthogonal * torch.stack([overlap(weight) for weight in layers]).sum()
        return terms


def overlap(weight: Tensor) -> Tensor:
    """Return the sum of squared products of different filters: |W W^T (1 - I)|^2 of a weight (out, ...) as (out, in).

    Brock et al. 2019, equation 3; it is |W W^T|^2 - sum of |w_i|^4, and W^T W has the same |W^T W|^2, so that the
    smaller of the two products is formed.
    """
    rows = weight.flatten(1)
    product = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    return product.square().sum() - rows.square().sum(1).square().sum()

"""Train TVAE, a variational autoencoder of tables."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import nn
from torch.optim import Adam
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import NonNegative, Positive, checked
from lightning_gans.models.base import Batch, GenerativeModule, Terms
from lightning_gans.models.options import LatentOptions
from lightning_gans.networks.table import Decoder
from lightning_gans.runtime.precision import full_precision


class TVAE(GenerativeModule):
    """Train TVAE. Xu et al. 2019, arXiv:1907.00503, section 4.5.

    Encoder and decoder are one player, which minimises the negative evidence lower bound, in nats per row,

        -E[log p(x | z)] + beta KL(q(z | x) || N(0, I)),        z = mu(x) + sigma(x) e,  e ~ N(0, I)

    where numbers within their modes are normal around tanh(raw) with a learnt deviation for each column, and modes and
    levels have the softmax of their logits. Samples are draws of these.

    Args:
        generator: Decoder, see ``networks/table.py``.
        encoder: Rows to mean and log variance.
        reconstruction_weight: Weight of the first term.
        beta: Weight of the KL term.
        **options: See ``GenerativeModule``.
    """

    data_kinds = ("table",)

    @checked
    def __init__(
        self,
        generator: Decoder,
        encoder: nn.Module,
        *,
        reconstruction_weight: Positive = 1.0,
        beta: NonNegative = 1.0,
        **options: Unpack[LatentOptions],
    ) -> None:
        optimizer = partial(Adam, lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-5)
        paper: LatentOptions = {"g_optimizer": optimizer, "batch_size": 500, "ema": None}
        super().__init__(generator, **(paper | options))
        if self.latent != "normal":
            raise ConfigError("latent", self.latent, "must be normal, as the KL term has it")
        self.encoder, self.reconstruction_weight, self.beta = encoder, reconstruction_weight, beta
        self.add_player("g", encoder)

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the two terms of the negative evidence lower bound, means over the batch."""
        rows, decoder = batch["image"], self.generator
        mean, log_variance = (full_precision(output) for output in self.encoder(rows))
        latents = mean + torch.exp(log_variance / 2) * self.normal(*mean.shape)
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2  # (N,)
        raw = full_precision(decoder.raw(latents))  # type: ignore[operator]
        nats = decoder.negative_log_likelihood(raw, rows)  # type: ignore[operator]
        return {"reconstruction": self.reconstruction_weight * nats.mean(), "kl": self.beta * kl.mean()}

    @torch.no_grad()
    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check shapes as the base does, and that the encoder gives what the decoder takes."""
        super().check_data(shapes)
        found = self.encoder(torch.zeros(2, *shapes["image"], device=self.device))[0].shape[1]
        if found != self.generator.hidden_dim:
            raise ValueError(
                f"model.encoder gives {found} latents and model.generator takes {self.generator.hidden_dim}"
            )

    @property
    def image_networks(self) -> dict[str, nn.Module]:
        """Return the encoder, by name."""
        return {"encoder": self.encoder}

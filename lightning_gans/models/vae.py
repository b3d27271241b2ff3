"""Train a VAE, the variational autoencoder, as the baseline of comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import NonNegative, Positive, checked
from lightning_gans.models.base import Batch, GenerativeModule, Terms
from lightning_gans.models.ema import EMA, evaluating
from lightning_gans.models.options import LatentOptions, adam
from lightning_gans.runtime.precision import full_precision


class VAE(GenerativeModule):
    """Train a VAE. Kingma and Welling 2014, arXiv:1312.6114; beta: Higgins et al. 2017.

    Encoder and decoder are one player, which minimises the negative evidence lower bound, in nats per image,

        -E[log p(x | z)] + beta KL(q(z | x) || N(0, I)),        z = mu(x) + sigma(x) e,  e ~ N(0, I)

    with KL = sum(mu^2 + sigma^2 - 1 - log sigma^2) / 2. ``gaussian``: p = N(G(z), ``scale``^2), whose constants are
    kept; ``bernoulli``: every value, moved from [-1, 1] to [0, 1], is a probability. Samples are the means G(z), of an
    average of the decoder, which the paper has not: ``model.ema=null``.

    Args:
        generator: Decoder, latents (N, latent_dim) to images in [-1, 1].
        encoder: Images to mean and log variance, (N, latent_dim) each.
        likelihood: ``gaussian`` or ``bernoulli``.
        scale: Standard deviation of the Gaussian, in units of the images' range [-1, 1], > 0.
        beta: Weight of the KL term, >= 0.
        **options: See ``GenerativeModule``.
    """

    @checked
    def __init__(
        self,
        generator: nn.Module,
        encoder: nn.Module,
        *,
        likelihood: Literal["gaussian", "bernoulli"] = "gaussian",
        scale: Positive = 1.0,
        beta: NonNegative = 1.0,
        **options: Unpack[LatentOptions],
    ) -> None:
        paper: LatentOptions = {"g_optimizer": adam(1e-3, 0.9), "ema": EMA()}
        super().__init__(generator, **(paper | options))
        if self.latent != "normal":
            raise ConfigError("latent", self.latent, "must be normal, as the KL term has it")
        self.encoder, self.likelihood, self.scale, self.beta = encoder, likelihood, scale, beta
        self.add_player("g", encoder)

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the two terms of the negative evidence lower bound, means over the batch."""
        images = batch["image"]
        mean, log_variance = (full_precision(output) for output in self.encoder(images))
        latents = mean + torch.exp(log_variance / 2) * self.normal(*mean.shape)
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2  # (N,)
        reconstruction = self.negative_log_likelihood(full_precision(self.generator(latents)), images)  # (N,)
        return {"reconstruction": reconstruction.mean(), "kl": self.beta * kl.mean()}

    def negative_log_likelihood(self, made: Tensor, images: Tensor) -> Tensor:
        """Return -log p(x | z) of every image in nats, (N,)."""
        if self.likelihood == "bernoulli":
            probability = ((made + 1) / 2).clamp(1e-6, 1 - 1e-6)
            target = (images + 1) / 2
            nats = -target * probability.log() - (1 - target) * torch.log1p(-probability)
        else:
            nats = ((images - made) / self.scale).square() / 2 + math.log(self.scale * math.sqrt(2 * math.pi))
        return nats.flatten(1).sum(1)

    @torch.no_grad()
    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check shapes as the base does, and that the encoder gives what the decoder takes."""
        super().check_data(shapes)
        with evaluating(self.encoder):
            found = self.encoder(torch.zeros(2, *shapes["image"]))[0].shape[1]
        if found != self.latent_dim:
            raise ValueError(f"model.encoder gives {found} latents and model.generator takes {self.latent_dim}")

    @property
    def image_networks(self) -> dict[str, nn.Module]:
        """Return the encoder, by name."""
        return {"encoder": self.encoder}

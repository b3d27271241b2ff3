"""Define DCGAN's networks conditioned on a class: one-hot vectors beside latents, constant maps beside images."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks import dcgan
from lightning_gans.networks.classes import checked_classes, one_hot
from lightning_gans.networks.layers import Minibatch


class Generator(nn.Module):
    """Map latents (N, latent_dim) and classes (N,) to images (N, channels, H, W) in [-1, 1].

    DCGAN's generator of latents with the one-hot class behind them.

    Args:
        image_size: As DCGAN's.
        channels: Image channels, >= 1.
        num_classes: Number of classes, >= 1.
        latent_dim: Length of the latent vector, without the class.
        base_channels: Feature maps before the last layer; they double at every halving of the map.
        max_channels: Most feature maps of a layer.
        norm: ``batch`` as in the paper, or ``None``.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        num_classes: PositiveInt | None,
        latent_dim: PositiveInt = 100,
        base_channels: PositiveInt = 64,
        max_channels: PositiveInt = 1024,
        norm: Literal["batch"] | None = "batch",
    ) -> None:
        super().__init__()
        self.latent_dim, self.num_classes = latent_dim, checked_classes(num_classes)
        self.network = dcgan.Generator(
            image_size=image_size,
            channels=channels,
            latent_dim=latent_dim + self.num_classes,
            base_channels=base_channels,
            max_channels=max_channels,
            norm=norm,
        )

    def forward(self, latents: Tensor, classes: Tensor) -> Tensor:
        """Map latents (N, latent_dim) and classes (N,) int64 to images (N, channels, H, W)."""
        images: Tensor = self.network(torch.cat([latents, one_hot(classes, self.num_classes, latents)], 1))
        return images


class Discriminator(nn.Module):
    """Map images (N, channels, H, W) and classes (N,) to raw logits (N,).

    DCGAN's discriminator of images with one more channel a class: 1 everywhere in that of the image's class, 0 in the
    others.

    Args:
        image_size: As DCGAN's.
        channels: Image channels, >= 1.
        num_classes: Number of classes, >= 1.
        base_channels: Feature maps after the first layer; they double at every halving of the map.
        max_channels: Most feature maps of a layer.
        norm: ``batch`` as in the paper; ``instance``, ``layer``, ``spectral`` (on every layer) or ``None``.
        minibatch: What compares the samples of a batch before the last layer: ``stddev``, ``discrimination`` or
            ``None``.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        num_classes: PositiveInt | None,
        base_channels: PositiveInt = 64,
        max_channels: PositiveInt = 1024,
        norm: dcgan.Norm | None = "batch",
        minibatch: Minibatch | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = checked_classes(num_classes)
        self.network = dcgan.Discriminator(
            image_size=image_size,
            channels=channels + self.num_classes,
            base_channels=base_channels,
            max_channels=max_channels,
            norm=norm,
            minibatch=minibatch,
        )

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Map images (N, channels, H, W) and classes (N,) int64 to logits (N,)."""
        maps = one_hot(classes, self.num_classes, images)[:, :, None, None]  # (N, num_classes, 1, 1)
        logits: Tensor = self.network(torch.cat([images, maps.expand(-1, -1, *images.shape[2:])], 1))
        return logits

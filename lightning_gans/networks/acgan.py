"""Define AC-GAN's networks (Odena, Olah, Shlens 2017, arXiv:1610.09585, appendix A) for squares and rectangles."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_gans.config.types import FractionBelowOne, PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks.classes import checked_classes, one_hot
from lightning_gans.networks.dcgan import Norm
from lightning_gans.networks.dropout import Dropout
from lightning_gans.networks.layers import (
    BATCH_NORMS,
    Minibatch,
    base_shape,
    minibatch_layer,
    normal_init,
    normalised,
    widths,
)

SIZES = (8, 256)


class Generator(nn.Module):
    """Map latents (N, latent_dim) and classes (N,) to images (N, channels, H, W) in [-1, 1].

    The one-hot class stands behind the latents: a dense layer without activation maps both, so that its columns of the
    classes are an embedding. Then a transposed convolution to 4x4 (of rectangles ``base_shape``) and others of stride
    2, batch norm and ReLU after all but the last, no bias in any, and tanh.

    Args:
        image_size: Side, a power of two from 8 to 256, or ``[height, width]``; see ``base_shape``.
        channels: Image channels, >= 1.
        num_classes: Number of classes, >= 1.
        latent_dim: Length of the latent vector, without the class.
        base_channels: Feature maps before the last layer; they double at every halving of the map.
        max_channels: Most feature maps of a layer.
        norm: ``batch`` as in the paper, or ``None``.

    Raises:
        ConfigError: The size is not allowed, or the data has no classes.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        num_classes: PositiveInt | None,
        latent_dim: PositiveInt = 100,
        base_channels: PositiveInt = 48,
        max_channels: PositiveInt = 768,
        norm: Literal["batch"] | None = "batch",
    ) -> None:
        super().__init__()
        levels, base = base_shape(image_size, *SIZES)
        self.latent_dim, self.num_classes = latent_dim, checked_classes(num_classes)
        first, *maps = widths(levels + 1, base_channels, max_channels)[::-1]  # of 32x32: 384, then 192, 96, 48
        self.dense = nn.Linear(latent_dim + self.num_classes, first)
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(zip([first, *maps], maps, strict=False)):
            kernel, stride, padding = (base, 1, 0) if index == 0 else ((4, 4), 2, 1)
            layers.append(nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding, bias=norm is None))
            layers += [*([nn.BatchNorm2d(outputs)] if norm == "batch" else []), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(maps[-1], channels, 4, 2, 1, bias=False), nn.Tanh())
        self.apply(normal_init)

    def forward(self, latents: Tensor, classes: Tensor) -> Tensor:
        """Map latents (N, latent_dim) and classes (N,) int64 to images (N, channels, H, W)."""
        features = self.dense(torch.cat([latents, one_hot(classes, self.num_classes, latents)], 1))
        images: Tensor = self.layers(features[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """Map images (N, channels, H, W) to raw logits (N,) of being real and, by ``heads``, (N, num_classes) of classes.

    Two 3x3 convolutions at every resolution, the first of stride 2, down to 4x4 (of rectangles ``base_shape``), whose
    widths double; LeakyReLU(0.2) and dropout after each, a norm after all but the first. Two dense layers share the
    last map. ``forward`` takes classes, as penalties pass them on, and does not look at them.

    Args:
        image_size: Side, a power of two from 8 to 256, or ``[height, width]``; see ``base_shape``.
        channels: Image channels, >= 1.
        num_classes: Number of classes, >= 1.
        base_channels: Feature maps after the first layer.
        max_channels: Most feature maps of a layer.
        norm: ``batch`` as in the paper; ``instance``, ``layer``, ``spectral`` (on every layer) or ``None``.
        dropout: Probability that a value is dropped, 0 to below 1.
        minibatch: Layer that compares the samples of a batch before the dense layers: ``stddev``, ``discrimination``
            or ``None``.

    Raises:
        ConfigError: The size is not allowed, or the data has no classes.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        num_classes: PositiveInt | None,
        base_channels: PositiveInt = 16,
        max_channels: PositiveInt = 512,
        norm: Norm | None = "batch",
        dropout: FractionBelowOne = 0.5,
        minibatch: Minibatch | None = None,
    ) -> None:
        super().__init__()
        levels, base = base_shape(image_size, *SIZES)
        self.num_classes = checked_classes(num_classes)
        inner = "spectral" if norm == "spectral" else None
        maps = widths(2 * levels, base_channels, max_channels)
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(zip([channels, *maps], maps, strict=False)):
            here = inner if index == 0 else norm
            layer = nn.Conv2d(inputs, outputs, 3, 2 - index % 2, 1, bias=norm in ("spectral", None))
            layer.apply(normal_init)
            layers += [*normalised(layer, here), nn.LeakyReLU(0.2, inplace=True)]
            layers += [Dropout(dropout)] if dropout else []
        compare, extra = minibatch_layer(minibatch, (maps[-1], *base))
        self.layers = nn.Sequential(*layers, *compare, nn.Flatten())
        for one in self.layers:
            if isinstance(one, BATCH_NORMS):
                normal_init(one)
        features = (maps[-1] + extra) * math.prod(base)
        real, classes = (nn.Linear(features, outputs).apply(normal_init) for outputs in (1, self.num_classes))
        (self.real,), (self.classes,) = normalised(real, inner), normalised(classes, inner)

    def heads(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, channels, H, W) to logits (N,) of being real and logits (N, num_classes) of the class."""
        features = self.layers(images)
        return torch.flatten(self.real(features)), self.classes(features)

    def forward(self, images: Tensor, classes: Tensor | None = None) -> Tensor:
        """Map images (N, channels, H, W) to logits (N,) of being real."""
        return self.heads(images)[0]

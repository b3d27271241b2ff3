"""Define DCGAN's networks (Radford, Metz, Chintala 2016, arXiv:1511.06434) for squares and rectangles."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks.classes import Classes, beside, classes_of, entries_of, projected, projection
from lightning_gans.networks.convolution import Conv2d, ConvTranspose2d
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
Norm = Literal["batch", "instance", "layer", "spectral"]


class Generator(nn.Module):
    """Map latents (N, latent_dim) to images (N, channels, H, W) in [-1, 1].

    One dense layer to 4x4 (of rectangles ``base_shape``) as a transposed convolution, then transposed convolutions of
    stride 2; batch norm and ReLU after all but the last, tanh at the end; no bias before batch norm.

    Args:
        image_size: Side, a power of two from 8 to 256, or ``[height, width]``; see ``base_shape``.
        channels: Image channels, >= 1.
        latent_dim: Length of the latent vector, >= 1.
        base_channels: Feature maps before the last layer, >= 1; they double at every halving of the map.
        max_channels: Most feature maps of a layer, >= 1.
        norm: ``batch`` as in the paper, or ``None``.
        classes: ``projection``: take the class too, one-hot behind the latents, as suits a projection discriminator.
        num_classes: Number of classes; needed with ``classes``.

    Raises:
        ConfigError: The size is not allowed, or the data has no classes.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        latent_dim: PositiveInt = 100,
        base_channels: PositiveInt = 64,
        max_channels: PositiveInt = 1024,
        norm: Literal["batch"] | None = "batch",
        classes: Classes | None = None,
        num_classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        levels, base = base_shape(image_size, *SIZES)
        self.latent_dim, self.num_classes = latent_dim, classes_of(classes, num_classes)
        self.conditions = entries_of(self.num_classes)
        maps = widths(levels, base_channels, max_channels)[::-1]
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(zip([latent_dim + self.num_classes, *maps], maps, strict=False)):
            kernel, stride, padding = (base, 1, 0) if index == 0 else ((4, 4), 2, 1)
            layers.append(ConvTranspose2d(inputs, outputs, kernel, stride, padding, bias=norm is None))
            layers += [nn.BatchNorm2d(outputs)] if norm == "batch" else []
            layers.append(nn.ReLU(inplace=True))
        layers += [ConvTranspose2d(maps[-1], channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(normal_init)

    def forward(self, latents: Tensor, *classes: Tensor) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) if it takes them, to images (N, channels, H, W)."""
        images: Tensor = self.layers(beside(latents, classes, self.num_classes)[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """Map images (N, channels, H, W) to raw logits (N,).

    Convolutions of stride 2 with LeakyReLU(0.2); normalisation after all but the first and the last.

    Args:
        image_size: Side, a power of two from 8 to 256, or ``[height, width]``; see ``base_shape``.
        channels: Image channels, >= 1.
        base_channels: Feature maps after the first layer, >= 1; they double at every halving of the map.
        max_channels: Most feature maps of a layer, >= 1.
        norm: ``batch`` as in the paper; ``instance``, ``layer``, ``spectral`` (on every layer) or ``None``.
        minibatch: Layer that compares the samples of a batch before the last layer: ``stddev``, ``discrimination`` or
            ``None``.
        classes: ``projection``: take the class too, and add the projection of the last features, summed over space, on
            its embedding to the logit; see ``ClassProjection``.
        num_classes: Number of classes; needed with ``classes``.

    Raises:
        ConfigError: The size is not allowed, or the data has no classes.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        base_channels: PositiveInt = 64,
        max_channels: PositiveInt = 1024,
        norm: Norm | None = "batch",
        minibatch: Minibatch | None = None,
        classes: Classes | None = None,
        num_classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.layers = _convolutions(image_size, channels, 1, base_channels, max_channels, norm, minibatch)
        self.projection = projection(classes, num_classes, int(self.layers[-1].in_channels), norm)  # type: ignore

    def forward(self, images: Tensor, *classes: Tensor) -> Tensor:
        """Map images (N, channels, H, W), and classes (N,) if it takes them, to logits (N,)."""
        *body, last = self.layers
        features = images
        for layer in body:
            features = layer(features)  # (N, C, 4, 4) in the end
        return projected(torch.flatten(last(features)), features, self.projection, classes)


class Encoder(nn.Module):
    """Map images (N, channels, H, W) to the mean and log variance of their latents, (N, latent_dim) each.

    The discriminator's layers with as many outputs.

    Args:
        image_size: Side, a power of two from 8 to 256, or ``[height, width]``; see ``base_shape``.
        channels: Image channels, >= 1.
        latent_dim: Length of the latent vector, >= 1.
        base_channels: Feature maps after the first layer, >= 1; they double at every halving of the map.
        max_channels: Most feature maps of a layer, >= 1.
        norm: ``batch``, ``instance``, ``layer``, ``spectral`` (on every layer) or ``None``.

    Raises:
        ConfigError: The size is not allowed.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        latent_dim: PositiveInt = 100,
        base_channels: PositiveInt = 64,
        max_channels: PositiveInt = 1024,
        norm: Norm | None = "batch",
    ) -> None:
        super().__init__()
        self.layers = _convolutions(image_size, channels, 2 * latent_dim, base_channels, max_channels, norm, None)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, channels, H, W) to mean and log variance, (N, latent_dim) each."""
        mean, log_variance = self.layers(images).flatten(1).chunk(2, 1)
        return mean, log_variance


def _convolutions(
    image_size: Size,
    channels: int,
    outputs: int,
    base_channels: int,
    max_channels: int,
    norm: Norm | None,
    minibatch: Minibatch | None,
) -> nn.Sequential:
    """Build convolutions down to 4x4 and one over that map: (N, channels, H, W) -> (N, outputs, 1, 1)."""
    levels, base = base_shape(image_size, *SIZES)
    maps = widths(levels, base_channels, max_channels)
    inner = "spectral" if norm == "spectral" else None
    layers: list[nn.Module] = []
    for index, (inputs, made) in enumerate(zip([channels, *maps], maps, strict=False)):
        here = inner if index == 0 else norm
        convolution = Conv2d(inputs, made, 4, 2, 1, bias=here in ("spectral", None))
        convolution.apply(normal_init)
        layers += [*normalised(convolution, here), nn.LeakyReLU(0.2, inplace=True)]
    compare, extra = minibatch_layer(minibatch, (maps[-1], *base))
    last = Conv2d(maps[-1] + extra, outputs, base)
    last.apply(normal_init)
    made_layers = nn.Sequential(*layers, *compare, *normalised(last, inner))
    for layer in made_layers:
        if isinstance(layer, BATCH_NORMS):
            normal_init(layer)
    return made_layers

"""Define InfoGAN's networks for MNIST (Chen et al. 2016, arXiv:1606.03657, appendix C.1), and for other sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import NonNegativeInt, PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks.classes import one_hot
from lightning_gans.networks.layers import check_divisible, normal_init, normalisation

Norm = Literal["batch", "layer"]
Categories = Annotated[int, Ge(2)]


class CodeParameters(NamedTuple):
    """Hold what Q(c | x) is made of, for N images.

    Attributes:
        logits: Of the categories of each categorical code, (N, K) each.
        means: Of the continuous codes, (N, n).
        log_stds: Logarithms of their standard deviations, (N, n).
    """

    logits: tuple[Tensor, ...]
    means: Tensor
    log_stds: Tensor


class Generator(nn.Module):
    """Map latents (N, latent_dim) and codes to images (N, channels, H, W) in [-1, 1].

    Two dense layers to a map of a quarter of the image's size and two transposed convolutions of stride 2; batch norm
    and ReLU after all but the last, tanh at the end (the paper has a logistic function and images in [0, 1]).

    Args:
        image_size: Side or [height, width], multiples of 4 from 8.
        channels: Image channels, >= 1.
        categorical: Number of categories of each categorical code, >= 2; one-hot vectors behind the latents.
        continuous: Number of continuous codes.
        latent_dim: Length of the latent vector, without the codes.
        base_channels: Feature maps before the last layer; twice as many before them.
        hidden: Units of the first dense layer.
        norm: ``batch`` as in the paper, or ``None``.

    Raises:
        ConfigError: The size is not allowed, or there is no code.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        categorical: Sequence[Categories] = (10,),
        continuous: NonNegativeInt = 2,
        latent_dim: PositiveInt = 62,
        base_channels: PositiveInt = 64,
        hidden: PositiveInt = 1024,
        norm: Literal["batch"] | None = "batch",
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.categorical, self.continuous = checked_codes(categorical, continuous), continuous
        inputs = latent_dim + sum(self.categorical) + continuous
        self.layers = dense_layers(inputs, image_size, channels, base_channels, hidden, norm)
        self.apply(normal_init)

    def forward(self, latents: Tensor, categorical: Tensor, continuous: Tensor) -> Tensor:
        """Map latents (N, latent_dim) and codes to images (N, channels, H, W).

        Args:
            latents: (N, latent_dim).
            categorical: Category of each categorical code, (N, number of codes) int64.
            continuous: (N, number of codes).
        """
        vectors = [one_hot(codes, k, latents) for codes, k in zip(categorical.unbind(1), self.categorical, strict=True)]
        images: Tensor = self.layers(torch.cat([latents, *vectors, continuous.to(latents.dtype)], 1))
        return images


class Discriminator(nn.Module):
    """Map images (N, channels, H, W) to raw logits (N,), and by the same trunk to the distribution of their codes.

    The trunk has two convolutions of stride 2 and a dense layer; Q one more hidden layer. LeakyReLU throughout,
    normalisation after all hidden layers but the first.

    Args:
        image_size: Side or [height, width], multiples of 4 from 8.
        channels: Image channels, >= 1.
        categorical: Number of categories of each categorical code, >= 2.
        continuous: Number of continuous codes.
        base_channels: Feature maps of the first convolution; twice as many of the second.
        hidden: Units of the trunk's dense layer, which both heads take.
        code_hidden: Units of Q's own hidden layer.
        norm: ``batch`` as in the paper, ``layer`` or ``None``.
        slope: Of LeakyReLU below zero: 0.1 as in the paper; the authors' code has 0.01.

    Raises:
        ConfigError: The size is not allowed, or there is no code.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        categorical: Sequence[Categories] = (10,),
        continuous: NonNegativeInt = 2,
        base_channels: PositiveInt = 64,
        hidden: PositiveInt = 1024,
        code_hidden: PositiveInt = 128,
        norm: Norm | None = "batch",
        slope: Annotated[float, Ge(0)] = 0.1,
    ) -> None:
        super().__init__()
        self.categorical, self.continuous = checked_codes(categorical, continuous), continuous
        shape = _quarter(image_size, 2 * base_channels)
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, base_channels, 4, 2, 1),
            nn.LeakyReLU(slope, inplace=True),
            nn.Conv2d(base_channels, 2 * base_channels, 4, 2, 1),
            *_normed(norm, 2 * base_channels, nn.LeakyReLU(slope, inplace=True)),
            nn.Flatten(),
            nn.Linear(math.prod(shape), hidden),
            *_normed(norm, hidden, nn.LeakyReLU(slope, inplace=True), flat=True),
        )
        self.head = nn.Linear(hidden, 1)
        self.code_head = nn.Sequential(
            nn.Linear(hidden, code_hidden),
            *_normed(norm, code_hidden, nn.LeakyReLU(slope, inplace=True), flat=True),
            nn.Linear(code_hidden, sum(self.categorical) + 2 * continuous),
        )
        self.apply(normal_init)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, channels, H, W) to logits (N,)."""
        return torch.flatten(self.head(self.trunk(images)))

    def logits_and_codes(self, images: Tensor) -> tuple[Tensor, CodeParameters]:
        """Map images (N, channels, H, W) to logits (N,) and what Q makes of their codes, in one pass of the trunk."""
        features = self.trunk(images)
        sizes = [*self.categorical, self.continuous, self.continuous]
        *logits, means, log_stds = self.code_head(features).split(sizes, 1)
        return torch.flatten(self.head(features)), CodeParameters(tuple(logits), means, log_stds)


def checked_codes(categorical: Sequence[int], continuous: int) -> tuple[int, ...]:
    """Return the categories of all categorical codes.

    Raises:
        ConfigError: There is neither a categorical nor a continuous code.
    """
    if not categorical and not continuous:
        raise ConfigError("categorical", [], "must hold a code at least where continuous=0")
    return tuple(categorical)


def dense_layers(
    inputs: int, image_size: Size, channels: int, base_channels: int, hidden: int, norm: Literal["batch"] | None
) -> nn.Sequential:
    """Return a generator's layers from vectors (N, inputs) to images, by two dense layers and two convolutions."""
    shape = _quarter(image_size, 2 * base_channels)
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        *_normed(norm, hidden, nn.ReLU(inplace=True), flat=True),
        nn.Linear(hidden, math.prod(shape)),
        *_normed(norm, math.prod(shape), nn.ReLU(inplace=True), flat=True),
        nn.Unflatten(1, shape),
        nn.ConvTranspose2d(2 * base_channels, base_channels, 4, 2, 1),
        *_normed(norm, base_channels, nn.ReLU(inplace=True)),
        nn.ConvTranspose2d(base_channels, channels, 4, 2, 1),
        nn.Tanh(),
    )


def _quarter(image_size: Size, maps: int) -> tuple[int, int, int]:
    height, width = check_divisible(image_size, 4, 8)
    return maps, height // 4, width // 4


def _normed(norm: Norm | None, width: int, activation: nn.Module, *, flat: bool = False) -> list[nn.Module]:
    """Return the normalisation after a layer, if there is one, and its activation."""
    layer = normalisation(norm, width, flat=flat)
    return [activation] if layer is None else [layer, activation]

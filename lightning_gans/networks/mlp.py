"""Define dense networks for small images and for points, after Goodfellow et al. 2014, arXiv:1406.2661."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import FractionBelowOne, PositiveInt, checked
from lightning_gans.images.size import Size, height_width, shortest
from lightning_gans.networks.layers import Minibatch, minibatch_layer, normalisation, normalised


class Generator(nn.Module):
    """Map latents (N, latent_dim) to images (N, channels, H, W) in [-1, 1], or to points (N, channels).

    Dense layers with ReLU; tanh, or a logistic function, at the end for images, nothing for points.

    Args:
        image_size: Side, or ``[height, width]``, of any length; ``None``: points.
        channels: Image channels, or coordinates of a point; >= 1.
        latent_dim: Length of the latent vector, >= 1.
        hidden: Widths of the hidden layers, >= 1.
        norm: ``batch``, ``layer`` or ``None`` as in the paper.
        init: ``uniform``: weights U(-0.05, 0.05) as in the authors' released code; ``he``: He-normal.
        output: Function that bounds images: ``tanh``, or ``sigmoid``, 2 s(x) - 1, as in the authors' released code.

    Raises:
        ConfigError: A size or width below 1.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size | None,
        channels: PositiveInt,
        latent_dim: PositiveInt = 100,
        hidden: Sequence[PositiveInt] = (1200, 1200),
        norm: Literal["batch", "layer"] | None = None,
        init: Literal["uniform", "he"] = "uniform",
        output: Literal["tanh", "sigmoid"] = "tanh",
    ) -> None:
        super().__init__()
        self.shape = _shape(image_size, channels)
        self.latent_dim = latent_dim
        layers: list[nn.Module] = []
        for inputs, outputs in zip([latent_dim, *hidden], hidden, strict=False):
            layers += [*normalised(_dense(inputs, outputs, init, 0.05), norm), nn.ReLU(inplace=True)]
        last = _dense([latent_dim, *hidden][-1], math.prod(self.shape), init, 0.05)
        bound = [nn.Tanh() if output == "tanh" else Logistic()] if image_size else []
        self.layers = nn.Sequential(*layers, last, *bound)

    def forward(self, latents: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to images (N, channels, H, W), or to points (N, channels)."""
        made: Tensor = self.layers(latents)
        return made.view(-1, *self.shape)

    @torch.no_grad()
    def start_at(self, mean: Tensor) -> None:
        """Set the last layer's biases to where images are ``mean`` if its weights are 0.

        Args:
            mean: (channels, H, W) in [-1, 1]; in units of [0, 1], 1e-7 away from both ends.
        """
        last, bound = self.layers[-2], self.layers[-1]
        assert isinstance(last, nn.Linear)
        logits = torch.logit((mean.double().flatten() + 1) / 2, eps=1e-7)
        last.bias.copy_(logits if isinstance(bound, Logistic) else logits / 2)  # 2 s(x) - 1 = tanh(x / 2)


class Discriminator(nn.Module):
    """Map images (N, channels, H, W), or points (N, channels), to raw logits (N,).

    Dense layers of maxout units (Goodfellow et al. 2013, arXiv:1302.4389), or of LeakyReLU(0.2), with dropout. Images
    are moved from [-1, 1] to the paper's [0, 1] first, which its learning rate and initial weights are made for.

    Args:
        image_size: Side, or ``[height, width]``, of any length; ``None``: points.
        channels: Image channels, or coordinates of a point; >= 1.
        hidden: Widths of the hidden layers, >= 1.
        maxout: Pieces that a unit is the largest of, >= 1; 1: LeakyReLU units.
        dropout: Probability that a hidden unit is dropped, 0 to below 1.
        input_dropout: Probability that an input value is dropped, 0 to below 1.
        norm: ``batch``, ``layer``, ``spectral`` (on every layer) or ``None`` as in the paper.
        minibatch: Layer that compares the samples of a batch before the last layer: ``stddev``, ``discrimination`` or
            ``None``.
        init: ``uniform``: weights U(-0.005, 0.005) as in the authors' released code; ``he``: He-normal.

    Raises:
        ConfigError: A size or width below 1.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size | None,
        channels: PositiveInt,
        hidden: Sequence[PositiveInt] = (240, 240),
        maxout: PositiveInt = 5,
        dropout: FractionBelowOne = 0.5,
        input_dropout: FractionBelowOne = 0.2,
        norm: Literal["batch", "layer", "spectral"] | None = None,
        minibatch: Minibatch | None = None,
        init: Literal["uniform", "he"] = "uniform",
    ) -> None:
        super().__init__()
        inner = "spectral" if norm == "spectral" else None
        self.is_image = image_size is not None
        inputs = math.prod(_shape(image_size, channels))
        layers: list[nn.Module] = [nn.Dropout(input_dropout)] if input_dropout else []
        for width in hidden:
            layers += normalised(_dense(inputs, width * maxout, init, 0.005), inner)
            layers.append(Maxout(maxout) if maxout > 1 else nn.LeakyReLU(0.2, inplace=True))
            made = normalisation(norm, width, flat=True)
            layers += [*([made] if made else []), *([nn.Dropout(dropout)] if dropout else [])]
            inputs = width
        compare, extra = minibatch_layer(minibatch, (inputs,))
        last = normalised(_dense(inputs + extra, 1, init, 0.005), inner)
        self.layers = nn.Sequential(*layers, *compare, *last)

    def forward(self, samples: Tensor) -> Tensor:
        """Map samples (N, ...) to logits (N,)."""
        flat = samples.flatten(1)
        return torch.flatten(self.layers((flat + 1) / 2 if self.is_image else flat))


class Logistic(nn.Module):
    """Apply the logistic function s in the range of images: 2 s(x) - 1."""

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, ...) to (N, ...) in [-1, 1]."""
        return torch.tanh(features / 2)


class Maxout(nn.Module):
    """Return the largest of every ``pieces`` neighbouring features: (N, units * pieces) -> (N, units)."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, units * pieces) to (N, units)."""
        return features.view(len(features), -1, self.pieces).amax(2)


def _shape(image_size: Size | None, channels: int) -> tuple[int, ...]:
    sides = () if image_size is None else height_width(image_size)
    if min(sides, default=1) < 1:
        raise ConfigError("image_size", shortest(*sides), "must be >= 1")
    return channels, *sides


def _dense(inputs: int, outputs: int, init: str, reach: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    if init == "he":
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    else:
        nn.init.uniform_(layer.weight, -reach, reach)
    nn.init.zeros_(layer.bias)
    return layer

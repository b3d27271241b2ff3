"""Define dense networks for small images and for points, after Goodfellow et al. 2014, arXiv:1406.2661."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_gans.config.types import FractionBelowOne, PositiveInt, checked
from lightning_gans.images.size import Size, height_width
from lightning_gans.networks.classes import Classes, beside, classes_of, entries_of, projected, projection
from lightning_gans.networks.dropout import Dropout
from lightning_gans.networks.layers import Minibatch, minibatch_layer, normalisation, normalised

Init = Literal["uniform", "he"]


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
        classes: ``projection``: take the class too, one-hot behind the latents, as suits a projection discriminator.
        num_classes: Number of classes; needed with ``classes``.

    Raises:
        ConfigError: A size or width below 1, or the data has no classes.
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
        init: Init = "uniform",
        output: Literal["tanh", "sigmoid"] = "tanh",
        classes: Classes | None = None,
        num_classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.shape = _shape(image_size, channels)
        self.latent_dim, self.num_classes = latent_dim, classes_of(classes, num_classes)
        self.conditions = entries_of(self.num_classes)
        first = latent_dim + self.num_classes
        layers: list[nn.Module] = []
        for inputs, outputs in zip([first, *hidden], hidden, strict=False):
            layers += [*normalised(dense(inputs, outputs, init, 0.05), norm), nn.ReLU(inplace=True)]
        last = dense([first, *hidden][-1], math.prod(self.shape), init, 0.05)
        bound = [nn.Tanh() if output == "tanh" else Logistic()] if image_size else []
        self.layers = nn.Sequential(*layers, last, *bound)

    def forward(self, latents: Tensor, *classes: Tensor) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) if it takes them, to images (N, channels, H, W) or points."""
        made: Tensor = self.layers(beside(latents, classes, self.num_classes))
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
        classes: ``projection``: take the class too, and add the projection of the last features on its embedding to the
            logit; see ``ClassProjection``.
        num_classes: Number of classes; needed with ``classes``.

    Raises:
        ConfigError: A size or width below 1, or the data has no classes.
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
        init: Init = "uniform",
        classes: Classes | None = None,
        num_classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        inner = "spectral" if norm == "spectral" else None
        self.is_image = image_size is not None
        inputs = math.prod(_shape(image_size, channels))
        layers: list[nn.Module] = [Dropout(input_dropout)] if input_dropout else []
        for width in hidden:
            layers += normalised(dense(inputs, width * maxout, init, 0.005), inner)
            layers.append(Maxout(maxout) if maxout > 1 else nn.LeakyReLU(0.2, inplace=True))
            made = normalisation(norm, width, flat=True)
            layers += [*([made] if made else []), *([Dropout(dropout)] if dropout else [])]
            inputs = width
        compare, extra = minibatch_layer(minibatch, (inputs,))
        last = normalised(dense(inputs + extra, 1, init, 0.005), inner)
        self.layers = nn.Sequential(*layers, *compare, *last)
        self.projection = projection(classes, num_classes, inputs + extra, norm)

    def forward(self, samples: Tensor, *classes: Tensor) -> Tensor:
        """Map samples (N, ...), and classes (N,) if it takes them, to logits (N,)."""
        flat = samples.flatten(1)
        features = (flat + 1) / 2 if self.is_image else flat
        *body, last = self.layers
        for layer in body:
            features = layer(features)
        return projected(torch.flatten(last(features)), features, self.projection, classes)


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
    return channels, *sides


def dense(inputs: int, outputs: int, init: Init, reach: float) -> nn.Linear:
    """Make a dense layer with biases 0 and weights U(-reach, reach) (``uniform``) or He-normal (``he``)."""
    layer = nn.Linear(inputs, outputs)
    if init == "he":
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    else:
        nn.init.uniform_(layer.weight, -reach, reach)
    nn.init.zeros_(layer.bias)
    return layer

"""Define dense networks conditioned on a class (Mirza and Osindero 2014, arXiv:1411.1784, section 4.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lightning_gans.config.types import FractionBelowOne, PositiveInt, checked
from lightning_gans.images.size import Size, height_width
from lightning_gans.networks.classes import checked_classes, one_hot
from lightning_gans.networks.dropout import Dropout
from lightning_gans.networks.mlp import Init, Logistic, Maxout, dense


class Generator(nn.Module):
    """Map latents (N, latent_dim) and classes (N,) to images (N, channels, height, width) in [-1, 1].

    Latents and one-hot classes each have a hidden ReLU layer of their own; both together feed a third one. A logistic
    function at the end, moved to [-1, 1].

    Args:
        image_size: Side, or [height, width].
        channels: Image channels.
        num_classes: Number of classes, >= 1.
        latent_dim: Length of the latent vector.
        latent_width: Hidden units of the latents.
        class_width: Hidden units of the class.
        hidden: Hidden units of both together.
        dropout: Probability that a hidden unit is dropped in training, from 0 to below 1.
        init: ``uniform``: weights as in the released code of the first GAN; ``he``: He-normal.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        num_classes: PositiveInt | None,
        latent_dim: PositiveInt = 100,
        latent_width: PositiveInt = 200,
        class_width: PositiveInt = 1000,
        hidden: PositiveInt = 1200,
        dropout: FractionBelowOne = 0.5,
        init: Init = "uniform",
    ) -> None:
        super().__init__()
        self.shape = (channels, *height_width(image_size))
        self.latent_dim, self.num_classes = latent_dim, checked_classes(num_classes)
        self.of_latents = _units(latent_dim, latent_width, nn.ReLU(), dropout, init)
        self.of_class = _units(self.num_classes, class_width, nn.ReLU(), dropout, init)
        self.joint = _units(latent_width + class_width, hidden, nn.ReLU(), dropout, init)
        self.last = nn.Sequential(dense(hidden, math.prod(self.shape), init, 0.05), Logistic())

    def forward(self, latents: Tensor, classes: Tensor) -> Tensor:
        """Map latents (N, latent_dim) and classes (N,) int64 to images (N, channels, height, width)."""
        given = [self.of_latents(latents), self.of_class(one_hot(classes, self.num_classes, latents))]
        made: Tensor = self.last(self.joint(torch.cat(given, 1)))
        return made.view(-1, *self.shape)


class Discriminator(nn.Module):
    """Map images (N, channels, height, width) and classes (N,) to raw logits (N,).

    Images, moved to [0, 1], and one-hot classes each have a maxout layer of their own (Goodfellow et al. 2013,
    arXiv:1302.4389); both together feed a third one.

    Args:
        image_size: Side, or [height, width].
        channels: Image channels.
        num_classes: Number of classes, >= 1.
        image_width: Maxout units of the image, of ``maxout`` pieces each.
        class_width: Maxout units of the class, of ``maxout`` pieces each.
        hidden: Maxout units of both together, of ``joint_maxout`` pieces each.
        maxout: Pieces that a unit is the largest of.
        joint_maxout: Pieces of a unit of both together.
        dropout: Probability that a hidden unit is dropped in training, from 0 to below 1.
        init: ``uniform``: weights as in the released code of the first GAN; ``he``: He-normal.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        num_classes: PositiveInt | None,
        image_width: PositiveInt = 240,
        class_width: PositiveInt = 50,
        hidden: PositiveInt = 240,
        maxout: PositiveInt = 5,
        joint_maxout: PositiveInt = 4,
        dropout: FractionBelowOne = 0.5,
        init: Init = "uniform",
    ) -> None:
        super().__init__()
        values = channels * math.prod(height_width(image_size))
        self.num_classes = checked_classes(num_classes)
        self.of_image = _units(values, image_width, Maxout(maxout), dropout, init, maxout)
        self.of_class = _units(self.num_classes, class_width, Maxout(maxout), dropout, init, maxout)
        self.joint = _units(image_width + class_width, hidden, Maxout(joint_maxout), dropout, init, joint_maxout)
        self.last = dense(hidden, 1, init, 0.005)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Map images (N, channels, height, width) and classes (N,) int64 to logits (N,)."""
        flat = (images.flatten(1) + 1) / 2
        seen = [self.of_image(flat), self.of_class(one_hot(classes, self.num_classes, flat))]
        return torch.flatten(self.last(self.joint(torch.cat(seen, 1))))


def _units(
    inputs: int, width: int, activation: nn.Module, dropout: float, init: Init, pieces: int = 0
) -> nn.Sequential:
    """Make dense hidden units, of ``pieces`` maxout pieces each or ReLU units if 0, with dropout."""
    layer = dense(inputs, width * max(1, pieces), init, 0.005 if pieces else 0.05)
    return nn.Sequential(layer, activation, *([Dropout(dropout)] if dropout else []))

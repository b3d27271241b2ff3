"""Dense networks conditioned on a class: Mirza and Osindero 2014, arXiv:1411.1784, figure 1 and section 4.1."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.config.errors import at_least_one
from lightning_gans.images.size import Size, height_width
from lightning_gans.networks.mlp import Logistic, Maxout


class Generator(nn.Module):
    """Latents (N, latent_dim) and classes (N,) to images (N, channels, height, width) in [-1, 1].

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
        dropout: Chance of a hidden unit to be left out in training.
    """

    def __init__(
        self,
        *,
        image_size: Size,
        channels: int,
        num_classes: int | None,
        latent_dim: int = 100,
        latent_width: int = 200,
        class_width: int = 1000,
        hidden: int = 1200,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        counts = {"channels": channels, "latent_dim": latent_dim, "hidden": hidden}
        at_least_one("", **counts, latent_width=latent_width, class_width=class_width)
        self.shape = (channels, *height_width(image_size))
        self.latent_dim, self.num_classes = latent_dim, checked_classes(num_classes)
        self.of_latents = _units(latent_dim, latent_width, nn.ReLU(), dropout)
        self.of_class = _units(self.num_classes, class_width, nn.ReLU(), dropout)
        self.joint = _units(latent_width + class_width, hidden, nn.ReLU(), dropout)
        self.last = nn.Sequential(_dense(hidden, math.prod(self.shape), 0.05), Logistic())

    def forward(self, latents: Tensor, classes: Tensor) -> Tensor:
        """(N, latent_dim) and (N,) int64 -> (N, channels, height, width)."""
        given = [self.of_latents(latents), self.of_class(one_hot(classes, self.num_classes, latents))]
        made: Tensor = self.last(self.joint(torch.cat(given, 1)))
        return made.view(-1, *self.shape)


class Discriminator(nn.Module):
    """Images (N, channels, height, width) and classes (N,) to raw logits (N,).

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
        dropout: Chance of a hidden unit to be left out in training.
    """

    def __init__(
        self,
        *,
        image_size: Size,
        channels: int,
        num_classes: int | None,
        image_width: int = 240,
        class_width: int = 50,
        hidden: int = 240,
        maxout: int = 5,
        joint_maxout: int = 4,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        counts = {"channels": channels, "image_width": image_width, "hidden": hidden}
        at_least_one("", **counts, class_width=class_width, maxout=maxout, joint_maxout=joint_maxout)
        values = channels * math.prod(height_width(image_size))
        self.num_classes = checked_classes(num_classes)
        self.of_image = _units(values, image_width, Maxout(maxout), dropout, maxout)
        self.of_class = _units(self.num_classes, class_width, Maxout(maxout), dropout, maxout)
        self.joint = _units(image_width + class_width, hidden, Maxout(joint_maxout), dropout, joint_maxout)
        self.last = _dense(hidden, 1, 0.005)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """(N, channels, height, width) and (N,) int64 -> (N,)."""
        flat = (images.flatten(1) + 1) / 2
        seen = [self.of_image(flat), self.of_class(one_hot(classes, self.num_classes, flat))]
        return torch.flatten(self.last(self.joint(torch.cat(seen, 1))))


def one_hot(classes: Tensor, num_classes: int, like: Tensor) -> Tensor:
    """Classes (N,) int64 as vectors (N, num_classes) of the type of ``like``: 1 at the class, 0 elsewhere."""
    return F.one_hot(classes, num_classes).to(like.dtype)


def checked_classes(num_classes: int | None) -> int:
    """Return the number of classes.

    Raises:
        ValueError: The data has none.
    """
    if num_classes is None or num_classes < 1:
        given = "null" if num_classes is None else num_classes
        raise ValueError(f"data.num_classes={given}: must be >= 1, labelled data such as data=digits")
    return num_classes


def _units(inputs: int, width: int, activation: nn.Module, dropout: float, pieces: int = 0) -> nn.Sequential:
    """Dense hidden units, of ``pieces`` maxout pieces each or ReLU units if 0, with dropout."""
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout}: must be from 0 to below 1")
    layer = _dense(inputs, width * max(1, pieces), 0.005 if pieces else 0.05)
    return nn.Sequential(layer, activation, *([nn.Dropout(dropout)] if dropout else []))


def _dense(inputs: int, outputs: int, reach: float) -> nn.Linear:
    """A dense layer with weights U(-reach, reach) and biases 0, as in the released code of the first GAN."""
    layer = nn.Linear(inputs, outputs)
    nn.init.uniform_(layer.weight, -reach, reach)
    nn.init.zeros_(layer.bias)
    return layer

"""Define SRGAN's networks (Ledig et al. 2017, arXiv:1609.04802, figure 4)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks.convolution import Conv2d
from lightning_gans.networks.layers import check_divisible, normalised

FACTORS = (2, 4, 8)
HALVINGS = 4  # of the discriminator


class SRResNet(nn.Module):
    """Enlarge images (N, channels, h, w) to (N, channels, factor h, factor w).

    A 9x9 convolution, residual blocks around which a skip leads, one 3x3 convolution and pixel shuffle per doubling,
    and a 9x9 convolution. As in the paper the input is brought to [0, 1] first, activations are parametric ReLUs and
    the output is not squashed; in evaluation it is clipped to [-1, 1].

    Args:
        channels: Image channels, >= 1.
        factor: Side of the output divided by that of the input: 2, 4 or 8.
        base_channels: Feature maps, >= 1.
        blocks: Residual blocks, >= 1.
        norm: ``batch``, ``instance``, ``layer`` or ``None``; before each activation in the blocks, as in the paper.
        residual: Add the input's bicubic enlargement to the output, so that the layers make what it lacks, from nothing
            on (as Kim et al. 2016, arXiv:1511.04587, have it); ``False``: as in the paper.

    Raises:
        ConfigError: Another factor.
    """

    @checked
    def __init__(
        self,
        *,
        channels: PositiveInt,
        factor: int = 4,
        base_channels: PositiveInt = 64,
        blocks: PositiveInt = 16,
        norm: Literal["batch", "instance", "layer"] | None = "batch",
        residual: bool = False,
    ) -> None:
        super().__init__()
        if factor not in FACTORS:
            raise ConfigError("data.factor", factor, f"must be one of {', '.join(map(str, FACTORS))}")
        self.scale, self.residual, n = factor, residual, base_channels
        self.first = nn.Sequential(nn.Conv2d(channels, n, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(
            *[ResidualBlock(n, norm) for _ in range(blocks)], *normalised(Conv2d(n, n, 3, padding=1), norm)
        )
        doublings = factor.bit_length() - 1
        self.upsampling = nn.Sequential(
            *[
                layer
                for _ in range(doublings)
                for layer in (nn.Conv2d(n, 4 * n, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())
            ]
        )
        self.last = Conv2d(n, channels, 9, padding=4)
        if residual:
            for weights in self.last.parameters():
                nn.init.zeros_(weights)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, channels, h, w) in [-1, 1] to (N, channels, factor h, factor w)."""
        features = self.first((images + 1) / 2)
        made: Tensor = self.last(self.upsampling(features + self.blocks(features)))
        if self.residual:
            made = made + F.interpolate(images, scale_factor=self.scale, mode="bicubic")
        return made if self.training else made.clamp(-1, 1)


class ResidualBlock(nn.Module):
    """Add two 3x3 convolutions with a parametric ReLU between them to x; no activation after the sum."""

    def __init__(self, width: int, norm: str | None) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *normalised(Conv2d(width, width, 3, padding=1), norm),
            nn.PReLU(),
            *normalised(Conv2d(width, width, 3, padding=1), norm),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, C, H, W) to the same shape."""
        return features + torch.as_tensor(self.layers(features))


class Discriminator(nn.Module):
    """Map images (N, channels, H, W) to raw logits (N,).

    Eight 3x3 convolutions of n, n, 2n, 2n, 4n, 4n, 8n, 8n maps, every second one of stride 2, all but the first with a
    normalisation, leaky ReLUs of slope 0.2, and two dense layers.

    Args:
        image_size: Side, or ``[height, width]``; multiples of 16.
        channels: Image channels, >= 1.
        base_channels: n, >= 1.
        hidden: Width of the first dense layer, >= 1.
        norm: ``batch``, ``instance``, ``layer``, ``spectral`` or ``None``.

    Raises:
        ConfigError: The size is not allowed.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        base_channels: PositiveInt = 64,
        hidden: PositiveInt = 1024,
        norm: Literal["batch", "instance", "layer", "spectral"] | None = "batch",
    ) -> None:
        super().__init__()
        smallest = 1 << HALVINGS
        height, width = check_divisible(image_size, smallest, smallest)
        if norm == "instance" and height == width == smallest:
            raise ConfigError("data.image_size", height, f"must be >= {2 * smallest} with norm=instance")
        layers: list[nn.Module] = []
        before = channels
        for level in range(HALVINGS):
            maps = base_channels << level
            for stride, inputs in ((1, before), (2, maps)):
                convolution = Conv2d(inputs, maps, 3, stride, 1)
                layers += normalised(convolution, norm if layers else None)
                layers.append(nn.LeakyReLU(0.2, inplace=True))
            before = maps
        values = before * (height // smallest) * (width // smallest)
        dense = [nn.Flatten(), nn.Linear(values, hidden), nn.LeakyReLU(0.2, inplace=True), nn.Linear(hidden, 1)]
        self.layers = nn.Sequential(*layers, *dense)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, channels, H, W) to logits (N,)."""
        logits: Tensor = self.layers(images)
        return logits[:, 0]

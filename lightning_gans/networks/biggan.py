"""Define the class-conditional residual networks of SAGAN (arXiv:1805.08318) and BigGAN (arXiv:1809.11096)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks.attention import SelfAttention
from lightning_gans.networks.classes import (
    ClassProjection,
    ConditionalBatchNorm,
    check_given,
    checked_classes,
    entries_of,
    projected,
)
from lightning_gans.networks.convolution import Conv2d
from lightning_gans.networks.layers import base_shape

SIZES = (8, 256)
Init = Literal["orthogonal", "normal", "glorot"]

# Multiples of base_channels at the map sizes 8, 16, ... of the generator, after the 4x4 map's, by doublings of 4x4.
GENERATOR_WIDTHS = {4: (16, 16, 8, 4, 2), 5: (16, 16, 8, 4, 2, 1), 6: (16, 16, 8, 8, 4, 2, 1)}
DISCRIMINATOR_WIDTHS = {4: (1, 2, 4, 8, 16), 5: (1, 2, 4, 8, 16, 16), 6: (1, 2, 4, 8, 8, 16, 16)}
SMALL = 4  # multiple of all maps of images up to 32x32


class Generator(nn.Module):
    """Map latents (N, latent_dim) and classes (N,) to images (N, channels, H, W) in [-1, 1].

    A dense layer to 4x4 (of rectangles ``base_shape``), residual blocks with nearest upsampling up to the image size,
    batch norm, ReLU, a convolution and tanh; spectral norm on every layer. Batch norm in the blocks has a gain
    1 + W(c) and a bias of the condition c: the class's shared embedding with a part of the latents, or tables by class.

    Args:
        image_size: Side, a power of two from 8 to 256, or ``[height, width]``; see ``base_shape``.
        channels: Image channels.
        num_classes: Number of classes.
        latent_dim: Length of the latent vector; of split latents a multiple of the blocks and one more, or the next
            lower multiple is taken.
        base_channels: Feature maps of the last block at 128x128 and more; multiples of it elsewhere.
        class_dim: Length of the class's embedding, which all batch norms share; ``None``: a table in each of them.
        split_latents: Give each block a part of the latents beside the class; needs ``class_dim``.
        attention: Sides of the maps behind which attention stands (the shorter ones); those that there are not are
            passed over.
        init: ``orthogonal`` as in BigGAN, ``normal`` N(0, 0.02), or ``glorot`` uniform; biases are 0.

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
        latent_dim: PositiveInt = 120,
        base_channels: PositiveInt = 96,
        class_dim: PositiveInt | None = 128,
        split_latents: bool = True,
        attention: Sequence[int] = (64,),
        init: Init = "orthogonal",
    ) -> None:
        super().__init__()
        self.num_classes = checked_classes(num_classes)
        self.conditions = entries_of(self.num_classes)
        levels, self.base = base_shape(image_size, *SIZES)
        maps = [base_channels * m for m in GENERATOR_WIDTHS.get(levels, (SMALL,) * (levels + 1))]
        self.parts = levels + 1 if split_latents and class_dim is not None else 1
        chunk = max(1, latent_dim // self.parts)
        self.latent_dim = chunk * self.parts
        self.shared = nn.Embedding(self.num_classes, class_dim) if class_dim is not None else None
        condition = None if class_dim is None else class_dim + (chunk if self.parts > 1 else 0)
        self.dense = nn.Linear(chunk, maps[0] * math.prod(self.base))
        self.blocks, self.attention = nn.ModuleList(), nn.ModuleDict()
        for level, (inputs, outputs) in enumerate(zip(maps, maps[1:], strict=False), 1):
            self.blocks.append(GeneratorBlock(inputs, outputs, self.num_classes, condition))
            if min(self.base) << level in attention:
                self.attention[str(level - 1)] = SelfAttention(outputs)
        self.norm = nn.BatchNorm2d(maps[-1])
        self.last = nn.Conv2d(maps[-1], channels, 3, padding=1)
        initialise(self, init)
        normalise(self)

    def forward(self, latents: Tensor, *classes: Tensor) -> Tensor:
        """Map latents (N, latent_dim) and classes (N,) to images (N, channels, H, W)."""
        check_given(classes, self.num_classes)
        (given,) = classes
        first, *rest = latents.chunk(self.parts, 1)
        features = self.dense(first).unflatten(1, (-1, *self.base))
        shared = given if self.shared is None else self.shared(given)
        for index, block in enumerate(self.blocks):
            condition = torch.cat([shared, rest[index]], 1) if rest else shared
            features = block(features, condition)  # (N, C, 8, 8), ...
            if str(index) in self.attention:
                features = self.attention[str(index)](features)
        return torch.tanh(self.last(F.relu(self.norm(features))))


class Discriminator(nn.Module):
    """Map images (N, channels, H, W) and classes (N,) to raw logits (N,).

    Residual blocks with average pooling down to 4x4 (of images up to 32x32 down to 8x8, then two that keep the size),
    one more of the same size, ReLU, the sum over space, a dense layer and the projection on the class's embedding;
    spectral norm on every layer.

    Args:
        image_size: Side, a power of two from 8 to 256, or ``[height, width]``; see ``base_shape``.
        channels: Image channels.
        num_classes: Number of classes.
        base_channels: Feature maps of the first block at 64x64 and more; multiples of it elsewhere.
        attention: Sides of the maps behind which attention stands; those that there are not are passed over.
        init: As the generator's.

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
        base_channels: PositiveInt = 96,
        attention: Sequence[int] = (64,),
        init: Init = "orthogonal",
    ) -> None:
        super().__init__()
        levels, base = base_shape(image_size, *SIZES)
        downs, maps = discriminator_maps(levels, base_channels)
        self.blocks, self.attention = nn.ModuleList(), nn.ModuleDict()
        for index, (inputs, outputs) in enumerate(zip([channels, *maps], maps, strict=False)):
            self.blocks.append(DiscriminatorBlock(inputs, outputs, down=index < downs, first=index == 0))
            if min(base) << levels - min(index + 1, downs) in attention and index < downs:
                self.attention[str(index)] = SelfAttention(outputs)
        self.dense = nn.Linear(maps[-1], 1)
        self.projection = ClassProjection(checked_classes(num_classes), maps[-1], spectral=False)
        initialise(self, init)
        normalise(self)

    def forward(self, images: Tensor, *classes: Tensor) -> Tensor:
        """Map images (N, channels, H, W) and classes (N,) to logits (N,)."""
        features = images
        for index, block in enumerate(self.blocks):
            features = block(features)
            if str(index) in self.attention:
                features = self.attention[str(index)](features)
        pooled = F.relu(features).sum((2, 3))
        return projected(self.dense(pooled).flatten(), pooled, self.projection, classes)


class GeneratorBlock(nn.Module):
    """Add norm, ReLU, upsampling, 3x3, norm, ReLU, 3x3 to an upsampled 1x1 shortcut.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        num_classes: Number of classes.
        condition: Length of the condition; ``None``: it is the class.
    """

    def __init__(self, inputs: int, outputs: int, num_classes: int, condition: int | None) -> None:
        super().__init__()
        self.norm_1 = ConditionalBatchNorm(inputs, num_classes, condition)
        self.norm_2 = ConditionalBatchNorm(outputs, num_classes, condition)
        self.conv_1 = Conv2d(inputs, outputs, 3, padding=1)
        self.conv_2 = Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map features (N, C, H, W) and their condition to (N, C', 2H, 2W)."""
        h = self.conv_1(doubled(F.relu(self.norm_1(x, condition))))
        h = self.conv_2(F.relu(self.norm_2(h, condition)))
        made: Tensor = h + doubled(self.shortcut(x))  # which commutes with a 1x1 convolution
        return made


class DiscriminatorBlock(nn.Module):
    """Add ReLU, 3x3, ReLU, 3x3, pooling to a shortcut, which is a 1x1 convolution where width or size change.

    Args:
        inputs: Channels in.
        outputs: Channels out, of both convolutions.
        down: Halve the map.
        first: Leave out the first ReLU, which would cut images off at 0.
    """

    def __init__(self, inputs: int, outputs: int, *, down: bool, first: bool) -> None:
        super().__init__()
        self.down, self.first = down, first
        self.conv_1 = Conv2d(inputs, outputs, 3, padding=1)
        self.conv_2 = Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs or down else None

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, H, W) to (N, C', H, W), or (N, C', H/2, W/2)."""
        h = self.conv_2(F.relu(self.conv_1(x if self.first else F.relu(x))))
        if self.down:
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        made: Tensor = h + (x if self.shortcut is None else self.shortcut(x))
        return made


def discriminator_maps(levels: int, base_channels: int) -> tuple[int, list[int]]:
    """Return how often a discriminator halves images of 4 x 2^levels, and the feature maps of its blocks."""
    downs = levels if levels in DISCRIMINATOR_WIDTHS else max(1, levels - 1)
    return downs, [base_channels * m for m in DISCRIMINATOR_WIDTHS.get(levels, (SMALL,) * (downs + 2))]


def doubled(x: Tensor) -> Tensor:
    """Enlarge features (N, C, H, W) to (N, C, 2H, 2W) by repeating pixels."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def initialise(network: nn.Module, init: Init) -> None:
    """Draw the weights of convolutions, dense layers and embeddings; biases are 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
            if init == "orthogonal":
                nn.init.orthogonal_(layer.weight)
            elif init == "normal":
                nn.init.normal_(layer.weight, 0.0, 0.02)
            else:
                nn.init.xavier_uniform_(layer.weight)
            if getattr(layer, "bias", None) is not None:
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def normalise(network: nn.Module) -> None:
    """Put spectral norm on convolutions, dense layers and the embedding of a projection, not on other embeddings."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    parts = [layer.embedding for layer in network.modules() if isinstance(layer, ClassProjection)]
    for layer in (*layers, *parts):
        spectral_norm(layer)

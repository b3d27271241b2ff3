"""Define the deeper, narrower networks of BigGAN-deep (Brock et al. 2019, arXiv:1809.11096, appendix B)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks.attention import SelfAttention
from lightning_gans.networks.biggan import (
    GENERATOR_WIDTHS,
    SIZES,
    SMALL,
    Init,
    discriminator_maps,
    doubled,
    initialise,
    normalise,
)
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

NARROWER = 4  # factor between the maps of a block and those of its 3x3 convolutions


class Generator(nn.Module):
    """Map latents (N, latent_dim) and classes (N,) to images (N, channels, H, W) in [-1, 1].

    The class's embedding and all latents form the condition, of which a dense layer makes the 4x4 map (of rectangles
    ``base_shape``) and every batch norm its gain 1 + W(c) and its bias. Two blocks a resolution, the second of which
    doubles it; batch norm, ReLU, a convolution and tanh; spectral norm on every layer.

    Args:
        image_size: Side, a power of two from 8 to 256, or ``[height, width]``; see ``base_shape``.
        channels: Image channels.
        num_classes: Number of classes.
        latent_dim: Length of the latent vector.
        base_channels: Feature maps of the last block at 128x128 and more, at least 4; multiples of it elsewhere.
        class_dim: Length of the class's embedding.
        attention: Sides of the maps behind which attention stands (the shorter ones); those that there are not are
            passed over.
        init: ``orthogonal`` as in the paper, ``normal`` N(0, 0.02), or ``glorot`` uniform; biases are 0.

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
        latent_dim: PositiveInt = 128,
        base_channels: PositiveInt = 128,
        class_dim: PositiveInt = 128,
        attention: Sequence[int] = (64,),
        init: Init = "orthogonal",
    ) -> None:
        super().__init__()
        self.latent_dim, self.num_classes = latent_dim, checked_classes(num_classes)
        self.conditions = entries_of(self.num_classes)
        levels, self.base = base_shape(image_size, *SIZES)
        maps = [base_channels * m for m in GENERATOR_WIDTHS.get(levels, (SMALL,) * (levels + 1))]
        condition = latent_dim + class_dim
        self.shared = nn.Embedding(self.num_classes, class_dim)
        self.dense = nn.Linear(condition, maps[0] * math.prod(self.base))
        self.blocks, self.attention = nn.ModuleList(), nn.ModuleDict()
        for level, (inputs, outputs) in enumerate(zip(maps, maps[1:], strict=False), 1):
            self.blocks.append(GeneratorBlock(inputs, inputs, condition, up=False))
            self.blocks.append(GeneratorBlock(inputs, outputs, condition, up=True))
            if min(self.base) << level in attention:
                self.attention[str(2 * level - 1)] = SelfAttention(outputs)
        self.norm = nn.BatchNorm2d(maps[-1])
        self.last = nn.Conv2d(maps[-1], channels, 3, padding=1)
        initialise(self, init)
        normalise(self)

    def forward(self, latents: Tensor, *classes: Tensor) -> Tensor:
        """Map latents (N, latent_dim) and classes (N,) to images (N, channels, H, W)."""
        check_given(classes, self.num_classes)
        (given,) = classes
        condition = torch.cat([self.shared(given), latents], 1)
        features = self.dense(condition).unflatten(1, (-1, *self.base))
        for index, block in enumerate(self.blocks):
            features = block(features, condition)
            if str(index) in self.attention:
                features = self.attention[str(index)](features)
        return torch.tanh(self.last(F.relu(self.norm(features))))


class Discriminator(nn.Module):
    """Map images (N, channels, H, W) and classes (N,) to raw logits (N,).

    A 3x3 convolution, then two blocks a resolution, the first of which halves it, down to 4x4 (of images up to 32x32
    down to 8x8, then two that keep the size); ReLU, the sum over space, a dense layer and the projection on the class's
    embedding; spectral norm on every layer.

    Args:
        image_size: Side, a power of two from 8 to 256, or ``[height, width]``; see ``base_shape``.
        channels: Image channels.
        num_classes: Number of classes.
        base_channels: Feature maps of the first convolution at 64x64 and more, at least 4; multiples of it elsewhere.
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
        base_channels: PositiveInt = 128,
        attention: Sequence[int] = (64,),
        init: Init = "orthogonal",
    ) -> None:
        super().__init__()
        levels, base = base_shape(image_size, *SIZES)
        downs, maps = discriminator_maps(levels, base_channels)
        self.first = nn.Conv2d(channels, maps[0], 3, padding=1)
        self.blocks, self.attention = nn.ModuleList(), nn.ModuleDict()
        for index, (inputs, outputs) in enumerate(zip(maps, maps[1:], strict=False)):
            self.blocks.append(DiscriminatorBlock(inputs, outputs, down=index < downs))
            self.blocks.append(DiscriminatorBlock(outputs, outputs, down=False))
            if min(base) << levels - min(index + 1, downs) in attention and index < downs:
                self.attention[str(2 * index + 1)] = SelfAttention(outputs)
        self.dense = nn.Linear(maps[-1], 1)
        self.projection = ClassProjection(checked_classes(num_classes), maps[-1], spectral=False)
        initialise(self, init)
        normalise(self)

    def forward(self, images: Tensor, *classes: Tensor) -> Tensor:
        """Map images (N, channels, H, W) and classes (N,) to logits (N,)."""
        features = self.first(images)
        for index, block in enumerate(self.blocks):
            features = block(features)
            if str(index) in self.attention:
                features = self.attention[str(index)](features)
        pooled = F.relu(features).sum((2, 3))
        return projected(self.dense(pooled).flatten(), pooled, self.projection, classes)


class GeneratorBlock(nn.Module):
    """Add 1x1, 3x3, 3x3, 1x1, each after batch norm and ReLU, to the first ``outputs`` maps of x.

    Args:
        inputs: Channels in.
        outputs: Channels out, at most ``inputs``.
        condition: Length of the condition.
        up: Double the map, of x too, before the first 3x3 convolution.
    """

    def __init__(self, inputs: int, outputs: int, condition: int, *, up: bool) -> None:
        super().__init__()
        self.up, self.outputs = up, outputs
        narrow = max(1, inputs // NARROWER)
        self.norms = nn.ModuleList(ConditionalBatchNorm(maps, 1, condition) for maps in (inputs, *[narrow] * 3))
        self.convolutions = _bottleneck(inputs, narrow, outputs)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map features (N, C, H, W) and their condition to (N, C', H, W), or (N, C', 2H, 2W)."""
        h = x
        for index, (norm, convolution) in enumerate(zip(self.norms, self.convolutions, strict=True)):
            h = F.relu(norm(h, condition))
            h = convolution(doubled(h) if self.up and index == 1 else h)
        kept = x[:, : self.outputs]
        made: Tensor = h + (doubled(kept) if self.up else kept)
        return made


class DiscriminatorBlock(nn.Module):
    """Add 1x1, 3x3, 3x3, 1x1, each after a ReLU, to x with the maps that it lacks from a 1x1 convolution of it.

    Args:
        inputs: Channels in.
        outputs: Channels out, at least ``inputs``.
        down: Halve the map, of x too, before the last 1x1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, *, down: bool) -> None:
        super().__init__()
        self.down = down
        self.convolutions = _bottleneck(inputs, max(1, outputs // NARROWER), outputs)
        self.more = nn.Conv2d(inputs, outputs - inputs, 1) if outputs > inputs else None

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, H, W) to (N, C', H, W), or (N, C', H/2, W/2)."""
        h = x
        for index, convolution in enumerate(self.convolutions):
            h = F.relu(h)
            h = convolution(F.avg_pool2d(h, 2) if self.down and index == 3 else h)
        x = F.avg_pool2d(x, 2) if self.down else x
        made: Tensor = h + (x if self.more is None else torch.cat([x, self.more(x)], 1))
        return made


def _bottleneck(inputs: int, narrow: int, outputs: int) -> nn.ModuleList:
    """Return 1x1, 3x3, 3x3 and 1x1 convolutions."""
    ends = nn.Conv2d(inputs, narrow, 1), nn.Conv2d(narrow, outputs, 1)
    middle = (Conv2d(narrow, narrow, 3, padding=1) for _ in range(2))
    return nn.ModuleList([ends[0], *middle, ends[1]])

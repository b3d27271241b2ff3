"""Define the residual networks of WGAN-GP (arXiv:1704.00028) and SNGAN (arXiv:1802.05957)."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks.classes import (
    ClassBatchNorm,
    Classes,
    beside,
    check_given,
    classes_of,
    entries_of,
    projected,
    projection,
)
from lightning_gans.networks.convolution import Conv2d
from lightning_gans.networks.layers import Minibatch, base_shape, minibatch_layer, normalisation, widths

SIZES = (8, 256)
Init = Literal["glorot", "he"]


class Generator(nn.Module):
    """Map latents (N, latent_dim) to images (N, channels, H, W) in [-1, 1].

    A dense layer to 4x4 (of rectangles ``base_shape``), residual blocks with nearest upsampling up to the image size,
    then norm, ReLU, a convolution and tanh. At 32x32 with the default widths it is both papers' CIFAR-10 generator with
    SNGAN's 256 maps; WGAN-GP has 128.

    Args:
        image_size: Side, a power of two from 8 to 256, or ``[height, width]``; see ``base_shape``.
        channels: Image channels, >= 1.
        latent_dim: Length of the latent vector, >= 1.
        base_channels: Feature maps of the last block, >= 1; they double at every halving of the map.
        max_channels: Most feature maps of a block, >= 1.
        norm: ``batch`` as in the papers, or ``None``.
        init: ``glorot`` as in both papers' code, or ``he``; uniform.
        classes: ``projection``: take the class too, as suits a projection discriminator (Miyato and Koyama 2018,
            arXiv:1802.05637): batch norm in the blocks has a gain and a bias for every class. Without norm the one-hot
            class stands behind the latents.
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
        latent_dim: PositiveInt = 128,
        base_channels: PositiveInt = 256,
        max_channels: PositiveInt = 256,
        norm: Literal["batch"] | None = "batch",
        init: Init = "glorot",
        classes: Classes | None = None,
        num_classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        levels, self.base = base_shape(image_size, *SIZES)
        self.latent_dim, self.num_classes = latent_dim, classes_of(classes, num_classes)
        self.conditions = entries_of(self.num_classes)
        by_class = self.num_classes if norm == "batch" else 0  # classes that the blocks take
        self.classes_beside = self.num_classes - by_class  # that stand behind the latents
        maps = widths(levels, base_channels, max_channels)[::-1]
        self.dense = nn.Linear(latent_dim + self.classes_beside, maps[0] * math.prod(self.base))
        pairs = zip([maps[0], *maps], maps, strict=False)
        blocks = [ResBlock(inputs, outputs, norm=norm, resize="up", num_classes=by_class) for inputs, outputs in pairs]
        self.blocks = nn.Sequential(*blocks)
        normed = normalisation(norm, maps[-1])
        last = nn.Conv2d(maps[-1], channels, 3, padding=1)
        self.last = nn.Sequential(*([normed] if normed else []), nn.ReLU(), last, nn.Tanh())
        initialise(self, init)

    def forward(self, latents: Tensor, *classes: Tensor) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) if it takes them, to images (N, channels, H, W)."""
        check_given(classes, self.num_classes)
        first, inside = (classes, ()) if self.classes_beside else ((), classes)
        features = self.dense(beside(latents, first, self.classes_beside)).unflatten(1, (-1, *self.base))
        for block in self.blocks:
            features = block(features, *inside)  # (N, C, 8, 8), ...
        images: Tensor = self.last(features)
        return images


class Discriminator(nn.Module):
    """Map images (N, channels, H, W) to raw logits (N,).

    Residual blocks with average pooling down to 8x8 (4x4 for 8x8 images; of rectangles twice ``base_shape``), two more
    of the same size, ReLU, pooling over space and a dense layer. At 32x32 with the default widths it is both papers'
    CIFAR-10 network.

    Args:
        image_size: Side, a power of two from 8 to 256, or ``[height, width]``; see ``base_shape``.
        channels: Image channels, >= 1.
        base_channels: Feature maps of the first block, >= 1; they double at every halving of the map.
        max_channels: Most feature maps of a block, >= 1.
        norm: ``spectral`` on every layer (SNGAN), ``layer``, or ``None`` (WGAN-GP).
        pooling: Reduction over space at the end: ``sum`` (SNGAN) or ``mean`` (WGAN-GP).
        minibatch: Layer that compares the samples of a batch before pooling: ``stddev``, ``discrimination`` or
            ``None``.
        init: ``glorot`` as in both papers' code, or ``he``; uniform.
        classes: ``projection``: take the class too, and add the projection of the pooled features on its embedding to
            the logit; see ``ClassProjection``.
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
        base_channels: PositiveInt = 128,
        max_channels: PositiveInt = 128,
        norm: Literal["spectral", "layer"] | None = "spectral",
        pooling: Literal["sum", "mean"] = "sum",
        minibatch: Minibatch | None = None,
        init: Init = "glorot",
        classes: Classes | None = None,
        num_classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        levels, base = base_shape(image_size, *SIZES)
        self.pooling = pooling
        downs = max(1, levels - 1)  # 32 -> 8: two
        maps = widths(downs, base_channels, max_channels)
        pairs = list(zip([channels, *maps], maps, strict=False))
        first = ResBlock(channels, maps[0], norm=None, resize="down", first=True)
        downward = [ResBlock(inputs, outputs, norm=norm, resize="down") for inputs, outputs in pairs[1:]]
        plain = [ResBlock(maps[-1], maps[-1], norm=norm) for _ in range(2)]
        compare, extra = minibatch_layer(minibatch, (maps[-1], *(side << levels - downs for side in base)))
        self.blocks = nn.Sequential(first, *downward, *plain, nn.ReLU(), *compare)
        self.dense = nn.Linear(maps[-1] + extra, 1)
        initialise(self, init)
        if norm == "spectral":
            for layer in [layer for layer in self.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]:
                spectral_norm(layer)
        self.projection = projection(classes, num_classes, maps[-1] + extra, norm)

    def forward(self, images: Tensor, *classes: Tensor) -> Tensor:
        """Map images (N, channels, H, W), and classes (N,) if it takes them, to logits (N,)."""
        features = self.blocks(images)  # (N, C, 8, 8)
        pooled = features.sum((2, 3)) if self.pooling == "sum" else features.mean((2, 3))
        return projected(torch.flatten(self.dense(pooled)), pooled, self.projection, classes)


class ResBlock(nn.Module):
    """Add norm, ReLU, 3x3, norm, ReLU, 3x3 to a shortcut, with up- or downsampling by two.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        norm: See ``normalisation``; spectral norm is put on by the network.
        resize: ``up`` (nearest), ``down`` (average) or ``None``.
        first: Build a critic's first block: without norm and ReLU before the first convolution.
        num_classes: Classes that batch norm has a gain and a bias for each of; 0: one for all.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        norm: str | None,
        resize: Literal["up", "down"] | None = None,
        first: bool = False,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.resize, self.first = resize, first
        self.norm_1 = None if first else _norm(norm, inputs, num_classes)
        self.norm_2 = None if first else _norm(norm, outputs, num_classes)
        self.conv_1 = Conv2d(inputs, outputs, 3, padding=1)
        self.conv_2 = Conv2d(outputs, outputs, 3, padding=1)
        learned = inputs != outputs or resize is not None
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if learned else None

    def forward(self, x: Tensor, *classes: Tensor) -> Tensor:
        """Map features (N, C, H, W), and classes (N,) if norms depend on them, to (N, C', H', W')."""
        h = x if self.first else F.relu(x if self.norm_1 is None else self.norm_1(x, *classes))
        h = self.conv_1(_up(h) if self.resize == "up" else h)
        h = self.conv_2(F.relu(h if self.norm_2 is None else self.norm_2(h, *classes)))
        if self.resize == "down":
            h = F.avg_pool2d(h, 2)
        # A 1x1 convolution commutes with both resizes: it is done at the smaller size.
        if self.resize == "down":
            x = F.avg_pool2d(x, 2)
        if self.shortcut is not None:
            x = self.shortcut(x)
        return h + (_up(x) if self.resize == "up" else x)


def _norm(norm: str | None, width: int, num_classes: int) -> nn.Module | None:
    return ClassBatchNorm(width, num_classes) if num_classes else normalisation(norm, width)


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def initialise(network: nn.Module, init: Init) -> None:
    """Draw uniform weights by Glorot's or He's rule, 3x3 convolutions of blocks with ReLU's gain; biases are 0.

    By Glorot's rule, which the released code of both papers has, their standard deviation is
    sqrt(2 / (fan_in + fan_out)), and sqrt(4 / (fan_in + fan_out)) in the blocks' 3x3 convolutions.
    """
    inside = {
        layer for block in network.modules() if isinstance(block, ResBlock) for layer in (block.conv_1, block.conv_2)
    }
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            residual = module in inside
            gain = math.sqrt(2) if residual else 1.0
            if init == "glorot":
                nn.init.xavier_uniform_(module.weight, gain)
            else:
                fan_in = nn.init._calculate_correct_fan(module.weight, "fan_in")
                nn.init.uniform_(module.weight, -gain * math.sqrt(3 / fan_in), gain * math.sqrt(3 / fan_in))
            if module.bias is not None:
                nn.init.zeros_(module.bias)

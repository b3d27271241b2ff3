"""Define R3GAN's networks (Huang et al. 2024, arXiv:2501.05441, section 4): residual, grouped, not normalised."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks.classes import Classes, check_given, classes_of, entries_of, one_hot
from lightning_gans.networks.layers import Minibatch, base_shape, minibatch_layer

SIZES = (8, 256)
SLOPE = 0.2
Padding = Literal["zeros", "edge"]


class Generator(nn.Module):
    """Map latents (N, latent_dim) to images (N, channels, H, W).

    A learned basis of 4x4 (of rectangles ``base_shape``) weighted by a dense layer of the latents, then per resolution
    a bilinear upsampling (a 1x1 convolution first where the width changes) and residual blocks; a 1x1 convolution at
    the end. The images are not squashed: in evaluation they are clipped to [-1, 1].

    Args:
        image_size: Side, a power of two from 8 to 256, or ``[height, width]``; see ``base_shape``.
        channels: Image channels, >= 1.
        latent_dim: Length of the latent vector, >= 1.
        base_channels: Feature maps at the image size, >= 1; they double at every halving.
        max_channels: Most feature maps of a block, >= 1.
        blocks: Residual blocks per resolution, >= 1.
        group_size: Channels in a group of the grouped convolutions, >= 1.
        expansion: Width inside a block, as a multiple, >= 1.
        base_levels: Resolutions, from the image size down, that have ``base_channels`` before the widths double; >= 1.
        padding: Padding of upsampling beyond the edge: ``zeros`` as in the released code, or the ``edge`` itself.
        classes: ``projection``: take the class too, as the authors' class-conditional set-up: its embedding
            stands behind the latents.
        num_classes: Number of classes; needed with ``classes``.
        class_dim: Length of the class's embedding; only with ``classes``.

    Raises:
        ConfigError: The size is not allowed, groups do not divide a width, or the data has no classes.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        latent_dim: PositiveInt = 64,
        base_channels: PositiveInt = 768,
        max_channels: PositiveInt = 768,
        blocks: PositiveInt = 2,
        group_size: PositiveInt = 16,
        expansion: PositiveInt = 2,
        base_levels: PositiveInt = 1,
        padding: Padding = "zeros",
        classes: Classes | None = None,
        num_classes: PositiveInt | None = None,
        class_dim: PositiveInt = 64,
    ) -> None:
        super().__init__()
        levels, base = base_shape(image_size, *SIZES)
        maps = _maps(levels, base_channels, max_channels, group_size, expansion, base_levels)[::-1]
        self.latent_dim, self.num_classes = latent_dim, classes_of(classes, num_classes)
        self.conditions = entries_of(self.num_classes)
        self.embedding = _layer(nn.Linear(self.num_classes, class_dim, bias=False)) if self.num_classes else None
        self.basis = nn.Parameter(torch.randn(maps[0], *base))
        wide = latent_dim + (class_dim if self.num_classes else 0)
        self.weights = _layer(nn.Linear(wide, maps[0], bias=False))
        depth = len(maps) * blocks
        layers: list[nn.Module] = []
        for index, width in enumerate(maps):
            layers += [Upsample(maps[index - 1], width, padding)] if index else []
            layers += [GroupedResidualBlock(width, group_size, expansion, depth) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers)
        self.last = _layer(nn.Conv2d(maps[-1], channels, 1, bias=False))

    def forward(self, latents: Tensor, *classes: Tensor) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) if it takes them, to images (N, channels, H, W)."""
        check_given(classes, self.num_classes)
        if self.embedding is not None:
            (given,) = classes
            latents = torch.cat([latents, self.embedding(one_hot(given, self.num_classes, latents))], 1)
        features = self.weights(latents)[:, :, None, None] * self.basis  # (N, C, 4, 4)
        images: Tensor = self.last(self.layers(features))
        return images if self.training else images.clamp(-1, 1)


class Discriminator(nn.Module):
    """Map images (N, channels, H, W) to raw logits (N,) by the generator's mirror image.

    Ends in a depthwise 4x4 convolution (of rectangles ``base_shape``) and a dense layer.

    Args:
        image_size: Side, a power of two from 8 to 256, or ``[height, width]``; see ``base_shape``.
        channels: Image channels, >= 1.
        base_channels: Feature maps at the image size, >= 1; they double at every halving.
        max_channels: Most feature maps of a block, >= 1.
        blocks: Residual blocks per resolution, >= 1.
        group_size: Channels in a group of the grouped convolutions, >= 1.
        expansion: Width inside a block, as a multiple, >= 1.
        base_levels: Resolutions, from the image size down, that have ``base_channels`` before the widths double; >= 1.
        minibatch: Layer that compares the samples of a batch at 4x4: ``stddev``, ``discrimination`` or ``None`` as in
            the paper.
        classes: ``projection``: take the class too, as the authors' class-conditional set-up: the logit
            is the product of a dense layer's ``class_dim`` features and the class's embedding.
        num_classes: Number of classes; needed with ``classes``.
        class_dim: Length of the class's embedding; only with ``classes``.

    Raises:
        ConfigError: The size is not allowed, groups do not divide a width, or the data has no classes.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        base_channels: PositiveInt = 768,
        max_channels: PositiveInt = 768,
        blocks: PositiveInt = 2,
        group_size: PositiveInt = 16,
        expansion: PositiveInt = 2,
        base_levels: PositiveInt = 1,
        minibatch: Minibatch | None = None,
        classes: Classes | None = None,
        num_classes: PositiveInt | None = None,
        class_dim: PositiveInt = 64,
    ) -> None:
        super().__init__()
        self.num_classes = classes_of(classes, num_classes)
        levels, base = base_shape(image_size, *SIZES)
        maps = _maps(levels, base_channels, max_channels, group_size, expansion, base_levels)
        depth = len(maps) * blocks
        layers: list[nn.Module] = [_layer(nn.Conv2d(channels, maps[0], 1, bias=False))]
        for index, width in enumerate(maps):
            layers += [Downsample(maps[index - 1], width)] if index else []
            layers += [GroupedResidualBlock(width, group_size, expansion, depth) for _ in range(blocks)]
        compare, extra = minibatch_layer(minibatch, (maps[-1], *base))
        wide = maps[-1] + extra
        basis = _layer(nn.Conv2d(wide, wide, base, groups=wide, bias=False))
        last = _layer(nn.Linear(wide, class_dim if self.num_classes else 1, bias=False))
        self.layers = nn.Sequential(*layers, *compare, basis, nn.Flatten(), last)
        self.embedding: nn.Module | None = None
        if self.num_classes:
            self.embedding = _layer(nn.Linear(self.num_classes, class_dim, bias=False), class_dim**-0.5)

    def forward(self, images: Tensor, *classes: Tensor) -> Tensor:
        """Map images (N, channels, H, W), and classes (N,) if it takes them, to logits (N,)."""
        check_given(classes, self.num_classes)
        features = self.layers(images)  # (N, 1), or (N, class_dim)
        if self.embedding is None:
            return torch.flatten(features)
        (given,) = classes
        logits: Tensor = (features * self.embedding(one_hot(given, self.num_classes, features))).sum(1)
        return logits


class GroupedResidualBlock(nn.Module):
    """Add 1x1(act(grouped 3x3(act(1x1(x))))), the last one starting at 0, to x (N, C, H, W).

    Biases stand before the activations only. Weights start by He's rule times depth^(-1/4), Fixup's scale for blocks
    of three layers (Zhang et al. 2019, arXiv:1901.09321).

    Args:
        width: Channels.
        group_size: Channels in a group.
        expansion: Width inside, as a multiple.
        depth: Residual blocks of the whole network.
    """

    def __init__(self, width: int, group_size: int, expansion: int, depth: int) -> None:
        super().__init__()
        inside = width * expansion
        gain = math.sqrt(2 / (1 + SLOPE**2)) * depth**-0.25
        self.layers = nn.Sequential(
            _layer(nn.Conv2d(width, inside, 1), gain),
            nn.LeakyReLU(SLOPE, inplace=True),
            _layer(nn.Conv2d(inside, inside, 3, padding=1, groups=max(1, inside // group_size)), gain),
            nn.LeakyReLU(SLOPE, inplace=True),
            _layer(nn.Conv2d(inside, width, 1, bias=False), 0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, H, W) to the same shape."""
        added: Tensor = self.layers(x)
        return x + added


class Resample(nn.Module):
    """Hold the filter [1, 3, 3, 1] x [1, 3, 3, 1] / 64, and a 1x1 convolution where the width changes.

    Args:
        inputs: Channels in.
        outputs: Channels out.
    """

    filter: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("filter", torch.outer(taps, taps)[None, None], persistent=False)
        self.change = _layer(nn.Conv2d(inputs, outputs, 1, bias=False)) if inputs != outputs else None

    def filters(self, x: Tensor) -> Tensor:
        """Return the filter for every channel of ``x`` (N, C, H, W): (C, 1, 4, 4)."""
        return self.filter.expand(x.shape[1], -1, -1, -1)


class Upsample(Resample):
    """Upsample bilinearly by two, after the change of width.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        padding: ``zeros``: a transposed convolution by 4 x the filter, which sees zeros beyond the edge; ``edge``: the
            pixels of the edge again.
    """

    def __init__(self, inputs: int, outputs: int, padding: Padding = "zeros") -> None:
        super().__init__(inputs, outputs)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, H, W) to (N, C', 2H, 2W)."""
        x = x if self.change is None else self.change(x)
        if self.padding == "edge":
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return F.conv_transpose2d(x, 4 * self.filters(x), stride=2, padding=1, groups=x.shape[1])


class Downsample(Resample):
    """Smooth and keep every second pixel, zeros beyond the edge, before the change of width."""

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, H, W) to (N, C', H/2, W/2)."""
        x = F.conv2d(x, self.filters(x), stride=2, padding=1, groups=x.shape[1])
        return x if self.change is None else self.change(x)


def _maps(
    levels: int, base_channels: int, max_channels: int, group_size: int, expansion: int, base_levels: int
) -> list[int]:
    """Return the feature maps from the image size down to 4x4: min(base << level, max), ``base_levels`` of them base.

    Raises:
        ConfigError: Groups do not divide a width.
    """
    shifts = [max(0, level + 1 - base_levels) for level in range(levels + 1)]  # 32, 16, 8, 4
    maps = [min(base_channels << shift, max_channels) for shift in shifts]
    for width in maps:
        inside = width * expansion
        if inside >= group_size and inside % group_size:
            raise ConfigError("group_size", group_size, f"must divide {inside}, the width inside a block")
    return maps


def _layer(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Conv2d | nn.Linear:
    """Draw a layer's weights from N(0, gain^2 / fan_in) and set its bias to 0."""
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer

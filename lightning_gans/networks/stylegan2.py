"""Define StyleGAN2's networks (Karras et al. 2020, arXiv:1912.04958): modulated convolutions, skips, residuals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks.classes import Classes, check_given, classes_of, entries_of
from lightning_gans.networks.convolution import conv2d
from lightning_gans.networks.equalised import EqualisedConv2d, EqualisedLinear
from lightning_gans.networks.layers import Minibatch, minibatch_layer, square_side
from lightning_gans.networks.resampling import BINOMIAL, Blur, UpsampleSmoothly
from lightning_gans.networks.styles import (
    MappingNetwork,
    Noise,
    ScaledLeakyReLU,
    StyleGenerator,
    add_bias,
    picked,
)
from lightning_gans.runtime.precision import full_precision

SIZES = (8, 1024)
WIDE = 512  # side from which networks have their full width


class Generator(StyleGenerator):
    """Map latents (N, latent_dim) to images by styles: a learnt 4x4 constant, modulated convolutions, colours summed.

    Two layers per resolution, one at 4x4; the first of a resolution enlarges by a transposed convolution and the filter
    [1, 3, 3, 1]. Each resolution adds its colours to the enlarged ones of the resolution before. Outputs are not
    bounded.

    Args:
        image_size: Side of squares, a power of two from 8 to 1024.
        channels: Image channels, >= 1.
        latent_dim: Length of the latents, >= 1.
        style_dim: Length of the styles and width of the mapping network, >= 1.
        mapping_layers: Dense layers of the mapping network; the paper has 8, the authors' ADA release 2 by default.
        channel_base: Feature maps at resolution R are min(channel_base / R, channel_max); ``None``: 32768 from 512x512
            on and half of it below, as in the authors' ADA release.
        channel_max: Most feature maps.
        classes: ``projection``: take the class too, whose embedding stands behind the latents.
        num_classes: Number of classes; needed with ``classes``.

    Raises:
        ConfigError: The size is a rectangle or out of range, or the data has no classes.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        latent_dim: PositiveInt = 512,
        style_dim: PositiveInt = 512,
        mapping_layers: PositiveInt = 2,
        channel_base: PositiveInt | None = None,
        channel_max: PositiveInt = 512,
        classes: Classes | None = None,
        num_classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        maps = feature_maps(square_side(image_size, *SIZES, "StyleGAN2"), channel_base, channel_max)
        self.latent_dim, self.num_classes = latent_dim, classes_of(classes, num_classes)
        self.conditions = entries_of(self.num_classes)
        self.mapping = MappingNetwork(
            latent_dim, style_dim, mapping_layers, gain_last=True, num_classes=self.num_classes
        )
        self.constant = nn.Parameter(torch.randn(1, maps[0], 4, 4))
        layers = [StyledLayer(maps[0], maps[0], size=4, style_dim=style_dim)]
        for level, (inputs, outputs) in enumerate(zip(maps, maps[1:], strict=False), 1):
            for before, up in ((inputs, True), (outputs, False)):
                layers.append(StyledLayer(before, outputs, size=4 << level, style_dim=style_dim, up=up))
        self.layers = nn.ModuleList(layers)
        self.to_rgb = nn.ModuleList(ToRGB(width, channels, style_dim) for width in maps)
        self.upsample = UpsampleSmoothly()

    @property
    def style_layers(self) -> int:
        """Return the number of styles that an image takes: one per layer, and one for the last colours."""
        return len(self.layers) + 1

    @property
    def noises(self) -> list[Noise]:
        """List the noises of the layers, in order."""
        return [layer.noise for layer in self.layers]  # type: ignore[misc]

    def synthesis(self, styles: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Map styles (N, style_layers, style_dim) to images (N, channels, image_size, image_size).

        Colours of a resolution take the style of the layer after them.
        """
        images: Tensor | None = None
        x = self.constant.expand(styles.shape[0], -1, -1, -1)
        for number, (layer, own) in enumerate(zip(self.layers, picked(noise, len(self.layers)), strict=True)):
            x = layer(x, styles[:, number], own)
            if number % 2 == 0:  # the last layer of its resolution
                colours = self.to_rgb[number // 2](x, styles[:, number + 1])
                images = colours if images is None else self.upsample(images) + colours
        assert images is not None
        return images


class Discriminator(nn.Module):
    """Map images (N, channels, H, W) to raw logits (N,) by residual blocks down to 4x4.

    There samples are compared by their deviation, then a convolution and two dense layers give the logit.

    Args:
        image_size: Side of squares, a power of two from 8 to 1024.
        channels: Image channels, >= 1.
        channel_base: Feature maps at resolution R are min(channel_base / R, channel_max); ``None``: 32768 from 512x512
            on and half of it below, as in the authors' ADA release.
        channel_max: Most feature maps.
        minibatch: Layer that compares the samples of a batch at 4x4: ``stddev``, ``discrimination`` or ``None``.
        group_size: Samples that ``stddev`` compares; see ``MinibatchStddev``.
        classes: ``projection``: take the class too: the logit is the product of the last features and of what a mapping
            network makes of the class.
        num_classes: Number of classes; needed with ``classes``.
        class_layers: Dense layers of that mapping network.

    Raises:
        ConfigError: The size is a rectangle or out of range, or the data has no classes.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        channel_base: PositiveInt | None = None,
        channel_max: PositiveInt = 512,
        minibatch: Minibatch | None = "stddev",
        group_size: PositiveInt = 4,
        classes: Classes | None = None,
        num_classes: PositiveInt | None = None,
        class_layers: PositiveInt = 8,
    ) -> None:
        super().__init__()
        maps = feature_maps(square_side(image_size, *SIZES, "StyleGAN2"), channel_base, channel_max)
        self.num_classes, width = classes_of(classes, num_classes), maps[0]
        self.from_rgb = nn.Sequential(EqualisedConv2d(channels, maps[-1], 1, gain=1.0), ScaledLeakyReLU())
        pairs = zip(maps[:0:-1], maps[-2::-1], strict=True)
        self.blocks = nn.Sequential(*(ResidualBlock(inputs, outputs) for inputs, outputs in pairs))
        compare, more = minibatch_layer(minibatch, (width, 4, 4), group_size)
        last = [*compare, EqualisedConv2d(width + more, width, 3, gain=1.0), ScaledLeakyReLU(), nn.Flatten()]
        last += [EqualisedLinear(16 * width, width, gain=1.0), ScaledLeakyReLU()]
        self.last = nn.Sequential(*last, EqualisedLinear(width, width if self.num_classes else 1, gain=1.0))
        self.mapping: MappingNetwork | None = None
        if self.num_classes:
            self.mapping = MappingNetwork(0, width, class_layers, gain_last=True, num_classes=self.num_classes)

    def forward(self, images: Tensor, *classes: Tensor) -> Tensor:
        """Map images (N, channels, H, W), and classes (N,) if it takes them, to logits (N,)."""
        check_given(classes, self.num_classes)
        features = self.last(self.blocks(self.from_rgb(images)))  # (N, 1), or (N, C)
        if self.mapping is None:
            return torch.flatten(features)
        logits: Tensor = (features * self.mapping(None, *classes)).sum(1) / math.sqrt(features.shape[1])
        return logits


class ModulatedConv2d(nn.Module):
    """Convolve with weights whose input channels are scaled by the style, outputs brought back to unit deviation.

    Computed as a scaling of the features before and after one convolution for the whole batch (section 2.2).

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: Side of the kernel, odd.
        style_dim: Length of the styles.
        demodulate: Divide outputs by the deviation that the scaled weights give to inputs of unit variance.
        up: Enlarge by two: a transposed convolution, smoothed by [1, 3, 3, 1].
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, style_dim: int, *, demodulate: bool = True, up: bool = False
    ) -> None:
        super().__init__()
        self.style = EqualisedLinear(style_dim, inputs, gain=1.0, first_bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.demodulate, self.padding = demodulate, kernel // 2
        self.blur = Blur(BINOMIAL, padding=1, gain=4.0) if up else None

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map features (N, inputs, H, W) and styles (N, style_dim) to (N, outputs, H', W')."""
        scales, weight = self.style(style), self.weight * self.scale
        x = x * scales.to(x.dtype)[:, :, None, None]
        if self.blur is None:
            x = conv2d(x, weight, padding=self.padding)
        else:
            x = self.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        if not self.demodulate:
            return x
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):  # there is none on the meta device
            energy = full_precision(scales).square() @ full_precision(weight).square().sum((2, 3)).t()  # (N, outputs)
            deviation = torch.rsqrt(energy + 1e-8)
        return x * deviation.to(x.dtype)[:, :, None, None]


class StyledLayer(nn.Module):
    """Apply a modulated 3x3 convolution, noise of one strength, a bias and a leaky rectifier.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        size: Side of the maps.
        style_dim: Length of the styles.
        up: Enlarge by two.
    """

    def __init__(self, inputs: int, outputs: int, *, size: int, style_dim: int, up: bool = False) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(inputs, outputs, 3, style_dim, up=up)
        self.noise, self.act = Noise(size), ScaledLeakyReLU()
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None = None) -> Tensor:
        """Map features (N, C, H, W), styles (N, style_dim) and noise (N or 1, 1, H', W') to (N, outputs, H', W')."""
        made: Tensor = self.act(add_bias(self.noise(self.convolution(x, style), noise), self.bias))
        return made


class ToRGB(nn.Module):
    """Map features to colours by a modulated 1x1 convolution, not demodulated, and a bias.

    Args:
        inputs: Input channels.
        channels: Image channels.
        style_dim: Length of the styles.
    """

    def __init__(self, inputs: int, channels: int, style_dim: int) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(inputs, channels, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map features (N, C, H, W) and styles (N, style_dim) to colours (N, channels, H, W)."""
        return add_bias(self.convolution(x, style), self.bias)


class ResidualBlock(nn.Module):
    """Halve features by two 3x3 convolutions, beside a linear 1x1; smoothed by [1, 3, 3, 1], and scaled by 1 / sqrt(2).

    Args:
        inputs: Input channels.
        outputs: Output channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            EqualisedConv2d(inputs, inputs, 3, gain=1.0),
            ScaledLeakyReLU(),
            Blur(BINOMIAL, padding=2),
            EqualisedConv2d(inputs, outputs, 3, gain=1.0, stride=2),
            ScaledLeakyReLU(),
        )
        reduce = Blur(BINOMIAL, padding=1, stride=2)
        self.skip = nn.Sequential(reduce, EqualisedConv2d(inputs, outputs, 1, gain=1.0, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, inputs, H, W) to (N, outputs, H/2, W/2)."""
        added: Tensor = self.layers(x) + self.skip(x)
        return added / math.sqrt(2)


def feature_maps(image_size: int, base: int | None, largest: int) -> list[int]:
    """Return the feature maps at 4, 8, ..., ``image_size``: min(base / R, largest), at least 1."""
    if base is None:
        base = 32768 if image_size >= WIDE else 16384
    levels = range(2, image_size.bit_length())
    return [max(1, min(base >> level, largest)) for level in levels]

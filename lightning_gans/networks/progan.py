"""Define ProGAN's networks, which grow from 4x4 to ``image_size`` (Karras et al. 2018, arXiv:1710.10196, table 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import FractionBelowOne, PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks.equalised import EqualisedConv2d, EqualisedLinear, FirstLayer
from lightning_gans.networks.layers import Minibatch, check_image_size, minibatch_layer, normalisation, square_side
from lightning_gans.networks.resampling import Blur
from lightning_gans.runtime.precision import full_precision

SIZES = (8, 1024)
SLOPE = 0.2
MOST_DECAY = 16.0  # by then every resolution but the smallest has one map


class PixelNorm(nn.Module):
    """Normalise each pixel by x / sqrt(mean(x^2) + 1e-8) over the channels (section 4.2)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, ...) to the same shape."""
        wide = full_precision(x)
        return (wide * torch.rsqrt(wide.square().mean(1, keepdim=True) + 1e-8)).to(x.dtype)


class MultiplicativeNoise(nn.Module):
    """Multiply x by 1 + strength sqrt(C) n, one n ~ N(0, 1) per sample and channel; in training only.

    The form of the authors' released code. ``draw`` makes n of shape (N, C); a training replaces it by one that does
    not depend on the number of processes.
    """

    strength: Tensor | None = None  # set by the network that owns the layer
    draw: Callable[..., Tensor] = staticmethod(torch.randn)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, H, W) to the same shape."""
        if self.strength is None or not self.training:
            return x
        n, channels = x.shape[:2]
        factor = 1 + self.strength * math.sqrt(channels) * self.draw(n, channels).to(x.device)
        return x * factor[:, :, None, None].to(x.dtype)


class Growing(nn.Module):
    """Hold the resolution that a growing network works at, and the weight alpha of its newest block.

    Neither is state of the network: they are set before each step. A new network is fully grown.

    Args:
        image_size: Largest resolution: side of squares, a power of two from 8 to 1024.

    Attributes:
        resolution: Side of the images now.
        alpha: Weight of the newest block, 0 to 1.

    Raises:
        ConfigError: The size is a rectangle, or out of range.
    """

    def __init__(self, image_size: Size) -> None:
        super().__init__()
        self.image_size = self.resolution = square_side(image_size, *SIZES, "ProGAN")
        self.alpha = 1.0

    def grow(self, resolution: int, alpha: float = 1.0) -> None:
        """Set ``resolution``, a power of two from 4 to ``image_size``, and the weight ``alpha`` of its block."""
        check_image_size(resolution, 4, self.image_size, "resolution")
        self.resolution, self.alpha = resolution, alpha if resolution > 4 else 1.0

    @property
    def level(self) -> int:
        """Return the number of the newest active block: 0 at 4x4, 1 at 8x8, ..."""
        return level_of(self.resolution)

    @property
    def fading(self) -> bool:
        """Return whether the newest block is still fading in (alpha below 1)."""
        return self.alpha < 1

    def fade(self, old: Tensor, new: Tensor) -> Tensor:
        """Return (1 - alpha) old + alpha new in full precision: bf16 would lose a new block of little weight."""
        return full_precision(old).lerp(full_precision(new), self.alpha)


class Generator(Growing):
    """Map latents to images by blocks from 4x4 up: nearest upsampling, 3x3 convolutions; a linear 1x1 to colours each.

    Latents are normalised to length sqrt(latent_dim). Only the blocks up to the current resolution are computed, and
    while the newest fades in the colours of the block before it, enlarged: (1 - alpha) old + alpha new. Outputs are
    not bounded unless ``tanh`` is.

    Args:
        image_size: Largest resolution: side of squares, a power of two from 8 to 1024.
        channels: Image channels, >= 1.
        latent_dim: Length of the latents, >= 1.
        fmap_base: Feature maps at resolution R are min(fmap_base / (R / 2)^fmap_decay, fmap_max).
        fmap_decay: See ``fmap_base``.
        fmap_max: Most feature maps.
        norm: ``pixel``, ``batch`` or ``None``.
        normalise_latents: Divide latents by the root of their mean square.
        equalised_lr: Scale weights at run time.
        position_bias: Let the first layer have a bias per value of its 4x4 maps, not one per map.
        slope: Slope of the rectifiers' negative side, 0 to below 1; 0: ReLU.
        tanh: End in a tanh, which bounds the colours once they are mixed.
        bias_before_norm: Give layers that batch norm follows a bias; the authors' code has none there.

    Raises:
        ConfigError: The size is a rectangle, or a value out of range.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        latent_dim: PositiveInt = 512,
        fmap_base: PositiveInt = 8192,
        fmap_decay: float = 1.0,
        fmap_max: PositiveInt = 512,
        norm: Literal["pixel", "batch"] | None = "pixel",
        normalise_latents: bool = True,
        equalised_lr: bool = True,
        position_bias: bool = False,
        slope: FractionBelowOne = SLOPE,
        tanh: bool = False,
        bias_before_norm: bool = False,
    ) -> None:
        super().__init__(image_size)
        self.latent_dim = latent_dim
        maps = feature_maps(self.image_size, fmap_base, fmap_decay, fmap_max)
        self.normalise = PixelNorm() if normalise_latents else nn.Identity()
        bias = norm != "batch" or bias_before_norm

        def convolution(inputs: int, outputs: int) -> list[nn.Module]:
            layer = EqualisedConv2d(inputs, outputs, 3, equalised=equalised_lr, bias=bias)
            return [layer, *_ordered(norm, outputs, nn.LeakyReLU(slope))]

        options = {"equalised": equalised_lr, "position_bias": position_bias, "bias": bias}
        first: list[nn.Module] = [FirstLayer(latent_dim, maps[0], **options)]
        first += [*_ordered(norm, maps[0], nn.LeakyReLU(slope)), *convolution(maps[0], maps[0])]
        blocks = [nn.Sequential(*first)]
        for inputs, outputs in zip(maps, maps[1:], strict=False):
            up = nn.Upsample(scale_factor=2, mode="nearest")
            blocks.append(nn.Sequential(up, *convolution(inputs, outputs), *convolution(outputs, outputs)))
        self.blocks = nn.ModuleList(blocks)
        self.bound = nn.Tanh() if tanh else nn.Identity()
        self.to_rgb = nn.ModuleList(
            EqualisedConv2d(width, channels, 1, gain=1.0, equalised=equalised_lr) for width in maps
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to images (N, channels, resolution, resolution)."""
        before = x = self.normalise(latents)
        for block in self.blocks[: self.level + 1]:
            before, x = x, block(x)
        images: Tensor = self.to_rgb[self.level](x)
        if self.fading:
            old = F.interpolate(self.to_rgb[self.level - 1](before), scale_factor=2, mode="nearest")
            images = self.fade(old, images)
        bounded: Tensor = self.bound(images)
        return bounded


class Discriminator(Growing):
    """Map images to logits by the generator mirrored: a 1x1 from colours, blocks of two 3x3s and a 2x2 mean, to 4x4.

    At 4x4 samples are compared by their deviation, then one convolution and two dense layers give the logit; minibatch
    discrimination comes before the last of them. Only the blocks from the current resolution down are computed; while
    the newest fades in its output is mixed with the colours of the images at half the size: (1 - alpha) old + alpha
    new.

    ``noise`` is the paper's help for least squares (appendix B): the input of every 3x3 and 4x4 convolution is
    multiplied by 1 + s sqrt(channels) n, n ~ N(0, 1) per sample and channel, where s = 0.2 max(0, d - 0.5)^2 and d is
    a moving average of the mean logit of reals, within [0, 1], which ``follow`` moves.

    Args:
        image_size: Largest resolution: side of squares, a power of two from 8 to 1024.
        channels: Image channels, >= 1.
        fmap_base: Feature maps at resolution R are min(fmap_base / (R / 2)^fmap_decay, fmap_max).
        fmap_decay: See ``fmap_base``.
        fmap_max: Most feature maps.
        norm: ``layer`` or ``None``, of 3x3 and 4x4 convolutions.
        equalised_lr: Scale weights at run time.
        minibatch: Layer that compares samples: ``stddev``, ``discrimination`` or ``None``.
        group_size: Samples that ``stddev`` compares; see ``MinibatchStddev``. 16 is the whole batch of the paper and of
            the authors' first release; their second one compares 4.
        noise: Multiply the inputs of convolutions by noise where the logits of reals are high.
        fused_scale: Average before the rectifier (and norm) of a block's second convolution, as the authors' second
            release does in its fused layers and so do its weights; ``False``: after it, as in the paper's table.
        blur: Smooth by [1, 2, 1] before a block's second convolution, as StyleGAN does (arXiv:1812.04948).

    Raises:
        ConfigError: The size is a rectangle, or a value out of range.
    """

    logit_average: Tensor  # only with noise

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        fmap_base: PositiveInt = 8192,
        fmap_decay: float = 1.0,
        fmap_max: PositiveInt = 512,
        norm: Literal["layer"] | None = None,
        equalised_lr: bool = True,
        minibatch: Minibatch | None = "stddev",
        group_size: PositiveInt = 16,
        noise: bool = False,
        fused_scale: bool = False,
        blur: bool = False,
    ) -> None:
        super().__init__(image_size)
        maps = feature_maps(self.image_size, fmap_base, fmap_decay, fmap_max)
        self.noise = MultiplicativeNoise() if noise else None
        if noise:
            self.register_buffer("logit_average", torch.zeros(()))

        def convolution(inputs: int, outputs: int, kernel: int, fused: Sequence[nn.Module] = ()) -> list[nn.Module]:
            layer = EqualisedConv2d(inputs, outputs, kernel, equalised=equalised_lr)
            noisy = [self.noise] if self.noise is not None else []
            return [*noisy, layer, *fused, *_ordered(norm, outputs, nn.LeakyReLU(SLOPE))]

        self.from_rgb = nn.ModuleList(
            nn.Sequential(EqualisedConv2d(channels, width, 1, equalised=equalised_lr), nn.LeakyReLU(SLOPE))
            for width in maps
        )
        dense = min(fmap_base, fmap_max)  # the maps that a resolution of 2 would have
        is_stddev = minibatch == "stddev"
        early, more_maps = minibatch_layer(minibatch if is_stddev else None, (maps[0], 4, 4), group_size)
        late, more_features = minibatch_layer(None if is_stddev else minibatch, (dense,))
        last = [*early, *convolution(maps[0] + more_maps, maps[0], 3), *convolution(maps[0], dense, 4), nn.Flatten()]
        last += [*late, EqualisedLinear(dense + more_features, 1, gain=1.0, equalised=equalised_lr)]
        blocks = [nn.Sequential(*last)]
        for outputs, inputs in zip(maps, maps[1:], strict=False):
            down = [nn.AvgPool2d(2)]
            fused, after = (down, []) if fused_scale else ([], down)  # a mean leaves the bias as it is
            second = [*([Blur()] if blur else []), *convolution(inputs, outputs, 3, fused)]
            blocks.append(nn.Sequential(*convolution(inputs, inputs, 3), *second, *after))
        self.blocks = nn.ModuleList(blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, channels, resolution, resolution) to logits (N,)."""
        if self.noise is not None:
            self.noise.strength = 0.2 * (self.logit_average - 0.5).clamp_min(0).square()
        x = self.from_rgb[self.level](images)
        for level in range(self.level, -1, -1):
            x = self.blocks[level](x)
            if self.fading and level == self.level:
                x = self.fade(self.from_rgb[level - 1](F.avg_pool2d(images, 2)), x)
        return torch.flatten(x)

    def follow(self, logits: Tensor) -> None:
        """Move the average that ``noise`` depends on a tenth of the way to this mean logit of reals, within [0, 1]."""
        self.logit_average.lerp_(logits.clamp(0, 1), 0.1)


def feature_maps(image_size: int, base: int, decay: float, largest: int) -> list[int]:
    """Return the feature maps at 4, 8, ..., ``image_size``: min(base / (R / 2)^decay, largest), at least 1."""
    if not 0 <= decay <= MOST_DECAY:
        raise ConfigError("fmap_decay", decay, f"must be from 0 to {MOST_DECAY:g}")
    return [max(1, min(int(base / 2 ** (decay * (level + 1))), largest)) for level in range(level_of(image_size) + 1)]


def level_of(resolution: int) -> int:
    """Return the number of a resolution's block: 0 at 4x4, 1 at 8x8, ..."""
    return resolution.bit_length() - 3


def _ordered(norm: str | None, width: int, act: nn.Module) -> list[nn.Module]:
    """Return activation and normalisation in their order: pixel norm comes after the activation, the others before."""
    if norm == "pixel":
        return [act, PixelNorm()]
    made = normalisation(norm, width)
    return [act] if made is None else [made, act]

"""Define StyleGAN's generator, which grows (Karras et al. 2019, arXiv:1812.04948); its discriminator is ProGAN's.

The discriminator differs from ProGAN's by a smoothing before each halving: ``progan.Discriminator(blur=True)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.config.types import Positive, PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks.equalised import EqualisedConv2d, EqualisedLinear
from lightning_gans.networks.progan import SLOPE, Growing, feature_maps
from lightning_gans.networks.resampling import Blur
from lightning_gans.networks.styles import (
    MappingNetwork,
    Noise,
    StyleGenerator,
    adaptive_instance_norm,
    add_bias,
    picked,
)


class Generator(StyleGenerator, Growing):
    """Map latents (N, latent_dim) to images by styles: a learnt 4x4 constant, two styled layers per resolution.

    Each layer is a 3x3 convolution, noise, bias, a leaky rectifier and adaptive instance norm by its style; the first
    of a resolution repeats pixels before its convolution and smooths by [1, 2, 1] after it, the first of all has no
    convolution. A linear 1x1 gives the colours. Only the blocks up to the current resolution are computed, and while
    the newest fades in the colours of the block before it, enlarged: (1 - alpha) old + alpha new. Outputs are not
    bounded.

    Args:
        image_size: Largest resolution: side of squares, a power of two from 8 to 1024.
        channels: Image channels, >= 1.
        latent_dim: Length of the latents, >= 1.
        style_dim: Length of the styles and width of the mapping network, >= 1.
        mapping_layers: Dense layers of the mapping network.
        fmap_base: Feature maps at resolution R are min(fmap_base / (R / 2)^fmap_decay, fmap_max).
        fmap_decay: See ``fmap_base``.
        fmap_max: Most feature maps.
        norm: ``instance``, or ``None``: styles scale and shift maps that were not normalised.
        eps: Of instance norm, added to the variance.
        bias_before_blur: Give the convolutions that are smoothed a bias of their own, which the zeros at the edge
            weaken there, as the public PyTorch copy of the networks does.

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
        style_dim: PositiveInt = 512,
        mapping_layers: PositiveInt = 8,
        fmap_base: PositiveInt = 8192,
        fmap_decay: float = 1.0,
        fmap_max: PositiveInt = 512,
        norm: Literal["instance"] | None = "instance",
        eps: Positive = 1e-8,
        bias_before_blur: bool = False,
    ) -> None:
        super().__init__(image_size)
        self.latent_dim = latent_dim
        maps = feature_maps(self.image_size, fmap_base, fmap_decay, fmap_max)
        self.mapping = MappingNetwork(latent_dim, style_dim, mapping_layers, gain_last=False)
        self.constant = nn.Parameter(torch.ones(1, maps[0], 4, 4))
        layers: list[nn.Module] = []
        for level, width in enumerate(maps):
            start: nn.Module = nn.Identity()
            if level:
                up = nn.Upsample(scale_factor=2, mode="nearest")
                start = nn.Sequential(up, EqualisedConv2d(maps[level - 1], width, 3, bias=bias_before_blur), Blur())
            for convolution in (start, EqualisedConv2d(width, width, 3, bias=False)):
                sizes = {"width": width, "size": 4 << level, "style_dim": style_dim}
                layers.append(StyledLayer(convolution, **sizes, norm_eps=None if norm is None else eps))
        self.layers = nn.ModuleList(layers)
        self.to_rgb = nn.ModuleList(EqualisedConv2d(width, channels, 1, gain=1.0) for width in maps)

    @property
    def style_layers(self) -> int:
        """Return the number of styles that an image takes now: two per resolution."""
        return 2 * (self.level + 1)

    @property
    def noises(self) -> list[Noise]:
        """List the noises of the layers at work, in order."""
        return [layer.noise for layer in self.layers[: self.style_layers]]  # type: ignore[misc]

    def synthesis(self, styles: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Map styles (N, style_layers or more, style_dim) to images (N, channels, resolution, resolution)."""
        layers = self.style_layers
        before = x = self.constant.expand(styles.shape[0], -1, -1, -1)
        given = zip(self.layers[:layers], styles.unbind(1), picked(noise, layers), strict=False)
        for number, (layer, style, own) in enumerate(given):
            if number == layers - 2:
                before = x
            x = layer(x, style, own)
        images: Tensor = self.to_rgb[self.level](x)
        if self.fading:
            old = F.interpolate(self.to_rgb[self.level - 1](before), scale_factor=2, mode="nearest")
            images = self.fade(old, images)
        return images


class StyledLayer(nn.Module):
    """Apply a convolution, noise, a bias, a leaky rectifier and adaptive instance norm.

    Args:
        convolution: What comes first.
        width: Feature maps after it.
        size: Side of the maps.
        style_dim: Length of the styles.
        norm_eps: Of instance norm; ``None``: without it.
    """

    def __init__(
        self, convolution: nn.Module, *, width: int, size: int, style_dim: int, norm_eps: float | None
    ) -> None:
        super().__init__()
        self.convolution, self.noise, self.norm_eps = convolution, Noise(size, width), norm_eps
        self.bias = nn.Parameter(torch.zeros(width))
        self.style = EqualisedLinear(style_dim, 2 * width, gain=1.0)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None = None) -> Tensor:
        """Map features (N, C, H, W), styles (N, style_dim) and noise (N or 1, 1, H', W') to (N, width, H', W')."""
        x = add_bias(self.noise(self.convolution(x), noise), self.bias)
        x, given = F.leaky_relu(x, SLOPE), self.style(style)
        if self.norm_eps is None:
            return adaptive_instance_norm(x, given, normalise=False)
        return adaptive_instance_norm(x, given, eps=self.norm_eps)

"""R3GAN's networks (Huang et al. 2024, arXiv:2501.05441, section 4): residual, grouped, without normalisation."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.networks.layers import Minibatch, check_image_size, check_positive, minibatch_layer, widths

SIZES = (8, 256)
SLOPE = 0.2


class Generator(nn.Module):
    """Latents (N, latent_dim) to images (N, channels, image_size, image_size).

    A learned 4x4 basis weighted by a dense layer of the latents, then per resolution a bilinear upsampling (a 1x1
    convolution first where the width changes) and residual blocks; a 1x1 convolution at the end. The images are not
    squashed: in evaluation they are clipped to [-1, 1].

    Args:
        image_size: Height and width, a power of two from 8 to 256.
        channels: Image channels, >= 1.
        latent_dim: Length of the latent vector.
        base_channels: Feature maps at half the image size and above; they double at every further halving.
        max_channels: Most feature maps of a block.
        blocks: Residual blocks per resolution.
        group_size: Channels in a group of the grouped convolutions.
        expansion: Width inside a block, as a multiple.
    """

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        latent_dim: int = 64,
        base_channels: int = 768,
        max_channels: int = 768,
        blocks: int = 2,
        group_size: int = 16,
        expansion: int = 2,
    ) -> None:
        super().__init__()
        maps = _maps(image_size, channels, base_channels, max_channels, blocks, group_size, expansion)[::-1]
        check_positive(latent_dim=latent_dim)
        self.latent_dim = latent_dim
        self.basis = nn.Parameter(torch.randn(maps[0], 4, 4))
        self.weights = _layer(nn.Linear(latent_dim, maps[0], bias=False))
        depth = len(maps) * blocks
        layers: list[nn.Module] = []
        for index, width in enumerate(maps):
            layers += [Resample(maps[index - 1], width, 2.0)] if index else []
            layers += [Block(width, group_size, expansion, depth) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers)
        self.last = _layer(nn.Conv2d(maps[-1], channels, 1, bias=False))

    def forward(self, latents: Tensor) -> Tensor:
        """(N, latent_dim) -> (N, channels, image_size, image_size)."""
        features = self.weights(latents)[:, :, None, None] * self.basis  # (N, C, 4, 4)
        images: Tensor = self.last(self.layers(features))
        return images if self.training else images.clamp(-1, 1)


class Discriminator(nn.Module):
    """Images (N, channels, image_size, image_size) to raw logits (N,): the generator's mirror image.

    Ends in a depthwise 4x4 convolution and a dense layer.

    Args:
        image_size: Height and width, a power of two from 8 to 256.
        channels: Image channels, >= 1.
        base_channels: Feature maps at the image size and half of it; they double at every further halving.
        max_channels: Most feature maps of a block.
        blocks: Residual blocks per resolution.
        group_size: Channels in a group of the grouped convolutions.
        expansion: Width inside a block, as a multiple.
        minibatch: What compares the samples of a batch at 4x4: ``stddev``, ``discrimination`` or ``None`` as in the
            paper.
    """

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        base_channels: int = 768,
        max_channels: int = 768,
        blocks: int = 2,
        group_size: int = 16,
        expansion: int = 2,
        minibatch: Minibatch | None = None,
    ) -> None:
        super().__init__()
        maps = _maps(image_size, channels, base_channels, max_channels, blocks, group_size, expansion)
        depth = len(maps) * blocks
        layers: list[nn.Module] = [_layer(nn.Conv2d(channels, maps[0], 1, bias=False))]
        for index, width in enumerate(maps):
            layers += [Resample(maps[index - 1], width, 0.5)] if index else []
            layers += [Block(width, group_size, expansion, depth) for _ in range(blocks)]
        compare, extra = minibatch_layer(minibatch, (maps[-1], 4, 4))
        wide = maps[-1] + extra
        basis = _layer(nn.Conv2d(wide, wide, 4, groups=wide, bias=False))
        self.layers = nn.Sequential(*layers, *compare, basis, nn.Flatten(), _layer(nn.Linear(wide, 1, bias=False)))

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, image_size, image_size) -> (N,)."""
        return torch.flatten(self.layers(images))


class Block(nn.Module):
    """x + 1x1(act(grouped 3x3(act(1x1(x))))), the last one starting at 0: (N, C, H, W) -> (N, C, H, W).

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
        """(N, C, H, W) -> (N, C, H, W)."""
        added: Tensor = self.layers(x)
        return x + added


class Resample(nn.Module):
    """Bilinear resampling by two, with a 1x1 convolution where the width changes, done at the smaller size.

    Both ways by the filter [1, 3, 3, 1].

    Args:
        inputs: Channels in.
        outputs: Channels out.
        scale: 2.0 or 0.5.
    """

    filter: Tensor

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("filter", torch.outer(taps, taps)[None, None], persistent=False)
        self.change = _layer(nn.Conv2d(inputs, outputs, 1, bias=False)) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', 2H, 2W) or (N, C', H/2, W/2)."""
        if self.scale > 1 and self.change is not None:
            x = self.change(x)
        if self.scale > 1:
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = F.conv2d(x, self.filter.expand(x.shape[1], -1, -1, -1), stride=2, padding=1, groups=x.shape[1])
        return x if self.change is None else self.change(x)


def _maps(
    image_size: int,
    channels: int,
    base_channels: int,
    max_channels: int,
    blocks: int,
    group_size: int,
    expansion: int,
) -> list[int]:
    """Feature maps from the image size down to 4x4."""
    check_image_size(image_size, *SIZES)
    check_positive(
        channels=channels,
        base_channels=base_channels,
        max_channels=max_channels,
        blocks=blocks,
        group_size=group_size,
        expansion=expansion,
    )
    maps = [min(base_channels, max_channels), *widths(image_size, base_channels, max_channels)]
    for width in maps:
        inside = width * expansion
        if inside >= group_size and inside % group_size:
            raise ValueError(f"group_size={group_size}: must divide {inside}, the width inside a block")
    return maps


def _layer(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Conv2d | nn.Linear:
    """Weights N(0, gain^2 / fan_in), bias 0."""
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer

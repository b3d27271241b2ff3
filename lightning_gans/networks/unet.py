"""Define pix2pix's U-Net (Isola, Zhu, Zhou, Efros 2017, arXiv:1611.07004, appendix 6.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_gans.config.types import FractionBelowOne, NonNegativeInt, PositiveInt, checked
from lightning_gans.images.size import Size, height_width
from lightning_gans.networks.convolution import Conv2d, ConvTranspose2d
from lightning_gans.networks.dropout import NoiseDropout
from lightning_gans.networks.layers import (
    TestStatistics,
    check_divisible,
    check_image_size,
    has_bias,
    normal_init,
    translation_norm,
)


class Generator(nn.Module):
    """Map sources (N, source_channels, H, W) to images (N, channels, H, W); H, W multiples of ``size_divisor``.

    The encoder halves the map ``downs`` times by 4x4 convolutions with LeakyReLU(0.2); the decoder mirrors it by
    transposed ones with ReLU and reads, beside its own maps, the encoder's of the same size. No norm on the first and
    the innermost convolution of the encoder nor on the last of the decoder, which ends in tanh: images lie in [-1, 1].
    Weights N(0, 0.02).

    Args:
        image_size: Side of the images that it is trained on, or ``[height, width]``.
        source_channels: Channels of the source, >= 1.
        channels: Channels of the images made, >= 1.
        downs: Halvings, >= 1; ``None``: down to 1x1, for which squares are a power of two from 8 to 1024, and of
            rectangles as often as both sides halve, at least three times.
        base_channels: Maps after the first convolution, >= 1; they double at every halving.
        max_channels: Most maps of a layer, >= 1.
        norm: ``batch``, ``instance`` (without gain and bias) or ``None``.
        test_statistics: Statistics of batch norm at test time: each ``image``'s own, as in the paper, or the
            ``running`` ones; ``None``: the family decides, by its batch.
        dropout: Probability after the layers of the decoder that ``dropout_layers`` counts; 0: none.
        dropout_at_test: Keep dropout on at test time, as the paper does; then its mask comes from a seed.
        skips: ``False``: the paper's plain encoder-decoder.
        dropout_layers: Layers of the decoder with dropout, 0 being the innermost; the paper's are the three inner ones,
            those of the authors' PyTorch code 1, 2 and 3 (at 128 pixels 1 and 2). The last layer never has any.
        bias_before_norm: Give convolutions that a norm follows a bias; ``None``: before instance norm alone, as in the
            authors' PyTorch code.

    Attributes:
        size_divisor: Sides of inputs are multiples of this.

    Raises:
        ConfigError: The size is not allowed, or a value out of range.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        source_channels: PositiveInt,
        channels: PositiveInt,
        downs: PositiveInt | None = None,
        base_channels: PositiveInt = 64,
        max_channels: PositiveInt = 512,
        norm: Literal["batch", "instance"] | None = "batch",
        test_statistics: TestStatistics | None = None,
        dropout: FractionBelowOne = 0.5,
        dropout_at_test: bool = True,
        skips: bool = True,
        dropout_layers: Sequence[NonNegativeInt] = (0, 1, 2),
        bias_before_norm: bool | None = None,
    ) -> None:
        super().__init__()
        if downs is None:
            downs = _most_downs(image_size)
        check_divisible(image_size, 2**downs, 2**downs, f" with downs={downs}")
        self.size_divisor, self.skips = 2**downs, skips
        bias = has_bias(norm, bias_before_norm)
        widths = [min(base_channels << level, max_channels) for level in range(downs)]

        def normed(width: int) -> list[nn.Module]:
            return translation_norm(norm, width, test_statistics)

        self.encoder = nn.ModuleList()
        for level, (inputs, outputs) in enumerate(zip([source_channels, *widths], widths, strict=False)):
            bare = level in (0, downs - 1)
            layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if level else []
            layers.append(Conv2d(inputs, outputs, 4, 2, 1, bias=bare or bias))
            self.encoder.append(nn.Sequential(*layers, *([] if bare else normed(outputs))))
        self.decoder = nn.ModuleList()  # the innermost layer first
        for level in range(downs - 1, -1, -1):
            inputs = widths[level] * (2 if skips and level < downs - 1 else 1)
            outputs = widths[level - 1] if level else channels
            layers = [nn.ReLU(), ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=not level or bias)]
            layers += normed(outputs) if level else [nn.Tanh()]
            if dropout and level and downs - 1 - level in dropout_layers:
                layers.append(NoiseDropout(dropout, at_test=dropout_at_test))
            self.decoder.append(nn.Sequential(*layers))
        self.apply(normal_init)

    def forward(self, source: Tensor) -> Tensor:
        """Map sources (N, source_channels, H, W) to images (N, channels, H, W) in [-1, 1]."""
        maps, h = [], source
        for layer in self.encoder:
            h = layer(h)
            maps.append(h)
        for level, layer in enumerate(self.decoder):
            h = layer(torch.cat([maps[-1 - level], h], 1) if level and self.skips else h)
        return h


def _most_downs(image_size: Size) -> int:
    """Return how often a U-Net halves images where it is not told: squares down to 1x1."""
    height, width = height_width(image_size)
    if height == width:
        check_image_size(height, 8, 1024)
    check_divisible(image_size, 8, 8, ", or say downs")
    return next(downs for downs in range(10, 0, -1) if height % 2**downs == width % 2**downs == 0)

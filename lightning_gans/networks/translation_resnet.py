"""Define CycleGAN's residual generator (Zhu et al. 2017, arXiv:1703.10593, appendix 7.2, after Johnson et al. 2016)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from lightning_gans.config.types import FractionBelowOne, PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks.convolution import Conv2d
from lightning_gans.networks.dropout import NoiseDropout
from lightning_gans.networks.layers import (
    TestStatistics,
    check_divisible,
    has_bias,
    normal_init,
    translation_norm,
)


class ResnetBlock(nn.Module):
    """Add two 3x3 convolutions with reflection padding, norm after each and ReLU between to x (N, C, H, W)."""

    def __init__(
        self,
        width: int,
        norm: Literal["batch", "instance"] | None,
        test_statistics: TestStatistics | None,
        noise: list[nn.Module],
        bias: bool,
    ) -> None:
        super().__init__()

        def convolution() -> list[nn.Module]:
            conv = Conv2d(width, width, 3, bias=bias)
            return [nn.ReflectionPad2d(1), conv, *translation_norm(norm, width, test_statistics)]

        self.layers = nn.Sequential(*convolution(), nn.ReLU(inplace=True), *noise, *convolution())

    def forward(self, maps: Tensor) -> Tensor:
        """Map features (N, C, H, W) to the same shape."""
        residual: Tensor = self.layers(maps)
        return maps + residual


class Generator(nn.Module):
    """Map sources (N, source_channels, H, W) to images (N, channels, H, W); H, W multiples of ``size_divisor``.

    A 7x7 convolution, ``downs`` 3x3 convolutions of stride 2, residual blocks, as many transposed convolutions back
    and a 7x7 convolution with tanh. Reflection padding where the stride is 1; norm and ReLU after all but the last.
    Weights N(0, 0.02). Images lie in [-1, 1].

    Args:
        image_size: Side of the images that it is trained on, or ``[height, width]``.
        source_channels: Channels of the source, >= 1.
        channels: Channels of the images made, >= 1.
        base_channels: Maps after the first convolution, >= 1; they double at every halving.
        blocks: Residual blocks, >= 1; ``None``: 9 from 256 pixels of the shorter side on and 6 below, as in the paper.
        downs: Halvings, >= 1.
        norm: ``instance`` (without gain and bias), ``batch`` or ``None``.
        test_statistics: Statistics of batch norm at test time: each ``image``'s own, or the ``running`` ones;
            ``None``: the family decides, by its batch.
        dropout: Probability inside every block, 0 to below 1; 0: none, as in the paper.
        dropout_at_test: Keep dropout on at test time; then its mask comes from a seed.
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
        base_channels: PositiveInt = 64,
        blocks: PositiveInt | None = None,
        downs: PositiveInt = 2,
        norm: Literal["batch", "instance"] | None = "instance",
        test_statistics: TestStatistics | None = None,
        dropout: FractionBelowOne = 0.0,
        dropout_at_test: bool = False,
        bias_before_norm: bool | None = None,
    ) -> None:
        super().__init__()
        size = check_divisible(image_size, 2**downs, max(4, 2 ** (downs + 1)), f", with downs={downs}")
        blocks = (9 if min(size) >= 256 else 6) if blocks is None else blocks
        self.size_divisor = 2**downs
        widths = [base_channels << level for level in range(downs + 1)]

        def normed(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
            width = convolution.out_channels
            return [convolution, *translation_norm(norm, width, test_statistics), nn.ReLU(inplace=True)]

        bias = has_bias(norm, bias_before_norm)
        layers = [nn.ReflectionPad2d(3), *normed(nn.Conv2d(source_channels, base_channels, 7, bias=bias))]
        for inputs, outputs in zip(widths, widths[1:], strict=False):
            layers += normed(nn.Conv2d(inputs, outputs, 3, 2, 1, bias=bias))
        for _ in range(blocks):
            noise: list[nn.Module] = [NoiseDropout(dropout, at_test=dropout_at_test)] if dropout else []
            layers.append(ResnetBlock(widths[-1], norm, test_statistics, noise, bias))
        for inputs, outputs in zip(widths[::-1], widths[-2::-1], strict=False):
            layers += normed(nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1, bias=bias))
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(3), Conv2d(base_channels, channels, 7), nn.Tanh())
        self.apply(normal_init)

    def forward(self, source: Tensor) -> Tensor:
        """Map sources (N, source_channels, H, W) to images (N, channels, H, W) in [-1, 1]."""
        images: Tensor = self.layers(source)
        return images

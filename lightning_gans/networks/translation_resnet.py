"""CycleGAN's residual generator (Zhu et al. 2017, arXiv:1703.10593, appendix 7.2, after Johnson et al. 2016)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from lightning_gans.config.errors import at_least_one
from lightning_gans.networks.layers import NoiseDropout, TestStatistics, has_bias, normal_init, translation_norm


class Block(nn.Module):
    """x + f(x), f two 3x3 convolutions with reflection padding, norm after each and ReLU between: (N, C, H, W)."""

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
            conv = nn.Conv2d(width, width, 3, bias=bias)
            return [nn.ReflectionPad2d(1), conv, *translation_norm(norm, width, test_statistics)]

        self.layers = nn.Sequential(*convolution(), nn.ReLU(inplace=True), *noise, *convolution())

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        residual: Tensor = self.layers(maps)
        return maps + residual


class Generator(nn.Module):
    """Sources (N, source_channels, H, W) to images (N, channels, H, W) in [-1, 1]; H, W multiples of ``size_divisor``.

    A 7x7 convolution, ``downs`` 3x3 convolutions of stride 2, residual blocks, as many transposed convolutions back
    and a 7x7 convolution with tanh. Reflection padding where the stride is 1; norm and ReLU after all but the last.
    Weights N(0, 0.02).

    Args:
        image_size: Height and width that it is made for.
        source_channels: Channels of the source, >= 1.
        channels: Channels of the images made, >= 1.
        base_channels: Maps after the first convolution; they double at every halving.
        blocks: Residual blocks; ``None``: 9 from 256 pixels on and 6 below, as in the paper.
        downs: Halvings.
        norm: ``instance`` (without gain and bias), ``batch`` or ``None``.
        test_statistics: Of batch norm at test time: each ``image``'s own, or the ``running`` ones; ``None``: the family
            decides, by its batch.
        dropout: Probability inside every block; 0: none, as in the paper.
        dropout_at_test: Keep dropout on at test time; then its mask comes from a seed.
        bias_before_norm: Whether convolutions that a norm follows have a bias; ``None``: before instance norm alone, as
            in the authors' PyTorch code.
    """

    def __init__(
        self,
        *,
        image_size: int,
        source_channels: int,
        channels: int,
        base_channels: int = 64,
        blocks: int | None = None,
        downs: int = 2,
        norm: Literal["batch", "instance"] | None = "instance",
        test_statistics: TestStatistics | None = None,
        dropout: float = 0.0,
        dropout_at_test: bool = False,
        bias_before_norm: bool | None = None,
    ) -> None:
        super().__init__()
        blocks = (9 if image_size >= 256 else 6) if blocks is None else blocks
        sizes = {"source_channels": source_channels, "channels": channels, "base_channels": base_channels}
        at_least_one("", **sizes, blocks=blocks, downs=downs)
        if image_size % 2**downs or image_size < max(4, 2 ** (downs + 1)):
            allowed = f"a multiple of {2**downs}, at least {max(4, 2 ** (downs + 1))}, with downs={downs}"
            raise ValueError(f"data.image_size={image_size}: must be {allowed}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout}: must be from 0 to below 1")
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
            layers.append(Block(widths[-1], norm, test_statistics, noise, bias))
        for inputs, outputs in zip(widths[::-1], widths[-2::-1], strict=False):
            layers += normed(nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1, bias=bias))
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(base_channels, channels, 7), nn.Tanh())
        self.apply(normal_init)

    def forward(self, source: Tensor) -> Tensor:
        """(N, source_channels, H, W) -> (N, channels, H, W)."""
        images: Tensor = self.layers(source)
        return images

"""Compute convolutions between a map and its single pixel as the products of matrices that they are.

Same weights and values as PyTorch's layers, which on a CPU take several times as long for them. Maps are read and made
in the memory format of the weights, without a copy.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MapToPixel(nn.Conv2d):
    """Map features (N, C, h, w) to (N, outputs, 1, 1) by a kernel of their size.

    Args:
        inputs: C.
        outputs: Number of outputs.
        size: ``(h, w)``.
        bias: Add a bias.
    """

    def __init__(self, inputs: int, outputs: int, size: int | tuple[int, int], *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, size, bias=bias)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Map features (N, C, h, w) to (N, outputs, 1, 1)."""
        weight = self.weight
        last = _is_channels_last(weight)
        return F.linear(_rows(input, last), _rows(weight, last), self.bias)[:, :, None, None]


class PixelToMap(nn.ConvTranspose2d):
    """Map features (N, C, 1, 1) to (N, outputs, h, w) by a kernel of that size.

    Args:
        inputs: C.
        outputs: Number of outputs.
        size: ``(h, w)``.
        bias: Add a bias.
    """

    def __init__(self, inputs: int, outputs: int, size: int | tuple[int, int], *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, size, bias=bias)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002
        """Map features (N, C, 1, 1) to (N, outputs, h, w)."""
        weight, (h, w) = self.weight, self.kernel_size
        last = _is_channels_last(weight)
        made = torch.mm(input.flatten(1), _rows(weight, last))
        maps = (
            made.view(-1, h, w, self.out_channels).permute(0, 3, 1, 2)
            if last
            else made.view(-1, self.out_channels, h, w)
        )
        return maps if self.bias is None else maps + self.bias[:, None, None]


def _is_channels_last(weight: Tensor) -> bool:
    return weight.is_contiguous(memory_format=torch.channels_last)


def _rows(maps: Tensor, channels_last: bool) -> Tensor:
    """Lay out maps (N, C, h, w) as rows (N, C * h * w), pixel by pixel if they are channels-last."""
    return (maps.permute(0, 2, 3, 1) if channels_last else maps).flatten(1)

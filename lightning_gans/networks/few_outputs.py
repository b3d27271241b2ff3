"""Convolve to an image's few channels by large kernels, on a CPU, a row of the kernel's columns at a time.

A processor computes 16 outputs of a pixel at once, and a last layer of 7 x 7 has three. Here all columns of the kernel
are outputs, 21 then, of a convolution by kernels of 7 x 1, and are added up where they belong.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE, INPUTS, OUTPUTS = 5, 32, 4  # the smallest kernel, the fewest inputs and the most outputs for which it pays


def pays(maps: Tensor, weight: Tensor) -> bool:
    """Tell whether maps (N, C, H, W) are convolved faster this way, in float32 on a CPU."""
    outputs, inputs, height, width = weight.shape
    if not maps.is_cpu or {maps.dtype, weight.dtype} != {torch.float32}:
        return False
    return outputs <= OUTPUTS and inputs >= INPUTS and min(height, width) >= SIDE and min(maps.shape) > 0


def convolve(maps: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Convolve maps (N, C, H, W) with a weight (O, C, h, w) and add a bias (O,): (N, O, H', W')."""
    outputs, inputs, height, width = weight.shape
    columns = weight.permute(3, 0, 1, 2).reshape(width * outputs, inputs, height, 1)
    padded = F.pad(maps, (padding, padding)) if padding else maps  # zeros outside a column are slow to convolve
    apart = F.conv2d(padded, columns.contiguous(memory_format=torch.channels_last), padding=(padding, 0))
    made: Tensor = _Sum.apply(apart.permute(0, 2, 3, 1), width).permute(0, 3, 1, 2)
    return made if bias is None else made + bias[:, None, None]


class _Sum(torch.autograd.Function):
    """Add up what the columns of a kernel make: (N, H, W + width - 1, width * O) to (N, H, W, O)."""

    @staticmethod
    def forward(ctx: Any, apart: Tensor, width: int) -> Tensor:
        ctx.shape, ctx.width = apart.shape, width
        return _own(apart.contiguous(), width).sum(3)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        spread = gradient.new_zeros(ctx.shape)
        _own(spread, ctx.width).copy_(gradient.unsqueeze(3))
        return spread, None


def _own(apart: Tensor, width: int) -> Tensor:
    """View the terms of each output, (N, H, W, width, O): column k's is k pixels further and k * O channels."""
    n, height, wide, channels = apart.shape
    image, row, pixel, one = apart.stride()
    outputs = channels // width
    shape, strides = (n, height, wide - width + 1, width, outputs), (image, row, pixel, pixel + outputs, one)
    return apart.as_strided(shape, strides, apart.storage_offset())

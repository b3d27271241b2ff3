"""Differentiate a convolution by an image's few channels, and convolve to them, transposed, on a CPU.

A processor computes 16 channels of a pixel at once, and an image has 1 or 3. Here one product of matrices makes what
all places say of each pixel, a plane for each of the kernel's weights of a channel, and planes are added up where they
overlap.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHANNELS, OUTPUTS = 4, 24  # the most channels and the fewest maps on the other side for which it pays


def pays(shape: tuple[int, ...], weight: tuple[int, ...], stride: int, padding: int) -> bool:
    """Tell whether gradients by maps of a shape (N, C, H, W) are faster this way, for a weight (O, C, h, w).

    By what ``benchmarks/convolutions.py`` measures; values and gradients by weights are PyTorch's.
    """
    outputs, channels, *kernel = weight
    if channels > CHANNELS or outputs < OUTPUTS or shape[0] < 1:
        return False
    sizes = zip(shape[2:], kernel, strict=True)
    return all(size > 1 and size % stride == 0 and side + 2 * padding >= size for side, size in sizes)


def convolve(maps: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Convolve maps (N, C, H, W) with a weight and add a bias (O,), as PyTorch does: (N, O, H', W')."""
    return torch.conv2d(maps, weight, bias, stride, padding)


def gradients(
    gradient: Tensor,
    shape: tuple[int, ...],
    weight: Tensor,
    maps: Tensor | None,
    by_maps: bool,
    stride: int,
    padding: int,
) -> tuple[Tensor | None, Tensor | None]:
    """Differentiate a convolution; see ``convolution.Way.gradients``."""
    by_weight = None
    if maps is not None:
        how = None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, [False, True, False]
        by_weight = torch.ops.aten.convolution_backward(gradient, maps, weight, *how)[1]
    return _by_maps(gradient, shape, weight, stride, padding) if by_maps else None, by_weight


def _by_maps(gradient: Tensor, shape: tuple[int, ...], weight: Tensor, stride: int, padding: int) -> Tensor:
    """Add up what each place's gradient, (N, O, H', W'), says of the pixels that it saw: (N, C, H, W)."""
    n, channels, height, width = shape
    outputs, _, *kernel = weight.shape
    rows, pixels = gradient.shape[2:]
    down, across = (size // stride for size in kernel)  # places that see a pixel, each way
    weights = weight.permute(2, 3, 1, 0).reshape(-1, outputs)
    planes = torch.mm(weights, gradient.permute(0, 2, 3, 1).reshape(-1, outputs).T)
    parts = planes.view(down, stride, across, stride, channels, n, rows, pixels)
    high, wide = (-(-(side + padding) // stride) for side in (height, width))  # steps to the last pixel
    high, wide = max(high, rows + down - 1), max(wide, pixels + across - 1)
    sums = planes.new_zeros(stride, stride, channels, n, high, wide)
    for y in range(down):
        for x in range(across):
            sums[..., y : y + rows, x : x + pixels] += parts[y, :, x]
    whole = sums.permute(3, 4, 0, 5, 1, 2).reshape(n, high * stride, wide * stride, channels)
    return whole[:, padding : padding + height, padding : padding + width].permute(0, 3, 1, 2)

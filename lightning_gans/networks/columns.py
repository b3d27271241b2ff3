"""Convolve on a CPU by one product of matrices: of all pixels that a kernel sees, a row for each place, and the weight.

PyTorch's convolutions lose time where the weight is large and the places are few. Weights (O, C, h, w) and maps that
are channels-last are read where they lie.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.networks.way import Gradients, Shape, Way

WEIGHTS, COPIES = 1 << 21, 1 << 13  # the smallest weight, and the most places times copies of a pixel, where it pays


class Columns(Way):
    """Multiply matrices; the stride divides the kernel."""

    def pays(self, shape: Shape, weight: Shape) -> bool:
        """Tell whether the weight is large and the places are few."""
        kernel = weight[2:]
        if math.prod(weight) < WEIGHTS or any(side % self.stride for side in kernel):
            return False
        height, width = self.places(shape, kernel)
        copies = kernel[0] * kernel[1] // self.stride**2
        return min(height, width) > 0 and 0 < shape[0] * height * width * copies <= COPIES

    def convolve(self, maps: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolve maps (N, C, H, W) with a weight (O, C, h, w) and add a bias (O,): (N, O, H', W')."""
        size = len(maps), len(weight), *self.places(maps.shape, weight.shape[2:])
        made = torch.empty(size, dtype=maps.dtype, device=maps.device, memory_format=torch.channels_last)
        rows = made.permute(0, 2, 3, 1).view(-1, len(weight))
        torch.mm(self._columns(maps, weight), _rows(weight).T, out=rows)
        return made if bias is None else made.add_(bias[:, None, None])

    def gradients(
        self, gradient: Tensor, shape: Shape, weight: Tensor, maps: Tensor | None = None, *, by_maps: bool = True
    ) -> Gradients:
        """Differentiate by maps and by the weight."""
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, len(weight))
        found = by_weight = None
        if by_maps:
            found = self._folded(torch.mm(rows, _rows(weight)), gradient, shape, weight)
        if maps is not None:
            of_columns = torch.mm(rows.T, self._columns(maps, weight))
            by_weight = of_columns.view(len(weight), *weight.shape[2:], -1).permute(0, 3, 1, 2)
        return found, by_weight

    def _columns(self, maps: Tensor, weight: Tensor) -> Tensor:
        """Lay out what the kernel sees at each place of maps (N, C, H, W) as rows (N * H' * W', h * w * C)."""
        padded = maps.permute(0, 2, 3, 1)
        padded = F.pad(padded, (0, 0, *[self.padding] * 4)) if self.padding else padded
        padded = padded.contiguous()
        image, row, pixel, _ = padded.stride()
        channels, height, width = weight.shape[1:]
        shape = len(maps), *self.places(maps.shape, weight.shape[2:]), height, width * channels
        strides = image, self.stride * row, self.stride * pixel, row, 1
        return padded.as_strided(shape, strides, padded.storage_offset()).reshape(-1, height * width * channels)

    def _folded(self, columns: Tensor, places: Tensor, shape: Shape, weight: Tensor) -> Tensor:
        """Add up what columns (N * H' * W', h * w * C) at places (N, O, H', W') say of each pixel: (N, C, H, W)."""
        (n, channels, height, width), stride, padding = shape, self.stride, self.padding
        down, across = (size // stride for size in weight.shape[2:])
        rows, pixels = places.shape[2:]
        parts = columns.view(n, rows, pixels, down, stride, across, stride, channels).permute(3, 5, 0, 1, 4, 2, 6, 7)
        sums = columns.new_zeros(n, rows + down - 1 + stride, stride, pixels + across - 1 + stride, stride, channels)
        for y in range(down):
            for x in range(across):
                sums[:, y : y + rows, :, x : x + pixels] += parts[y, x]
        whole = sums.view(n, sums.shape[1] * stride, sums.shape[3] * stride, channels)
        return whole[:, padding : padding + height, padding : padding + width].permute(0, 3, 1, 2)


def _rows(weight: Tensor) -> Tensor:
    """Lay out a weight (O, C, h, w) as rows (O, h * w * C)."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)

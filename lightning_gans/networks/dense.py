"""Convolve by kernels as large as the map, and back, as the dense layers that they are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Shape = tuple[int, ...]


def fits(shape: Shape, weight: Shape, padding: int) -> bool:
    """Tell whether maps of a shape (N, C, H, W) are seen as a whole by a kernel of a weight (O, C, h, w)."""
    return padding == 0 and shape[2:] == weight[2:] and shape[0] > 0


def convolve(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve maps (N, C, H, W) with a weight (O, C, H, W) and add a bias (O,): (N, O, 1, 1)."""
    return F.linear(_rows(maps), _rows(weight), bias)[:, :, None, None]


def spread(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve maps (N, I, 1, 1), transposed, with a weight (I, O, h, w) and add a bias (O,): (N, O, h, w)."""
    outputs, height, width = weight.shape[1:]
    made = torch.mm(maps.flatten(1), _rows(weight)).view(-1, height, width, outputs)
    return (made if bias is None else made + bias).permute(0, 3, 1, 2)


def _rows(maps: Tensor) -> Tensor:
    """Lay out maps (N, C, H, W) as rows (N, H * W * C), which are where channels-last maps lie."""
    return maps.permute(0, 2, 3, 1).flatten(1)

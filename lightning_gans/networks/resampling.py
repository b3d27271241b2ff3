"""Smooth, enlarge and reduce features by separable filters, zeros beyond the edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BINOMIAL = (1.0, 3.0, 3.0, 1.0)  # of StyleGAN2


class Blur(nn.Module):
    """Smooth features by a separable filter whose taps are divided by their sum.

    Args:
        taps: Of the filter along either side, symmetric.
        padding: Zeros around the features.
        gain: Factor of the filter.
        stride: 2: keep every second pixel only.
    """

    filter: Tensor

    def __init__(
        self, taps: Sequence[float] = (1.0, 2.0, 1.0), *, padding: int = 1, gain: float = 1.0, stride: int = 1
    ) -> None:
        super().__init__()
        self.padding, self.stride = padding, stride
        self.register_buffer("filter", separable(taps) * gain, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, H, W) to (N, C, H', W')."""
        return filtered(x, self.filter, self.stride, self.padding)


class UpsampleSmoothly(nn.Module):
    """Enlarge images by two with the filter [1, 3, 3, 1] (bilinear, zeros beyond the edge)."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", 4 * separable(BINOMIAL), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to (N, C, 2H, 2W)."""
        return filtered(x, self.filter, 2, 1, up=True)


def separable(taps: Sequence[float]) -> Tensor:
    """Return the filter (1, 1, K, K) of sum 1 that has these taps along either side."""
    line = torch.tensor(taps) / sum(taps)
    return torch.outer(line, line)[None, None]


def filtered(x: Tensor, kernel: Tensor, stride: int, padding: int, *, up: bool = False) -> Tensor:
    """Filter every channel of features (N, C, H, W) by a symmetric kernel (1, 1, K, K).

    ``up``: the transposed operation, which enlarges by the stride. Derivatives of any order are filters again, which
    PyTorch's own second derivative of a convolution does not know: it took ten times as long.
    """
    if torch.is_grad_enabled() and x.requires_grad:
        made: Tensor = _Filter.apply(x, kernel, stride, padding, up)
        return made
    return _filter(x, kernel, stride, padding, up)


def _filter(x: Tensor, kernel: Tensor, stride: int, padding: int, up: bool) -> Tensor:
    kernel = kernel.to(x.dtype).expand(x.shape[1], -1, -1, -1)
    convolve = F.conv_transpose2d if up else F.conv2d
    return convolve(x, kernel, stride=stride, padding=padding, groups=x.shape[1])


class _Filter(torch.autograd.Function):
    """Filter features; the gradient is the transposed filter of the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: int, padding: int, up: bool) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.how = stride, padding, not up
        return _filter(x, kernel, stride, padding, up)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (kernel,) = ctx.saved_tensors
        return filtered(gradients[0], kernel, *ctx.how[:2], up=ctx.how[2]), None, None, None, None

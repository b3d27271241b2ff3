"""Smooth, enlarge and reduce features by separable filters, zeros beyond the edge."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BINOMIAL = (1.0, 3.0, 3.0, 1.0)  # of StyleGAN2


class Blur(nn.Module):
    """Smooth features by a separable filter whose taps are divided by their sum.

    Args:
        taps: Of the filter along either side.
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
        kernel = self.filter.expand(x.shape[1], -1, -1, -1)
        return F.conv2d(x, kernel, stride=self.stride, padding=self.padding, groups=x.shape[1])


class UpsampleSmoothly(nn.Module):
    """Enlarge images by two with the filter [1, 3, 3, 1] (bilinear, zeros beyond the edge)."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", 4 * separable(BINOMIAL), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to (N, C, 2H, 2W)."""
        kernel = self.filter.expand(x.shape[1], -1, -1, -1)
        return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])


def separable(taps: Sequence[float]) -> Tensor:
    """Return the filter (1, 1, K, K) of sum 1 that has these taps along either side."""
    line = torch.tensor(taps) / sum(taps)
    return torch.outer(line, line)[None, None]

"""Define what a way to compute a convolution is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

Shape = tuple[int, ...]
Gradients = tuple[Tensor | None, Tensor | None]


class Way(ABC):
    """Compute a convolution of float32 maps on a CPU, where that is faster than by PyTorch.

    Args:
        stride: Step of the kernel, each way.
        padding: Zeros on each side.
    """

    values_are_pytorchs = False  # so that it is of use for gradients by maps alone

    def __init__(self, stride: int, padding: int) -> None:
        self.stride, self.padding = stride, padding

    @abstractmethod
    def pays(self, shape: Shape, weight: Shape) -> bool:
        """Tell whether this is faster for maps of a shape (N, C, H, W) and a weight of a shape (O, C, h, w).

        By what ``benchmarks/convolutions.py`` measures.
        """

    @abstractmethod
    def convolve(self, maps: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolve maps (N, C, H, W) with a weight (O, C, h, w) and add a bias (O,): (N, O, H', W')."""

    @abstractmethod
    def gradients(
        self, gradient: Tensor, shape: Shape, weight: Tensor, maps: Tensor | None = None, *, by_maps: bool = True
    ) -> Gradients:
        """Differentiate a convolution by its maps and by its weight.

        Args:
            gradient: By what it made, (N, O, H', W').
            shape: That of its maps, (N, C, H, W).
            weight: (O, C, h, w).
            maps: (N, C, H, W), or ``None`` for no gradient by the weight.
            by_maps: Whether to differentiate by maps.

        Returns:
            The gradients by maps (N, C, H, W) and by the weight (O, C, h, w), ``None`` for what is not wanted.
        """

    def differentiable(
        self, gradient: Tensor, maps: Tensor, weight: Tensor, transposed: bool, wanted: tuple[bool, bool]
    ) -> Gradients:
        """Differentiate a convolution, transposed or not, by PyTorch's functions, which have gradients of their own."""
        how = [self.stride] * 2, [self.padding] * 2, [1, 1], transposed, [0, 0], 1, [*wanted, False]
        by_maps, by_weight, _ = torch.ops.aten.convolution_backward(gradient, maps, weight, None, *how)
        return by_maps, by_weight

    def places(self, shape: Shape, kernel: Shape) -> list[int]:
        """Return height and width of what a kernel of two sides makes of maps of a shape (N, C, H, W)."""
        pairs = zip(shape[2:], kernel, strict=True)
        return [(side + 2 * self.padding - size) // self.stride + 1 for side, size in pairs]

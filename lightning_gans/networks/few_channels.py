"""Differentiate a convolution by an image's few channels, and convolve to them, transposed, on a CPU.

A processor computes 16 channels of a pixel at once, and an image has 1 or 3. Here one product of matrices makes what
all places say of each pixel, a plane for each of the kernel's weights of a channel, and planes are added up where they
overlap.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.networks.way import Gradients, Shape, Way

CHANNELS, OUTPUTS = 4, 24  # the most channels and the fewest maps on the other side for which it pays


class FewChannels(Way):
    """Add up planes; values and gradients by weights are PyTorch's."""

    values_are_pytorchs = True

    def pays(self, shape: Shape, weight: Shape) -> bool:
        """Tell whether the channels are few, and the stride divides the kernel."""
        outputs, channels, *kernel = weight
        if channels > CHANNELS or outputs < OUTPUTS or min(shape[0], *self.places(shape, weight[2:])) < 1:
            return False
        return all(size > 1 and size % self.stride == 0 for size in kernel)

    def convolve(self, maps: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolve as PyTorch does."""
        return torch.conv2d(maps, weight, bias, self.stride, self.padding)

    def gradients(
        self, gradient: Tensor, shape: Shape, weight: Tensor, maps: Tensor | None = None, *, by_maps: bool = True
    ) -> Gradients:
        """Differentiate by maps here, and by the weight as PyTorch does."""
        found = self._by_maps(gradient, shape, weight) if by_maps else None
        if maps is None:
            return found, None
        return found, self.differentiable(gradient, maps, weight, False, (False, True))[1]

    def _by_maps(self, gradient: Tensor, shape: Shape, weight: Tensor) -> Tensor:
        """Add up what each place's gradient, (N, O, H', W'), says of the pixels that it saw: (N, C, H, W)."""
        (n, channels, height, width), stride, padding = shape, self.stride, self.padding
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

"""Normalise each map of each image by itself, instance norm (Ulyanov et al. 2016, arXiv:1607.08022).

It is batch norm of one image at a time. PyTorch's own views a batch as one image of many maps. Channels-last maps,
which are the faster ones for convolutions on processors, are copied for that, before and after. And of a batch of one
the view gives a gradient that lies channels-last strides by which batch norm on a CPU takes it for contiguous: what
goes on from there is wrong, silently (PyTorch 2.14).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class InstanceNorm2d(nn.InstanceNorm2d):
    """Apply ``instance_norm``; arguments and weights of PyTorch's layer, without running statistics."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Map features (N, C, H, W) to the same shape."""
        return instance_norm(input, self.weight, self.bias, eps=self.eps)


def instance_norm(x: Tensor, gain: Tensor | None = None, bias: Tensor | None = None, *, eps: float = 1e-5) -> Tensor:
    """Normalise each map over its pixels, then scale and shift it.

    Args:
        x: Features (N, C, H, W), more than one pixel.
        gain: Of each map, (C,), or ``None``.
        bias: Of each map, (C,), or ``None``.
        eps: Added to the variance.
    """
    exported = torch.compiler.is_compiling()  # one graph for every batch and layout
    if exported or not (len(x) == 1 or (x.is_cpu and x.is_contiguous(memory_format=torch.channels_last))):
        return F.instance_norm(x, weight=gain, bias=bias, eps=eps)
    images = [F.batch_norm(image, None, None, gain, bias, training=True, eps=eps) for image in torch.split(x, 1)]
    return images[0] if len(images) == 1 else torch.cat(images)

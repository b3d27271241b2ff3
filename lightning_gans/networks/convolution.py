"""Convolve as PyTorch does, and in float32 on a CPU by other ways where they are faster."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

from lightning_gans.networks import few_outputs, winograd


class Conv2d(nn.Conv2d):
    """Convolve features by ``conv2d``; arguments and weights of PyTorch's layer."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002
        if self.padding_mode != "zeros":
            return super()._conv_forward(input, weight, bias)  # type: ignore[no-any-return]
        return conv2d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)


def conv2d(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve features (N, C, H, W); arguments and values of ``torch.nn.functional.conv2d``."""
    given = [tensor for tensor in (input, weight, bias) if tensor is not None]
    how = stride, padding, dilation, groups
    if has_torch_function(given):
        return handle_torch_function(conv2d, given, input, weight, bias, *how)
    quick = input.is_cpu and not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")
    zeros = winograd.padding_of(*how) if quick else None
    if zeros is not None and winograd.pays(input, weight, zeros):
        return winograd.Convolution.apply(input, weight, bias, zeros)  # type: ignore[no-any-return]
    if zeros is not None and few_outputs.pays(input, weight):
        return few_outputs.convolve(input, weight, bias, zeros)
    return F.conv2d(input, weight, bias, *how)  # type: ignore[arg-type]

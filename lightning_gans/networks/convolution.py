"""Convolve as PyTorch does, and in float32 on a CPU by other ways where they are faster."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

from lightning_gans.networks import dense, few_outputs
from lightning_gans.networks.columns import Columns
from lightning_gans.networks.few_channels import FewChannels
from lightning_gans.networks.way import Shape, Way
from lightning_gans.networks.winograd import Winograd

Sides = int | Sequence[int]
WAYS = (Winograd, Columns, FewChannels)  # the first that pays is taken


class Conv2d(nn.Conv2d):
    """Convolve features by ``conv2d``; arguments and weights of PyTorch's layer."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002
        if self.padding_mode != "zeros":
            return super()._conv_forward(input, weight, bias)  # type: ignore[no-any-return]
        return conv2d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)


class ConvTranspose2d(nn.ConvTranspose2d):
    """Convolve features, transposed, by the ways of ``conv2d``; arguments and weights of PyTorch's layer."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002
        """Map features (N, C, H, W) to (N, outputs, H', W')."""
        weight, how = self.weight, plain(self.stride, self.padding, self.dilation, self.groups)
        if how is not None and output_size is None and not any(self.output_padding) and _may_choose(input, weight):
            sizes = zip(input.shape[2:], weight.shape[2:], strict=True)
            shape = len(input), weight.shape[1], *((side - 1) * how[0] + kernel - 2 * how[1] for side, kernel in sizes)
            if dense.fits(shape, weight.shape, how[1]):
                return dense.spread(input, weight, self.bias)
            way = way_of(shape, weight, *how)
            if way is not None:
                made: Tensor = _Transposed.apply(input, weight, shape, way)
                return made if self.bias is None else made.add_(self.bias[:, None, None])
        return super().forward(input, output_size)


def conv2d(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sides = 1,
    padding: str | Sides = 0,
    dilation: Sides = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve features (N, C, H, W); arguments and values of ``torch.nn.functional.conv2d``."""
    given = [tensor for tensor in (input, weight, bias) if tensor is not None]
    options = stride, padding, dilation, groups
    if has_torch_function(given):
        return handle_torch_function(conv2d, given, input, weight, bias, *options)
    how = plain(*options) if _may_choose(input, weight) else None
    if how is not None:
        if dense.fits(input.shape, weight.shape, how[1]):
            return dense.convolve(input, weight, bias)
        way = way_of(input.shape, weight, *how)
        if way is not None and (input.requires_grad or not way.values_are_pytorchs):
            return _Convolution.apply(input, weight, bias, way)  # type: ignore[no-any-return]
        if how[0] == 1 and few_outputs.pays(input, weight):
            return few_outputs.convolve(input, weight, bias, how[1])
    return F.conv2d(input, weight, bias, *options)  # type: ignore[arg-type]


def way_of(shape: Shape, weight: Tensor, stride: int, padding: int) -> Way | None:
    """Return the way in which maps of a shape (N, C, H, W) are convolved faster than by PyTorch, if one is known."""
    if not weight.is_cpu or weight.dtype != torch.float32:
        return None
    return _fastest(tuple(shape), tuple(weight.shape), stride, padding)


@functools.lru_cache(maxsize=4096)
def _fastest(shape: Shape, weight: Shape, stride: int, padding: int) -> Way | None:
    return next((way for way in (kind(stride, padding) for kind in WAYS) if way.pays(shape, weight)), None)


def plain(stride: Sides, padding: str | Sides, dilation: Sides, groups: int) -> tuple[int, int] | None:
    """Return stride and padding if they are the same each way, and there are neither dilation nor groups."""
    if groups != 1 or isinstance(padding, str):
        return None
    pairs = [(side, side) if isinstance(side, int) else (side[0], side[-1]) for side in (stride, padding, dilation)]
    if any(down != across for down, across in pairs) or pairs[2] != (1, 1):
        return None
    return pairs[0][0], pairs[1][0]


def _may_choose(maps: Tensor, weight: Tensor) -> bool:
    """Return whether a way may be chosen: autocast has another type; compilers and exports one graph for all."""
    if not maps.is_cpu or maps.dim() != 4 or weight.dtype != maps.dtype or torch.is_autocast_enabled("cpu"):
        return False
    return not torch.compiler.is_compiling()


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor | None, way: Way) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.way = way
        return way.convolve(maps, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (maps, weight), way, wanted = ctx.saved_tensors, ctx.way, ctx.needs_input_grad
        if torch.is_grad_enabled():
            found = way.differentiable(gradient, maps, weight, False, wanted[:2])
        else:
            found = way.gradients(gradient, maps.shape, weight, maps if wanted[1] else None, by_maps=wanted[0])
        return *found, gradient.sum((0, 2, 3)) if wanted[2] else None, None


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, shape: Shape, way: Way) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.way = way
        made, _ = way.gradients(maps, shape, weight)
        assert made is not None
        return made.clone(memory_format=torch.channels_last)  # not a view, which may not be changed in place

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (maps, weight), way, wanted = ctx.saved_tensors, ctx.way, ctx.needs_input_grad
        if torch.is_grad_enabled():
            return *way.differentiable(gradient, maps, weight, True, wanted[:2]), None, None
        by_maps = way.convolve(gradient, weight) if wanted[0] else None
        by_weight = None
        if wanted[1]:
            _, by_weight = way.gradients(maps, gradient.shape, weight, gradient, by_maps=False)
        return by_maps, by_weight, None, None

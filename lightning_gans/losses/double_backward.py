"""Make gradients that are cheap to differentiate once more, as penalties on gradients do.

PyTorch's second derivative of a convolution goes group by group and makes kernels as large as images, and a piecewise
linear activation, whose second derivative is 0, passes zeros back through all that came before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lightning_gans.networks import dense
from lightning_gans.networks.convolution import conv2d, plain, way_of
from lightning_gans.networks.way import Way


class CheapDoubleBackward(TorchFunctionMode):
    """Compute what is within with convolutions and leaky ReLUs whose gradients are cheap to differentiate.

    Values and gradients are those of PyTorch's own functions, but weights that a second derivative does not depend on
    have no gradient where they had zeros. Convolutions under autocast are left as they are.

        with (twice := CheapDoubleBackward()):
            gradients = twice.gradients(network(samples).sum(), samples)
        gradients.square().sum().backward()
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights_wanted = True
        self._ours: dict[Any, Callable[..., Any]] = {
            F.conv2d: self._conv2d,
            conv2d: self._conv2d,
            F.leaky_relu: _leaky_relu,
            F.relu: _relu,
            torch.relu: _relu,
        }

    def gradients(self, value: Tensor, inputs: Tensor) -> Tensor:
        """Return the gradient of a scalar by inputs that need one, of their shape, with its graph."""
        self.weights_wanted = False
        try:
            (gradients,) = torch.autograd.grad(value, inputs, create_graph=True)
        finally:
            self.weights_wanted = True
        return gradients

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call one of our functions in the place of PyTorch's."""
        return self._ours.get(func, func)(*args, **(kwargs or {}))

    def _conv2d(
        self,
        input: Tensor,  # noqa: A002
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | Sequence[int] = 1,
        padding: int | str | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
    ) -> Tensor:
        if isinstance(padding, str) or input.dim() != 4 or torch.is_autocast_enabled(input.device.type):
            return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)
        simple = plain(stride, padding, dilation, groups)
        if simple is not None and dense.fits(input.shape, weight.shape, simple[1]):
            return dense.convolve(input, weight, bias)  # whose gradients are products of matrices too
        how = _pair(stride), _pair(padding), _pair(dilation), groups
        made: Tensor = _Convolution.apply(input, weight, bias, how, self)
        return made


def _leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:  # noqa: A002
    made: Tensor = _LeakyReLU.apply(input, negative_slope)  # never in place
    return made


def _relu(input: Tensor, inplace: bool = False) -> Tensor:  # noqa: A002
    return _leaky_relu(input, 0.0)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    first, *others = [value] if isinstance(value, int) else value
    return first, others[0] if others else first


class _Convolution(torch.autograd.Function):
    """Convolve x (N, C, H, W) by weights."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, how: Sequence[Any], mode: CheapDoubleBackward
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, weight)
        ctx.how, ctx.mode = how, mode
        return _forward(x, weight, bias, how)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        of_x = of_weight = of_bias = None
        if gradient is not None:
            wanted = [needed and ctx.mode.weights_wanted for needed in ctx.needs_input_grad[1:3]]
            of_x = _GradientOfInput.apply(gradient, weight, x, ctx.how) if ctx.needs_input_grad[0] else None
            of_weight = _backward(gradient, x, weight, ctx.how, WEIGHT) if wanted[0] else None
            of_bias = gradient.sum((0, 2, 3)) if wanted[1] else None
        return of_x, of_weight, of_bias, None, None


class _GradientOfInput(torch.autograd.Function):
    """Compute a convolution's gradient of its input, which is linear in that of its output and in the weights."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, weight: Tensor, x: Tensor, how: Sequence[Any]) -> Tensor:
        ctx.save_for_backward(gradient, weight)
        ctx.how = how
        return _backward(gradient, x, weight, how, INPUT)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (second,), (gradient, weight) = gradients, ctx.saved_tensors
        of_gradient = _forward(second, weight, None, ctx.how) if ctx.needs_input_grad[0] else None
        of_weight = _backward(gradient, second, weight, ctx.how, WEIGHT) if ctx.needs_input_grad[1] else None
        return of_gradient, of_weight, None, None


INPUT, WEIGHT = (True, False, False), (False, True, False)


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None, how: Sequence[Any]) -> Tensor:
    """Convolve x."""
    way = _way(x, weight, how)
    return torch.conv2d(x, weight, bias, *how) if way is None else way.convolve(x, weight, bias)


def _way(x: Tensor, weight: Tensor, how: Sequence[Any]) -> Way | None:
    found = None if torch.is_grad_enabled() else plain(*how)  # ours are not differentiated a third time
    return None if found is None else way_of(x.shape, weight, *found)


def _backward(gradient: Tensor, x: Tensor, weight: Tensor, how: Sequence[Any], wanted: tuple[bool, ...]) -> Tensor:
    """Return a convolution's gradient of its input or of its weights; of an input only the shape is used."""
    stride, padding, dilation, groups = how
    way = _way(x, weight, how)
    if way is not None:
        by_x, by_weight = way.gradients(
            gradient, x.shape, weight, x if wanted == WEIGHT else None, by_maps=wanted == INPUT
        )
        return by_x if by_weight is None else by_weight  # type: ignore[return-value]
    shape = (None, stride, padding, dilation, False, (0, 0), groups, wanted)
    found: Tensor = torch.ops.aten.convolution_backward(gradient, x, weight, *shape)[wanted.index(True)]
    return found


class _LeakyReLU(torch.autograd.Function):
    """Compute a leaky ReLU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        ctx.slope = slope
        return F.leaky_relu(x, slope)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None]:
        if gradients[0] is None:
            return None, None
        return _GradientOfLeakyReLU.apply(gradients[0], *ctx.saved_tensors, ctx.slope), None


class _GradientOfLeakyReLU(torch.autograd.Function):
    """Pass a gradient through a leaky ReLU at x, on which it depends by steps alone."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor, slope: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        made: Tensor = torch.ops.aten.leaky_relu_backward(gradient, x, slope, False)
        return made

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _GradientOfLeakyReLU.apply(gradients[0], *ctx.saved_tensors, ctx.slope), None, None

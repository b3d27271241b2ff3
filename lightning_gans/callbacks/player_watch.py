"""Measure a player's weights, gradients and updates where its optimiser steps."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

_SMALL = 0.01  # size of weights below which that of updates is not compared with them: networks may start at zero


class Size(NamedTuple):
    """Hold a size on the device, with the index of the layer that it is of, or that has the largest part in it."""

    kind: Literal["weight", "update", "gradient"]
    player: PlayerWatch
    step: int
    value: Tensor
    layer: Tensor


class PlayerWatch:
    """Hold the weights of one optimiser; in every step to measure it appends gradient and update to ``sizes``.

    Both are multiples of the weights. Sizes are those at run time: ``scales`` holds by weight what a layer with a rate
    of its own multiplies it by.

    Attributes:
        step: Generator update whose steps of this optimiser are measured; ``None``: they are not.
    """

    def __init__(
        self,
        name: str,
        optimizer: Optimizer,
        names: dict[int, str],
        scales: dict[int, float],
        sizes: list[Size],
    ) -> None:
        self.name, self.optimizer = name, optimizer
        self.step: int | None = None
        self.weights: list[Tensor] = [weight for group in optimizer.param_groups for weight in group["params"]]
        self.names = [names[id(weight)] for weight in self.weights]
        self._counts = torch.tensor([float(max(w.numel(), 1)) for w in self.weights], device=self.weights[0].device)
        device = self.weights[0].device
        self._scales = torch.tensor([scales[id(weight)] for weight in self.weights], device=device)
        self._count = sum(weight.numel() for weight in self.weights)
        self._sizes = sizes
        self._before: list[Tensor] = []
        self._hooks = [
            optimizer.register_step_pre_hook(self._copy_weights),
            optimizer.register_step_post_hook(self._measure_update),
        ]

    def let_go(self) -> None:
        """Remove the hooks from the optimiser."""
        for hook in self._hooks:
            hook.remove()

    def largest_weights(self, step: int) -> Size:
        """Return the largest root mean square of a layer's weights."""
        return Size("weight", self, step, *(self._norms(self.weights) / self._counts.sqrt()).max(0))

    def _copy_weights(self, *_: Any) -> None:
        if self.step is None:
            return
        self._before = [weight.detach().clone() for weight in self.weights]
        gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in self.weights]
        norms = self._norms(gradients)
        self._sizes.append(Size("gradient", self, self.step, norms.norm() / self._size(), norms.argmax()))

    def _measure_update(self, *_: Any) -> None:
        if self.step is None or not self._before:
            return
        size = self._size()
        moved = self._norms(list(torch._foreach_sub([w.detach() for w in self.weights], self._before)))
        self._before = []
        self._sizes.append(Size("update", self, self.step, moved.norm() / size, moved.argmax()))

    def _size(self) -> Tensor:
        """Return the norm of the weights before the step, which gradients and updates are multiples of."""
        size: Tensor = self._norms(self._before).norm()
        return size.clamp(min=_SMALL * self._count**0.5)

    def _norms(self, tensors: list[Tensor]) -> Tensor:
        """Return the norm of each weight, or of as many tensors, at run time, (N,) in float32."""
        norms = torch._foreach_norm([tensor.detach() for tensor in tensors])
        return torch.stack([norm.float() for norm in norms]) * self._scales

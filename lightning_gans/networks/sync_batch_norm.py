"""Share batch norm's statistics over processes, on any backend; torch's own layer takes CUDA tensors alone."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_gans.runtime.distributed import differentiable_sum, rank_and_world
from lightning_gans.runtime.precision import full_precision


class SyncBatchNorm(_BatchNorm):
    """Normalise by the statistics of the batches of all processes, which may be of unequal size.

    In training only, and with two all-reduces, of the mean and then of the squared deviations from it; their gradients
    are all-reduces too, so that losses averaged over the processes have the gradients of one process with all batches.
    A layer becomes one by ``synchronise``, which keeps its weights, its statistics and what its class does in
    evaluation.

    Attributes:
        plain: Class of the layer in one process.
    """

    plain: type[_BatchNorm]

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Map features (N, C, ...) to the same shape."""
        if not self.training or rank_and_world()[1] == 1:
            return super().forward(input)
        x = full_precision(input)
        over = [0, *range(2, x.ndim)]
        around = (1, -1, *[1] * (x.ndim - 2))
        count = x.new_tensor([x.numel() / x.shape[1]])
        sums = differentiable_sum(torch.cat([x.sum(over), count]))
        n, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
        centred = x - mean.view(around)
        variance = differentiable_sum(centred.square().sum(over)) / n
        if self.track_running_stats:
            self._move_statistics(mean.detach(), variance.detach() * n / (n - 1))
        normed = centred * (variance + self.eps).rsqrt().view(around)
        if self.affine:
            normed = normed * self.weight.view(around) + self.bias.view(around)
        return normed.to(input.dtype)

    @torch.no_grad()
    def _move_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics; without a momentum they are plain means of all batches."""
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        for running, new in ((self.running_mean, mean), (self.running_var, variance)):
            assert running is not None
            running.lerp_(new.to(running.dtype), share)


@functools.cache
def _synchronised(kind: Any) -> Any:
    return type(f"Sync{kind.__name__}", (SyncBatchNorm, kind), {"plain": kind})


def synchronise(networks: Iterable[nn.Module]) -> None:
    """Let every batch norm of networks have its statistics from all processes, in place."""
    for layer in _norms(networks):
        if not isinstance(layer, SyncBatchNorm | nn.SyncBatchNorm):
            kind: Any = type(layer)
            layer.__class__ = _synchronised(kind)


def desynchronise(networks: Iterable[nn.Module]) -> None:
    """Give every batch norm that ``synchronise`` has changed its own class back."""
    for layer in _norms(networks):
        if isinstance(layer, SyncBatchNorm):
            layer.__class__ = layer.plain  # type: ignore[assignment]


def _norms(networks: Iterable[nn.Module]) -> list[_BatchNorm]:
    return [layer for network in networks for layer in network.modules() if isinstance(layer, _BatchNorm)]

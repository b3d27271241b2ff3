"""Run collectives over the processes of a training, and slice work by rank."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torchmetrics.utilities.distributed import gather_all_tensors

BUCKET = 32 * 2**20  # gradient values averaged at once

Made = TypeVar("Made")


def rank_and_world() -> tuple[int, int]:
    """Return this process's rank and the world size; (0, 1) for a single process."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def sum_over_processes(values: Tensor) -> Tensor:
    """Sum ``values`` over all processes, in place, and return them."""
    if rank_and_world()[1] > 1:
        dist.all_reduce(values)
    return values


def mean_over_processes(values: Tensor, weight: float = 1.0) -> Tensor:
    """Return the mean of ``values`` over all processes, with this process's gradient alone.

    A loss of it then has gradients whose weighted mean over the processes is that of the loss on all of them.

    Args:
        values: Of this process, with as many entries on all of them.
        weight: Of this process; 1 on average.
    """
    world_size = rank_and_world()[1]
    if world_size == 1:
        return values
    own = values.detach()
    return values + (sum_over_processes(own * weight) / world_size - own)


class _DifferentiableSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return sum_over_processes(values.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return differentiable_sum(gradient)


def differentiable_sum(values: Tensor) -> Tensor:
    """Return the sum of ``values`` over all processes, whose gradient is the sum of their gradients over them.

    All processes call it as often, and differentiate it as often.
    """
    summed: Tensor = _DifferentiableSum.apply(values)
    return summed


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes.

    All processes run the same computation, so a parameter that has no gradient here has none anywhere; it keeps none,
    and the optimiser skips it as in one process.
    """
    bucket: list[Tensor] = []
    for gradient in [p.grad for p in parameters if p.grad is not None]:
        bucket.append(gradient)
        if sum(tensor.numel() for tensor in bucket) >= BUCKET:
            _average(bucket)
            bucket = []
    if bucket:
        _average(bucket)


def _average(tensors: list[Tensor]) -> None:
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [piece.view(t.shape) for piece, t in zip(pieces, tensors, strict=True)])


def is_lost_process(error: RuntimeError) -> bool:
    """Return whether a collective raised the error because another process is gone."""
    frames = traceback.extract_tb(error.__traceback__)
    here = Path(dist.__file__).parent
    return rank_and_world()[1] > 1 and bool(frames) and here in Path(frames[-1].filename).parents


def create_on_all_ranks(make: Callable[[], Made], trainer: Trainer | None = None) -> tuple[Made | None, str]:
    """Create something that may need a download, on every rank or on none.

    Local rank 0 of each machine goes first, so that it alone downloads.

    Args:
        make: Creates it; may raise anything, since files may be damaged.
        trainer: The trainer whose processes take part; ``None``: this process alone.

    Returns:
        The object and "", or ``None`` and the reason.
    """
    made, problem = None, ""
    for first in (True, False):
        if (trainer is None or trainer.local_rank == 0) is first:
            try:
                made = make()
            except Exception as error:  # told on all processes, so that none waits for another
                problem = str(error) or type(error).__name__
        if trainer is not None:
            trainer.strategy.barrier()
    if trainer is not None and trainer.world_size > 1:
        problem = next(filter(None, gather_objects(problem, trainer.world_size)), "")
    return (None if problem else made), problem


def rank_slice(total: int, rank: int, world: int) -> range:
    """Return a rank's contiguous slice of ``total`` positions; it starts at an even one, to keep pairs together."""
    start, stop = (total // 2 * number // world * 2 for number in (rank, rank + 1))
    return range(start, total if rank == world - 1 else stop)


def sum_numbers(number: int, device: torch.device) -> int:
    """Return the sum of a number over all processes."""
    return int(sum_over_processes(torch.tensor(number, device=device)))


def all_gather(values: Tensor) -> Tensor:
    """Concatenate the values of all processes, rank by rank; sizes of the first dimension may differ."""
    return values if rank_and_world()[1] == 1 else torch.cat(gather_all_tensors(values.contiguous()))


def max_over_processes(values: Tensor) -> Tensor:
    """Replace ``values`` by their maximum over all processes, in place."""
    dist.all_reduce(values, op=dist.ReduceOp.MAX)
    return values


def broadcast_tensors(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors with those of rank 0, in place."""
    for tensor in tensors:
        dist.broadcast(tensor, 0)


def broadcast_object(value: Made) -> Made:
    """Return the value of rank 0 on every process."""
    values = [value]
    dist.broadcast_object_list(values, 0)
    return values[0]


def gather_objects(value: Made, world: int) -> list[Made]:
    """Return the values of all processes, rank by rank."""
    values = [value] * world
    dist.all_gather_object(values, value)
    return values


def own_rows(rows: Tensor, rank: int, world: int) -> Tensor:
    """Return a rank's rows of the global batch: row i of rank r is row i * world + r."""
    return rows[rank::world]


def gather_interleaved(rows: Tensor, world: int) -> Tensor:
    """Return the rows of all processes in the order of the global batch; undoes ``own_rows``."""
    rows = rows.contiguous()
    pieces = [torch.empty_like(rows) for _ in range(world)]
    dist.all_gather(pieces, rows)
    return torch.stack(pieces, 1).flatten(0, 1)

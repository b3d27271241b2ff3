"""Collectives over the processes of a training, and each process's slice of the work."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torchmetrics.utilities.distributed import gather_all_tensors

BUCKET = 32 * 2**20  # gradient values averaged at once

Made = TypeVar("Made")


def rank_and_world() -> tuple[int, int]:
    """The number of this process and how many there are; (0, 1) where there is one."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def sum_over_processes(values: Tensor) -> Tensor:
    """Add up ``values`` over all processes, in place."""
    if rank_and_world()[1] > 1:
        dist.all_reduce(values)
    return values


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
    """Whether an error is what a collective says when another process is gone."""
    frames = traceback.extract_tb(error.__traceback__)
    here = Path(dist.__file__).parent
    return rank_and_world()[1] > 1 and bool(frames) and here in Path(frames[-1].filename).parents


def create_on_all_ranks(make: Callable[[], Made], trainer: Trainer | None = None) -> tuple[Made | None, str]:
    """Make something that may need a download, on every process or on none.

    The first process of each machine goes before its others, so that it alone downloads.

    Args:
        make: Makes it; may fail in any way, since files may be damaged.
        trainer: Whose processes; ``None``: this one alone.

    Returns:
        What was made, and "" or why there is none.
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
    """One process's stretch of ``total`` positions; it begins at an even one, so that pairs stay together."""
    start, stop = (total // 2 * number // world * 2 for number in (rank, rank + 1))
    return range(start, total if rank == world - 1 else stop)


def sum_numbers(number: int, device: torch.device) -> int:
    """Over all processes."""
    return int(sum_over_processes(torch.tensor(number, device=device)))


def all_gather(values: Tensor) -> Tensor:
    """All processes' values, process by process."""
    return values if rank_and_world()[1] == 1 else torch.cat(gather_all_tensors(values.contiguous()))


def max_over_processes(values: Tensor) -> Tensor:
    """Replace ``values`` by their maximum over all processes, in place."""
    dist.all_reduce(values, op=dist.ReduceOp.MAX)
    return values


def broadcast_tensors(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors by those of process 0, in place."""
    for tensor in tensors:
        dist.broadcast(tensor, 0)


def broadcast_object(value: Made) -> Made:
    """Return process 0's value on every process."""
    values = [value]
    dist.broadcast_object_list(values, 0)
    return values[0]


def gather_objects(value: Made, world: int) -> list[Made]:
    """Return every process's value, process by process."""
    values = [value] * world
    dist.all_gather_object(values, value)
    return values


def own_rows(rows: Tensor, rank: int, world: int) -> Tensor:
    """Return one process's rows of the global batch: row i of process r is row i * world + r."""
    return rows[rank::world]


def gather_interleaved(rows: Tensor, world: int) -> Tensor:
    """Return the rows of all processes in the order of the global batch; undoes ``own_rows``."""
    rows = rows.contiguous()
    pieces = [torch.empty_like(rows) for _ in range(world)]
    dist.all_gather(pieces, rows)
    return torch.stack(pieces, 1).flatten(0, 1)

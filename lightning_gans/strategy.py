"""Data parallel training of two players."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_gans.seeding import mix

BUCKET = 32 * 2**20  # gradient values averaged at once

Made = TypeVar("Made")


class AlternatingDDP(DDPStrategy):
    """Average one player's gradients over the processes just before that player steps.

    The module is not wrapped: Lightning's wrapper watches the parameters of both players at every backward, which
    needs ``find_unused_parameters``, sends twice the bytes and breaks on growing networks. Losses must be means over
    equal local batches.
    """

    def configure_ddp(self) -> None:
        """Give every process the weights of process 0, and make sure that all train the same configuration."""
        module: Any = self.lightning_module
        digests: list[int] = [0] * self.world_size
        dist.all_gather_object(digests, mix(repr(module.config)))
        if len(set(digests)) > 1:
            raise ValueError(
                "the processes were started with different configurations; in a multirun give every job its own "
                "processes (torchrun, SLURM) or train on one device"
            )
        for tensor in [*module.parameters(), *module.buffers()]:
            dist.broadcast(tensor.data, 0)

    def optimizer_step(
        self,
        optimizer: Optimizer,
        closure: Callable[[], Any],
        model: nn.Module | None = None,
        **kwargs: Any,
    ) -> Any:
        """Average the gradients, then unscale, clip and step as in one process."""
        result = closure()
        average_gradients([p for group in optimizer.param_groups for p in group["params"]])
        return super().optimizer_step(optimizer, lambda: result, model, **kwargs)


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


def make_on_all(make: Callable[[], Made], trainer: Trainer | None = None) -> tuple[Made | None, str]:
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
        problems = [problem] * trainer.world_size
        dist.all_gather_object(problems, problem)
        problem = next(filter(None, problems), "")
    return (None if problem else made), problem

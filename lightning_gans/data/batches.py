"""Sample training batches: an endless, seeded, resumable stream of indices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import Sampler

from lightning_gans.data.datasets import BatchIndices
from lightning_gans.runtime.distributed import own_rows
from lightning_gans.runtime.seeding import derive_seed
from lightning_gans.schedules.training_schedule import Plan, TrainingSchedule


@runtime_checkable
class StepPlan(Protocol):
    """Plan the steps of a training; what data reads of the module that trains on them."""

    iteration: int
    images_seen: int
    schedule: TrainingSchedule

    @property
    def device(self) -> torch.device:
        """Return what it trains on."""

    def plan(self, step: int) -> Plan:
        """Return what step number ``step`` needs."""


class EndlessBatches(Sampler[BatchIndices]):
    """Request the images of a training's steps, from any position on.

    Args:
        n: Images in the set.
        plan: What step number s takes: its ``images``, over all processes, and their ``resolution``.
        start: Returns the step and the position to start from; asked anew by every iterator.
        n_partners: Images in a second set, which is drawn independently; ``None`` without one.
        flip: Mirror half of the images.
        seed: Seed of the permutations, flips and cuts.
        rank: This process.
        world_size: Number of processes.
    """

    def __init__(
        self,
        n: int,
        plan: Callable[[int], Plan],
        *,
        start: Callable[[], tuple[int, int]],
        n_partners: int | None = None,
        flip: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.n, self.plan, self.start, self.n_partners = n, plan, start, n_partners
        self.flip, self.seed = flip, seed
        self.rank, self.world_size = rank, world_size
        self._permutations: dict[str, tuple[int, Tensor]] = {}

    def __iter__(self) -> Iterator[BatchIndices]:
        """Yield one request per training step, without end."""
        step, position = self.start()
        while True:
            plan = self.plan(step)
            size, rank, world = plan.images, self.rank, self.world_size
            rng = torch.Generator().manual_seed(derive_seed("flip", self.seed, position))
            mirror = torch.rand(size, generator=rng) < (0.5 if self.flip else 0.0)
            corners, draws = torch.rand(size, 2, generator=rng), torch.rand(size, 4, generator=rng)
            partners = self._images("partners", self.n_partners, position, size) if self.n_partners else None
            index = self._images("order", self.n, position, size)
            index, mirror, corners, draws = (own_rows(rows, rank, world) for rows in (index, mirror, corners, draws))
            partners = None if partners is None else own_rows(partners, rank, world)
            yield BatchIndices(index, mirror, corners, partners, plan.resolution, draws)
            step, position = step + 1, position + size

    def _images(self, stream: str, n: int, position: int, size: int) -> Tensor:
        pieces = []
        while size:
            epoch, offset = divmod(position, n)
            piece = self._permutation(stream, n, epoch)[offset : offset + size]
            pieces.append(piece)
            position, size = position + len(piece), size - len(piece)
        return torch.cat(pieces)

    def _permutation(self, stream: str, n: int, epoch: int) -> Tensor:
        if stream not in self._permutations or self._permutations[stream][0] != epoch:
            rng = torch.Generator().manual_seed(derive_seed(stream, self.seed, epoch))
            self._permutations[stream] = epoch, torch.randperm(n, generator=rng)
        return self._permutations[stream][1]

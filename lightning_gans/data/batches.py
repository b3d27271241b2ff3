"""Sample training batches: an endless, seeded, resumable stream of indices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import Sampler

from lightning_gans.data.datasets import BatchIndices
from lightning_gans.runtime.seeding import derive_seed


class StepNeeds(Protocol):
    """Name the images that one training step takes."""

    @property
    def images(self) -> int:
        """Return the number of real images, over all processes."""

    @property
    def resolution(self) -> int | None:
        """Return the side of the images; ``None``: as the data has them."""


@runtime_checkable
class StepPlan(Protocol):
    """Plan the steps of a training; what data reads of the module that trains on them."""

    iteration: int
    images_seen: int

    @property
    def resolutions(self) -> list[int | None]:
        """Return the resolutions that the steps still to come take."""

    def plan(self, step: int) -> StepNeeds:
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
        plan: Callable[[int], StepNeeds],
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
            size, mine = plan.images, slice(self.rank, None, self.world_size)
            rng = torch.Generator().manual_seed(derive_seed("flip", self.seed, position))
            mirror = torch.rand(size, generator=rng) < (0.5 if self.flip else 0.0)
            corners, draws = torch.rand(size, 2, generator=rng), torch.rand(size, 4, generator=rng)
            partners = self._images("partners", self.n_partners, position, size)[mine] if self.n_partners else None
            index = self._images("order", self.n, position, size)
            yield BatchIndices(index[mine], mirror[mine], corners[mine], partners, plan.resolution, draws[mine])
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

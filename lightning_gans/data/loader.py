"""Make the loader of training batches."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le
from torch.utils.data import DataLoader

from lightning_gans.config.types import checked
from lightning_gans.data.batches import EndlessBatches, StepPlan
from lightning_gans.data.datasets import Batch, ImageDataset

Device = Literal["cpu", "auto"]
Workers = Annotated[int, Ge(0), Le(256)]  # of one training process; thousands would end the machine


class BatchLoader:
    """Load the batches of a training, from the step on at which it stands.

    Args:
        num_workers: Loading processes; 0 is the fastest for sets in memory.
        device: ``auto``: images in memory live on the GPU that trains on them, if they take a quarter of what is free
            there at most and no worker loads them; ``cpu``: they stay where they are.
        flip: Mirror half of the images.
        seed: Seed of the order, the flips and the crops.

    Raises:
        ValueError: Too many workers.
    """

    @checked
    def __init__(self, *, num_workers: Workers = 0, device: Device = "cpu", flip: bool = False, seed: int = 0) -> None:
        self.num_workers, self.device, self.flip, self.seed = num_workers, device, flip, seed

    def __call__(
        self, images: ImageDataset, module: StepPlan, *, n_partners: int | None, rank: int, world_size: int
    ) -> DataLoader[Batch]:
        """Return an endless loader of this process's share of each step's batch.

        Args:
            images: Training images.
            module: Plans the steps, counts those that are done, and says where it trains.
            n_partners: Images of a second set that is drawn independently; ``None`` without one.
            rank: This process.
            world_size: Number of processes.
        """
        moves = self.device == "auto" and module.device.type != "cpu" and not self.num_workers
        if moves:
            images = images.on(module.device)
        if self.num_workers:
            for resolution in module.schedule.resolutions(module.iteration):
                images.resized(resolution)  # here, so that workers share what is cached of it
        batches = EndlessBatches(
            len(images),
            module.plan,
            start=lambda: (module.iteration, module.images_seen),
            n_partners=n_partners,
            flip=self.flip,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )
        return DataLoader(
            images,
            batch_size=None,
            sampler=batches,
            collate_fn=_collated,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available() and not moves,
        )


def _collated(batch: Any) -> Any:
    """Return a batch, which datasets fetch as a whole."""
    return batch

"""Image sets as Lightning data modules: endless, seeded, resumable batches.

The stream of training images is a function of the seed alone: position k holds image ``permutation(k // n)[k % n]``.
A step takes the next ``plan(step).images`` positions, process r of W those at r, r + W, ... A training therefore
resumes by naming the position, and results do not depend on the number of processes or workers.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_gans.data.batches import EndlessBatches, StepPlan
from lightning_gans.data.datasets import REQUESTED, Batch, ImageDataset, Subset
from lightning_gans.extractors.base import Extractor
from lightning_gans.runtime.seeding import derive_seed

MOST_WORKERS = 256  # loading processes of one training process; thousands would end the machine


class ImageDataModule(LightningDataModule, ABC):
    """An image set by configuration. A set overrides ``load``.

    Batches reach the module as ``image`` (N, C, H, W) float in [-1, 1] and, where there are labels, ``label`` (N,).
    Sets of points have no ``image_size``; their ``image`` is (N, channels) float.

    Args:
        image_size: Height and width of the images handed out; ``None`` for points.
        channels: 1 grey, 3 RGB, ...; of points the number of coordinates.
        num_classes: Number of classes, or ``None`` for a set without labels.
        flip: Mirror half of the images.
        num_workers: Loading processes; 0 is the fastest for sets held in memory.
        limit: Use so many images, of every class its share and always the same ones (see ``spread``); ``None``: all.
        val_fraction: Share of these images, drawn by ``seed``, that training never sees and scores may compare with.
        seed: Seed of the order, of the flips and of the held-out images.
        extractor: Makes the feature extractor that scores use unless another is asked for.
    """

    part = "train"  # of the published set
    points: ClassVar[bool] = False  # no images, but points of so many coordinates as there are channels

    def __init__(
        self,
        *,
        image_size: int | None,
        channels: int,
        num_classes: int | None = None,
        flip: bool = False,
        num_workers: int = 0,
        limit: int | None = None,
        val_fraction: float = 0.0,
        seed: int = 0,
        extractor: Callable[[], Extractor] | None = None,
    ) -> None:
        super().__init__()
        for key, value in {"image_size": image_size, "channels": channels}.items():
            if value is not None and value < 1:
                raise ValueError(f"data.{key}={value}: must be >= 1")
        if num_classes is not None and num_classes < 1:
            raise ValueError(f"data.num_classes={num_classes}: must be >= 1, or null")
        if (image_size is None) is not self.points:
            given, allowed = ("null", ">= 1") if image_size is None else (image_size, "null, since points have none")
            raise ValueError(f"data.image_size={given}: must be {allowed}")
        if not 0 <= num_workers <= MOST_WORKERS:
            raise ValueError(f"data.num_workers={num_workers}: must be from 0 to {MOST_WORKERS}")
        if limit is not None and limit < 1:
            raise ValueError(f"data.limit={limit}: must be >= 1, or null")
        if not 0 <= val_fraction < 1:
            raise ValueError(f"data.val_fraction={val_fraction}: must be from 0 to below 1")
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.flip, self.num_workers, self.limit = flip, num_workers, limit
        self.val_fraction, self.seed, self.extractor = val_fraction, seed, extractor
        self._parts: tuple[ImageDataset, ImageDataset | None] | None = None

    @property
    def kind(self) -> str:
        """What a family must accept to train on this set."""
        return "points" if self.points else "labelled" if self.num_classes else "image"

    @property
    def side(self) -> int:
        """Height and width of an image."""
        assert self.image_size is not None
        return self.image_size

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image, (C, H, W), or of one point."""
        return (self.channels,) if self.points else (self.channels, self.side, self.side)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one sample by the batch's keys."""
        return {"image": self.shape}

    @property
    def split(self) -> str:
        """What ``train_images`` are, in words for score cards."""
        limit = "" if self.limit is None else f", limited to {self.limit}"
        drawn = f", {self.val_fraction:g} held out by seed {self.seed}" if self.val_fraction else ""
        return f"{self.part}{limit}{drawn}"

    @property
    def train_images(self) -> ImageDataset:
        """The training images, loaded at first use."""
        return self._loaded()[0]

    @property
    def held_out_images(self) -> ImageDataset:
        """The images that training never sees, ``val_fraction`` of all.

        Raises:
            ValueError: None were held out.
        """
        held_out = self._loaded()[1]
        if held_out is None:
            raise ValueError(f"data.val_fraction={self.val_fraction:g}: no images are held out; train with one above 0")
        return held_out

    def held_out(self) -> ImageDataModule:
        """This set with the held-out images in the place of the training images, for scores to compare with."""
        other = copy.copy(self)
        other._parts, other.part = (self.held_out_images, None), f"held-out part of {self.part}"
        return other

    def _loaded(self) -> tuple[ImageDataset, ImageDataset | None]:
        if self._parts is None:
            whole = self.load()
            self._parts = self.divide(whole) if self.val_fraction else (whole, None)
        return self._parts

    def divide(self, whole: ImageDataset) -> tuple[ImageDataset, ImageDataset]:
        """A set without the share that is held out, and that share.

        Raises:
            ValueError: One of the two would be empty.
        """
        n = round(len(whole) * self.val_fraction)
        if not 0 < n < len(whole):
            raise ValueError(f"data.val_fraction={self.val_fraction:g}: holds out {n} of {len(whole)} images")
        order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(derive_seed("held out", self.seed)))
        return Subset(whole, order[n:].sort().values), Subset(whole, order[:n].sort().values)

    @abstractmethod
    def load(self) -> ImageDataset:
        """Read the images, held-out ones included; heeds ``limit``."""

    @property
    def n_partners(self) -> int | None:
        """Images of a second set that is drawn independently beside this one."""
        return None

    @property
    def images_per_epoch(self) -> int:
        """Images of a pass: of the larger set, where there are two."""
        return max(len(self.train_images), self.n_partners or 0)

    def setup(self, stage: str) -> None:
        """Load the images before training starts."""
        if len(self.train_images) == 0:
            raise ValueError(f"{type(self).__name__}: no images")

    def train_dataloader(self) -> DataLoader[Batch]:
        """Endless batches that start where the module's counters stand."""
        module = cast(StepPlan, self.trainer.lightning_module)  # type: ignore[union-attr]
        if self.num_workers:
            for resolution in module.schedule.resolutions(module.iteration):
                self.train_images.resized(resolution)  # here, so that workers share what is kept of it
        batches = EndlessBatches(
            len(self.train_images),
            module.plan,
            start=lambda: (module.iteration, module.images_seen),
            n_partners=self.n_partners,
            flip=self.flip,
            seed=self.seed,
            rank=self.trainer.global_rank,  # type: ignore[union-attr]
            world_size=self.trainer.world_size,  # type: ignore[union-attr]
        )
        return DataLoader(
            self.train_images,
            batch_size=None,
            sampler=batches,
            collate_fn=_as_it_is,  # type: ignore[arg-type]
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """uint8 to float in [-1, 1] and mirroring, on the device; points are as they should be."""
        image = batch["image"]
        if self.flip:
            image = torch.where(batch["hflip"][:, None, None, None], image.flip(-1), image)
        if image.dtype == torch.uint8:
            image = image.float().div_(127.5).sub_(1)
        return {**{key: value for key, value in batch.items() if key not in REQUESTED}, "image": image}

    def real_images(self, indices: range, batch_size: int) -> Iterator[Tensor]:
        """The training images number ``indices`` in their order on disk, by batch.

        Yields:
            (N, C, H, W) uint8, or points (N, channels) float.
        """
        for start in range(0, len(indices), batch_size):
            yield self.train_images.fetch(torch.tensor(indices[start : start + batch_size]))["image"]


def _as_it_is(batch: Batch) -> Batch:
    """Batches are whole already."""
    return batch

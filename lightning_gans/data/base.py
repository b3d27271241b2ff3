"""Provide image sets as Lightning data modules: endless, seeded, resumable batches.

A data module is composed of a source, which gives the images, a transform, which turns batches into what models are
given, and a loader, which draws them. The stream of training images is a function of the seed alone: position k holds
image ``permutation(k // n)[k % n]``. A step takes the next ``plan(step).images`` positions, process r of W those at r,
r + W, ... A training therefore resumes by naming the position, and results do not depend on the number of processes or
workers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import FractionBelowOne, PositiveInt, checked
from lightning_gans.data.batches import StepPlan
from lightning_gans.data.datasets import Batch, ImageDataset
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.loader import BatchLoader, Device, Workers
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.transforms import ImageTransform, Transform
from lightning_gans.extractors.base import Extractor
from lightning_gans.images.size import Size
from lightning_gans.runtime.aliases import moved_from
from lightning_gans.runtime.seeding import derive_seed


class _Examples(NamedTuple):
    """Hold what is translated for pictures and scores."""

    images: ImageDataset
    split: str  # test, held-out or train, for score cards
    transform: Transform


class ImageDataModule(LightningDataModule):
    """Compose an image set of a source, a transform and a loader. A set gives a source.

    Batches reach the module as ``image`` (N, C, H, W) float in [-1, 1] and, where there are labels, ``label`` (N,);
    those of pairs as ``source`` and ``target``. Sets of points have no ``image_size``; their ``image`` is
    (N, channels) float.

    Args:
        source: Gives the images.
        transform: Turns its batches into those that models are given; ``None``: an ``ImageTransform``.
        image_size: Size of the images handed out, a side or [height, width]; ``None`` for points.
        channels: 1 grey, 3 RGB, ...; of points the number of coordinates.
        num_classes: Number of classes, or ``None`` for a set without labels.
        flip: Mirror half of the images.
        num_workers: Loading processes; 0 is the fastest for sets in memory.
        device: ``auto``: images in memory live on the GPU that trains on them, where they fit; see ``BatchLoader``.
        limit: Use so many images, of every class its share and always the same ones (see ``spread``); ``None``: all.
        val_fraction: Share of these images, drawn by ``seed``, that training never sees and scores may compare with.
        seed: Seed of the order, of the flips and of the held-out images.
        extractor: Makes the feature extractor that scores use unless another is asked for.

    Raises:
        ValueError: A value out of range, or images that the source does not have.
    """

    @checked
    def __init__(
        self,
        source: ImageSource,
        *,
        transform: Transform | None = None,
        image_size: Size | None,
        channels: PositiveInt,
        num_classes: PositiveInt | None = None,
        flip: bool = False,
        num_workers: Workers = 0,
        device: Device = "cpu",
        limit: PositiveInt | None = None,
        val_fraction: FractionBelowOne = 0.0,
        seed: int = 0,
        extractor: Callable[[], Extractor] | None = None,
    ) -> None:
        super().__init__()
        if (image_size is None) is not source.points:
            allowed = ">= 1" if image_size is None else "null, since points have none"
            raise ConfigError("data.image_size", image_size, f"must be {allowed}")
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.limit, self.val_fraction, self.seed, self.extractor = limit, val_fraction, seed, extractor
        self.source, self.split = source, source.split
        self.transform = transform or ImageTransform(image_size=image_size, channels=channels, flip=flip)
        self.loader = BatchLoader(num_workers=num_workers, device=device, flip=flip, seed=seed)
        if self.translates and num_classes is not None:
            raise ConfigError("data.num_classes", num_classes, "sets for translation have none; must be null")
        source.check(self.spec)
        self._splits: tuple[ImageDataset, ImageDataset | None] | None = None  # train and val
        self._examples: _Examples | None = None

    @classmethod
    def learn(cls, node: Mapping[str, Any]) -> dict[str, Any]:
        """Return options that follow from the data, which other parts of a config refer to; most sets have none.

        Args:
            node: The config of the set, its other options checked.
        """
        return {}

    @property
    def kind(self) -> str:
        """Return the kind of data, which a family must accept to train on it."""
        if self.translates:
            aligned = "paired" if self.source.aligned else "unpaired"
            return "super_resolution" if self.transform.factor > 1 else aligned
        return "points" if self.points else "labelled" if self.num_classes else "image"

    @property
    def attributes(self) -> dict[str, int]:
        """Return the number of classes of each attribute, of which images have ``entries("attributes")``; if any."""
        return {}

    @property
    def points(self) -> bool:
        """Return whether the set has points in place of images."""
        return self.source.points

    @property
    def translates(self) -> bool:
        """Return whether the set is for translation: it has sources and targets."""
        return "source" in self.shapes

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of one example by the batch's keys."""
        return self.transform.shapes

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one image, (C, H, W), of a target, or of one point, (D,)."""
        return self.shapes["target" if self.translates else "image"]

    @property
    def source_channels(self) -> int:
        """Return the channels of the source of a pair; 0 without pairs."""
        return self.transform.source_channels

    @property
    def spec(self) -> ImageSpec:
        """Return what the source is asked for."""
        size, sides = self.transform.storage_size, self.source_channels
        return ImageSpec(size, self.channels, sides, self.num_classes, self.limit, self.seed)

    @property
    def description(self) -> str:
        """Describe ``train_images`` for score cards: their split, limit and held-out share."""
        limit = "" if self.limit is None else f", limited to {self.limit}"
        drawn = f", {self.val_fraction:g} held out by seed {self.seed}" if self.val_fraction else ""
        return f"{self.split}{limit}{drawn}"

    # ------------------------------------------------------------------------------ images

    @property
    def train_images(self) -> ImageDataset:
        """Return the training images, loaded at first use."""
        return self._loaded()[0]

    @property
    def val_images(self) -> ImageDataset:
        """Return the images that training never sees, ``val_fraction`` of all.

        Raises:
            ValueError: None were held out.
        """
        val = self._loaded()[1]
        if val is None:
            raise ConfigError(
                "data.val_fraction", f"{self.val_fraction:g}", "no images are held out; train with one above 0"
            )
        return val

    def val(self) -> ImageDataModule:
        """Return this set with the held-out images in the place of the training images, for scores to compare with.

        Examples stay as they are.
        """
        self._chosen_examples()
        other = copy.copy(self)
        other._splits, other.split = (self.val_images, None), f"held-out part of {self.split}"
        return other

    def load(self) -> ImageDataset:
        """Return all images of the training split, held-out ones included."""
        return self.source.load(self.spec)

    def _loaded(self) -> tuple[ImageDataset, ImageDataset | None]:
        if self._splits is None:
            whole = self.load()
            held_out = self.source.hold_out(whole, self.val_fraction, self.seed) if self.val_fraction else None
            self._splits = held_out or (whole, None)
        return self._splits

    @property
    def n_partners(self) -> int | None:
        """Return the number of targets, if they are drawn independently of the sources."""
        return None if self.source.aligned else len(getattr(self.train_images, "target"))  # noqa: B009

    @property
    def images_per_epoch(self) -> int:
        """Return the number of images of a pass: of the larger domain, where there are two."""
        return max(len(self.train_images), self.n_partners or 0)

    def real_images(self, indices: range, batch_size: int) -> Iterator[Tensor]:
        """Yield the training images, or targets, number ``indices`` in their order on disk, by batch.

        Yields:
            (N, C, H, W) uint8, or points (N, channels) float.
        """
        key = "target" if self.translates else "image"
        for start in range(0, len(indices), batch_size):
            batch = self.train_images.fetch(torch.tensor(indices[start : start + batch_size]))
            yield self.transform.resized(key, batch[key])

    # ------------------------------------------------------------------------------ Lightning's hooks

    def prepare_data(self) -> None:
        """Download what is missing, on one process of each machine."""
        self.source.download()

    def setup(self, stage: str) -> None:
        """Load the images, and the examples of pairs, before training starts."""
        if len(self.train_images) == 0:
            raise ValueError(f"{type(self).__name__}: no images")
        if self.translates:
            self._chosen_examples()

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return endless batches that start where the module's counters are."""
        if self.trainer is None or not isinstance(self.trainer.lightning_module, StepPlan):
            raise TypeError(f"{type(self).__name__}: trains a GenerativeModule in a Trainer only")
        ranks = {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}
        module = self.trainer.lightning_module
        return self.loader(self.rows_for(module), module, n_partners=self.n_partners, **ranks)

    def rows_for(self, module: StepPlan) -> ImageDataset:
        """Return what the batches of a module's training are drawn from."""
        return self.train_images

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Transform a batch on the device."""
        return self.transform(batch)

    # ------------------------------------------------------------------------------ examples of pairs

    @property
    def example_images(self) -> ImageDataset:
        """Return what pictures and scores translate: the test split, else the held-out images, else the training's."""
        return self._chosen_examples().images

    @property
    def examples_of(self) -> str:
        """Return the split of the examples for score cards: test, held-out or train."""
        return self._chosen_examples().split

    @property
    def examples_match(self) -> bool:
        """Return whether source i of the examples belongs to target i, so that one can be scored by the other."""
        return self.translates and bool(getattr(self.example_images, "aligned", self.source.aligned))

    @property
    def n_examples(self) -> int:
        """Return the number of examples."""
        return len(self.example_images)

    def examples(self, indices: Sequence[int]) -> Batch:
        """Return examples number ``indices``: whole images of ``image_size``, not mirrored, as models are given them.

        Of super-resolution it is the middle of each, at the scale that is trained on.
        """
        images, _, transform = self._chosen_examples()
        return _whole(transform, images, indices)

    def training_examples(self, indices: Sequence[int]) -> Batch:
        """Return training images number ``indices`` likewise."""
        return _whole(self.transform, self.train_images, indices)

    def held_out_examples(self, indices: Sequence[int]) -> Batch:
        """Return held-out images number ``indices`` likewise; raises ValueError without any."""
        return _whole(self.transform, self.val_images, indices)

    def _chosen_examples(self) -> _Examples:
        if self._examples is None:
            transform = self.transform.for_tests()
            test = self.source.load_test(self.spec._replace(size=transform.storage_size))
            if test is not None:
                self._examples = _Examples(test, "test", transform)
            elif self.val_fraction:
                self._examples = _Examples(self.val_images, "held-out", self.transform)
            else:
                self._examples = _Examples(self.train_images, "train", self.transform)
        return self._examples


def data_of(trainer: Trainer, needed_by: str) -> ImageDataModule:
    """Return the image set that a trainer trains on.

    Args:
        trainer: The Trainer.
        needed_by: What needs it, for the message, e.g. ``model.marginal_bias=true``.

    Raises:
        ValueError: The Trainer was given loaders, or a data module of another kind.
    """
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, ImageDataModule):
        raise ValueError(f"{needed_by}: needs an ImageDataModule in trainer.fit, not a {type(data).__name__}")
    return data


def _whole(transform: Transform, images: ImageDataset, indices: Sequence[int]) -> Batch:
    batch = images.fetch(torch.tensor(indices, dtype=torch.int64))
    drawn = [torch.rand(4, generator=torch.Generator().manual_seed(derive_seed("example", i))) for i in indices]
    return transform.whole(batch, torch.stack(drawn))


if not TYPE_CHECKING:
    __getattr__ = moved_from(__name__)

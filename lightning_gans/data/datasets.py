"""Datasets of uint8 images that are fetched by batch."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans.data.resize import average

Batch = dict[str, Tensor]

REQUESTED = ("hflip", "crop_offsets", "random_params")  # what a batch carries to the device beside its images


class BatchIndices(NamedTuple):
    """Which images a batch holds, and what is done to each: a function of the seed and the position in the stream.

    Attributes:
        indices: (N,) int64, which images.
        hflip: (N,) bool, which of them are mirrored.
        crop_offsets: (N, 2) float in [0, 1), where a smaller piece is cut out: 0 is the top or left end.
        target_indices: (N,) int64, which images of a second set stand beside them; ``None`` without one.
        resolution: Side of the images; ``None``: as the set has them.
        random_params: (N, 4) float in [0, 1), for whatever else is random in a set; ``None``: nothing is.
    """

    indices: Tensor
    hflip: Tensor
    crop_offsets: Tensor
    target_indices: Tensor | None = None
    resolution: int | None = None
    random_params: Tensor | None = None


class ImageDataset(Dataset[Batch], ABC):
    """Images as uint8 (C, H, W) of one size, fetched by batch."""

    classes: list[str] | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def fetch(self, index: Tensor) -> Batch:
        """``image`` (N, C, H, W) uint8 and, where there are labels, ``label`` (N,) int64."""

    def entries(self, key: str) -> Tensor | None:
        """Return a batch entry of all examples (N, ...), e.g. ``label``, if that needs no images to be read."""
        return None

    def fingerprint(self) -> str:
        """32 hex digits that another content of the set would change; reads it unless a set knows better."""
        digest = hashlib.blake2b(repr(len(self)).encode(), digest_size=16)
        for start in range(0, len(self), 256):
            batch = self.fetch(torch.arange(start, min(start + 256, len(self))))
            digest.update(batch["image"].numpy().tobytes())
        return digest.hexdigest()

    def resized(self, resolution: int | None) -> ImageDataset:
        """This set with smaller images, each value the mean of a square of pixels of the whole image.

        Args:
            resolution: Their side, which divides the side of the set's own; ``None``: as they are.

        Raises:
            ValueError: The set has none of this side.
        """
        return self if resolution is None else Downscaled(self, resolution)

    def get_batch(self, request: BatchIndices) -> Batch:
        """The images of a request."""
        return self.resized(request.resolution).fetch(request.indices)

    def __getitem__(self, request: BatchIndices) -> Batch:
        """The images of a request, with what the device does to them."""
        draws = {} if request.random_params is None else {"random_params": request.random_params}
        return {**self.get_batch(request), "hflip": request.hflip, "crop_offsets": request.crop_offsets, **draws}


class Downscaled(ImageDataset):
    """A set with smaller images, averaged from whole ones whenever they are fetched.

    Args:
        whole: The set.
        resolution: Side of the images handed out.
    """

    def __init__(self, whole: ImageDataset, resolution: int) -> None:
        self.whole, self.resolution, self.classes = whole, resolution, whole.classes

    def __len__(self) -> int:
        """Number of images."""
        return len(self.whole)

    def fetch(self, index: Tensor) -> Batch:
        """As the whole set fetches them, reduced.

        Raises:
            ValueError: Their side is no multiple of ``resolution``.
        """
        batch = self.whole.fetch(index)
        factor = _times(self.whole, tuple(batch["image"].shape[1:]), self.resolution)
        return batch if factor == 1 else {**batch, "image": average(batch["image"], factor)}

    def entries(self, key: str) -> Tensor | None:
        """Return those of the whole set."""
        return self.whole.entries(key)


class InMemoryImages(ImageDataset):
    """A set that lies in memory.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64, or ``None``.
    """

    def __init__(self, images: Tensor, labels: Tensor | None = None) -> None:
        self.images, self.labels = images, labels
        self._smaller: dict[int, InMemoryImages] = {}

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def fetch(self, index: Tensor) -> Batch:
        """One indexing operation per batch."""
        batch = {"image": self.images.index_select(0, index)}  # copies whole images, unlike images[index]
        if self.labels is not None:
            batch["label"] = self.labels[index]
        return batch

    def entries(self, key: str) -> Tensor | None:
        """Return the labels (N,) as ``label``."""
        return self.labels if key == "label" else None

    def resized(self, resolution: int | None) -> ImageDataset:
        """This set with smaller images, made at the first call and kept: a third more memory for all together."""
        factor = 1 if resolution is None else _times(self, tuple(self.images.shape[1:]), resolution)
        if resolution is None or factor == 1:
            return self
        if resolution not in self._smaller:
            self._smaller[resolution] = InMemoryImages(average(self.images, factor), self.labels)
            self._smaller[resolution].classes = self.classes
        return self._smaller[resolution]


class Subset(ImageDataset):
    """Some images of a set, in the order of ``indices``.

    Args:
        whole: The set.
        indices: (N,) int64, which of its images.
    """

    def __init__(self, whole: ImageDataset, indices: Tensor) -> None:
        self.whole, self.indices, self.classes = whole, indices, whole.classes

    def __len__(self) -> int:
        """Number of images."""
        return len(self.indices)

    def fingerprint(self) -> str:
        """Of the whole set and of which images are taken."""
        digest = hashlib.blake2b(self.whole.fingerprint().encode(), digest_size=16)
        digest.update(self.indices.numpy().tobytes())
        return digest.hexdigest()

    def fetch(self, index: Tensor) -> Batch:
        """As the whole set fetches them."""
        return self.whole.fetch(self.indices[index])

    def entries(self, key: str) -> Tensor | None:
        """Return those of the images that are taken."""
        values = self.whole.entries(key)
        return None if values is None else values[self.indices]

    def resized(self, resolution: int | None) -> ImageDataset:
        """The same images of the whole set at this side."""
        return Subset(self.whole.resized(resolution), self.indices)


def _times(images: ImageDataset, shape: tuple[int, ...], resolution: int) -> int:
    """How many times larger images of a shape (C, H, W) are than ``resolution``.

    Raises:
        ValueError: They are no squares, or of a side that is no multiple of it.
    """
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] % resolution:
        raise ValueError(f"{type(images).__name__}: has images {shape}, none of side {resolution}")
    return shape[1] // resolution

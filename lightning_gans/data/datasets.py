"""Define datasets of uint8 images that are fetched by batch."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans.data.resize import average

Batch = dict[str, Tensor]

SHARE = 0.25  # of the memory that is free on a device: sets in memory up to it live there

REQUESTED = ("hflip", "crop_offsets", "random_params")  # augmentations that a batch carries to the device


class BatchIndices(NamedTuple):
    """Choose the images of a batch and their augmentations, a function of the seed and the position in the stream.

    Attributes:
        indices: (N,) int64, images.
        hflip: (N,) bool, whether each is mirrored.
        crop_offsets: (N, 2) float in [0, 1), position of a smaller piece: 0 is the top or left end.
        target_indices: (N,) int64, images of a second set beside them; ``None`` without one.
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
    """Fetch uint8 images (C, H, W) of one size by batch."""

    classes: list[str] | None = None
    texts: Sequence[str] = ()  # captions that ``entries("caption")`` (N, K) numbers
    is_in_memory = False  # a batch is fetched by indexing alone, and reading ahead gains nothing

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def fetch(self, index: Tensor) -> Batch:
        """Return ``image`` (N, C, H, W) uint8 and, where there are labels, ``label`` (N,) int64."""

    def entries(self, key: str) -> Tensor | None:
        """Return a batch entry of all examples (N, ...), e.g. ``label``, if that needs no images to be read."""
        return None

    def fingerprint(self) -> str:
        """Return a content hash (32 hex digits). Reads every image unless a subclass has a cheaper way."""
        digest = hashlib.blake2b(repr(len(self)).encode(), digest_size=16)
        for start in range(0, len(self), 256):
            digest.update(self._images(start, min(start + 256, len(self))).contiguous().numpy().data)
        return digest.hexdigest()

    def _images(self, start: int, end: int) -> Tensor:
        return self.fetch(torch.arange(start, end))["image"]

    def resized(self, resolution: int | None) -> ImageDataset:
        """Return this set with smaller square images, each value the mean of a square of pixels of the whole image.

        Args:
            resolution: Their side, which divides the side of the set's own; ``None``: as they are.

        Raises:
            ValueError: The set has none of this side.
        """
        return self if resolution is None else Downscaled(self, resolution)

    def on(self, device: torch.device) -> ImageDataset:
        """Return this set with its images on a device, if it holds them in memory and they fit there."""
        return self

    def get_batch(self, request: BatchIndices) -> Batch:
        """Return the images of a request."""
        return self.resized(request.resolution).fetch(request.indices)

    def __getitem__(self, request: BatchIndices) -> Batch:
        """Return the images of a request, with the augmentations that the device does."""
        draws = {} if request.random_params is None else {"random_params": request.random_params}
        return {**self.get_batch(request), "hflip": request.hflip, "crop_offsets": request.crop_offsets, **draws}


class Downscaled(ImageDataset):
    """Average whole images of a set to smaller ones whenever they are fetched.

    Args:
        whole: The set.
        resolution: Side of the images handed out.
    """

    def __init__(self, whole: ImageDataset, resolution: int) -> None:
        self.whole, self.resolution, self.classes, self.texts = whole, resolution, whole.classes, whole.texts

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.whole)

    def fetch(self, index: Tensor) -> Batch:
        """Fetch whole images and reduce them.

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
    """Hold a set in memory.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64, or ``None``.
    """

    is_in_memory = True

    def __init__(self, images: Tensor, labels: Tensor | None = None) -> None:
        self.images, self.labels = images, labels
        self._smaller: dict[int, InMemoryImages] = {}

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def fetch(self, index: Tensor) -> Batch:
        """Index the images, one operation per batch."""
        index = index.to(self.images.device)
        batch = {"image": self.images.index_select(0, index)}  # copies whole images, unlike images[index]
        if self.labels is not None:
            batch["label"] = self.labels[index]
        return batch

    def _images(self, start: int, end: int) -> Tensor:
        return self.images[start:end]

    def entries(self, key: str) -> Tensor | None:
        """Return the labels (N,) as ``label``."""
        return self.labels if key == "label" else None

    def resized(self, resolution: int | None) -> ImageDataset:
        """Return this set with smaller images, made at the first call and kept: a third more memory for all."""
        factor = 1 if resolution is None else _times(self, tuple(self.images.shape[1:]), resolution)
        if resolution is None or factor == 1:
            return self
        if resolution not in self._smaller:
            self._smaller[resolution] = InMemoryImages(average(self.images, factor), self.labels)
            self._smaller[resolution].classes = self.classes
        return self._smaller[resolution]

    def on(self, device: torch.device) -> ImageDataset:
        """Return this set on a device, unless it takes more than ``SHARE`` of the memory that is free there."""
        if device.type == "cuda" and self.images.nbytes > SHARE * torch.cuda.mem_get_info(device)[0]:
            return self
        moved = copy.copy(self)
        moved.images, moved._smaller = self.images.to(device), {}
        moved.labels = None if self.labels is None else self.labels.to(device)
        return moved


class Subset(ImageDataset):
    """Take some images of a set, in the order of ``indices``.

    Args:
        whole: The set.
        indices: (N,) int64, its images.
    """

    def __init__(self, whole: ImageDataset, indices: Tensor) -> None:
        self.whole, self.indices, self.classes, self.texts = whole, indices, whole.classes, whole.texts
        self.is_in_memory = whole.is_in_memory

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.indices)

    def fingerprint(self) -> str:
        """Hash the whole set and the indices that are taken."""
        digest = hashlib.blake2b(self.whole.fingerprint().encode(), digest_size=16)
        digest.update(self.indices.numpy().tobytes())
        return digest.hexdigest()

    def fetch(self, index: Tensor) -> Batch:
        """Fetch images of the whole set."""
        return self.whole.fetch(self.indices[index])

    def entries(self, key: str) -> Tensor | None:
        """Return those of the images that are taken."""
        values = self.whole.entries(key)
        return None if values is None else values[self.indices]

    def resized(self, resolution: int | None) -> ImageDataset:
        """Return the same images of the whole set at this resolution."""
        return Subset(self.whole.resized(resolution), self.indices)

    def on(self, device: torch.device) -> ImageDataset:
        """Return the same images of the whole set on a device."""
        return Subset(self.whole.on(device), self.indices)


def _times(images: ImageDataset, shape: tuple[int, ...], resolution: int) -> int:
    """Return the factor by which images of a shape (C, H, W) are larger than ``resolution``.

    Raises:
        ValueError: They are no squares, or of a side that is no multiple of it.
    """
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] % resolution:
        raise ValueError(f"{type(images).__name__}: has images {shape}, none of side {resolution}")
    return shape[1] // resolution

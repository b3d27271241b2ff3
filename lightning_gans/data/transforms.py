"""Turn the batches of a source into those that models train on: mirrored and as floats, on the device."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lightning_gans.data.datasets import REQUESTED, Batch
from lightning_gans.images.size import Size, height_width


class Transform(ABC):
    """Turn the uint8 batches of a source into those that models are given.

    Attributes:
        shapes: Shape of one example by the batch's keys.
        storage_size: Height and width that sources give images at, (0, 0) for points.
        source_channels: Channels of the source of a pair; 0 without pairs.
        factor: Side of a target divided by that of its source.
    """

    shapes: dict[str, tuple[int, ...]]
    storage_size: tuple[int, int]
    source_channels: int = 0
    factor: int = 1

    @abstractmethod
    def __call__(self, batch: Batch) -> Batch:
        """Return a training batch, augmented as its request says, floats in [-1, 1]."""

    @abstractmethod
    def whole(self, batch: Batch, random_params: Tensor) -> Batch:
        """Return a batch for evaluation: whole images at their size, not mirrored, floats in [-1, 1].

        Args:
            batch: As a dataset fetches it.
            random_params: (N, 4) in [0, 1), for whatever else is random in a set.
        """

    def resized(self, key: str, images: Tensor) -> Tensor:
        """Return stored images (N, C, H, W) uint8 at the size that evaluation has them at."""
        return images

    def for_tests(self) -> Transform:
        """Return the transform of test images, which may be stored at another size."""
        return self


class ImageTransform(Transform):
    """Mirror images and scale their values; points stay as they are.

    Args:
        image_size: A side or [height, width]; ``None`` for points.
        channels: Channels of an image, or coordinates of a point.
        flip: Mirror half of the images.
    """

    def __init__(self, *, image_size: Size | None, channels: int, flip: bool = False) -> None:
        self.storage_size = (0, 0) if image_size is None else height_width(image_size)
        self.shapes = {"image": (channels,) if image_size is None else (channels, *self.storage_size)}
        self.flip = flip

    def __call__(self, batch: Batch) -> Batch:
        """Return ``image`` (N, C, H, W) in [-1, 1] and whatever else the dataset gives, such as ``label``."""
        image = batch["image"]
        if self.flip:
            image = torch.where(batch["hflip"][:, None, None, None], image.flip(-1), image)
        return {**{key: value for key, value in batch.items() if key not in REQUESTED}, "image": scaled(image)}

    def whole(self, batch: Batch, random_params: Tensor) -> Batch:
        """Return the same, not mirrored."""
        return {**batch, "image": scaled(batch["image"])}


def scaled(images: Tensor) -> Tensor:
    """Return uint8 values as floats in [-1, 1], and anything else as it is."""
    return images.float().div_(127.5).sub_(1) if images.dtype == torch.uint8 else images

"""Make a reference for scores of whatever a training in one's own project has: a folder, a zip or a dataset."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_gans.config.errors import ConfigError
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import ImageDataset, InMemoryImages
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.spec import ImageSpec
from lightning_gans.evaluation.sources import folder
from lightning_gans.images.pixels import to_uint8
from lightning_gans.images.size import shortest
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.batches import named, warn_of_range
from lightning_gans.models.translation import TranslationModule

Real = ImageDataModule | Dataset[Any] | str | os.PathLike[str]


class GivenImages(ImageSource):
    """Give images that are held already.

    Args:
        images: The images.
    """

    split = "given"

    def __init__(self, images: ImageDataset) -> None:
        self.images = images

    def load(self, spec: ImageSpec) -> ImageDataset:
        """Return them."""
        return self.images


def reference_of(real: Real, module: GenerativeModule, key: str) -> ImageDataModule:
    """Return an image set to compare a module's samples with.

    Args:
        real: An image set of this package; the path of a folder or zip, whose images are fitted to those of the module;
            or a map-style dataset as a ``DataLoader`` takes it, of images of that size (see ``models/README.md``),
            which is read into memory.
        module: The module.
        key: Option that ``real`` comes from, for messages.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The images do not fit, or there is something else.
    """
    if isinstance(real, ImageDataModule):
        real.setup("test")
        return real
    if isinstance(module, TranslationModule):
        rule = f"must be an ImageDataModule of pairs or domains, since {type(module).__name__} translates"
        raise ConfigError(key, type(real).__name__, rule)
    (made,) = module.generate([module.sampling_inputs([0, 1], 0)])
    if made.ndim != 4:
        raise ConfigError(key, type(real).__name__, "must be an ImageDataModule, since the module makes points")
    _, channels, height, width = made.shape
    if isinstance(real, str | os.PathLike):
        return folder(os.fspath(real), key, image_size=[height, width], channels=channels)
    images = _read(real, key)
    if tuple(images.shape[1:]) != (channels, height, width):
        rule = f"has images {tuple(images.shape[1:])}; the module makes {(channels, height, width)}"
        raise ConfigError(key, type(real).__name__, rule)
    source = GivenImages(InMemoryImages(images))
    return ImageDataModule(source, image_size=shortest(height, width), channels=channels)


def _read(dataset: Any, key: str) -> Tensor:
    """Return all images of a dataset, (N, C, H, W) uint8."""
    try:
        read = [named(batch, ("image", "label"), ("image",), key) for batch in DataLoader(dataset, batch_size=256)]
        warn_of_range(read[0])
        images = [batch["image"] for batch in read]
        return torch.cat([image if image.dtype == torch.uint8 else to_uint8(image) for image in images])
    except (TypeError, IndexError, RuntimeError) as error:
        told = str(error).splitlines()[0]
        raise ConfigError(key, type(dataset).__name__, f"must give images as tensors of one size ({told})") from error

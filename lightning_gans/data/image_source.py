"""Define what an image set gives to its data module: its images, for training and for tests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from lightning_gans.config.errors import ConfigError
from lightning_gans.data.datasets import ImageDataset, Subset
from lightning_gans.data.decoding import MODES
from lightning_gans.data.files import FileReader
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.spec import ImageSpec
from lightning_gans.runtime.seeding import derive_seed


class ImageSource(ABC):
    """Give the images of a set. A set implements ``load``, and the rest where it has more to give.

    Attributes:
        split: Name of the split of the published set that ``load`` gives, for score cards.
        points: The set has points (N, channels) float in place of images.
        aligned: Source i of a set of pairs belongs to target i; otherwise they are two domains, drawn independently.
        root: Folder or zip of a set of encoded images.
        reader: Reader of its files; ``None``: the set has none.
    """

    split: str = "train"
    points: ClassVar[bool] = False
    aligned: ClassVar[bool] = True
    root: str = ""
    reader: FileReader | None = None

    def check(self, spec: ImageSpec) -> None:
        """Refuse images that the set does not have, before anything is read.

        Raises:
            ValueError: By the option, with the values allowed.
        """
        if self.reader is not None and spec.channels not in MODES:
            raise ConfigError("data.channels", spec.channels, "must be 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA)")

    def download(self) -> None:
        """Download what is missing; called on one process of each machine before ``load`` on all of them.

        Raises:
            FileNotFoundError: It is missing and cannot be downloaded.
        """
        return

    def files(self, spec: ImageSpec) -> dict[str, ImageFiles]:
        """Return the training images of a set of encoded images by what they are: ``images``, or the sides of pairs."""
        return {}

    @abstractmethod
    def load(self, spec: ImageSpec) -> ImageDataset:
        """Return the images to train on, those that ``val_fraction`` holds out included."""

    def load_test(self, spec: ImageSpec) -> ImageDataset | None:
        """Return the test images, or ``None`` without any."""
        return None

    def hold_out(self, whole: ImageDataset, fraction: float, seed: int) -> tuple[ImageDataset, ImageDataset]:
        """Split a set at random into the images to train on and the share that training never sees.

        Args:
            whole: What ``load`` gave.
            fraction: Share of the second part, in (0, 1).
            seed: Seed of the choice.

        Raises:
            ValueError: One of the two would be empty.
        """
        n = val_count(len(whole), fraction)
        order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(derive_seed("held out", seed)))
        return Subset(whole, order[n:].sort().values), Subset(whole, order[:n].sort().values)


def val_count(n: int, fraction: float) -> int:
    """Return how many of ``n`` images are held out.

    Raises:
        ValueError: None of them, or all.
    """
    count = round(n * fraction)
    if not 0 < count < n:
        raise ConfigError("data.val_fraction", f"{fraction:g}", f"holds out {count} of {n} images")
    return count

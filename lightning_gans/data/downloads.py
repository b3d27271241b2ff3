"""Read the sets that torchvision downloads, checks and reads."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.resize import resize
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import spread

Arrays = tuple[Any, Any]  # images (N, C, S, S) uint8 and labels (N,), or None, as arrays or tensors


class TorchvisionSource(ImageSource):
    """Give a small square set that torchvision reads, in memory.

    Args:
        read: Reads the set by torchvision; given ``root`` and ``download``.
        name: Of the set, for messages.
        root: Folder of all sets.
        download: Let torchvision download what is missing.
        folder: Of this set, under ``root``, as torchvision names it.
        files: Names of the files that torchvision looks for there, for messages.
        split: Name of the split for score cards.
        labels: Number of classes.
        package: Needed for reading, beyond the core.
        pad: Black pixels on every side of images that are resized to another size than their own.
        grey: The images have one channel.

    Raises:
        ValueError: The package is not installed.
    """

    def __init__(
        self,
        read: Callable[[str, bool], Arrays],
        *,
        name: str,
        root: str,
        download: bool,
        folder: str,
        files: str,
        split: str = "train",
        labels: int = 10,
        package: str | None = None,
        pad: int = 0,
        grey: bool = False,
    ) -> None:
        if package is not None:
            require(package, name)
        self.read, self.name, self.root, self.may_download = read, name, root, download
        self.folder, self.expected, self.split = folder, files, split
        self.labels, self.pad, self.grey = labels, pad, grey
        self._is_there = False

    def check(self, spec: ImageSpec) -> None:
        """Refuse other numbers of classes and channels than the set has."""
        if spec.num_classes not in (None, self.labels):
            raise ConfigError("data.num_classes", spec.num_classes, f"must be {self.labels}, or null for no labels")
        if not self.grey and spec.channels not in (1, 3):
            raise ConfigError("data.channels", spec.channels, "must be 1 or 3")

    def download(self) -> None:
        """Let torchvision download and check the files."""
        if not self._is_there:
            self._read()
            self._is_there = True

    def load(self, spec: ImageSpec) -> InMemoryImages:
        """Read torchvision's files; grey is repeated for further channels, RGB weighed for one."""
        images, labels = self._read()
        pixels, numbers = torch.as_tensor(images), None if labels is None else torch.as_tensor(labels).long()
        self._check_labels(len(pixels), numbers)
        taken = spread(len(pixels), spec.max_images, numbers)
        pixels = pixels if len(taken) == len(pixels) else pixels[taken]
        if spec.channels == 1 and not self.grey:
            pixels = luminance(pixels)
        pixels = F.pad(pixels, (self.pad,) * 4) if self.pad and pixels.shape[-2:] != spec.size else pixels
        pixels = resize(pixels, spec.size).contiguous()
        pixels = pixels.repeat(1, spec.channels, 1, 1) if self.grey else pixels
        return InMemoryImages(pixels, None if numbers is None else numbers[taken])

    def _read(self) -> Arrays:
        with placed(self.root, self.folder, self.name, self.expected):
            return self.read(self.root, self.may_download)

    def _check_labels(self, n: int, labels: Tensor | None) -> None:
        """Refuse labels of another number than the images, or of classes that the set does not have."""
        if labels is None:
            return
        wrong = [f"{len(labels)} labels for {n} images"] if len(labels) != n else []
        beyond = labels[(labels < 0) | (labels >= self.labels)]
        wrong += [f"label {int(beyond[0])}, must be from 0 to {self.labels - 1}"] if len(beyond) else []
        if wrong:
            place = Path(self.root).expanduser() / self.folder
            raise ValueError(
                f"data.root={self.root}: the labels of {self.name} do not fit ({'; '.join(wrong)}). "
                f"Put {self.expected} into {place} anew"
            )


def luminance(images: Tensor) -> Tensor:
    """Convert RGB (N, 3, H, W) uint8 to grey (N, 1, H, W) by the weights of ITU-R BT.601, as Pillow does."""
    red, green, blue = (images[:, i : i + 1].to(torch.int32) for i in range(3))
    return ((red * 299 + green * 587 + blue * 114 + 500) // 1000).to(torch.uint8)


@contextlib.contextmanager
def placed(root: str, folder: str, name: str, files: str) -> Iterator[None]:
    """Turn whatever fails while torchvision downloads and reads into one error that says which files go where.

    Folders that were made meanwhile and stayed empty are removed.

    Raises:
        FileNotFoundError: The set is not there.
    """
    place = Path(root).expanduser() / folder
    absent = [path for path in (place, *place.parents) if not path.exists()]
    try:
        yield
    except Exception as error:  # torchvision and its helpers raise many kinds
        reason = " ".join((str(error) or type(error).__name__).split())
        raise FileNotFoundError(
            f"data.root={root}: {name} is not there whole, and was not downloaded ({reason}). Put {files} into {place}"
        ) from error
    finally:
        for path in absent:
            with contextlib.suppress(OSError):  # not empty, or never made
                path.rmdir()


def require(package: str, name: str) -> None:
    """Refuse a set whose reading needs a package that is not installed.

    Raises:
        ValueError: With the command that installs it.
    """
    if importlib.util.find_spec(package) is None:
        raise ValueError(f'data: {name} needs the package {package}: pip install "lightning_gans[data]"')

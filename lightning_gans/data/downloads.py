"""What sets that torchvision knows have in common: where they lie, how they come there, how they are held."""

from __future__ import annotations

import contextlib
import importlib.util
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.resize import resize
from lightning_gans.data.subset import spread


class Downloaded(ImageDataModule):
    """A small square set that torchvision downloads, checks and reads, held in memory. A set overrides ``read``.

    Args:
        root: Folder of all sets; this one lies there as torchvision lays it out.
        download: Let torchvision download what is missing.
        **options: See ``ImageDataModule``.
    """

    folder: ClassVar[str]  # of this set, under root
    files: ClassVar[str]  # what torchvision looks for there
    package: ClassVar[str | None] = None  # what reading needs beyond the core
    labels: ClassVar[int] = 10  # classes
    pad: ClassVar[int] = 0  # black pixels on every side, before images are resized to another side than their own
    grey: ClassVar[bool] = False

    def __init__(self, *, root: str = "data", download: bool = True, **options: Any) -> None:
        super().__init__(**options)
        if self.package is not None:
            require(self.package, type(self).__name__)
        if self.num_classes not in (None, self.labels):
            raise ValueError(f"data.num_classes={self.num_classes}: must be {self.labels}, or null for no labels")
        if not self.grey and self.channels not in (1, 3):
            raise ValueError(f"data.channels={self.channels}: must be 1 or 3")
        self.root, self.download = root, download

    def prepare_data(self) -> None:
        """Download on one process of each machine, before the others read."""
        self.setup("prepare")

    @abstractmethod
    def read(self) -> tuple[Any, Any]:
        """Images (N, C, S, S) uint8 and labels (N,), or ``None``, as arrays or tensors, by torchvision."""

    def load(self) -> InMemoryImages:
        """Read torchvision's files; grey is repeated for further channels, RGB weighed for one."""
        with placed(self.root, self.folder, type(self).__name__, self.files):
            images, labels = self.read()
        pixels, numbers = torch.as_tensor(images), None if labels is None else torch.as_tensor(labels).long()
        self._check_labels(len(pixels), numbers)
        taken = spread(len(pixels), self.limit, numbers)
        pixels = pixels if len(taken) == len(pixels) else pixels[taken]
        if self.channels == 1 and not self.grey:
            pixels = luminance(pixels)
        pixels = F.pad(pixels, (self.pad,) * 4) if self.pad and pixels.shape[-1] != self.side else pixels
        pixels = resize(pixels, self.side).contiguous()
        pixels = pixels.repeat(1, self.channels, 1, 1) if self.grey else pixels
        return InMemoryImages(pixels, None if numbers is None else numbers[taken])

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
                f"data.root={self.root}: the labels of {type(self).__name__} do not fit ({'; '.join(wrong)}). "
                f"Put {self.files} into {place} anew"
            )


def luminance(images: Tensor) -> Tensor:
    """RGB (N, 3, H, W) uint8 to grey (N, 1, H, W) by the weights of ITU-R BT.601, as Pillow has them."""
    red, green, blue = (images[:, i : i + 1].to(torch.int32) for i in range(3))
    return ((red * 299 + green * 587 + blue * 114 + 500) // 1000).to(torch.uint8)


@contextlib.contextmanager
def placed(root: str, folder: str, name: str, files: str) -> Iterator[None]:
    """Around torchvision's downloading and reading: whatever fails ends in one error that says what goes where.

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

"""Provide MNIST."""

from __future__ import annotations

from functools import partial

from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.downloads import Arrays, TorchvisionSource
from lightning_gans.data.options import DataOptions


class MNIST(ImageDataModule):
    """Provide the 60,000 training images of MNIST (LeCun et al. 1998), 28x28 grey, ten classes.

    As they are with ``image_size`` 28; otherwise padded by two black pixels on every side to 32x32, then resized to
    ``image_size`` if that is another.

    Args:
        root: Folder of all sets; this one is there as torchvision lays it out.
        download: Let torchvision download what is missing.
        **options: See ``ImageDataModule``.
    """

    @checked
    def __init__(self, *, root: str = "data", download: bool = True, **options: Unpack[DataOptions]) -> None:
        super().__init__(source=idx_source("MNIST", root, download), **options)


def idx_source(name: str, root: str, download: bool) -> TorchvisionSource:
    """Make the source of a set that comes in MNIST's files.

    Args:
        name: Of torchvision's class, and of the set's folder.
        root: Folder of all sets.
        download: Let torchvision download what is missing.
    """
    return TorchvisionSource(
        partial(_read, name),
        name=name,
        root=root,
        download=download,
        folder=f"{name}/raw",
        files="{train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte",
        pad=2,
        grey=True,
    )


def _read(name: str, root: str, download: bool) -> Arrays:
    from torchvision import datasets

    found = getattr(datasets, name)(root, train=True, download=download)
    return found.data[:, None], found.targets

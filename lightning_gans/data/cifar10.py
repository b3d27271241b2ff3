"""Provide CIFAR-10."""

from __future__ import annotations

from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.downloads import Arrays, TorchvisionSource
from lightning_gans.data.options import DataOptions


class CIFAR10(ImageDataModule):
    """Provide the 50,000 training images of CIFAR-10 (Krizhevsky 2009), 32x32 RGB, ten classes.

    Args:
        root: Folder of all sets; this one is there as torchvision lays it out.
        download: Let torchvision download what is missing.
        **options: See ``ImageDataModule``.
    """

    @checked
    def __init__(self, *, root: str = "data", download: bool = True, **options: Unpack[DataOptions]) -> None:
        source = TorchvisionSource(
            _read,
            name="CIFAR10",
            root=root,
            download=download,
            folder="cifar-10-batches-py",
            files="data_batch_1 to data_batch_5, test_batch and batches.meta (from cifar-10-python.tar.gz)",
        )
        super().__init__(source=source, **options)


def _read(root: str, download: bool) -> Arrays:
    from torchvision.datasets import CIFAR10 as Files

    found = Files(root, train=True, download=download)
    return found.data.transpose(0, 3, 1, 2), found.targets

"""Provide MNIST."""

from __future__ import annotations

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
        source = TorchvisionSource(
            _read,
            name="MNIST",
            root=root,
            download=download,
            folder="MNIST/raw",
            files="{train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte",
            pad=2,
            grey=True,
        )
        super().__init__(source=source, **options)


def _read(root: str, download: bool) -> Arrays:
    from torchvision.datasets import MNIST as Files

    found = Files(root, train=True, download=download)
    return found.data[:, None], found.targets

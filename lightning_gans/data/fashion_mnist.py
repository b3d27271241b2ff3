"""Provide Fashion-MNIST."""

from __future__ import annotations

from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.mnist import idx_source
from lightning_gans.data.options import DataOptions


class FashionMNIST(ImageDataModule):
    """Provide the 60,000 images of Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747), 28x28 grey, ten classes.

    As they are with ``image_size`` 28; otherwise padded by two black pixels on every side to 32x32, then resized to
    ``image_size`` if that is another.

    Args:
        root: Folder of all sets; this one is there as torchvision lays it out.
        download: Let torchvision download what is missing.
        **options: See ``ImageDataModule``.
    """

    @checked
    def __init__(self, *, root: str = "data", download: bool = True, **options: Unpack[DataOptions]) -> None:
        super().__init__(source=idx_source("FashionMNIST", root, download), **options)

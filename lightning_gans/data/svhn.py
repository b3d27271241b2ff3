"""Provide Street View House Numbers."""

from __future__ import annotations

from functools import partial
from typing import Literal

from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.downloads import Arrays, TorchvisionSource
from lightning_gans.data.options import DataOptions

Part = Literal["train", "extra"]


class SVHN(ImageDataModule):
    """Provide Street View House Numbers (Netzer et al. 2011), cropped digits, 32x32 RGB, ten classes.

    Args:
        root: Folder of all sets; this one is there as torchvision lays it out.
        download: Let torchvision download what is missing.
        part: ``train``: 73,257 images; ``extra``: 531,131 easier ones.
        **options: See ``ImageDataModule``.

    Raises:
        ValueError: A value out of range.
    """

    @checked
    def __init__(
        self, *, root: str = "data", download: bool = True, part: Part = "train", **options: Unpack[DataOptions]
    ) -> None:
        source = TorchvisionSource(
            partial(_read, part),
            name="SVHN",
            root=root,
            download=download,
            folder="",
            files=f"{part}_32x32.mat",
            split=part,
            package="scipy",
        )
        super().__init__(source=source, **options)


def _read(split: str, root: str, download: bool) -> Arrays:
    from torchvision.datasets import SVHN as Files

    found = Files(root, split=split, download=download)
    return found.data, found.labels

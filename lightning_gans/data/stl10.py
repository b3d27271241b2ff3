"""Provide STL-10."""

from __future__ import annotations

from functools import partial
from typing import Literal

from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.downloads import Arrays, TorchvisionSource
from lightning_gans.data.options import DataOptions

Part = Literal["unlabeled", "train", "train+unlabeled"]


class STL10(ImageDataModule):
    """Provide STL-10 (Coates et al. 2011), 96x96 RGB from ImageNet; 2.6 GB to download and to keep while it is resized.

    Args:
        root: Folder of all sets; this one is there as torchvision lays it out.
        download: Let torchvision download what is missing.
        part: ``unlabeled``: 100,000 images; ``train``: 5,000 of ten classes; ``train+unlabeled``: both.
        **options: See ``ImageDataModule``. Only ``train`` has labels.

    Raises:
        ValueError: A value out of range.
    """

    @checked
    def __init__(
        self, *, root: str = "data", download: bool = True, part: Part = "unlabeled", **options: Unpack[DataOptions]
    ) -> None:
        source = TorchvisionSource(
            partial(_read, part),
            name="STL10",
            root=root,
            download=download,
            folder="stl10_binary",
            files="{train,test}_X.bin, {train,test}_y.bin and unlabeled_X.bin (from stl10_binary.tar.gz)",
            split=part,
        )
        super().__init__(source=source, **options)
        if self.num_classes is not None and part != "train":
            raise ConfigError("data.num_classes", self.num_classes, f"only data.part=train has labels, not {part}")


def _read(split: str, root: str, download: bool) -> Arrays:
    from torchvision.datasets import STL10 as Files

    found = Files(root, split=split, download=download)
    return found.data, found.labels if split == "train" else None

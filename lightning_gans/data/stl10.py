"""Provide STL-10."""

from __future__ import annotations

from functools import partial

from typing_extensions import Unpack

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.downloads import Arrays, TorchvisionSource
from lightning_gans.data.options import DataOptions


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

    def __init__(
        self, *, root: str = "data", download: bool = True, part: str = "unlabeled", **options: Unpack[DataOptions]
    ) -> None:
        if part not in ("unlabeled", "train", "train+unlabeled"):
            raise ValueError(f"data.part={part}: must be unlabeled, train or train+unlabeled")
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
            raise ValueError(f"data.num_classes={self.num_classes}: only data.part=train has labels, not {part}")


def _read(split: str, root: str, download: bool) -> Arrays:
    from torchvision.datasets import STL10 as Files

    found = Files(root, split=split, download=download)
    return found.data, found.labels if split == "train" else None

"""Read CelebA."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.data.downloads import placed, require
from lightning_gans.data.file_sources import OnDisk
from lightning_gans.data.files import FileReader, reader_of
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import FileOptions, shared_options
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import spread

Part = Literal["all", "train", "valid", "test"]
Attribute = Literal[
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
]
FILES = (
    "the folder img_align_celeba of JPEGs, list_eval_partition.txt, list_attr_celeba.txt, identity_CelebA.txt, "
    "list_bbox_celeba.txt and list_landmarks_align_celeba.txt"
)


class CelebA(ImageDataModule):
    """Read the 202,599 aligned faces of CelebA (Liu et al. 2015), 178x218 JPEGs, by workers.

    Args:
        root: Folder of all sets; this one is in ``celeba`` as torchvision lays it out.
        download: Let torchvision download what is missing (from Google Drive, by gdown).
        part: ``all``, as GAN papers have it, or the authors' ``train``, ``valid`` or ``test``.
        labels: One of the 40 attributes, whose absence (0) and presence (1) are the classes; ``None``: no labels.
        **options: See ``ImageDataModule`` and ``FileReader``.

    Raises:
        ValueError: A value out of range, or gdown is not installed.
    """

    @checked
    def __init__(
        self,
        *,
        root: str = "data",
        download: bool = True,
        part: Part = "all",
        labels: Attribute | None = None,
        **options: Unpack[FileOptions],
    ) -> None:
        source = CelebASource(root, part, reader_of(options), download=download, labels=labels)
        super().__init__(source=source, **shared_options(options))
        if download and not source.images.is_dir():
            require("gdown", "downloading CelebA")


class CelebASource(ImageSource):
    """Give the images of a split of CelebA, and an attribute as their classes.

    Args:
        root: Folder of all sets.
        split: ``all``, ``train``, ``valid`` or ``test``.
        reader: Reader of the files.
        download: Let torchvision download what is missing.
        labels: An attribute; ``None``: no classes.
    """

    reader: FileReader

    def __init__(
        self, root: str, split: Part, reader: FileReader, *, download: bool = True, labels: Attribute | None = None
    ) -> None:
        self.root, self.split, self.reader, self.may_download = root, split, reader, download
        self.labels = labels
        self.images = Path(root).expanduser() / "celeba" / "img_align_celeba"

    def check(self, spec: ImageSpec) -> None:
        """Refuse classes without an attribute, and another number than an attribute's two."""
        super().check(spec)
        if self.labels is None and spec.num_classes is not None:
            rule = "needs data.labels, an attribute such as Smiling; without one it must be null"
            raise ConfigError("data.num_classes", spec.num_classes, rule)
        if self.labels is not None and spec.num_classes != 2:
            raise ConfigError("data.num_classes", spec.num_classes, f"must be 2 with data.labels={self.labels}")

    def download(self) -> None:
        """Let torchvision download and check the files."""
        self._listed()

    def load(self, spec: ImageSpec) -> ImageDataset:
        """List the images, and decode them if they fit in memory."""
        return self.reader.in_memory(*self.files(spec).values())[0]

    def files(self, spec: ImageSpec) -> dict[str, ImageFiles]:
        """Return the images of the split, as torchvision lists them."""
        names, labels = self._listed()
        taken = spread(len(names), spec.max_images, labels)
        files = self.reader.files(
            OnDisk(self.images),
            [names[i] for i in taken.tolist()],
            spec,
            root=self.root,
            labels=None if labels is None else labels[taken],
            classes=None if labels is None else [f"not {self.labels}", str(self.labels)],
        )
        return {"images": files}

    def _listed(self) -> tuple[list[str], Tensor | None]:
        """Return the names of the split's files, and whether each has the attribute, (N,) int64."""
        from torchvision.datasets import CelebA as Files

        with placed(self.root, "celeba", "CelebA", FILES):
            listed = Files(self.root, split=self.split, target_type=[], download=self.may_download)
        labels: Tensor | None = None
        if self.labels is not None:
            labels = listed.attr[:, listed.attr_names.index(self.labels)].to(torch.int64)
        return list(listed.filename), labels

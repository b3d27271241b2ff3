"""Read CelebA."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.data.downloads import placed, require
from lightning_gans.data.file_sources import OnDisk
from lightning_gans.data.files import FileReader, chosen, reader_of
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import FileOptions, shared_options
from lightning_gans.data.spec import ImageSpec

Part = Literal["all", "train", "valid", "test"]
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
        **options: See ``ImageDataModule`` and ``FileReader``.

    Raises:
        ValueError: A value out of range, or gdown is not installed.
    """

    @checked
    def __init__(
        self, *, root: str = "data", download: bool = True, part: Part = "all", **options: Unpack[FileOptions]
    ) -> None:
        source = CelebASource(root, part, reader_of(options), download=download)
        super().__init__(source=source, **shared_options(options))
        if download and not source.images.is_dir():
            require("gdown", "downloading CelebA")


class CelebASource(ImageSource):
    """Give the images of a split of CelebA.

    Args:
        root: Folder of all sets.
        split: ``all``, ``train``, ``valid`` or ``test``.
        reader: Reader of the files.
        download: Let torchvision download what is missing.

    """

    reader: FileReader

    def __init__(self, root: str, split: Part, reader: FileReader, *, download: bool = True) -> None:
        self.root, self.split, self.reader, self.may_download = root, split, reader, download
        self.images = Path(root).expanduser() / "celeba" / "img_align_celeba"

    def check(self, spec: ImageSpec) -> None:
        """Refuse classes, which CelebA does not have."""
        super().check(spec)
        if spec.num_classes is not None:
            raise ConfigError("data.num_classes", spec.num_classes, "CelebA has no classes; must be null")

    def download(self) -> None:
        """Let torchvision download and check the files."""
        self._names()

    def load(self, spec: ImageSpec) -> ImageDataset:
        """List the images, and decode them if they fit in memory."""
        return self.reader.in_memory(*self.files(spec).values())[0]

    def files(self, spec: ImageSpec) -> dict[str, ImageFiles]:
        """Return the images of the split, as torchvision lists them."""
        names = self._names()
        names = [names[i] for i in chosen(names, spec.max_images)]
        return {"images": self.reader.files(OnDisk(self.images), names, spec, root=self.root)}

    def _names(self) -> list[str]:
        from torchvision.datasets import CelebA as Files

        with placed(self.root, "celeba", "CelebA", FILES):
            listed = Files(self.root, split=self.split, target_type=[], download=self.may_download)
        return list(listed.filename)

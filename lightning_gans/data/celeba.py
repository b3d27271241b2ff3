"""CelebA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning_gans.data.downloads import placed, require
from lightning_gans.data.file_sources import OnDisk
from lightning_gans.data.files import FileData
from lightning_gans.data.image_files import ImageFiles


class CelebA(FileData):
    """The 202,599 aligned faces of CelebA (Liu et al. 2015), 178x218 JPEGs, read by workers.

    Args:
        root: Folder of all sets; this one lies in ``celeba`` as torchvision lays it out.
        download: Let torchvision download what is missing (from Google Drive, by gdown).
        part: ``all``, as GAN papers have it, or the authors' ``train``, ``valid`` or ``test``.
        **options: See ``FileData``.
    """

    FILES = (
        "the folder img_align_celeba of JPEGs, list_eval_partition.txt, list_attr_celeba.txt, identity_CelebA.txt, "
        "list_bbox_celeba.txt and list_landmarks_align_celeba.txt"
    )

    def __init__(self, *, root: str = "data", download: bool = True, part: str = "all", **options: Any) -> None:
        super().__init__(root=root, **options)
        if part not in ("all", "train", "valid", "test"):
            raise ValueError(f"data.part={part}: must be all, train, valid or test")
        if self.num_classes is not None:
            raise ValueError(f"data.num_classes={self.num_classes}: CelebA has no classes; must be null")
        self.download, self.part = download, part
        self.images = Path(root).expanduser() / "celeba" / "img_align_celeba"
        if download and not self.images.is_dir():
            require("gdown", "downloading CelebA")

    def prepare_data(self) -> None:
        """Download on one process of each machine, before the others read."""
        self.setup("prepare")

    def files(self) -> ImageFiles:
        """The images of the part, as torchvision lists them."""
        from torchvision.datasets import CelebA as Files

        with placed(self.root, "celeba", "CelebA", self.FILES):
            listed = Files(self.root, split=self.part, target_type=[], download=self.download).filename
        return self.make_files(OnDisk(self.images), listed)

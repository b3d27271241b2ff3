"""Read any images in a folder or a zip."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import torch
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.data.file_sources import check_exists, no_images, printable, source_at
from lightning_gans.data.files import FileReader, chosen, reader_of
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import FileOptions, shared_options
from lightning_gans.data.source import FileError
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import class_folders
from lightning_gans.runtime.aliases import moved_from


class Folder(ImageDataModule):
    """Read images in a folder or a zip, of any sizes; class sub-folders become labels.

    Args:
        root: The folder or zip.
        within: Use only the images under this sub-folder, e.g. ``train``; ``None``: everything.
        **options: See ``ImageDataModule`` and ``FileReader``. With ``num_classes`` the sub-folders, in alphabetical
            order, are the classes; an image beside them counts as a file that cannot be read.

    Raises:
        FileNotFoundError: There is no such folder or zip.
        ValueError: A value out of range.
    """

    @checked
    def __init__(self, *, root: str, within: str | None = None, **options: Unpack[FileOptions]) -> None:
        super().__init__(source=FolderSource(root, within, reader_of(options)), **shared_options(options))


class FolderSource(ImageSource):
    """Give the images of a folder or a zip, and their classes.

    Args:
        root: The folder or zip.
        within: Sub-folder; ``None``: everything.
        reader: Reader of the files.
    """

    reader: FileReader

    def __init__(self, root: str, within: str | None, reader: FileReader) -> None:
        self.root, self.within, self.reader = root, within, reader
        self.split = within or self.split

    def check(self, spec: ImageSpec) -> None:
        """Refuse a place that is not there."""
        super().check(spec)
        check_exists(self.root)

    def load(self, spec: ImageSpec) -> ImageDataset:
        """List the images, and decode them if they fit in memory."""
        return self.reader.in_memory(*self.files(spec).values())[0]

    def files(self, spec: ImageSpec) -> dict[str, ImageFiles]:
        """Return the images under ``root``, sorted by name.

        Raises:
            ValueError: There are none, or not ``num_classes`` classes of them.
        """
        source = source_at(self.root)
        names = source.names()
        if names and self.within:
            top = prefix_of(self.within)
            names = [name for name in names if name.startswith(top)]
            if not names:
                raise ConfigError("data.within", self.within, f"{self.root} has no images under such a folder")
        if not names:
            raise ConfigError("data.root", self.root, no_images(source))
        folders = class_folders(names)
        classes = sorted({folder for folder in folders if folder})
        labels: list[int] | None = None
        stray: list[str] = []
        if spec.num_classes is not None:
            if len(classes) != spec.num_classes:
                found = f"{len(classes)} class folders ({printable(', '.join(classes[:10])) or 'none'})"
                raise ConfigError("data.num_classes", spec.num_classes, f"{self.root} has {found}")
            stray = [name for name, folder in zip(names, folders, strict=True) if not folder]
            names = [name for name, folder in zip(names, folders, strict=True) if folder]
            number = {folder: i for i, folder in enumerate(classes)}
            labels = [number[folder] for folder in folders if folder]
        taken = chosen(names, spec.max_images)
        files = self.reader.files(
            source,
            [names[i] for i in taken],
            spec,
            root=self.root,
            labels=None if labels is None else torch.tensor(labels)[taken],
            classes=classes if labels is not None or len(classes) > 1 else None,
        )
        source.problems += [FileError(name, "lies beside the class folders, and in none") for name in stray]
        return {"images": files}


def prefix_of(folder: str) -> str:
    """Return the start of the names of images below a sub-folder: ``a/b/`` of ``a/b``, ``a/b/`` and ``./a/b``."""
    parts = [part for part in PurePosixPath(folder).parts if part != "/"]
    return "".join(f"{part}/" for part in parts)


if not TYPE_CHECKING:
    __getattr__ = moved_from(__name__)

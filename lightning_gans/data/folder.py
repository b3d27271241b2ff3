"""Any images in a folder or a zip."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import torch

from lightning_gans.data.file_sources import check_exists, no_images, printable, source_at
from lightning_gans.data.files import FileData
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.source import FileError
from lightning_gans.data.subset import class_folders


class Folder(FileData):
    """Images in a folder or a zip, of any sizes; class sub-folders become labels.

    Args:
        root: The folder or zip.
        within: Use only what lies under this sub-folder, e.g. ``train``; ``None``: everything.
        **options: See ``FileData``. With ``num_classes`` the sub-folders, in alphabetical order, are the classes; an
            image beside them counts as a file that cannot be read.
    """

    def __init__(self, *, root: str, within: str | None = None, **options: Any) -> None:
        super().__init__(root=root, **options)
        self.within = within
        self.part = within or self.part
        check_exists(root)

    def files(self) -> ImageFiles:
        """The images under ``root``, sorted by name.

        Raises:
            ValueError: There are none, or not ``num_classes`` classes of them.
        """
        source = source_at(self.root)
        names = source.names()
        if names and self.within:
            top = prefix_of(self.within)
            names = [name for name in names if name.startswith(top)]
            if not names:
                raise ValueError(f"data.within={self.within}: {self.root} has no images under such a folder")
        if not names:
            raise ValueError(f"data.root={self.root}: {no_images(source)}")
        folders = class_folders(names)
        classes = sorted({folder for folder in folders if folder})
        if self.num_classes is None:
            return self.make_files(source, names, classes=classes if len(classes) > 1 else None)
        if len(classes) != self.num_classes:
            found = f"{len(classes)} class folders ({printable(', '.join(classes[:10])) or 'none'})"
            raise ValueError(f"data.num_classes={self.num_classes}: {self.root} has {found}")
        number = {folder: i for i, folder in enumerate(classes)}
        kept = [(name, number[folder]) for name, folder in zip(names, folders, strict=True) if folder]
        labels = torch.tensor([label for _, label in kept])
        files = self.make_files(source, [name for name, _ in kept], labels, classes)
        stray = [name for name, folder in zip(names, folders, strict=True) if not folder]
        source.problems += [FileError(name, "lies beside the class folders, and in none") for name in stray]
        return files


def prefix_of(folder: str) -> str:
    """Return what the names of images below a sub-folder begin with: ``a/b/`` of ``a/b``, ``a/b/`` and ``./a/b``."""
    parts = [part for part in PurePosixPath(folder).parts if part != "/"]
    return "".join(f"{part}/" for part in parts)

"""Any images in a folder or a zip."""

from __future__ import annotations

import errno
import os
import re
import stat
import zipfile
from collections import deque
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import torch

from lightning_gans.data.arrays import InArray
from lightning_gans.data.files import FileData, ImageFiles, Problem, Source

OVERVIEW = re.compile(r"(grid|sheet(_\d+)?)\.png")
MARK = "lightning_gans"  # keyword of the text chunk of pictures that this package writes
EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm")


class Folder(FileData):
    """Images in a folder or a zip, of any sizes; class sub-folders become labels.

    Args:
        root: The folder or zip.
        within: Use only what lies under this sub-folder, e.g. ``train``; ``None``: everything.
        **options: See ``FileData``. With ``num_classes`` the sub-folders, in alphabetical order, are the classes.
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
            top = self.within.strip("/") + "/"
            names = [name for name in names if name.startswith(top)]
            if not names:
                raise ValueError(f"data.within={self.within}: {self.root} has no images under such a folder")
        if not names:
            raise ValueError(f"data.root={self.root}: {no_images(source)}")
        folders = class_folders(names)
        classes = sorted(set(folders))
        if self.num_classes is None:
            return self.make_files(source, names, classes=classes if len(classes) > 1 else None)
        if classes == [""] or len(classes) != self.num_classes:
            found = ", ".join(classes[:10]) if classes != [""] else "none"
            count = 0 if classes == [""] else len(classes)
            raise ValueError(f"data.num_classes={self.num_classes}: {self.root} has {count} class folders ({found})")
        number = {folder: i for i, folder in enumerate(classes)}
        return self.make_files(source, names, torch.tensor([number[folder] for folder in folders]), classes)


def check_exists(root: str, key: str = "data.root") -> None:
    """Refuse a folder or zip that is not there.

    Raises:
        FileNotFoundError: By the key that named it.
    """
    if not Path(root).expanduser().exists():
        raise FileNotFoundError(f"{key}={root}: does not exist; give a folder or a zip of images")


def source_at(root: str, key: str = "data.root") -> Source:
    """A folder, zip or ``.npz`` array of images, to be listed and read.

    Raises:
        ValueError: It is neither.
    """
    path = Path(root).expanduser()
    if path.suffix == ".npz" and path.is_file():
        return InArray(path, key)
    if path.is_file() and not zipfile.is_zipfile(path):
        raise ValueError(f"{key}={root}: is neither a folder nor a zip")
    return OnDisk(path) if path.is_dir() else InZip(path)


def no_images(source: Source) -> str:
    """What to say of a place without any."""
    found = f"; {source.problems[0].name}: {source.problems[0].reason}" if source.problems else ""
    return f"no images ({', '.join(EXTENSIONS)}){found}"


def class_folders(names: list[str]) -> list[str]:
    """The sub-folder that each image lies in, "" for none; top folders that hold everything do not count."""
    parents = [PurePosixPath(name).parent.parts for name in names]
    while len({part[:1] for part in parents}) == 1 and parents[0]:
        parents = [part[1:] for part in parents]
    return [part[0] if part else "" for part in parents]


class OnDisk(Source):
    """Images under a folder. Symbolic links are followed; a folder is read once, so that they cannot lead in circles.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.problems = root, []

    def names(self) -> list[str]:
        """Every image under the folder; hidden files and folders are passed over."""
        found, self.problems, self.ignored = [], [], 0
        seen: set[tuple[int, int]] = set()
        folders, links = deque([""]), deque[str]()  # linked folders come last, so that it is they that repeat
        while folders or links:
            folder = folders.popleft() if folders else links.popleft()
            try:
                status = os.stat(self.root / folder)
                if (status.st_dev, status.st_ino) in seen:
                    self.problems.append(Problem(folder, "a symbolic link to a folder that was read already"))
                    continue
                seen.add((status.st_dev, status.st_ino))
                entries = sorted(os.scandir(self.root / folder), key=lambda entry: entry.name)
            except OSError as error:
                self.problems.append(Problem(folder or ".", error.strerror or str(error)))
                continue
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    if not _is_hidden(name):
                        folders.append(name)
                elif os.path.isdir(entry.path):
                    links.append(name)
                elif is_image(name) and not is_overview(self, name):
                    found.append(name)
                elif _is_loop(entry.path):
                    self.problems.append(Problem(name, os.strerror(errno.ELOOP)))
                else:
                    self.ignored += 1
        return sorted(found)

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """A regular file; pipes and devices would be waited for."""
        status = os.stat(self.root / name)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        return open(self.root / name, "rb"), status.st_size


class InZip(Source):
    """Images in a zip, which is read in place; entries whose paths lead out of it are not used.

    Args:
        path: The zip.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.problems = path, []
        self._archive: tuple[int, zipfile.ZipFile] | None = None

    def names(self) -> list[str]:
        """Every image in the archive."""
        found, self.problems, self.ignored = set(), [], 0
        for info in self._zip().infolist():
            if leads_out(info.filename):
                self.problems.append(Problem(info.filename, "its path leads out of the zip"))
            elif not info.is_dir():
                if is_image(info.filename) and not is_overview(self, info.filename):
                    found.add(info.filename)
                else:
                    self.ignored += 1
        return sorted(found)

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """An entry; no more than its declared size is ever unpacked."""
        info = self._zip().getinfo(name)
        return self._zip().open(info), info.file_size  # type: ignore[return-value]

    def _zip(self) -> zipfile.ZipFile:
        """This process's own handle: a forked one would share its file position with other workers."""
        if self._archive is None or self._archive[0] != os.getpid():
            self._archive = (os.getpid(), zipfile.ZipFile(self.path))
        return self._archive[1]

    def __getstate__(self) -> dict[str, Any]:
        """Open archives stay behind."""
        return {**self.__dict__, "_archive": None}


def is_image(name: str) -> bool:
    """An image by its ending; what file managers leave behind (``__MACOSX``, ``._a.png``) is none."""
    return name.lower().endswith(EXTENSIONS) and not _is_hidden(name)


def is_overview(source: Source, name: str) -> bool:
    """Whether a picture shows many others: ``grid.png`` or ``sheet.png``, with the mark that this package writes."""
    return OVERVIEW.fullmatch(PurePosixPath(name).name) is not None and has_mark(source, name, "overview")


def has_mark(source: Source, name: str, mark: str) -> bool:
    """Whether this package wrote a picture as what ``mark`` says: ``overview`` or ``sample``."""
    try:
        file, _ = source.open(name)
        with file:
            return f"tEXt{MARK}\0{mark}".encode() in file.read(256)  # the chunk after a PNG's header
    except Exception:  # told with its name when it is read
        return False


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def leads_out(name: str) -> bool:
    """Whether an entry of an archive would lie outside the folder that it is unpacked in."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name) is not None


def _is_loop(path: str) -> bool:
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False

"""List and open image files in folders and zips."""

from __future__ import annotations

import errno
import os
import re
import stat
import zipfile
from collections import defaultdict, deque
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from lightning_gans.data.arrays import InArray
from lightning_gans.data.decoding import Unreadable, reason
from lightning_gans.data.source import FileError, Source
from lightning_gans.images.files import EXTENSIONS, MARK


def printable(text: str) -> str:
    """Return text for a terminal: what a file name may hold beside letters, control characters say, is written out."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


OVERVIEW = re.compile(r"(grid|sheet(_\d+)?)\.png")


def check_exists(root: str, key: str = "data.root") -> None:
    """Refuse what is no folder and no file, or may not be looked at.

    Raises:
        FileNotFoundError: It is not there; by the key that named it.
        ValueError: It is a device, a pipe or the like, or the system keeps it from us.
    """
    wanted = "give a folder or a zip of images"
    try:
        mode = os.stat(Path(root).expanduser()).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{key}={root}: does not exist; {wanted}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{key}={printable(root)}: cannot be read ({reason(error)}); {wanted}") from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise ValueError(f"{key}={root}: is a device, pipe or socket; {wanted}")


def is_zip(root: str, key: str = "data.root") -> bool:
    """Return whether a path, which must exist, is a zip.

    Raises:
        FileNotFoundError, ValueError: See ``check_exists``; a file that may not be read is no other file.
    """
    check_exists(root, key)
    path = Path(root).expanduser()
    try:
        if path.is_dir():
            return False
        with open(path, "rb") as file:  # by its path alone zipfile takes what may not be read for something else
            return zipfile.is_zipfile(file)
    except OSError as error:
        raise ValueError(f"{key}={root}: cannot be read ({reason(error)})") from error


def source_at(root: str, key: str = "data.root") -> Source:
    """Open a folder, zip or ``.npz`` array of images, to be listed and read.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is neither, or cannot be read.
    """
    path = Path(root).expanduser()
    if path.suffix == ".npz" and path.is_file():
        return InArray(path, key)
    if not is_zip(root, key):
        if path.is_dir():
            return OnDisk(path)
        raise ValueError(f"{key}={root}: is neither a folder nor a zip")
    try:
        return InZip(path)
    except Exception as error:  # zipfile has many
        raise ValueError(f"{key}={root}: is a zip that cannot be read ({reason(error)})") from error


def no_images(source: Source) -> str:
    """Return the message for a place without images."""
    found = f"; {source.problems[0].name}: {source.problems[0].reason}" if source.problems else ""
    return f"no images ({', '.join(EXTENSIONS)}){found}"


class OnDisk(Source):
    """List and read images under a folder.

    Symbolic links are followed; a folder is read once, so that they cannot lead in circles.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.problems = root, []

    def names(self) -> list[str]:
        """List every image under the folder, sorted; hidden files and folders are passed over."""
        found, self.problems, self.ignored = [], [], 0
        seen: set[tuple[int, int]] = set()
        folders, links = deque([""]), deque[str]()  # linked folders come last, so that it is they that repeat
        while folders or links:
            folder = folders.popleft() if folders else links.popleft()
            try:
                status = os.stat(self.root / folder)
                if (status.st_dev, status.st_ino) in seen:
                    self.problems.append(FileError(folder, "a symbolic link to a folder that was read already"))
                    continue
                seen.add((status.st_dev, status.st_ino))
                entries = sorted(os.scandir(self.root / folder), key=lambda entry: entry.name)
            except OSError as error:
                self.problems.append(FileError(folder or ".", error.strerror or str(error)))
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
                    self.problems.append(FileError(name, os.strerror(errno.ELOOP)))
                else:
                    self.ignored += 1
        return sorted(found)

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """Open a regular file; pipes and devices, which would be waited for, are refused."""
        status = os.stat(self.root / name)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("not a regular file")
        return open(self.root / name, "rb"), status.st_size


class InZip(Source):
    """List and read images in a zip in place; entries whose paths lead out of it are not used.

    Backslashes, which some Windows programs write, part folders as slashes do.

    Args:
        path: The zip.

    Raises:
        OSError, zipfile.BadZipFile: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.problems = path, []
        self._archive: tuple[int, zipfile.ZipFile, dict[str, list[zipfile.ZipInfo]]] | None = None
        self._opened()

    def names(self) -> list[str]:
        """List every image in the archive, sorted."""
        archive, entries = self._opened()
        outside = [info.filename for info in archive.infolist() if leads_out(info.filename)]
        self.problems, self.ignored = [FileError(name, "its path leads out of the zip") for name in outside], 0
        found = []
        for name, several in entries.items():
            if not is_image(name) or is_overview(self, name):
                self.ignored += len(several)
                continue
            found.append(name)
            if len(several) > 1:
                told = f"the zip has {len(several)} entries of this name; only the last is read"
                self.problems.append(FileError(name, told))
        return sorted(found)

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """Open an entry; no more than its declared size is ever unpacked.

        Raises:
            Unreadable: It is encrypted, or packed by a method that Python does not know.
        """
        archive, entries = self._opened()
        if name not in entries:
            raise Unreadable("no such entry in the zip")
        info = entries[name][-1]  # as unzip leaves it
        if info.flag_bits & 1:
            raise Unreadable("encrypted; unpack the zip with its password, and give the folder")
        try:
            return archive.open(info), info.file_size  # type: ignore[return-value]
        except NotImplementedError as error:
            raise Unreadable(f"packed by a method that Python does not know, number {info.compress_type}") from error

    def _opened(self) -> tuple[zipfile.ZipFile, dict[str, list[zipfile.ZipInfo]]]:
        """Return this process's own handle and its files by name; a forked handle would share its file position."""
        if self._archive is None or self._archive[0] != os.getpid():
            archive, entries = zipfile.ZipFile(self.path), defaultdict[str, list[zipfile.ZipInfo]](list)
            for info in archive.infolist():
                if not leads_out(info.filename) and not info.filename.endswith(("/", "\\")):  # a folder
                    entries[str(PurePosixPath(info.filename.replace("\\", "/")))].append(info)
            self._archive = (os.getpid(), archive, entries)
        return self._archive[1:]

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the open archive."""
        return {**self.__dict__, "_archive": None}


def is_image(name: str) -> bool:
    """Return whether a name ends as an image's does and is no file manager's leftover (``__MACOSX``, ``._a.png``)."""
    return name.lower().endswith(EXTENSIONS) and not _is_hidden(name)


def is_overview(source: Source, name: str) -> bool:
    """Return whether a picture shows many others: ``grid.png`` or ``sheet.png`` with the mark of this package."""
    return OVERVIEW.fullmatch(PurePosixPath(name).name) is not None and has_mark(source, name, "overview")


def has_mark(source: Source, name: str, mark: str) -> bool:
    """Return whether this package wrote a picture as what ``mark`` says: ``overview`` or ``sample``."""
    try:
        return f"tEXt{MARK}\0{mark}".encode() in source.start(name, 256)  # the chunk after a PNG's header
    except Unreadable:  # told with its name when it is read
        return False


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def leads_out(name: str) -> bool:
    """Return whether an entry of an archive would lie outside the folder that it is unpacked in."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name) is not None


def _is_loop(path: str) -> bool:
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False

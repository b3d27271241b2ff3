"""Obtain published archives: downloaded with resume, checked, unpacked."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

from lightning_gans.data.file_sources import is_image, leads_out, printable

try:
    import fcntl
except ImportError:  # Windows: two processes must not download one file at once
    fcntl = None  # type: ignore[assignment]

TIMEOUT = 30  # seconds without an answer
_PIECE = 2**20  # bytes read at a time


class Archive(NamedTuple):
    """Describe a file that a set is published as.

    Attributes:
        url: Where it is downloaded from.
        size: Bytes, or ``None`` if only the server knows.
        sha256: 64 hex digits, or ``None``: those of the first download hold, and are written beside it.
    """

    url: str
    size: int | None = None
    sha256: str | None = None

    @property
    def about(self) -> str:
        """Return the address and the size in words."""
        return f"{self.url} ({'size unknown' if self.size is None else f'{self.size:,} bytes'})"


def obtain(archive: Archive, place: Path, *, key: str, download: bool = True) -> Path:
    """Check the archive at its place by size and SHA-256; download it first if it is not there.

    A download that was broken off lies beside the place with the ending ``.part``, and the next one goes on from there.
    It gets its name when it is whole and checked. Its hash stands beside it with the ending ``.sha256``; where no other
    is known it is what later files of this name are compared with.

    Args:
        archive: What is wanted.
        place: Path of the file.
        key: What messages begin with, such as ``data.root=data``.
        download: Download it if need be.

    Returns:
        ``place``.

    Raises:
        FileNotFoundError: It is not there and cannot be downloaded.
        ValueError: It is there with another size or hash.
    """
    if not place.is_file():
        if not download:
            raise FileNotFoundError(f"{key}: {place} is not there, and data.download=false. Put {archive.about} there")
        absent = [folder for folder in place.parents if not folder.exists()]
        try:
            _fetch(archive, place, key)
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, _Damaged):
                raise
            part = _part(place)
            kept = part.stat().st_size if part.is_file() else 0
            if part.is_file() and not kept:
                part.unlink()
            rest = f"; {kept:,} bytes lie in {part}, and the next download goes on from there" if kept else ""
            raise FileNotFoundError(
                f"{key}: {place.name} is not there, and was not downloaded ({_reason(error)}). "
                f"Download {archive.about} and put it at {place}{rest}"
            ) from error
        finally:
            for folder in absent:
                with contextlib.suppress(OSError):  # not empty
                    folder.rmdir()
    else:
        _check(archive, place, place, key)
    return place


def unpack(archive: Path, folder: Path, *, key: str) -> Path:
    """Unpack the pictures of a ``tar.gz`` as files under ``folder``, which appears when all of them are there.

    Processes that unpack at once do not disturb each other; the folder of the first of them is used.

    Args:
        archive: The ``tar.gz``.
        folder: What is made; its name is that of the archive's top folder.
        key: What messages begin with.

    Returns:
        ``folder``.

    Raises:
        ValueError: It is damaged, or holds a link, or a path that leads out of it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(archive, "rb") as file, _alone(file):
        if folder.is_dir():  # another process was faster
            return folder
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", suffix=".part", dir=folder.parent) as own:
            try:
                making = Path(own, folder.name)
                making.mkdir()
                _extract(file, making, archive.name)
            except (tarfile.TarError, EOFError, zlib.error, ValueError, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # no space, say
                raise ValueError(
                    f"{key}: {archive} cannot be unpacked ({_reason(error)}); delete it and {archive.name}.sha256, "
                    "then it is downloaded again"
                ) from error
            try:
                os.replace(making, folder)
            except OSError:
                if not folder.is_dir():  # made by another process, where files cannot be locked
                    raise
    return folder


def _extract(archive: BinaryIO, folder: Path, title: str) -> None:
    """Write the pictures of a ``tar.gz``, its top folder being ``folder``."""
    size = os.fstat(archive.fileno()).st_size
    with (
        gzip.open(archive) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
        tqdm(desc=f"unpacking {title}", total=size, unit="B", unit_scale=True, leave=False) as bar,
    ):
        for member in tar:
            if leads_out(member.name):
                raise ValueError(f"{printable(member.name)}: its path leads out of the archive")
            if not (member.isreg() or member.isdir()):
                raise ValueError(f"{printable(member.name)}: neither a file nor a folder")
            parts = [part for part in PurePosixPath(member.name).parts if part != "."]
            content = tar.extractfile(member) if member.isreg() and is_image(member.name) else None
            if content is not None:
                target = folder.joinpath(*(parts[1:] if parts[0] == folder.name else parts))
                target.parent.mkdir(parents=True, exist_ok=True)
                with open(target, "wb") as copy:
                    shutil.copyfileobj(content, copy)
            bar.update(archive.tell() - bar.n)
        while stream.read(_PIECE):  # to the checksum: tarfile takes a tar that ends early for whole
            pass


class _Damaged(ValueError):
    """Report a file that is there, but is not what was published."""


def _part(place: Path) -> Path:
    return place.with_name(place.name + ".part")


def _fetch(archive: Archive, place: Path, key: str) -> None:
    if not archive.url.startswith(("http://", "https://")):
        raise ValueError("its address must begin with http:// or https://")
    place.parent.mkdir(parents=True, exist_ok=True)
    part = _part(place)
    with open(part, "ab") as file, _alone(file):
        if place.is_file():  # another process was faster
            return
        with tqdm(desc=place.name, unit="B", unit_scale=True, unit_divisor=1000, leave=False) as bar:
            while True:  # as long as every connection brings something
                before = file.seek(0, os.SEEK_END)
                try:
                    _stream(archive, file, bar)
                    break
                except (OSError, HTTPException) as error:
                    file.flush()
                    if isinstance(error, HTTPError) or file.seek(0, os.SEEK_END) <= before:
                        raise
        file.flush()
        os.fsync(file.fileno())
        try:
            _check(archive, part, place, key)
        except _Damaged:
            part.unlink()  # what is there is of no use to the next download
            raise
        os.replace(part, place)


def _stream(archive: Archive, file: BinaryIO, bar: tqdm) -> None:
    """Append what is missing of the file, by one connection."""
    have = file.seek(0, os.SEEK_END)
    if archive.size is not None and have > archive.size:
        have = file.truncate(0)
    if have and have == archive.size:
        return
    headers = {"User-Agent": "lightning_gans", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        response = urlopen(Request(archive.url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != 416:  # nothing is left to send, or the part is none of this file
            raise
        if re.fullmatch(rf"bytes \*/{have}", error.headers.get("Content-Range", "")):
            return
        file.truncate(0)
        have, response = 0, urlopen(Request(archive.url, headers={"User-Agent": "lightning_gans"}), timeout=TIMEOUT)
    with response:
        going_on = re.match(rf"bytes {have}-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if response.status == 206 and going_on:
            total: int | None = int(going_on[1])
        else:
            have = file.truncate(0)
            length = response.headers.get("Content-Length")
            total = None if length is None else int(length)
        if archive.size is not None and total not in (None, archive.size):
            raise ValueError(f"the server has {total:,} bytes there")
        bar.total = archive.size if total is None else total
        bar.update(have - bar.n)
        while piece := response.read(_PIECE):
            file.write(piece)
            have += len(piece)
            bar.update(len(piece))
    wanted = archive.size if total is None else total
    if wanted is not None and have < wanted:
        raise ConnectionError(f"the connection ended after {have:,} of {wanted:,} bytes")


def _check(archive: Archive, file: Path, place: Path, key: str) -> None:
    """Compare a file with what is known of it; its hash is written beside ``place``."""
    note = place.with_name(place.name + ".sha256")
    size, digest = file.stat().st_size, _sha256(file)
    pinned = note.read_text(encoding="utf-8").split()[:1] if note.is_file() else []
    known = archive.sha256 or (pinned[0] if pinned else digest)
    if archive.size not in (None, size) or digest != known:
        found = f"{size:,} bytes, SHA-256 {digest}"
        wanted = f"SHA-256 {known} ({'as published' if archive.sha256 else f'as in {note}'})"
        cure = f"delete {place}" if file == place else "it was not kept"
        raise _Damaged(f"{key}: {place.name} has {found}; must be {archive.about} of {wanted}; {cure}")
    if pinned != [digest]:
        with contextlib.suppress(OSError):  # a place that may only be read
            note.write_text(f"{digest}  {place.name}\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def _alone(file: BinaryIO) -> Iterator[None]:
    """Keep other processes of this machine from writing the same file."""
    if fcntl is not None:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
    yield


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"the server answers {error.code} {error.reason}"
    return " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__

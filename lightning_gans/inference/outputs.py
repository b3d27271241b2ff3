"""Refuse to replace files that this package did not write."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from lightning_gans.config.errors import ConfigError
from lightning_gans.data.file_sources import OnDisk, has_mark
from lightning_gans.images.files import EXTENSIONS, MARK


def refuse_foreign(folder: Path, names: Iterable[str], heads: Sequence[str] = ()) -> None:
    """Refuse a folder with files of names that a command writes, unless this package wrote them.

    Args:
        folder: Folder that the command writes to.
        names: Names of its files.
        heads: First characters of its text files; pictures are recognised by their mark.

    Raises:
        ValueError: With the first file that would be lost.
    """
    for path in (folder / name for name in names):
        if path.is_symlink() or (path.exists() and not _is_ours(path, heads)):
            raise ConfigError("out", folder, f"has {path.name}, which is not of this command; choose another folder")


def _is_ours(path: Path, heads: Sequence[str]) -> bool:
    try:
        with path.open("rb") as file:
            start, end = file.read(1024), b""
            if start.startswith(b"GIF") or start[4:8] == b"ftyp":  # whose comment may be the last block
                file.seek(max(0, path.stat().st_size - 64))
                end = file.read()
    except OSError:
        return False
    marks = [f"tEXt{MARK}\0".encode(), *([MARK.encode()] if start.startswith(b"GIF") or start[4:8] == b"ftyp" else [])]
    return any(mark in start + end for mark in marks) or start.startswith(tuple(head.encode() for head in heads))


def older_samples(out: str | os.PathLike[str], *, overwrite: bool) -> list[Path]:
    """Return the files of earlier samples in a folder, to delete once new ones are written.

    Args:
        out: The folder, which need not exist.
        overwrite: Allow earlier samples to be deleted; other pictures never are.

    Raises:
        ValueError: Earlier samples are there without ``overwrite``, or other pictures.
    """
    folder = Path(out)
    if not folder.is_dir():
        return []
    source = OnDisk(folder)
    inside = [path for path in folder.iterdir() if path.is_dir() and path.name.isdecimal()]  # of classes
    places = [folder, *inside]
    found = sorted(path for place in places for path in place.iterdir() if path.name.lower().endswith(EXTENSIONS))
    names = {path: path.relative_to(folder).as_posix() for path in found}
    ours = [
        path for path, name in names.items() if any(has_mark(source, name, mark) for mark in ("sample", "overview"))
    ]
    foreign = [path for path in found if path not in ours]
    arrays = [path for path in [folder / "samples.npz"] if path.exists()]
    if foreign:
        count = f"{len(foreign)} pictures that are no samples of this command, e.g. {names[foreign[0]]}"
        raise ConfigError("out", out, f"has {count}; choose another folder")
    if (ours or arrays) and not overwrite:
        count = f"{len(ours + arrays)} files of earlier samples, e.g. {(ours + arrays)[0].name}"
        raise ConfigError("out", out, f"has {count}; choose another folder, or say overwrite=true")
    return ours + arrays

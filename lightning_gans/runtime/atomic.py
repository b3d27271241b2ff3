"""Write files atomically, and keep older ones that are in the way."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path, *, flushed: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it to ``path`` at the end of the block.

    A process that is killed inside leaves an older file whole; one that fails removes the temporary file. Parent
    folders are created; several processes may write the same file.

    Args:
        path: The file.
        flushed: Wait for the disk (fsync) before renaming, so that a power cut does no harm either.

    A symbolic link is itself replaced, never the file that it points to.

    Raises:
        OSError: The file cannot be written; its name is given even if the system's error had none (a full disk).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)  # of a killed process that had the same number
    try:
        yield temporary
        if flushed:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        failure = _disk_failure(error)
        if failure is None or failure.filename not in (None, str(temporary), temporary):
            raise
        raise OSError(failure.errno, failure.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _disk_failure(error: BaseException | None) -> OSError | None:
    """Return the ``OSError`` that caused an error, if any: ``torch.save`` turns a full disk into a ``RuntimeError``."""
    while error is not None and not (isinstance(error, OSError) and error.errno is not None):
        error = error.__cause__ or error.__context__
    return error


def kept_id(path: Path, what: str) -> str | None:
    """Return the id that an earlier session wrote; a file that holds none is renamed to ``NAME.broken``.

    Args:
        path: The file.
        what: Whose id it is, for the message.
    """
    found = re.fullmatch(rb"[\w-]{1,128}", path.read_bytes().strip())
    if found is None:
        set_aside(path, f"not the id of {what}")
    return found[0].decode() if found else None


def write_text(path: Path, text: str) -> Path:
    """Write a UTF-8 text file atomically and return its path; surrogates of undecodable names become ``?``."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")
    return path


def refuse_existing(path: Path, *, overwrite: bool, key: str = "out") -> None:
    """Refuse to replace an output file, before the work for it begins.

    Raises:
        ValueError: The file exists, and ``overwrite`` is false.
    """
    if os.path.lexists(path) and not path.is_dir() and not overwrite:
        raise ValueError(f"{key}={path}: is there already; choose another file, or say overwrite=true")


def set_aside(path: Path, reason: str, ending: str = "broken") -> None:
    """Rename a file or folder to ``NAME.broken`` (``NAME.broken-2``, ...) and print one line about it.

    Args:
        path: The file or folder.
        reason: Why it cannot be used, for the line.
        ending: Suffix of the new name.

    Raises:
        OSError: It cannot be renamed.
    """
    number, aside = 1, path.with_name(f"{path.name}.{ending}")
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}.{ending}-{number}")
    path.rename(aside)
    print(f"{path}: {reason}; set aside as {aside.name}, and a new one is begun", file=sys.stderr)

"""Files that are there whole or not at all, and older ones that stay."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path, *, flushed: bool = False) -> Iterator[Path]:
    """A temporary path beside ``path``, which takes its place at the end of the block.

    A process that is killed inside leaves an older file whole, and one that fails removes what it began. Folders are
    made if need be; several processes may write the same file.

    Args:
        path: The file.
        flushed: Wait until the disk has it before it takes its place, so that a power cut does no harm either.

    A symbolic link is replaced itself, and never the file that it points to.

    Raises:
        OSError: It cannot be written, with the file's name even if a full disk gave none.
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
    """The system's error behind one, if there is any: ``torch.save`` makes a ``RuntimeError`` of a full disk."""
    while error is not None and not (isinstance(error, OSError) and error.errno is not None):
        error = error.__cause__ or error.__context__
    return error


def write_text(path: Path, text: str) -> Path:
    """Write a text file as UTF-8, whole or not at all; return its path. Names that are no text get question marks."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")
    return path


def refuse_existing(path: Path, *, overwrite: bool, key: str = "out") -> None:
    """Refuse to replace a file, before the work begins whose outcome would be written there.

    Raises:
        ValueError: It is there, and ``overwrite`` is false.
    """
    if os.path.lexists(path) and not path.is_dir() and not overwrite:
        raise ValueError(f"{key}={path}: is there already; choose another file, or say overwrite=true")


def set_aside(path: Path, reason: str, ending: str = "broken") -> None:
    """Rename a file or folder to ``NAME.broken``, or ``NAME.broken-2`` and so on, and say so in one line.

    Args:
        path: What is in the way.
        reason: Why it is no use.
        ending: What stands behind its name.

    Raises:
        OSError: It cannot be renamed.
    """
    number, aside = 1, path.with_name(f"{path.name}.{ending}")
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}.{ending}-{number}")
    path.rename(aside)
    print(f"{path}: {reason}; set aside as {aside.name}, and a new one is begun", file=sys.stderr)

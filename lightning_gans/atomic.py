"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_whole(path: Path, *, flushed: bool = False) -> Iterator[Path]:
    """A temporary path beside ``path``, which takes its place at the end of the block.

    A process that is killed inside leaves an older file whole, and one that fails removes what it began. Folders are
    made if need be; several processes may write the same file.

    Args:
        path: The file.
        flushed: Wait until the disk has it before it takes its place, so that a power cut does no harm either.

    Raises:
        OSError: It cannot be written.
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
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)

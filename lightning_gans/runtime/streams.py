"""Keep standard output and error from ending a run when they are closed, full, piped to ``head`` or not UTF-8."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

NAMES = {1: "stdout", 2: "stderr"}  # by file descriptor


class ForgivingStream:
    """Forward text to a stream; drop what cannot be written and replace what cannot be encoded by ``?``.

    All other attributes are the stream's.

    Args:
        stream: A standard stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        # the others, of standard error say, raise nothing
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        """Write text and ignore failures of the stream."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed
            self.stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts, one after another."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the buffer and ignore failures of the stream."""
        with contextlib.suppress(OSError, ValueError):
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def forgiving_streams() -> Iterator[None]:
    """Make printing inside the block, and flushing after it, never raise.

    A standard descriptor that the shell has closed is opened on the null device; otherwise the next file to be opened
    would get its number, and with it the text that libraries write to standard error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    before = {name: getattr(sys, name) for name in NAMES.values()}
    for name, stream in before.items():
        setattr(sys, name, ForgivingStream(stream or open(os.devnull, "w", encoding="utf-8")))  # noqa: SIM115
    try:
        yield
    finally:
        for name, stream in before.items():
            _flush_or_drop(stream)
            setattr(sys, name, stream)


def _flush_or_drop(stream: TextIO | None) -> None:
    """Flush a stream, into the null device if it fails: a failure at exit would set the exit code to 120."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())  # type: ignore[union-attr]
            os.close(null)

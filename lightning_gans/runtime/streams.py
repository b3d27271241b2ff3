"""Standard output and error that cannot end a run: closed, full, read by ``head``, or of a narrow encoding."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

NAMES = {1: "stdout", 2: "stderr"}  # by file descriptor


class ForgivingStream:
    """Pass text on to a stream; what cannot be written is lost, and what cannot be encoded is replaced by ``?``.

    Everything else is the stream's.

    Args:
        stream: A standard stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        # the others, of standard error say, raise nothing
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        """Write text; a failure of the stream is passed over."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed
            self.stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what waits in the buffer; a failure of the stream is passed over."""
        with contextlib.suppress(OSError, ValueError):
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def forgiving_streams() -> Iterator[None]:
    """Let nothing that is printed inside the block raise, and nothing that is left to print afterwards.

    A descriptor that the shell has closed is opened on the null device: the next file to be opened would take its
    number, and with it what libraries write to standard error.
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
    """Empty a stream's buffer, into the null device if need be: a failure at exit would set the exit code to 120."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())  # type: ignore[union-attr]
            os.close(null)

"""Warn instead of ending a training when a file that it can do without cannot be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn


@contextmanager
def warn_on_os_error(path: Path | str) -> Iterator[None]:
    """Turn an ``OSError`` of the block, which writes ``path``, into a warning."""
    try:
        yield
    except OSError as error:
        rank_zero_warn(f"could not write {path} ({error}); training goes on")

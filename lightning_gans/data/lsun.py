"""LSUN."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lightning_gans.data.decoding import Unreadable
from lightning_gans.data.downloads import require
from lightning_gans.data.files import FileData
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.source import Source

CATEGORIES = (
    "bedroom",
    "bridge",
    "church_outdoor",
    "classroom",
    "conference_room",
    "dining_room",
    "kitchen",
    "living_room",
    "restaurant",
    "tower",
)


class LSUN(FileData):
    """One category of LSUN scenes (Yu et al. 2015, arXiv:1506.03365), read by workers from its LMDB.

    The layout is torchvision's; its reader is not used, since it keeps the keys in a pickle in the working folder.

    Args:
        root: Folder that holds ``bedroom_train_lmdb`` and the like.
        category: One of the ten.
        part: ``train`` or ``val``.
        **options: See ``FileData``.
    """

    URL = "http://dl.yf.io/lsun/scenes"

    def __init__(self, *, root: str = "data", category: str = "bedroom", part: str = "train", **options: Any) -> None:
        super().__init__(root=root, **options)
        require("lmdb", "LSUN")
        if category not in CATEGORIES:
            raise ValueError(f"data.category={category}: must be one of {', '.join(CATEGORIES)}")
        if part not in ("train", "val"):
            raise ValueError(f"data.part={part}: must be train or val")
        if self.num_classes is not None:
            raise ValueError(f"data.num_classes={self.num_classes}: one category has no classes; must be null")
        self.category, self.part = category, part

    def files(self) -> ImageFiles:
        """The images of the category; ``limit`` takes the first ones, whose keys are hashes and hence in no order."""
        name = f"{self.category}_{self.part}_lmdb"
        path = Path(self.root).expanduser() / name
        if not (path / "data.mdb").is_file():
            raise FileNotFoundError(
                f"data.root={self.root}: LSUN is not there, and torchvision does not download it. Fetch {self.URL}/"
                f"{name}.zip and unpack it, so that {path / 'data.mdb'} exists"
            )
        source = InLMDB(path)
        return self.make_files(source, source.names(self.limit))


class InLMDB(Source):
    """Images that are the values of an LMDB.

    Args:
        path: Its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.problems = path, []

    def names(self, limit: int | None = None) -> list[str]:
        """The (first ``limit``) keys, in their order."""
        with _reading(self.path) as transaction:
            keys = transaction.cursor().iternext(keys=True, values=False)
            return [os.fsdecode(key) for key in itertools.islice(keys, limit)]

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """One value."""
        with _reading(self.path) as transaction:
            value = transaction.get(os.fsencode(name))
        if value is None:
            raise Unreadable("no such key")
        return io.BytesIO(value), len(value)


_TURN = threading.Lock()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """A transaction of its own.

    Opened for every read, which takes 0.03 ms: LMDB wants a database opened once a process and not carried across a
    fork.
    """
    import lmdb

    with _TURN:
        try:
            environment = lmdb.open(str(path), readonly=True, lock=False, readahead=False, meminit=False)
        except lmdb.Error as error:
            raise ValueError(f"{path}: cannot be read as an LMDB ({error})") from error
        with environment, environment.begin() as transaction:
            yield transaction

"""Read LSUN."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.data.decoding import Unreadable
from lightning_gans.data.downloads import require
from lightning_gans.data.files import FileReader, reader_of
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import FileOptions, shared_options
from lightning_gans.data.source import Source
from lightning_gans.data.spec import ImageSpec

Part = Literal["train", "val"]
Category = Literal[
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
]
URL = "http://dl.yf.io/lsun/scenes"


class LSUN(ImageDataModule):
    """Read one category of LSUN scenes (Yu et al. 2015, arXiv:1506.03365) from its LMDB, by workers.

    The layout is torchvision's; its reader is not used, since it keeps the keys in a pickle in the working folder.

    Args:
        root: Folder that holds ``bedroom_train_lmdb`` and the like.
        category: One of the ten.
        part: ``train`` or ``val``.
        **options: See ``ImageDataModule`` and ``FileReader``.

    Raises:
        ValueError: A value out of range, or lmdb is not installed.
    """

    @checked
    def __init__(
        self,
        *,
        root: str = "data",
        category: Category = "bedroom",
        part: Part = "train",
        **options: Unpack[FileOptions],
    ) -> None:
        source = LSUNSource(root, category, part, reader_of(options))
        super().__init__(source=source, **shared_options(options))


class LSUNSource(ImageSource):
    """Give the images of one category of LSUN.

    Args:
        root: Folder of the LMDBs.
        category: One of the ten.
        split: ``train`` or ``val``.
        reader: Reader of the files.

    Raises:
        ValueError: lmdb is not installed.
    """

    reader: FileReader

    def __init__(self, root: str, category: Category, split: Part, reader: FileReader) -> None:
        require("lmdb", "LSUN")
        self.root, self.category, self.split, self.reader = root, category, split, reader

    def check(self, spec: ImageSpec) -> None:
        """Refuse classes, which one category does not have."""
        super().check(spec)
        if spec.num_classes is not None:
            raise ConfigError("data.num_classes", spec.num_classes, "one category has no classes; must be null")

    def load(self, spec: ImageSpec) -> ImageDataset:
        """List the images, and decode them if they fit in memory."""
        return self.reader.in_memory(*self.files(spec).values())[0]

    def files(self, spec: ImageSpec) -> dict[str, ImageFiles]:
        """Return the images of the category; ``limit`` takes the first ones, whose keys are hashes in no order."""
        name = f"{self.category}_{self.split}_lmdb"
        path = Path(self.root).expanduser() / name
        if not (path / "data.mdb").is_file():
            raise FileNotFoundError(
                f"data.root={self.root}: LSUN is not there, and torchvision does not download it. Fetch {URL}/"
                f"{name}.zip and unpack it, so that {path / 'data.mdb'} exists"
            )
        source = InLMDB(path)
        return {"images": self.reader.files(source, source.names(spec.max_images), spec, root=self.root)}


class InLMDB(Source):
    """Read images that are the values of an LMDB.

    Args:
        path: Its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.problems = path, []

    def names(self, max_images: int | None = None) -> list[str]:
        """Return the keys in their order, or the first ``max_images``."""
        with _reading(self.path) as transaction:
            keys = transaction.cursor().iternext(keys=True, values=False)
            return [os.fsdecode(key) for key in itertools.islice(keys, max_images)]

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """Open one value."""
        with _reading(self.path) as transaction:
            value = transaction.get(os.fsencode(name))
        if value is None:
            raise Unreadable("no such key")
        return io.BytesIO(value), len(value)


_TURN = threading.Lock()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """Open a transaction for one read, which takes 0.03 ms.

    LMDB wants a database opened once a process and not carried across a fork.
    """
    import lmdb

    with _TURN:
        try:
            environment = lmdb.open(str(path), readonly=True, lock=False, readahead=False, meminit=False)
        except lmdb.Error as error:
            raise ValueError(f"{path}: cannot be read as an LMDB ({error})") from error
        with environment, environment.begin() as transaction:
            yield transaction

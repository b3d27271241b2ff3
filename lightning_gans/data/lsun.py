"""Read LSUN."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch
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
from lightning_gans.data.subset import spread

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
    """Read categories of LSUN scenes (Yu et al. 2015, arXiv:1506.03365) from their LMDBs, by workers.

    The layout is torchvision's; its reader is not used, since it keeps the keys in a pickle in the working folder.

    Args:
        root: Folder that holds ``bedroom_train_lmdb`` and the like.
        category: One of the ten, or a list of some, which are the classes, in this order, where ``num_classes`` says
            how many.
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
        category: Category | list[Category] = "bedroom",
        part: Part = "train",
        **options: Unpack[FileOptions],
    ) -> None:
        categories = [category] if isinstance(category, str) else category
        source = LSUNSource(root, categories, part, reader_of(options))
        super().__init__(source=source, **shared_options(options))


class LSUNSource(ImageSource):
    """Give the images of some categories of LSUN.

    Args:
        root: Folder of the LMDBs.
        categories: Some of the ten.
        split: ``train`` or ``val``.
        reader: Reader of the files.

    Raises:
        ValueError: lmdb is not installed, or there is no category, or one twice.
    """

    reader: FileReader

    def __init__(self, root: str, categories: list[Category], split: Part, reader: FileReader) -> None:
        require("lmdb", "LSUN")
        if not categories or len(set(categories)) < len(categories):
            raise ConfigError("data.category", categories, "must be a category, or a list of different ones")
        self.root, self.categories, self.split, self.reader = root, categories, split, reader

    def check(self, spec: ImageSpec) -> None:
        """Refuse another number of classes than there are categories."""
        super().check(spec)
        n = len(self.categories)
        if spec.num_classes is not None and n == 1:
            rule = "one category has no classes; must be null, or say several, data.category=[bedroom,kitchen]"
            raise ConfigError("data.num_classes", spec.num_classes, rule)
        if spec.num_classes not in (None, n):
            raise ConfigError("data.num_classes", spec.num_classes, f"must be {n}, the number of categories, or null")

    def load(self, spec: ImageSpec) -> ImageDataset:
        """List the images, and decode them if they fit in memory."""
        return self.reader.in_memory(*self.files(spec).values())[0]

    def files(self, spec: ImageSpec) -> dict[str, ImageFiles]:
        """Return the images; ``limit`` takes the first ones of each category, whose keys are hashes in no order."""
        sources: dict[str, InLMDB] = {category: InLMDB(self._folder(category)) for category in self.categories}
        numbers = torch.arange(len(sources))
        labels = numbers.repeat_interleave(torch.tensor([len(source) for source in sources.values()]))
        labels = labels[spread(len(labels), spec.max_images, labels)]  # how many of each
        shares = labels.bincount(minlength=len(sources)).tolist()
        names = {key: one.names(n) for (key, one), n in zip(sources.items(), shares, strict=True)}
        if len(sources) == 1:
            (source,), (listed,) = sources.values(), names.values()
            return {"images": self.reader.files(source, listed, spec, root=self.root)}
        files = self.reader.files(
            InSources(sources),
            [f"{key}/{name}" for key, some in names.items() for name in some],
            spec,
            root=self.root,
            labels=labels if spec.num_classes else None,
            classes=list(sources),
        )
        return {"images": files}

    def _folder(self, category: Category) -> Path:
        name = f"{category}_{self.split}_lmdb"
        path = Path(self.root).expanduser() / name
        if not (path / "data.mdb").is_file():
            raise FileNotFoundError(
                f"data.root={self.root}: LSUN is not there, and torchvision does not download it. Fetch {URL}/"
                f"{name}.zip and unpack it, so that {path / 'data.mdb'} exists"
            )
        return path


class InSources(Source):
    """Read the images of several sources; their names begin with the source's: ``bedroom/NAME``.

    Args:
        sources: By name.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources, self.problems = sources, [problem for one in sources.values() for problem in one.problems]

    def names(self) -> list[str]:
        """Return the names of all images, source by source."""
        return [f"{key}/{name}" for key, source in self.sources.items() for name in source.names()]

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """Open an image of its source."""
        key, _, rest = name.partition("/")
        return self.sources[key].open(rest)


class InLMDB(Source):
    """Read images that are the values of an LMDB.

    Args:
        path: Its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.problems = path, []

    def __len__(self) -> int:
        """Return the number of values."""
        with _reading(self.path) as transaction:
            return int(transaction.stat()["entries"])

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

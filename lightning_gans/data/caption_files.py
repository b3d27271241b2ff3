"""Read pictures with captions of your own: text files beside them, or a table of file names and texts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import torch
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import checked
from lightning_gans.data import published_captions
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.captions import CaptionedImages, number_captions
from lightning_gans.data.decoding import Unreadable, reason
from lightning_gans.data.files import FileReader, reader_of
from lightning_gans.data.folder import FolderSource
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import FileOptions, shared_options
from lightning_gans.data.source import FileError, Source
from lightning_gans.data.spec import ImageSpec

TABLES = ("metadata.csv", "metadata.jsonl")
LARGEST = {".txt": 2**20, ".csv": 2**29, ".jsonl": 2**29}  # bytes of a text file that are read


class CaptionFolder(ImageDataModule):
    """Read pictures with captions in a folder or a zip.

    Captions are the lines of a ``.txt`` file of the picture's name beside it; or the ``text`` of ``metadata.csv`` or
    ``metadata.jsonl``, whose ``file_name`` is a path from there (several rows, or in JSON a list, are several
    captions); or the pickles that StackGAN's authors published for birds and flowers, see ``published_captions``. A
    picture without a caption counts as a file that cannot be read.

    Args:
        root: The folder or zip.
        within: Use only what is under this sub-folder, e.g. ``train``; ``None``: everything.
        **options: See ``ImageDataModule`` and ``FileReader``; ``num_classes`` as of ``Folder``.

    Raises:
        FileNotFoundError: There is no such folder or zip.
        ValueError: A value out of range.
    """

    @checked
    def __init__(self, *, root: str, within: str | None = None, **options: Unpack[FileOptions]) -> None:
        super().__init__(source=CaptionSource(root, within, reader_of(options)), **shared_options(options))


class CaptionSource(ImageSource):
    """Give pictures, their captions and classes.

    Args:
        root: The folder or zip.
        within: Sub-folder; ``None``: everything.
        reader: Reader of the pictures.
    """

    reader: FileReader

    def __init__(self, root: str, within: str | None, reader: FileReader) -> None:
        self.root, self.within, self.reader = root, within, reader
        self.split = within or self.split
        self.published = published_captions.find(root, within)

    def check(self, spec: ImageSpec) -> None:
        """Refuse a place that is not there."""
        super().check(spec)
        if self.published is None:
            FolderSource(self.root, self.within, self.reader).check(spec)

    def files(self, spec: ImageSpec) -> dict[str, ImageFiles]:
        """Return the pictures that have captions; of others ``on_error`` decides."""
        return {"images": self._files(spec)[0]}

    def load(self, spec: ImageSpec) -> CaptionedImages:
        """List the pictures and captions, and decode the pictures if they fit in memory."""
        if self.published is not None:
            return self.published.load(spec, self.reader)
        files, captions = self._files(spec)
        classes, files.labels = files.labels, torch.arange(len(files))
        images = self.reader.in_memory(files)[0]
        return CaptionedImages(images, number_captions(captions), classes, classes=files.classes)

    def load_test(self, spec: ImageSpec) -> CaptionedImages | None:
        """Return the test part of a published set; ``None`` of other sets."""
        test = None if self.published is None else self.published.test
        return None if test is None else test.load(spec, self.reader)

    def _files(self, spec: ImageSpec) -> tuple[ImageFiles, list[list[str]]]:
        if self.published is not None:
            return self.published.files(spec, self.reader), []
        files = FolderSource(self.root, self.within, self.reader).files(spec)["images"]
        found = list(captions_of_files(files.source, files.names))
        kept = [i for i, texts in enumerate(found) if isinstance(texts, list)]
        files.source.problems += [problem for problem in found if isinstance(problem, FileError)]
        if not kept:
            rule = "no picture has a caption: needs .txt files of the same names, metadata.csv or metadata.jsonl"
            raise ConfigError("data.root", self.root, rule)
        files.names = [files.names[i] for i in kept]
        files.labels = None if files.labels is None else files.labels[torch.tensor(kept)]
        return files, [texts for texts in found if isinstance(texts, list)]


def captions_of_files(source: Source, names: Sequence[str]) -> Iterator[list[str] | FileError]:
    """Yield the captions of every picture, or why it has none.

    Raises:
        ValueError: A table cannot be read.
    """
    tables: dict[str, list[str]] = {}
    for folder in dict.fromkeys(str(parent) for name in names for parent in PurePosixPath(name).parents):
        for table in TABLES:
            for name, texts in _read_table(source, str(PurePosixPath(folder, table))):
                tables.setdefault(name, []).extend(texts)
    for name in names:
        try:
            text = None if name in tables else read_text(source, str(PurePosixPath(name).with_suffix(".txt")))
        except Unreadable as error:
            yield FileError(name, f"its caption: {error}")
            continue
        lines = tables.get(name) or (text or "").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        yield said or FileError(name, "has no caption")


def read_text(source: Source, name: str) -> str | None:
    """Read a text file in UTF-8; ``None`` if it is not there.

    Raises:
        Unreadable: It is too large, no text, or cannot be read.
    """
    largest = LARGEST[PurePosixPath(name).suffix]
    try:
        file, size = source.open(name)
        with file:
            if size > largest:
                raise Unreadable(f"{PurePosixPath(name).name} has {size:,} bytes; at most {largest:,}")
            return file.read().decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except Exception as error:
        if "no such entry" in str(error):
            return None
        raise Unreadable(reason(error)) from error


def _read_table(source: Source, name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield file names, as the source has them, and their captions."""
    try:
        text = read_text(source, name)
        if text is None:
            return
        rows: list[Any]
        if name.endswith(".csv"):
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
        else:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        for row in rows:
            file, said = row["file_name"], row["text"]
            texts = said if isinstance(said, list) else [said]
            if not isinstance(file, str) or not all(isinstance(one, str) for one in texts):
                raise TypeError("file_name and text must be texts")
            yield str(PurePosixPath(name).parent / PurePosixPath(file)), texts
    except Exception as error:  # damaged tables fail anywhere
        rule = f"{name}: cannot be read as a table with file_name and text ({type(error).__name__}: {error})"
        raise ConfigError("data.root", name, rule) from error

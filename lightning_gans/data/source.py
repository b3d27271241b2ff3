"""List and read encoded images, with one kind of error whatever went wrong."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal, NamedTuple

from annotated_types import Ge, Le
from lightning.pytorch.utilities import rank_zero_warn
from tqdm import tqdm

from lightning_gans.data.decoding import (
    BACKGROUND,
    BITS,
    BYTES_PER_PIXEL,
    FORMATS,
    MAX_PIXELS,
    Decoder,
    Picture,
    Unreadable,
    reason,
)
from lightning_gans.runtime.aliases import moved_from

Bits = Annotated[int, Ge(1), Le(BITS)] | Literal["auto"] | None


class FileError(NamedTuple):
    """Describe a file that cannot be used, and why."""

    name: str
    reason: str


class Source(ABC):
    """Give access to encoded images: their names and their bytes.

    Attributes:
        problems: What was found beside the images and cannot be used.
        ignored: How many files are no images by their names.
        bits: What ``decoder_of`` found that the values of 16-bit pictures take; 0: there are none; ``None``: not asked.
    """

    problems: list[FileError]
    ignored: int = 0
    bits: int | None = None

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of the images, sorted."""

    @abstractmethod
    def open(self, name: str) -> tuple[BinaryIO, int]:
        """Open a file to read from; return it and its size in bytes."""

    def start(self, name: str, size: int) -> bytes:
        """Read the first ``size`` bytes of a file.

        Raises:
            Unreadable: Whatever kept them from being read.
        """
        try:
            with self.open(name)[0] as file:
                return file.read(size)
        except Exception as error:  # the system, zipfile, zlib and LMDB have errors of their own
            raise Unreadable(reason(error)) from error

    def read(self, name: str, max_bytes: int) -> bytes:
        """Read the whole file, if it begins as an image does and is not too large.

        Raises:
            Unreadable: It does not, or is, or whatever else kept it from being read.
        """
        try:
            file, size = self.open(name)
            with file:
                start = file.read(16)
                if not start:
                    raise Unreadable("the file is empty")
                if not start.startswith(tuple(sum(FORMATS.values(), ()))):
                    raise Unreadable(f"not an image: it begins with {start[:8]!r}")
                if size > max_bytes:
                    raise Unreadable(f"{size:,} bytes; more than {BYTES_PER_PIXEL} for each of data.max_pixels")
                return start + file.read()
        except Exception as error:
            raise Unreadable(reason(error)) from error

    def picture(self, name: str, decoder: Decoder) -> Picture:
        """Read a file and its header as an image's.

        Raises:
            Unreadable: It is none, or cannot be read.
        """
        try:
            return decoder.open(self.read(name, decoder.max_bytes))
        except Exception as error:  # a damaged file can fail anywhere in Pillow
            raise Unreadable(reason(error)) from error


def decoder_of(
    source: Source,
    *,
    max_pixels: int = MAX_PIXELS,
    background: str | None = BACKGROUND,
    bits: Bits = None,
    names: Sequence[str] | None = None,
) -> Decoder:
    """Make the decoder of a source's pictures.

    Args:
        source: Its pictures are read where ``bits`` is ``auto``; the outcome is told once.
        max_pixels: See ``Decoder``.
        background: See ``Decoder``.
        bits: See ``FileData``.
        names: Which pictures ``auto`` looks at; ``None``: all.
    """
    if bits == "auto":
        if source.bits is None:
            top = _largest_value(source, source.names() if names is None else names, max_pixels)
            source.bits = max(8, top.bit_length()) if top else 0
            if top:
                largest = 2**source.bits - 1
                told = f"read as {source.bits} bits, from 0 to {largest:,}; the largest is {top:,}"
                rank_zero_warn(f"data.bits=auto: values of 16-bit pictures are {told}")
        bits = source.bits or None
    return Decoder(max_pixels, background, bits)


def _largest_value(source: Source, names: Sequence[str], max_pixels: int) -> int:
    """Return the largest value of all pictures of 16 bits, 0 without any; what cannot be read is told when used."""
    decoder = Decoder(max_pixels, bits=BITS)

    def measure(name: str) -> int:
        try:
            picture = source.picture(name, decoder)
            if picture.bits == BITS:
                decoder.eight_bit(picture)
            return picture.top
        except Exception:
            return 0

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        measured = threads.map(measure, names)
        return max(tqdm(measured, "measuring 16-bit pictures", len(names), leave=False, mininterval=1), default=0)


if not TYPE_CHECKING:
    __getattr__ = moved_from(__name__)

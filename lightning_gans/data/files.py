"""Encoded images: read, checked and decoded, wherever they lie.

Files come from strangers. Nothing is extracted or unpickled; a file is told by its first bytes before more of it is
read, and by the size that its header declares before it is decoded.
"""

from __future__ import annotations

import copy
import hashlib
import io
import math
import mmap
import os
import warnings
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Literal, NamedTuple, get_args

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from tqdm import tqdm

from lightning_gans.data.base import Batch, ImageData, ImageSet, TensorImages
from lightning_gans.data.resize import Policy, average, fit

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
FORMATS = {  # as Pillow names them, by their first bytes
    "PNG": (b"\x89PNG",),
    "JPEG": (b"\xff\xd8\xff",),
    "WEBP": (b"RIFF",),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*"),
    "GIF": (b"GIF8",),
    "PPM": (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"),
}
MAX_PIXELS = 100_000_000
PILLOW_MAX_PIXELS = 178_956_970  # what Pillow itself refuses
BYTES_PER_PIXEL = 8  # of the largest pixel that is read: four channels of 16 bits, uncompressed
DCT = 8  # a JPEG's blocks: it can be decoded at 1/2, 1/4 and 1/8 of its size
TOLD = 10  # unreadable files that a message names

OnError = Literal["stop", "skip"]


class Problem(NamedTuple):
    """A file that cannot be used, and why."""

    name: str
    reason: str


class Facts(NamedTuple):
    """What a file holds, before anything is done to it."""

    width: int  # upright
    height: int
    mode: str  # as Pillow names it
    bits: int  # of one value
    rotated: bool  # by a camera's note
    digest: tuple[int, int]  # size and CRC-32 of the file


class Kept(NamedTuple):
    """Images that were decoded once, at a side between the phases' and the whole; processes forked later share it."""

    side: int
    images: Tensor  # (N, C, side, side) uint8
    there: Tensor  # (N,) uint8, which of them have been decoded


class Source(ABC):
    """Where encoded images lie.

    Attributes:
        problems: What was found beside the images and cannot be used.
        ignored: How many files are no images by their names.
    """

    problems: list[Problem]
    ignored: int = 0

    @abstractmethod
    def names(self) -> list[str]:
        """Names of the images, sorted."""

    @abstractmethod
    def open(self, name: str) -> tuple[BinaryIO, int]:
        """A file to read from, and its size in bytes."""

    def read(self, name: str, max_bytes: int) -> bytes:
        """The whole file, if it begins as an image does and is not too large.

        Raises:
            ValueError: It does not, or is.
            OSError: It cannot be read.
        """
        file, size = self.open(name)
        with file:
            start = file.read(16)
            if not start:
                raise ValueError("the file is empty")
            if not start.startswith(tuple(sum(FORMATS.values(), ()))):
                raise ValueError(f"not an image: it begins with {start[:8]!r}")
            if size > max_bytes:
                raise ValueError(f"{size:,} bytes; more than {BYTES_PER_PIXEL} for each of data.max_pixels")
            return start + file.read()


class ImageFiles(ImageSet):
    """Images that are decoded when they are fetched.

    Args:
        source: Where they lie.
        names: Which of them, in order.
        root: What messages call the place.
        image_size: Height and width of the images handed out.
        channels: 1 to 4.
        resize: How pictures of other sides become squares.
        on_error: ``stop``: a file that cannot be read is an error; ``skip``: it is left out.
        max_pixels: Larger pictures are not decoded.
        memory_gb: Of smaller images (``at``) so much is kept.
        labels: (N,) int64, or ``None``.
        classes: Names of the classes.
    """

    def __init__(
        self,
        source: Source,
        names: Sequence[str],
        *,
        root: str,
        image_size: int,
        channels: int,
        resize: Policy = "cover",
        on_error: OnError = "stop",
        max_pixels: int = MAX_PIXELS,
        memory_gb: float = 0.0,
        labels: Tensor | None = None,
        classes: list[str] | None = None,
    ) -> None:
        self.source, self.names, self.root = source, names, root
        self.image_size, self.channels, self.resize = image_size, channels, resize
        self.on_error, self.max_pixels, self.memory_gb = on_error, max_pixels, memory_gb
        self.labels, self.classes = labels, classes
        self.resolution = image_size  # of the images handed out
        self._unreadable: set[int] = set()  # told once
        self._kept: Kept | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.names)

    def fetch(self, index: Tensor) -> Batch:
        """Decode the images of one batch; the next readable one stands in for one that is skipped."""
        wanted = index.tolist()
        images = [self.decode(i) for i in wanted]
        problems = {i: image for i, image in zip(wanted, images, strict=True) if isinstance(image, Problem)}
        if problems:
            new = [problem for i, problem in problems.items() if i not in self._unreadable]
            self._unreadable.update(problems)
            self.tell(new)
            instead = {i: self._next_readable(i) for i in problems}
            wanted = [instead.get(i, i) for i in wanted]
            images = [self.decode(i) for i in wanted]
        batch = {"image": torch.stack([image for image in images if isinstance(image, Tensor)])}
        if self.labels is not None:
            batch["label"] = self.labels[torch.tensor(wanted)]
        return batch

    def at(self, resolution: int | None) -> ImageFiles:
        """This set with smaller images, averaged from those of ``image_size``.

        Where all images fit ``memory_gb`` at a side from this one to below the whole, each is decoded once and kept at
        the largest such side. JPEGs are decoded at up to an eighth of their size to begin with, which is nearly the
        same average, and only the rest is averaged; other formats are decoded whole.
        """
        if resolution is None or resolution == self.image_size:
            return self
        if self.image_size % resolution:
            raise ValueError(f"data.image_size={self.image_size}: cannot be divided into images of {resolution}")
        self._kept = self._kept or self._room()
        return self._sized(resolution)

    def _sized(self, resolution: int) -> ImageFiles:
        other = copy.copy(self)
        other.resolution = resolution
        return other

    def _room(self) -> Kept | None:
        """Room for all images at the largest side that fits; only what is filled takes memory."""
        side = self.image_size
        while side % 2 == 0 and len(self):
            side //= 2
            shape = (len(self), self.channels, side, side)
            if math.prod(shape) <= self.memory_gb * 2**30:
                images, there = (
                    torch.frombuffer(mmap.mmap(-1, size), dtype=torch.uint8) for size in (math.prod(shape), len(self))
                )
                return Kept(side, images.view(shape), there)
        return None

    def _next_readable(self, i: int) -> int:
        for step in range(1, len(self)):
            j = (i + step) % len(self)
            if isinstance(self.decode(j), Tensor):
                return j
        raise ValueError(f"data.root={self.root}: none of the {len(self)} images can be read")

    def held(self) -> TensorImages:
        """All images in memory, decoded by threads; files that cannot be read are told together."""
        images = torch.empty(len(self), self.channels, self.image_size, self.image_size, dtype=torch.uint8)
        problems, kept = list(self.source.problems), []
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            decoding = threads.map(self.decode, range(len(self)))
            for i, image in enumerate(tqdm(decoding, "reading images", len(self), leave=False, mininterval=1)):
                if isinstance(image, Problem):
                    problems.append(image)
                else:
                    images[i] = image
                    kept.append(i)
        self.tell(problems)
        labels = self.labels
        if len(kept) < len(self):
            images, labels = images[kept], labels[kept] if labels is not None else None
        if not kept:
            raise ValueError(f"data.root={self.root}: none of the {len(self)} images can be read")
        tensors = TensorImages(images, labels)
        tensors.classes = self.classes
        return tensors

    def fingerprint(self) -> str:
        """Of the files as they lie there and of how they are decoded; nothing is decoded for it."""
        settings = repr((self.names, self.resolution, self.channels, self.resize))
        digest = hashlib.blake2b(settings.encode(), digest_size=16)
        for name in self.names:
            try:
                digest.update(hashlib.blake2b(self.source.read(name, BYTES_PER_PIXEL * self.max_pixels)).digest())
            except (OSError, ValueError, zlib.error):  # told when it is decoded
                digest.update(b"unreadable")
        return digest.hexdigest()

    def tell(self, problems: Sequence[Problem]) -> None:
        """Stop at files that cannot be read, or warn of them, as ``on_error`` says.

        Raises:
            ValueError: With their names and the reasons.
        """
        if not problems:
            return
        named = printable("; ".join(f"{name} ({reason})" for name, reason in problems[:TOLD]))
        more = f"; and {len(problems) - TOLD} more" if len(problems) > TOLD else ""
        count = f"{len(problems)} files: " if len(problems) > 1 else ""
        if self.on_error == "stop":
            raise ValueError(
                f"data.root={self.root}: cannot read {count}{named}{more}. data.on_error=skip leaves such files out"
            )
        warnings.warn(f"data.root={self.root}: left out, since it cannot be read: {count}{named}{more}", stacklevel=2)

    def decode(self, i: int) -> Tensor | Problem:
        """Image number i as training sees it, (C, H, W) uint8, or what is wrong with it."""
        kept = self._kept
        if kept is None or self.resolution > kept.side:
            found = self.decode_sized(i)
            return found if isinstance(found, Problem) else found[0]
        if not kept.there[i]:
            found = self._sized(kept.side).decode_sized(i)
            if isinstance(found, Problem):
                return found
            kept.images[i], kept.there[i] = found[0], 1
        return average(kept.images[i : i + 1], kept.side // self.resolution)[0]

    def decode_sized(self, i: int) -> tuple[Tensor, tuple[int, int]] | Problem:
        """As ``decode``, with width and height of the picture in its file, upright."""
        try:
            image = self._open(i)[0]
            size = _upright_size(image)
            return self._tensor(image), size
        except Exception as error:  # a damaged file can fail anywhere in Pillow
            return Problem(self.names[i], _reason(error))

    def inspect(self, i: int) -> Facts | Problem:
        """What file number i holds, decoded whole, or what is wrong with it."""
        try:
            image, data = self._open(i)
            bits = {"1": 1, "F": 32}.get(image.mode, 16 if has_16_bits(image) else 8)
            mode, size = image.mode, _upright_size(image)
            rotated = image.getexif().get(0x0112, 1) in range(2, 9)
            self._tensor(image)
            return Facts(*size, mode, bits, rotated, (len(data), zlib.crc32(data)))
        except Exception as error:
            return Problem(self.names[i], _reason(error))

    def _open(self, i: int) -> tuple[Image.Image, bytes]:
        """The picture, of which only the header was read, and its file."""
        data = self.source.read(self.names[i], BYTES_PER_PIXEL * self.max_pixels)
        try:
            image = Image.open(io.BytesIO(data), formats=list(FORMATS))
        except Image.DecompressionBombError as error:
            raise ValueError(f"more pixels than data.max_pixels={self.max_pixels}") from error
        if image.width * image.height > self.max_pixels:
            raise ValueError(f"{image.width}x{image.height} pixels; more than data.max_pixels={self.max_pixels}")
        return image, data

    def _tensor(self, image: Image.Image) -> Tensor:
        whole = self._draft(image)
        return self._pixels(self._upright(image), self.channels, whole)

    def _draft(self, image: Image.Image) -> tuple[int, int] | None:
        """Let a JPEG be decoded no larger than needed; returns the sides that it would have had, as the camera says."""
        if image.format != "JPEG" or self.resolution == self.image_size or self.resize == "native":
            return None
        whole = _upright_size(image)
        image.draft(image.mode, (self._drafted_side, self._drafted_side))  # no side will be below this one
        return whole

    def _upright(self, image: Image.Image) -> Image.Image:
        """The picture as the camera says, in 8 bits."""
        wide = has_16_bits(image)  # what the file says, which a loaded picture no longer does
        return eight_bit(ImageOps.exif_transpose(image), wide)

    def _pixels(self, image: Image.Image, channels: int, whole: tuple[int, int] | None = None) -> Tensor:
        """(channels, resolution, resolution) uint8; ``whole`` are the sides of a picture that was drafted."""
        side = self.image_size if whole is None else self._drafted_side
        fitted = np.array(fit(image.convert(MODES[channels]), side, self.resize, whole=whole))
        pixels = torch.from_numpy(fitted).view(side, side, -1).permute(2, 0, 1)
        return average(pixels[None], side // self.resolution)[0] if side > self.resolution else pixels

    @property
    def _drafted_side(self) -> int:
        return self.image_size // math.gcd(self.image_size // self.resolution, DCT)


class FileData(ImageData):
    """A set of encoded images. A set overrides ``files``.

    Args:
        root: Where it lies.
        resize: How a picture of other sides becomes a square of ``image_size``, by antialiased bicubic interpolation.
            ``cover``: its shorter side fits and the middle is cut out; ``contain``: its longer side fits, black beside
            it; ``stretch``: both sides fit, whatever its aspect; ``native``: the middle is cut out and its pixels stay
            as they are, a smaller picture as by ``cover``.
        on_error: ``stop``: a file that cannot be read ends the training, by name; ``skip``: it is left out with a
            warning, and where images are read batch by batch the next one stands in for it.
        max_pixels: Pictures of more pixels are not decoded and count as files that cannot be read.
        memory_gb: Decoded sets up to this size are held in memory; larger ones are read batch by batch by
            ``num_workers`` processes, and where networks grow kept in memory at sides at which they fit.
        **options: See ``ImageData``.
    """

    def __init__(
        self,
        *,
        root: str,
        resize: Policy = "cover",
        on_error: OnError = "stop",
        max_pixels: int = MAX_PIXELS,
        memory_gb: float = 4.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if self.channels not in MODES:
            raise ValueError(f"data.channels={self.channels}: must be 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA)")
        if resize not in get_args(Policy):
            raise ValueError(f"data.resize={resize}: must be cover, contain, stretch or native")
        if on_error not in ("stop", "skip"):
            raise ValueError(f"data.on_error={on_error}: must be stop or skip")
        check_max_pixels(max_pixels)
        if memory_gb < 0:
            raise ValueError(f"data.memory_gb={memory_gb}: must be >= 0")
        self.root, self.resize, self.on_error = root, resize, on_error
        self.max_pixels, self.memory_gb = max_pixels, memory_gb

    @abstractmethod
    def files(self) -> ImageFiles:
        """The images by name, with their labels if ``num_classes`` asks for them; heeds ``limit``."""

    @property
    def held_side(self) -> int:
        """Side of the images that are held."""
        return self.side

    def make_files(
        self,
        source: Source,
        names: Sequence[str],
        labels: Tensor | None = None,
        classes: list[str] | None = None,
        channels: int | None = None,
    ) -> ImageFiles:
        """The first ``limit`` of these images, read as the options say; ``channels`` other than the set's own."""
        return ImageFiles(
            source,
            names[: self.limit],
            root=self.root,
            image_size=self.held_side,
            channels=channels or self.channels,
            resize=self.resize,
            on_error=self.on_error,
            max_pixels=self.max_pixels,
            memory_gb=self.memory_gb,
            labels=labels if labels is None else labels[: self.limit],
            classes=classes,
        )

    def load(self) -> ImageSet:
        """List the images, and decode them if they fit."""
        return self.hold(self.files())[0]

    def hold(self, *sets: ImageFiles) -> list[ImageSet]:
        """Decode these sets, all of them if they fit together."""
        if sum(len(files) * files.channels * files.image_size**2 for files in sets) <= self.memory_gb * 2**30:
            return [files.held() for files in sets]
        for files in sets:
            files.tell(files.source.problems)
        return list(sets)


def check_max_pixels(max_pixels: int, key: str = "data.max_pixels") -> None:
    """Refuse a bound that Pillow does not take.

    Raises:
        ValueError: By the key that says it.
    """
    if not 1 <= max_pixels <= PILLOW_MAX_PIXELS:
        raise ValueError(f"{key}={max_pixels}: must be from 1 to {PILLOW_MAX_PIXELS}, Pillow's own bound")


def eight_bit(image: Image.Image, wide: bool) -> Image.Image:
    """Grey of 16 bits (``wide``) scaled to 8, which Pillow's own conversion would clip.

    Raises:
        ValueError: 32-bit values, whose range is not known.
    """
    if wide and image.mode.startswith("I"):
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode}: 32-bit values of unknown range; convert it to 8 or 16 bits")
    return image


def printable(text: str) -> str:
    """Text for a terminal: what a file name may hold beside letters, control characters say, is written out."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def has_16_bits(image: Image.Image) -> bool:
    """Pillow keeps 16 bits of grey only, in mode I for some formats; of colours it gives the upper eight."""
    stored = any(";16" in str(tile[3]) for tile in getattr(image, "tile", []))
    return stored or image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as the camera says."""
    return image.size[::-1] if image.getexif().get(0x0112, 1) in range(5, 9) else image.size


def _reason(error: Exception) -> str:
    """In words, without the objects that Pillow prints."""
    if isinstance(error, UnidentifiedImageError):
        return "its header is damaged"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__

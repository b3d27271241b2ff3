"""Read image files as a dataset: decoded when they are fetched, or all at once into memory."""

from __future__ import annotations

import copy
import hashlib
import math
import mmap
import os
import warnings
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm
from typing_extensions import TypedDict

from lightning_gans.config.errors import ConfigError
from lightning_gans.data.datasets import Batch, ImageDataset, InMemoryImages
from lightning_gans.data.decoding import MODES, Decoder, Picture, Unreadable, reason
from lightning_gans.data.file_sources import printable
from lightning_gans.data.resize import Policy, average, fit
from lightning_gans.data.source import FileError, Source
from lightning_gans.images.size import Size, height_width, shortest

DCT = 8  # a JPEG's blocks: it can be decoded at 1/2, 1/4 and 1/8 of its size
NAMED = 10  # unreadable files that a message names

OnError = Literal["stop", "skip"]


class ImageInfo(NamedTuple):
    """Describe a file's picture before anything is done to it."""

    width: int  # upright
    height: int
    mode: str  # as Pillow names it
    bits: int  # of one value
    rotated: bool  # by the camera's orientation tag
    digest: tuple[int, int]  # size and CRC-32 of the file
    top: int = 0  # largest value of a picture of 16 bits
    transparent: bool = False  # some of its pixels are not fully opaque


class ImageCache(NamedTuple):
    """Share images that were decoded once at an intermediate resolution with workers that are forked later."""

    resolution: int
    images: Tensor  # (N, C, resolution, resolution) uint8
    decoded: Tensor  # (N,) uint8, 1 for images that are there


class FilesOptions(TypedDict, total=False):
    """Declare options of every ``ImageFiles``."""

    root: str
    image_size: Size
    resize: Policy
    on_error: OnError
    decoder: Decoder


class ImageFiles(ImageDataset):
    """Decode image files when they are fetched.

    Args:
        source: Where they are.
        names: Which of them, in order.
        root: Name of the place in messages.
        image_size: Size of the images handed out, a side or (height, width).
        channels: 1 to 4.
        resize: How pictures of other sizes come to this one, see ``fit``.
        on_error: ``stop``: a file that cannot be read is an error; ``skip``: it is left out.
        decoder: How they are decoded.
        memory_gb: Keep smaller images (``resized``) in memory up to this size.
        labels: (N,) int64, or ``None``.
        classes: Names of the classes.
    """

    def __init__(
        self,
        source: Source,
        names: Sequence[str],
        *,
        root: str,
        image_size: Size,
        channels: int,
        resize: Policy = "cover",
        on_error: OnError = "stop",
        decoder: Decoder | None = None,
        memory_gb: float = 0.0,
        labels: Tensor | None = None,
        classes: list[str] | None = None,
    ) -> None:
        self.source, self.names, self.root = source, names, root
        self.size, self.channels, self.resize = height_width(image_size), channels, resize
        self.on_error, self.decoder, self.memory_gb = on_error, decoder or Decoder(), memory_gb
        self.labels, self.classes = labels, classes
        self.resolution: int | None = None  # side of smaller images; None: size
        self._unreadable: set[int] = set()  # reported once
        self._cache: ImageCache | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    @property
    def nbytes(self) -> int:
        """Return the bytes that all images take when they are decoded."""
        return len(self) * self.channels * math.prod(self.size)

    def fetch(self, index: Tensor) -> Batch:
        """Decode the images of one batch; the next readable one takes the place of one that is skipped."""
        wanted = index.tolist()
        images = [self.decode(i) for i in wanted]
        problems = {i: image for i, image in zip(wanted, images, strict=True) if isinstance(image, FileError)}
        if problems:
            new = [problem for i, problem in problems.items() if i not in self._unreadable]
            self._unreadable.update(problems)
            self.report_errors(new)
            instead = {i: self._next_readable(i) for i in problems}
            wanted = [instead.get(i, i) for i in wanted]
            images = [self.decode(i) for i in wanted]
        batch = {"image": torch.stack([image for image in images if isinstance(image, Tensor)])}
        if self.labels is not None:
            batch["label"] = self.labels[torch.tensor(wanted)]
        return batch

    def entries(self, key: str) -> Tensor | None:
        """Return the labels (N,) as ``label``, those of files that will be skipped included."""
        return self.labels if key == "label" else None

    def resized(self, resolution: int | None) -> ImageFiles:
        """Return this set with smaller square images, averaged from those of ``image_size``.

        If all images fit ``memory_gb`` at a resolution from this one to below the whole, each is decoded once and kept
        at the largest such resolution. JPEGs are decoded at up to an eighth of their size to begin with, which is
        nearly the same average, and only the rest is averaged; other formats are decoded whole.

        Args:
            resolution: Side of the images; ``None``: as they are.

        Raises:
            ValueError: The images are no squares, or their side is no multiple of it.
        """
        if resolution is None or self.size == (resolution, resolution):
            return self
        height, width = self.size
        if height != width or height % resolution:
            raise ValueError(
                f"data.image_size={shortest(height, width)}: cannot be divided into images of {resolution}"
            )
        self._cache = self._cache or self._allocate()
        return self._at(resolution)

    def _at(self, resolution: int) -> ImageFiles:
        other = copy.copy(self)
        other.resolution = resolution
        return other

    def _allocate(self) -> ImageCache | None:
        """Reserve a cache of all images at the largest resolution that fits; only pages that are filled take memory."""
        side = self.size[0]
        while side % 2 == 0 and len(self):
            side //= 2
            shape = (len(self), self.channels, side, side)
            if math.prod(shape) <= self.memory_gb * 2**30:
                images, decoded = (
                    torch.frombuffer(mmap.mmap(-1, size), dtype=torch.uint8) for size in (math.prod(shape), len(self))
                )
                return ImageCache(side, images.view(shape), decoded)
        return None

    def _next_readable(self, i: int) -> int:
        for step in range(1, len(self)):
            j = (i + step) % len(self)
            if isinstance(self.decode(j), Tensor):
                return j
        raise ConfigError("data.root", self.root, f"none of the {len(self)} images can be read")

    def in_memory(self) -> InMemoryImages:
        """Decode all images by threads; files that cannot be read are reported together."""
        images = torch.empty(len(self), self.channels, *self.size, dtype=torch.uint8)
        problems, kept = list(self.source.problems), []
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            decoding = threads.map(self.decode, range(len(self)))
            for i, image in enumerate(tqdm(decoding, "reading images", len(self), leave=False, mininterval=1)):
                if isinstance(image, FileError):
                    problems.append(image)
                else:
                    images[i] = image
                    kept.append(i)
        self.report_errors(problems)
        labels = self.labels
        if len(kept) < len(self):
            images, labels = images[kept], labels[kept] if labels is not None else None
        if not kept:
            raise ConfigError("data.root", self.root, f"none of the {len(self)} images can be read")
        tensors = InMemoryImages(images, labels)
        tensors.classes = self.classes
        return tensors

    def fingerprint(self) -> str:
        """Hash the encoded files and the options by which they are decoded; nothing is decoded."""
        size = self.resolution or (self.size if len(set(self.size)) > 1 else self.size[0])
        how = (size, self.channels, self.resize, self.decoder.background, self.decoder.bits)
        settings = repr((self.names, *how))
        digest = hashlib.blake2b(settings.encode(), digest_size=16)
        for name in self.names:
            try:
                digest.update(hashlib.blake2b(self.source.read(name, self.decoder.max_bytes)).digest())
            except Unreadable:  # reported when it is decoded
                digest.update(b"unreadable")
        return digest.hexdigest()

    def report_errors(self, problems: Sequence[FileError]) -> None:
        """Raise or warn for files that cannot be read, by ``on_error``.

        Raises:
            ValueError: With their names and the reasons.
        """
        if not problems:
            return
        named = printable("; ".join(f"{name} ({reason})" for name, reason in problems[:NAMED]))
        more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        count = f"{len(problems)} files: " if len(problems) > 1 else ""
        if self.on_error == "stop":
            raise ValueError(
                f"data.root={self.root}: cannot read {count}{named}{more}. data.on_error=skip leaves such files out"
            )
        warnings.warn(f"data.root={self.root}: left out, since it cannot be read: {count}{named}{more}", stacklevel=2)

    def decode(self, i: int) -> Tensor | FileError:
        """Return image number i as training gets it, (C, H, W) uint8, or why it cannot be read."""
        cache = self._cache
        if cache is None or self.resolution is None or self.resolution > cache.resolution:
            found = self.decode_sized(i)
            return found if isinstance(found, FileError) else found[0]
        if not cache.decoded[i]:
            found = self._at(cache.resolution).decode_sized(i)
            if isinstance(found, FileError):
                return found
            cache.images[i], cache.decoded[i] = found[0], 1
        return average(cache.images[i : i + 1], cache.resolution // self.resolution)[0]

    def decode_sized(self, i: int) -> tuple[Tensor, tuple[int, int]] | FileError:
        """Decode image number i; return it with the width and height of the picture in its file, upright."""
        found = self._decoded(i)
        return found if isinstance(found, FileError) else (found[0], found[1].size)

    def probe(self, i: int) -> ImageInfo | FileError:
        """Return facts of file number i, decoded whole, or why it cannot be read."""
        found = self._decoded(i)
        if isinstance(found, FileError):
            return found
        one = found[1]
        digest = (len(one.data), zlib.crc32(one.data))
        return ImageInfo(*one.size, one.mode, one.bits, one.rotated, digest, one.top, one.transparent)

    def _decoded(self, i: int) -> tuple[Tensor, Picture] | FileError:
        try:
            picture = self.source.picture(self.names[i], self.decoder)
            return self._tensor(picture), picture
        except Exception as error:  # a damaged file can fail anywhere in Pillow
            return FileError(self.names[i], reason(error))

    def _tensor(self, picture: Picture) -> Tensor:
        """Convert a picture to what training gets, (C, H, W) uint8."""
        drafted = picture.format == "JPEG" and self.resolution is not None and self.resize != "native"
        image = self.decoder.eight_bit(picture, self._drafted_side if drafted else None)
        return self._pixels(image, self.channels, picture.size if drafted else None)

    def _pixels(self, image: Image.Image, channels: int, whole: tuple[int, int] | None = None) -> Tensor:
        """Fit an image, (channels, H, W) uint8; ``whole`` is the (width, height) of a picture that was drafted."""
        size = self.size if whole is None else (self._drafted_side, self._drafted_side)
        fitted = np.array(fit(self.decoder.flatten(image, MODES[channels]), size, self.resize, whole=whole))
        pixels = torch.from_numpy(fitted).view(*size, -1).permute(2, 0, 1)
        factor = 1 if self.resolution is None else size[0] // self.resolution
        return average(pixels[None], factor)[0] if factor > 1 else pixels

    @property
    def _drafted_side(self) -> int:
        """Return the side that a JPEG is decoded at: the images' own, or down to an eighth of it."""
        side, resolution = self.size[0], self.resolution or self.size[0]
        return side // math.gcd(side // resolution, DCT)

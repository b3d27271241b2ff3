"""Image files as a dataset: decoded when they are fetched, or held in memory."""

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

from lightning_gans.data.datasets import Batch, ImageDataset, InMemoryImages
from lightning_gans.data.decoding import MODES, Decoder, Picture, Unreadable, reason
from lightning_gans.data.file_sources import printable
from lightning_gans.data.resize import Policy, average, fit
from lightning_gans.data.source import FileError, Source

DCT = 8  # a JPEG's blocks: it can be decoded at 1/2, 1/4 and 1/8 of its size
TOLD = 10  # unreadable files that a message names

OnError = Literal["stop", "skip"]


class ImageInfo(NamedTuple):
    """What a file holds, before anything is done to it."""

    width: int  # upright
    height: int
    mode: str  # as Pillow names it
    bits: int  # of one value
    rotated: bool  # by a camera's note
    digest: tuple[int, int]  # size and CRC-32 of the file
    top: int = 0  # largest value of a picture of 16 bits
    transparent: bool = False  # some of its pixels are not wholly opaque


class ImageCache(NamedTuple):
    """Images that were decoded once, at a side between the phases' and the whole; processes forked later share it."""

    side: int
    images: Tensor  # (N, C, side, side) uint8
    there: Tensor  # (N,) uint8, which of them have been decoded


class ImageFiles(ImageDataset):
    """Images that are decoded when they are fetched.

    Args:
        source: Where they lie.
        names: Which of them, in order.
        root: What messages call the place.
        image_size: Height and width of the images handed out.
        channels: 1 to 4.
        resize: How pictures of other sides become squares.
        on_error: ``stop``: a file that cannot be read is an error; ``skip``: it is left out.
        decoder: How they are decoded.
        memory_gb: Of smaller images (``resized``) so much is kept.
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
        decoder: Decoder | None = None,
        memory_gb: float = 0.0,
        labels: Tensor | None = None,
        classes: list[str] | None = None,
    ) -> None:
        self.source, self.names, self.root = source, names, root
        self.image_size, self.channels, self.resize = image_size, channels, resize
        self.on_error, self.decoder, self.memory_gb = on_error, decoder or Decoder(), memory_gb
        self.labels, self.classes = labels, classes
        self.resolution = image_size  # of the images handed out
        self._unreadable: set[int] = set()  # told once
        self._kept: ImageCache | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.names)

    def fetch(self, index: Tensor) -> Batch:
        """Decode the images of one batch; the next readable one stands in for one that is skipped."""
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

    def _room(self) -> ImageCache | None:
        """Room for all images at the largest side that fits; only what is filled takes memory."""
        side = self.image_size
        while side % 2 == 0 and len(self):
            side //= 2
            shape = (len(self), self.channels, side, side)
            if math.prod(shape) <= self.memory_gb * 2**30:
                images, there = (
                    torch.frombuffer(mmap.mmap(-1, size), dtype=torch.uint8) for size in (math.prod(shape), len(self))
                )
                return ImageCache(side, images.view(shape), there)
        return None

    def _next_readable(self, i: int) -> int:
        for step in range(1, len(self)):
            j = (i + step) % len(self)
            if isinstance(self.decode(j), Tensor):
                return j
        raise ValueError(f"data.root={self.root}: none of the {len(self)} images can be read")

    def in_memory(self) -> InMemoryImages:
        """All images in memory, decoded by threads; files that cannot be read are told together."""
        images = torch.empty(len(self), self.channels, self.image_size, self.image_size, dtype=torch.uint8)
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
            raise ValueError(f"data.root={self.root}: none of the {len(self)} images can be read")
        tensors = InMemoryImages(images, labels)
        tensors.classes = self.classes
        return tensors

    def fingerprint(self) -> str:
        """Of the files as they lie there and of how they are decoded; nothing is decoded for it."""
        how = (self.resolution, self.channels, self.resize, self.decoder.background, self.decoder.bits)
        settings = repr((self.names, *how))
        digest = hashlib.blake2b(settings.encode(), digest_size=16)
        for name in self.names:
            try:
                digest.update(hashlib.blake2b(self.source.read(name, self.decoder.max_bytes)).digest())
            except Unreadable:  # told when it is decoded
                digest.update(b"unreadable")
        return digest.hexdigest()

    def report_errors(self, problems: Sequence[FileError]) -> None:
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

    def decode(self, i: int) -> Tensor | FileError:
        """Image number i as training sees it, (C, H, W) uint8, or what is wrong with it."""
        kept = self._kept
        if kept is None or self.resolution > kept.side:
            found = self.decode_sized(i)
            return found if isinstance(found, FileError) else found[0]
        if not kept.there[i]:
            found = self._sized(kept.side).decode_sized(i)
            if isinstance(found, FileError):
                return found
            kept.images[i], kept.there[i] = found[0], 1
        return average(kept.images[i : i + 1], kept.side // self.resolution)[0]

    def decode_sized(self, i: int) -> tuple[Tensor, tuple[int, int]] | FileError:
        """As ``decode``, with width and height of the picture in its file, upright."""
        found = self._decoded(i)
        return found if isinstance(found, FileError) else (found[0], found[1].size)

    def probe(self, i: int) -> ImageInfo | FileError:
        """What file number i holds, decoded whole, or what is wrong with it."""
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
        """The picture as training sees it, (channels, resolution, resolution) uint8."""
        drafted = picture.format == "JPEG" and self.resolution != self.image_size and self.resize != "native"
        image = self.decoder.eight_bit(picture, self._drafted_side if drafted else None)
        return self._pixels(image, self.channels, picture.size if drafted else None)

    def _pixels(self, image: Image.Image, channels: int, whole: tuple[int, int] | None = None) -> Tensor:
        """(channels, resolution, resolution) uint8; ``whole`` are the sides of a picture that was drafted."""
        side = self.image_size if whole is None else self._drafted_side
        fitted = np.array(fit(self.decoder.flatten(image, MODES[channels]), side, self.resize, whole=whole))
        pixels = torch.from_numpy(fitted).view(side, side, -1).permute(2, 0, 1)
        return average(pixels[None], side // self.resolution)[0] if side > self.resolution else pixels

    @property
    def _drafted_side(self) -> int:
        return self.image_size // math.gcd(self.image_size // self.resolution, DCT)

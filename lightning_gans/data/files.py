"""Encoded images: read and checked, wherever they lie; ``decoding.py`` makes pixels of them.

Files come from strangers. Nothing is extracted or unpickled; a file is told by its first bytes before more of it is
read, and by the size that its header declares before it is decoded.
"""

from __future__ import annotations

import copy
import hashlib
import math
import mmap
import os
import warnings
import zlib
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from lightning_gans.data.base import Batch, ImageData, ImageSet, TensorImages
from lightning_gans.data.decoding import (
    BACKGROUND,
    MAX_PIXELS,
    MODES,
    Decoder,
    Picture,
    Unreadable,
    check_background,
    check_bits,
    check_max_pixels,
    reason,
)
from lightning_gans.data.resize import Policy, average, fit
from lightning_gans.data.source import Bits, Problem, Source, decoder_of
from lightning_gans.data.subset import class_folders, spread

DCT = 8  # a JPEG's blocks: it can be decoded at 1/2, 1/4 and 1/8 of its size
TOLD = 10  # unreadable files that a message names

OnError = Literal["stop", "skip"]


class Facts(NamedTuple):
    """What a file holds, before anything is done to it."""

    width: int  # upright
    height: int
    mode: str  # as Pillow names it
    bits: int  # of one value
    rotated: bool  # by a camera's note
    digest: tuple[int, int]  # size and CRC-32 of the file
    top: int = 0  # largest value of a picture of 16 bits
    transparent: bool = False  # some of its pixels are not wholly opaque


class Kept(NamedTuple):
    """Images that were decoded once, at a side between the phases' and the whole; processes forked later share it."""

    side: int
    images: Tensor  # (N, C, side, side) uint8
    there: Tensor  # (N,) uint8, which of them have been decoded


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
        decoder: How they are decoded.
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
        how = (self.resolution, self.channels, self.resize, self.decoder.background, self.decoder.bits)
        settings = repr((self.names, *how))
        digest = hashlib.blake2b(settings.encode(), digest_size=16)
        for name in self.names:
            try:
                digest.update(hashlib.blake2b(self.source.read(name, self.decoder.max_bytes)).digest())
            except Unreadable:  # told when it is decoded
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
        found = self._decoded(i)
        return found if isinstance(found, Problem) else (found[0], found[1].size)

    def inspect(self, i: int) -> Facts | Problem:
        """What file number i holds, decoded whole, or what is wrong with it."""
        found = self._decoded(i)
        if isinstance(found, Problem):
            return found
        one = found[1]
        digest = (len(one.data), zlib.crc32(one.data))
        return Facts(*one.size, one.mode, one.bits, one.rotated, digest, one.top, one.transparent)

    def _decoded(self, i: int) -> tuple[Tensor, Picture] | Problem:
        try:
            picture = self.source.picture(self.names[i], self.decoder)
            return self._tensor(picture), picture
        except Exception as error:  # a damaged file can fail anywhere in Pillow
            return Problem(self.names[i], reason(error))

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
        background: Colour beneath transparent pixels where ``channels`` have no alpha, a name or ``#rrggbb``; ``None``:
            the colours that the file has there, whatever a program left.
        bits: Of one value in pictures of 16 bits: 12 where a microscope wrote values from 0 to 4095. ``auto``: as many,
            8 or more, as the largest value of all pictures in the same folder or zip takes. ``None``: all 16.
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
        background: str | None = BACKGROUND,
        bits: Bits = None,
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
        check_background(background)
        check_bits(bits)
        if memory_gb < 0:
            raise ValueError(f"data.memory_gb={memory_gb}: must be >= 0")
        self.root, self.resize, self.on_error = root, resize, on_error
        self.max_pixels, self.background, self.bits, self.memory_gb = max_pixels, background, bits, memory_gb

    @abstractmethod
    def files(self) -> ImageFiles:
        """The images by name, with their labels if ``num_classes`` asks for them; heeds ``limit``."""

    @property
    def held_side(self) -> int:
        """Side of the images that are held."""
        return self.side

    def reading(self, source: Source) -> dict[str, Any]:
        """Options of ``ImageFiles`` that every file of a source is read with."""
        decoder = decoder_of(source, max_pixels=self.max_pixels, background=self.background, bits=self.bits)
        how: dict[str, Any] = {"resize": self.resize, "on_error": self.on_error, "decoder": decoder}
        return {"root": self.root, "image_size": self.held_side, **how}

    def chosen(self, names: Sequence[str]) -> list[int]:
        """Which of these images ``limit`` takes: of every sub-folder its share; see ``spread``."""
        folders = class_folders(names)
        number = {folder: i for i, folder in enumerate(dict.fromkeys(folders))}
        return spread(len(names), self.limit, torch.tensor([number[folder] for folder in folders])).tolist()

    def make_files(
        self,
        source: Source,
        names: Sequence[str],
        labels: Tensor | None = None,
        classes: list[str] | None = None,
        channels: int | None = None,
    ) -> ImageFiles:
        """Those of these images that ``limit`` takes, read as the options say.

        Args:
            source: Where they lie.
            names: Their names.
            labels: (N,) int64, or ``None``.
            classes: Names of the classes.
            channels: Other than the set's own.
        """
        taken = self.chosen(names)
        return ImageFiles(
            source,
            [names[i] for i in taken],
            channels=channels or self.channels,
            memory_gb=self.memory_gb,
            labels=labels if labels is None else labels[taken],
            classes=classes,
            **self.reading(source),
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


def printable(text: str) -> str:
    """Text for a terminal: what a file name may hold beside letters, control characters say, is written out."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)

"""Decode the sides of pairs: files that belong together, halves of one picture, maps of labels or instances."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from typing_extensions import Unpack

from lightning_gans.data.decoding import Picture, Unreadable
from lightning_gans.data.image_files import FilesOptions, ImageFiles
from lightning_gans.data.resize import fit
from lightning_gans.data.source import FileError, Source


class JoinedFiles(ImageFiles):
    """Decode files that belong together into the channels of one image: all of a group or none.

    Args:
        sides: Equally many of each, in one order.
        **options: See ``ImageFiles``.
    """

    def __init__(self, sides: Mapping[str, ImageFiles], **options: Unpack[FilesOptions]) -> None:
        first = next(iter(sides.values()))
        channels = sum(files.channels for files in sides.values())
        super().__init__(first.source, first.names, channels=channels, **options)
        self.sides = dict(sides)

    def decode(self, i: int) -> Tensor | FileError:
        """Return group number i as one image (C, H, W), or its first file that cannot be read or fits no other."""
        images, sizes = [], {}
        for side, files in self.sides.items():
            found = files.decode_sized(i)
            if isinstance(found, FileError):
                return found
            images.append(found[0])
            sizes[side] = found[1]
        return self.misfit(i, sizes) or torch.cat(images)

    def misfit(self, i: int, sizes: Mapping[str, tuple[int, int]]) -> FileError | None:
        """Return what is wrong with the shapes of a group: of different aspects, each would be cut at another place.

        Args:
            i: Number of the group.
            sizes: Width and height of each side's picture, upright.
        """
        (first, (width, height)), *others = sizes.items()
        for side, (other_width, other_height) in others:
            by = abs(width * other_height - height * other_width)  # at most one pixel's worth if only rounding differs
            wrong = "of another aspect; must be the same unless data.resize=stretch"
            fits = self.resize == "stretch" or by <= max(width, height, other_width, other_height)
            if self.resize == "native":
                wrong, fits = "must be the same with data.resize=native", (width, height) == (other_width, other_height)
            if not fits:
                reason = f"{other_width}x{other_height} pixels, its {first} {width}x{height}: {wrong}"
                return FileError(self.sides[side].names[i], reason)
        return None

    def fingerprint(self) -> str:
        """Hash the files of all sides."""
        together = repr([(side, files.fingerprint()) for side, files in self.sides.items()])
        return hashlib.blake2b(together.encode(), digest_size=16).hexdigest()


class HalfFiles(ImageFiles):
    """Decode pictures of two halves side by side into channels: the source's, then the target's.

    Args:
        source: Where the files are.
        names: The files.
        source_channels: Channels of the sources.
        channels: Channels of the targets.
        swap: The right half is the source.
        **options: See ``ImageFiles``.
    """

    def __init__(
        self,
        source: Source,
        names: Sequence[str],
        *,
        source_channels: int,
        channels: int,
        swap: bool,
        **options: Unpack[FilesOptions],
    ) -> None:
        super().__init__(source, names, channels=source_channels + channels, **options)
        self.channels_of, self.swap = (source_channels, channels), swap

    def _tensor(self, picture: Picture) -> Tensor:
        image = self.decoder.eight_bit(picture)
        half = image.width // 2
        if half < 1:
            raise Unreadable(f"{image.width}x{image.height} pixels: has no two halves")
        boxes = [(0, 0, half, image.height), (image.width - half, 0, image.width, image.height)]
        halves = [image.crop(box) for box in (reversed(boxes) if self.swap else boxes)]
        return torch.cat([self._pixels(one, n) for one, n in zip(halves, self.channels_of, strict=True)])

    def fingerprint(self) -> str:
        """Hash the files and which half is which."""
        told = repr((super().fingerprint(), self.channels_of, self.swap))
        return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def label_map(picture: Picture, below: int, option: str) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return the values (H, W) of a map of numbers, upright. Palettes are not looked up.

    Args:
        picture: Of one channel, or with a palette.
        below: Values must be below this.
        option: Option that says so, for messages.

    Raises:
        Unreadable: It is no such map, or has other values.
    """
    if not (picture.mode in ("1", "L", "P", "I") or picture.mode.startswith("I;16")):
        raise Unreadable(f"mode {picture.mode}: must have one channel of numbers, or a palette")
    values = np.asarray(picture.decode()).astype(np.int32)
    if values.min() < 0 or values.max() >= below:
        wrong = values.min() if values.min() < 0 else values.max()
        raise Unreadable(f"value {wrong}: must be from 0 to {below - 1} ({option})")
    return values


class NumberFiles(ImageFiles):
    """Decode maps whose values are numbers of classes or of objects, resized without mixing them.

    Palettes are not looked up: the number counts and not its colour.

    Args:
        source: Where the files are.
        names: Which of them.
        below: Values must be below this; above 256 they take two channels, the upper eight bits first.
        option: Option that says so, for messages.
        **options: See ``ImageFiles``.
    """

    def __init__(
        self, source: Source, names: Sequence[str], *, below: int, option: str, **options: Unpack[FilesOptions]
    ) -> None:
        super().__init__(source, names, channels=1 if below <= 256 else 2, **options)
        self.below, self.option = below, option

    def _tensor(self, picture: Picture) -> Tensor:
        values = label_map(picture, self.below, self.option)
        fitted = fit(Image.fromarray(values), self.size, self.resize, resampling=Image.Resampling.NEAREST)
        numbers = torch.from_numpy(np.array(fitted)).view(1, *self.size)
        return (numbers if self.channels == 1 else torch.cat([numbers >> 8, numbers & 255])).to(torch.uint8)

"""Translation sets of encoded images: where their sides lie, and which files belong together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightning_gans.data.decoding import Picture, Unreadable
from lightning_gans.data.file_sources import check_exists, no_images, printable, source_at
from lightning_gans.data.files import FileData
from lightning_gans.data.folder import prefix_of
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.resize import fit
from lightning_gans.data.source import FileError, Source
from lightning_gans.data.translation.base import Targets, TranslationData

NAMED = 10  # files without a partner that a message names


class ImageRoot:
    """A folder or zip of images, listed once.

    Args:
        root: The folder or zip.
        key: The option that names it.
    """

    def __init__(self, root: str, key: str) -> None:
        self.root, self.key = root, key
        self.source: Source = source_at(root, key)
        self.names = self.source.names()
        if not self.names:
            raise ValueError(f"{key}={root}: {no_images(self.source)}")
        parents = [PurePosixPath(name).parent.parts for name in self.names]
        depth = 0  # of the folders that hold everything
        while len(parents[0]) > depth and len({part[: depth + 1] for part in parents}) == 1:
            depth += 1
        self.tops = ["/".join(parents[0][:i]) + "/" if i else "" for i in range(depth + 1)]

    def subfolder(self, folder: str | None) -> dict[str, str]:
        """The images below a sub-folder, or all of them.

        Args:
            folder: Its path from ``root``, from the folder that holds everything (as in a zip of one folder), or from
                any folder between them; ``None``: all images.

        Returns:
            Full names by names below that folder; nothing without such a folder.
        """
        if folder is None:
            return {name.removeprefix(self.tops[-1]): name for name in self.names}
        for top in self.tops:
            start = f"{top}{prefix_of(folder)}"
            found = {name.removeprefix(start): name for name in self.names if name.startswith(start)}
            if found:
                return found
        return {}

    def require(self, folder: str | None, option: str) -> dict[str, str]:
        """The images below a sub-folder.

        Raises:
            ValueError: There are none; by the option that names the folder.
        """
        found = self.subfolder(folder)
        if not found:
            beside = sorted({name.removeprefix(self.tops[-1]).split("/")[0] for name in self.names if "/" in name})
            there = f"; there are {', '.join(beside[:NAMED])}" if beside else ""
            raise ValueError(
                f"data.{option}={folder}: {self.key}={printable(self.root)} has no images under such a folder"
                f"{printable(there)}"
            )
        return found


class TranslationFiles(TranslationData, FileData):
    """A translation set of encoded images.

    Args:
        root: The folder or zip that it lies in.
        **options: See ``TranslationData`` and ``FileData``.

    Raises:
        FileNotFoundError: There is no such folder or zip.
        ValueError: A value out of range.
    """

    def __init__(self, *, root: str, **options: Any) -> None:
        super().__init__(root=root, **options)
        if self.num_classes is not None:
            raise ValueError(f"data.num_classes={self.num_classes}: sets for translation have none; must be null")
        self._places: dict[str, ImageRoot] = {}

    @property
    def keeps_scale(self) -> bool:
        """As the base, and where pixels stay as they are in the files."""
        return super().keeps_scale or self.resize == "native"

    def place(self, root: str | None = None, key: str = "data.root") -> ImageRoot:
        """What lies at ``root``, or at another folder or zip that an option names."""
        root = self.root if root is None else root
        if root not in self._places:
            self._places[root] = ImageRoot(root, key)
        return self._places[root]

    def parts(self) -> dict[str, ImageFiles]:
        """The files by what they are of, for ``data_check``: the training part."""
        return {"images": self.files()}


class FromTargets(TranslationFiles):
    """Pairs of images and what is made of them: any images will do. A set says how in ``degradation``.

    Args:
        root: The folder or zip.
        within: Use only what lies under this sub-folder, e.g. ``train``; ``None``: everything.
        test_within: Sub-folder of the test images; ``None``: there are none.
        **options: See ``TranslationFiles``.
    """

    def __init__(self, *, root: str, within: str | None = None, test_within: str | None = None, **options: Any) -> None:
        super().__init__(root=root, **options)
        self.within, self.test_within, self.part = within, test_within, within or self.part
        check_exists(root)

    def files(self) -> ImageFiles:
        """The training images, sorted by name."""
        return self._files(self.within, "within")

    def load(self) -> Targets:
        """The training images; sources are made of them on the device."""
        return Targets(self.load_in_memory(self.files())[0])

    def load_test(self) -> Targets | None:
        """The test images, if there are any."""
        return (
            None
            if self.test_within is None
            else Targets(self.load_in_memory(self._files(self.test_within, "test_within"))[0])
        )

    def _files(self, folder: str | None, option: str) -> ImageFiles:
        place = self.place()
        return self.make_files(place.source, list(place.require(folder, option).values()))


# ---------------------------------------------------------------------------------- files that belong together


def match(sides: Mapping[str, Mapping[str, str]], suffixes: Mapping[str, str], where: str) -> dict[str, list[str]]:
    """Files of several folders by their names.

    Args:
        sides: Of each side full names by names below its folder.
        suffixes: What the names of a side end with before the extension and those of the others do not.
        where: What messages begin with.

    Returns:
        Full names of each side in one order.

    Raises:
        ValueError: With the files that stand alone, or two that have one name.
    """
    by_stem: dict[str, dict[str, str]] = {}
    for side, names in sides.items():
        by_stem[side] = {}
        for short, name in names.items():
            path = PurePosixPath(short)
            stem = str(path.with_name(path.stem.removesuffix(suffixes.get(side, ""))))
            if stem in by_stem[side]:
                raise ValueError(f"{where}: {printable(name)} and {printable(by_stem[side][stem])} have one name")
            by_stem[side][stem] = name
    everywhere = set.intersection(*(set(stems) for stems in by_stem.values()))
    alone = {side: [name for stem, name in stems.items() if stem not in everywhere] for side, stems in by_stem.items()}
    if any(alone.values()):
        told = []
        for side, lonely in alone.items():
            if lonely:
                more = f" and {len(lonely) - NAMED} more" if len(lonely) > NAMED else ""
                told.append(f"{len(lonely)} of {len(by_stem[side])} {side}s ({', '.join(lonely[:NAMED])}{more})")
        raise ValueError(
            f"{where}: files belong together by their names, and no partner have {printable('; '.join(told))}"
        )
    return {side: [stems[stem] for stem in sorted(everywhere)] for side, stems in by_stem.items()}


class JoinedFiles(ImageFiles):
    """Files that belong together, each group decoded into the channels of one image; all of a group or none.

    Args:
        sides: Equally many of each, in one order.
        **options: See ``ImageFiles``.
    """

    def __init__(self, sides: Mapping[str, ImageFiles], **options: Any) -> None:
        first = next(iter(sides.values()))
        channels = sum(files.channels for files in sides.values())
        super().__init__(first.source, first.names, channels=channels, **options)
        self.sides = dict(sides)

    def decode(self, i: int) -> Tensor | FileError:
        """Group number i as one image (C, H, W), or the first file of it that cannot be read or fits no other."""
        images, sizes = [], {}
        for side, files in self.sides.items():
            found = files.decode_sized(i)
            if isinstance(found, FileError):
                return found
            images.append(found[0])
            sizes[side] = found[1]
        return self.misfit(i, sizes) or torch.cat(images)

    def misfit(self, i: int, sizes: Mapping[str, tuple[int, int]]) -> FileError | None:
        """What is wrong with the shapes of a group: of other aspects, each would be cut out of another place.

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
        """Of all sides."""
        together = repr([(side, files.fingerprint()) for side, files in self.sides.items()])
        return hashlib.blake2b(together.encode(), digest_size=16).hexdigest()


class HalfFiles(ImageFiles):
    """Pictures of two halves side by side, decoded into channels: the source's, then the target's.

    Args:
        source: Names of the files' place.
        names: The files.
        source_channels: Of the sources; ``channels`` are those of the targets.
        swap: The right half is the source.
        **options: See ``ImageFiles``.
    """

    def __init__(
        self, source: Source, names: Sequence[str], *, source_channels: int, swap: bool, channels: int, **options: Any
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
        """Of the files, and of which half is which."""
        told = repr((super().fingerprint(), self.channels_of, self.swap))
        return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def label_map(picture: Picture, below: int, option: str) -> np.ndarray[Any, np.dtype[np.int32]]:
    """The values (H, W) of a map of numbers, upright. Palettes are not looked up.

    Args:
        picture: Of one channel, or with a palette.
        below: Values must be below this.
        option: What says so.

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
    """Maps whose values are numbers of classes or of objects: resized without mixing them.

    Palettes are not looked up: the number counts and not its colour.

    Args:
        below: Values must be below this.
        option: The option that says so.
        source: Of the files.
        names: Of the files.
        **options: See ``ImageFiles``; ``channels`` are 1, or 2 for values of 16 bits, the upper eight first.
    """

    def __init__(self, source: Source, names: Sequence[str], *, below: int, option: str, **options: Any) -> None:
        super().__init__(source, names, channels=1 if below <= 256 else 2, **options)
        self.below, self.option = below, option

    def _tensor(self, picture: Picture) -> Tensor:
        values = label_map(picture, self.below, self.option)
        fitted = fit(Image.fromarray(values), self.image_size, self.resize, resampling=Image.Resampling.NEAREST)
        numbers = torch.from_numpy(np.array(fitted)).view(1, self.image_size, self.image_size)
        return (numbers if self.channels == 1 else torch.cat([numbers >> 8, numbers & 255])).to(torch.uint8)


def from_two_bytes(numbers: Tensor) -> Tensor:
    """(N, 2, H, W) uint8, the upper byte first, to (N, 1, H, W) int64."""
    return numbers[:, :1].long() * 256 + numbers[:, 1:].long()

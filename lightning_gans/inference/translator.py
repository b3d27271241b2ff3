"""Translate a folder of pictures into a folder of pictures."""

from __future__ import annotations

import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import check_value
from lightning_gans.data.decoding import BACKGROUND, MAX_PIXELS, MODES, check_background
from lightning_gans.data.file_sources import printable
from lightning_gans.data.source import Bits, FileError, Source, decoder_of
from lightning_gans.images import files as image_files
from lightning_gans.images import pixels as image_pixels
from lightning_gans.images import sheets
from lightning_gans.inference.source_images import WAITING, SourceImages, read_ahead, source_shape
from lightning_gans.inference.tiles import AT_ONCE, TilingSpec, fitted
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.translation import TranslationModule
from lightning_gans.runtime.atomic import atomic_write

FORMATS: dict[str, tuple[str, tuple[int, ...]]] = {  # by the ending: Pillow's name, and the channels that it holds
    "png": ("PNG", (1, 2, 3, 4)),
    "jpg": ("JPEG", (1, 3)),
    "webp": ("WEBP", (1, 3, 4)),
    "tiff": ("TIFF", (1, 2, 3, 4)),
    "bmp": ("BMP", (1, 3)),
}
QUALITY = 95  # of JPEG and WebP
SHOWN_AT = 256  # pixels of a picture's longer side in the sheet


class TranslationReport(NamedTuple):
    """Report translated pictures and files without a translation.

    Attributes:
        written: Number of translations.
        problems: Files without a translation, and the reasons.
        converted: Number of pictures that were converted to suit the model, by kind of conversion.
        tiled: Number of pictures that went through the network by tiles.
        sheet: Path of the sheet, if there is one.
    """

    written: int
    problems: list[FileError]
    converted: dict[str, int]
    tiled: int
    sheet: Path | None

    def notes(self, n: int) -> list[str]:
        """Return lines on the conversions and tiles of ``n`` pictures, with their counts."""
        tiled = {"by tiles, since they are large": self.tiled} if self.tiled else {}
        return [f"{note}: {count:,} of {n:,} pictures" for note, count in {**self.converted, **tiled}.items()]

    def errors(self) -> list[str]:
        """Return files without a translation as lines for a terminal."""
        named = [(printable(name), printable(reason)) for name, reason in self.problems]
        told = [f"  {name}: {reason.replace('data.max_pixels', 'max_pixels')}" for name, reason in named]
        return [f"{len(told):,} files have no translation:", *told] if told else []


def targets(names: Sequence[str], out: Path, ending: str) -> list[Path]:
    """Return the path of each picture's translation: its sub-folder and stem under ``out``.

    Pictures that differ only in their endings, ``a.jpg`` and ``a.png``, keep them in their stems: ``a_jpg.png``.

    Args:
        names: Names of the pictures.
        out: Folder of the translations.
        ending: Their format.

    Raises:
        ValueError: Two paths would still be equal.
    """
    paths = [PurePosixPath(name) for name in names]
    count = Counter(path.with_suffix("") for path in paths)
    stems = [
        str(path.with_suffix("")) + (f"_{path.suffix[1:]}" if count[path.with_suffix("")] > 1 else "") for path in paths
    ]
    for stem, times in Counter(stems).items():
        if times > 1:
            first, second = [name for name, one in zip(names, stems, strict=True) if one == stem][:2]
            raise ValueError(f"input: {first} and {second} would both be written as {stem}.{ending}; rename one")
    return [out / f"{stem}.{ending}" for stem in stems]


def sheet_path(folder: Path, planned: Sequence[Path]) -> Path:
    """Return the path of the sheet: ``sheet.png``, unless a translation has that name."""
    names = ["sheet.png", *(f"sheet_{number}.png" for number in range(1, len(planned) + 1))]
    return next(folder / name for name in names if folder / name not in planned)


def check_out(root: str, out: str, overwrite: bool, planned: Sequence[Path], names: Sequence[str]) -> None:
    """Refuse to overwrite pictures that are read or files that should stay, before any work.

    Args:
        root: Folder, archive or picture that is read.
        out: Folder that is written.
        overwrite: Allow older translations to be replaced; pictures that are read never are.
        planned: Every file that will be written.
        names: Every picture that is read.

    Raises:
        ValueError: With the option to change.
    """
    source, folder = Path(root).expanduser().resolve(), Path(out).expanduser().resolve()
    if source.is_dir() and (folder == source or source in folder.parents):
        raise ConfigError("out", out, f"lies in input={root}; choose a folder outside it")
    base = source if source.is_dir() else source.parent
    read = {source, *(base / name for name in names)}
    for path in planned:
        if path.resolve() in read or (path.parent.resolve() / path.name) in read:
            raise ConfigError("out", out, f"{path} is among the pictures that are read; choose another folder")
    there = [path for path in planned if path.exists() or path.is_symlink()]
    if there and not overwrite:
        raise ConfigError(
            "out",
            out,
            f"has {len(there)} of the {len(planned)} files that would be written, e.g. {there[0].name}; "
            "choose another folder, or say overwrite=true",
        )


class Translator:
    """Translate folders of pictures by a network, in batches of pictures of equal sizes.

    Threads read ahead and write behind.

    Args:
        network: Maps (N, C, H, W) in [-1, 1], or one-hot labels, to (N, C', scale * H, scale * W) in [-1, 1].
        tiling: Sizes that it takes.
        channels: C, 1 to 4.
        made_channels: C'.
        num_labels: Number of labels of sources that are label maps; ``None``: sources are images.
        holes: Treat transparent pixels as holes that the network fills.
        background: Colour behind transparent pixels, as in training; see ``FileData``.
        bits: Bits of the values of 16-bit pictures, as in training; see ``FileData``.
        device: Device of the network.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        tiling: TilingSpec,
        *,
        channels: int,
        made_channels: int,
        num_labels: int | None = None,
        holes: bool = False,
        background: str | None = BACKGROUND,
        bits: Bits = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network, self.tiling = network, tiling
        self.channels, self.made_channels, self.num_labels, self.holes = channels, made_channels, num_labels, holes
        self.background, self.bits, self.device = background, bits, device

    @classmethod
    def of(
        cls, module: GenerativeModule, *, direction: str = "a2b", tile: int | str | None = "auto", seed: int = 0
    ) -> Translator:
        """Make the translator of a loaded module.

        Args:
            module: Translation module with the config that it was trained by.
            direction: One of its directions.
            tile: See ``TilingSpec.of``.
            seed: Seed of its noise.

        Raises:
            ValueError: It does not translate, or not in this direction, or not single pictures, or its data options do
                not exist.
        """
        if not isinstance(module, TranslationModule):
            raise ValueError(
                f"checkpoint: {type(module).__name__} makes images from latents and translates none; "
                "use python -m lightning_gans.sample"
            )
        module.check_direction(direction)
        forwards = direction == "a2b"
        channels, *sides = source_shape(module, direction)
        made_channels = source_shape(module, "b2a" if forwards else "a2b")[0]  # sources of the way back
        data = (module.config or {})["resolved"]["data"]
        num_labels = data.get("num_labels") if forwards else None
        if num_labels is None and channels not in MODES:
            raise ValueError(f"input: the model's sources have {channels} channels; pictures have 1 to 4")
        background, bits = data.get("background", BACKGROUND), data.get("bits")
        check_background(background)
        check_value("data.bits", bits, Bits)
        tiling = TilingSpec.of(size_divisor=module.size_divisor, trained=min(sides), scale=module.scale, tile=tile)
        return cls(
            lambda source: module.translate(source, direction=direction, seed=seed),
            tiling,
            channels=channels,
            made_channels=made_channels,
            num_labels=num_labels,
            holes=forwards and "hole_min" in data,
            background=background,
            bits=bits,
            device=module.device,
        )

    def originals(
        self, source: Source, names: Sequence[str], *, root: str, max_pixels: int = MAX_PIXELS
    ) -> SourceImages:
        """Return pictures as the network takes them; see ``SourceImages``."""
        how: dict[str, Any] = {"channels": self.channels, "num_labels": self.num_labels, "holes": self.holes}
        decoder = decoder_of(source, max_pixels=max_pixels, background=self.background, bits=self.bits, names=names)
        return SourceImages(source, names, root=root, decoder=decoder, **how)

    def check_format(self, ending: str) -> None:
        """Refuse a format that cannot hold the channels of the output.

        Raises:
            ValueError: With the formats that can.
        """
        kept = image_pixels.displayable(torch.empty(self.made_channels, 1, 1)).shape[0]
        fitting = [name for name, (_, channels) in FORMATS.items() if kept in channels]
        if ending not in fitting:
            raise ConfigError("format", ending, f"does not hold {kept} channels; use {', '.join(fitting)}")

    def __call__(
        self,
        files: SourceImages,
        paths: Sequence[Path],
        *,
        batch_size: int = 8,
        threads: int | None = None,
        shown: int = 16,
        sheet: Path | None = None,
    ) -> TranslationReport:
        """Translate pictures.

        Args:
            files: The pictures.
            paths: Path of each translation; the ending names the format.
            batch_size: Pictures at once, >= 1.
            threads: Threads that read and write; ``None``: one a core.
            shown: Number of pictures, the first ones, that the sheet shows beside their translations.
            sheet: Path of the sheet; ``None``: none.

        Returns:
            A report. A picture that cannot be read or translated is listed there and does not stop the others.

        Raises:
            OSError: A translation cannot be written.
        """
        problems = list(files.source.problems)
        rows: dict[int, list[Tensor]] = {}
        written = tiled = 0
        threads = threads or os.cpu_count() or 1
        with ThreadPoolExecutor(threads) as pool, tqdm(total=len(files), desc="translating", mininterval=1) as bar:
            writing: deque[Future[Path]] = deque()
            for group in self._groups(files, read_ahead(files, pool, 2 * threads), batch_size, problems, bar):
                for i, picture, made in self._translated(group, files, problems):
                    if i < shown and sheet is not None:
                        shown_whole = self.tiling.scale == 1  # of enlarged pictures the middle, at its full size
                        pair = _visible(picture, files.num_labels), made
                        rows[i] = [sheets.thumbnail(one, made.shape[-2:], SHOWN_AT, shown_whole) for one in pair]
                    writing.append(pool.submit(write, made, paths[i]))
                    if len(writing) > 2 * threads:
                        writing.popleft().result()
                    tiled += self.tiling.is_tiled(*picture.shape[-2:])
                    written += 1
                bar.update(len(group))
            while writing:
                writing.popleft().result()
        if rows and sheet is not None:
            image_files.save(sheets.panels([rows[i] for i in sorted(rows)]), sheet, "overview")
        return TranslationReport(written, sorted(problems), dict(files.converted), tiled, sheet if rows else None)

    def _groups(
        self,
        files: SourceImages,
        pictures: Iterator[Tensor | FileError],
        batch_size: int,
        problems: list[FileError],
        bar: Any,
    ) -> Iterator[list[_Numbered]]:
        """Yield pictures with their numbers in batches of one size; those that fail go to ``problems``."""
        waiting: defaultdict[tuple[int, ...], list[_Numbered]] = defaultdict(list)
        for i, picture in enumerate(pictures):
            if isinstance(picture, Tensor) and picture[0].numel() * self.tiling.scale**2 > files.decoder.max_pixels:
                reason = f"its translation would have more pixels than max_pixels={files.decoder.max_pixels}"
                picture = FileError(files.names[i], reason)
            if isinstance(picture, FileError):
                problems.append(picture)
                bar.update()
                continue
            size = tuple(picture.shape)
            waiting[size].append((i, picture))
            pixels = self.tiling.padded(size[1]) * self.tiling.padded(size[2]) * self.tiling.scale**2
            if len(waiting[size]) >= min(batch_size, max(1, AT_ONCE // pixels)):
                yield waiting.pop(size)
            elif sum(map(len, waiting.values())) > WAITING * batch_size:
                yield waiting.pop(max(waiting, key=lambda size: len(waiting[size])))
        yield from waiting.values()

    def _translated(
        self, group: list[_Numbered], files: SourceImages, problems: list[FileError]
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield number, picture and translation (C, H, W) uint8 of a batch; picture by picture if the batch fails."""
        pictures = torch.stack([picture for _, picture in group])
        try:
            sources = _as_input(pictures, files.num_labels).to(self.device)
            made = image_pixels.to_uint8(fitted(self.network, sources, self.tiling)).cpu()
        except RuntimeError as error:  # too little memory, mostly
            if len(group) == 1:
                reason = f"cannot be translated: {str(error).splitlines()[0]}"
                problems.append(FileError(files.names[group[0][0]], reason))
            for one in group if len(group) > 1 else []:
                yield from self._translated([one], files, problems)
            return
        for (i, picture), one in zip(group, made, strict=True):
            yield i, picture, one


_Numbered = tuple[int, Tensor]


def _as_input(pictures: Tensor, num_labels: int | None) -> Tensor:
    """Convert uint8 (N, C, H, W) to floats in [-1, 1], or labels (N, 1, H, W) to one-hot (N, num_labels, H, W)."""
    if num_labels is None:
        return pictures.float().div_(127.5).sub_(1)
    return torch.nn.functional.one_hot(pictures[:, 0], num_labels).permute(0, 3, 1, 2).float()


def _visible(picture: Tensor, num_labels: int | None) -> Tensor:
    return picture if num_labels is None else image_pixels.label_colours(picture[0], num_labels)


def write(image: Tensor, path: Path) -> Path:
    """Write an image (C, H, W) uint8 in the format that the path's ending names, whole or not at all."""
    options: dict[str, Any] = {"quality": QUALITY} if path.suffix in (".jpg", ".webp") else {}
    with atomic_write(path) as temporary:
        image_pixels.to_pil(image).save(temporary, FORMATS[path.suffix[1:]][0], **options)
    return path

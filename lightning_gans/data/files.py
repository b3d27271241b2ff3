"""Data modules of encoded images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, get_args

import torch
from torch import Tensor

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.data.decoding import BACKGROUND, MAX_PIXELS, MODES, check_background, check_bits, check_max_pixels
from lightning_gans.data.image_files import ImageFiles, OnError
from lightning_gans.data.resize import Policy
from lightning_gans.data.source import Bits, Source, decoder_of
from lightning_gans.data.subset import class_folders, spread


class FileData(ImageDataModule):
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
        **options: See ``ImageDataModule``.
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
    def storage_size(self) -> int:
        """Side of the images that are held."""
        return self.side

    def reading(self, source: Source) -> dict[str, Any]:
        """Options of ``ImageFiles`` that every file of a source is read with."""
        decoder = decoder_of(source, max_pixels=self.max_pixels, background=self.background, bits=self.bits)
        how: dict[str, Any] = {"resize": self.resize, "on_error": self.on_error, "decoder": decoder}
        return {"root": self.root, "image_size": self.storage_size, **how}

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

    def load(self) -> ImageDataset:
        """List the images, and decode them if they fit."""
        return self.load_in_memory(self.files())[0]

    def load_in_memory(self, *sets: ImageFiles) -> list[ImageDataset]:
        """Decode these sets, all of them if they fit together."""
        if sum(len(files) * files.channels * files.image_size**2 for files in sets) <= self.memory_gb * 2**30:
            return [files.in_memory() for files in sets]
        for files in sets:
            files.report_errors(files.source.problems)
        return list(sets)

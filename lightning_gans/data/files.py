"""Read the encoded images of a set as its options say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_gans.config.signatures import fields_of
from lightning_gans.config.types import check_value
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.data.decoding import BACKGROUND, MAX_PIXELS, check_background
from lightning_gans.data.image_files import FilesOptions, ImageFiles, OnError
from lightning_gans.data.options import FileOptions, ReadingOptions, select
from lightning_gans.data.resize import Policy
from lightning_gans.data.source import Bits, Source, decoder_of
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import class_folders, spread
from lightning_gans.runtime.aliases import moved_from


@dataclass(frozen=True)
class FileReader:
    """Read encoded images: how they are decoded, resized and kept in memory.

    Args:
        resize: How a picture of another size becomes one of ``image_size``, by antialiased bicubic interpolation.
            ``cover``: both sides are covered and the middle is cut out; ``contain``: the whole picture, black beside
            it; ``stretch``: the whole picture, its aspect given up; ``native``: the middle is cut out and its pixels
            stay as they are, a smaller picture as by ``cover``.
        on_error: ``stop``: a file that cannot be read ends the training, by name; ``skip``: it is left out with a
            warning, and where images are read batch by batch the next one takes its place.
        max_pixels: Pictures of more pixels are not decoded and count as files that cannot be read.
        background: Colour beneath transparent pixels where ``channels`` have no alpha, a name or ``#rrggbb``; ``None``:
            the colours that the file has there, whatever a program left.
        bits: Of one value in pictures of 16 bits: 12 where a microscope wrote values from 0 to 4095. ``auto``: as many,
            8 or more, as the largest value of all pictures in the same folder or zip takes. ``None``: all 16.
        memory_gb: Decoded sets up to this size are kept in memory; larger ones are read batch by batch by
            ``num_workers`` processes, and where networks grow kept in memory at resolutions at which they fit.

    Raises:
        ValueError: A value out of range.
    """

    resize: Policy = "cover"
    on_error: OnError = "stop"
    max_pixels: int = MAX_PIXELS
    background: str | None = BACKGROUND
    bits: Bits = None
    memory_gb: float = 4.0

    def __post_init__(self) -> None:
        """Check the values."""
        check_background(self.background)
        for name, hint in (fields_of(ReadingOptions) or {}).items():
            check_value(name, getattr(self, name), hint)

    def files(
        self,
        source: Source,
        names: Sequence[str],
        spec: ImageSpec,
        *,
        root: str,
        channels: int | None = None,
        labels: Tensor | None = None,
        classes: list[str] | None = None,
    ) -> ImageFiles:
        """Return a dataset of all these files.

        Args:
            source: Where they are.
            names: Which of them, in order.
            spec: Of the images.
            root: Folder or zip, for messages.
            channels: Other than those of ``spec``.
            labels: (N,) int64, or ``None``.
            classes: Names of the classes.
        """
        return ImageFiles(
            source,
            names,
            channels=channels or spec.channels,
            memory_gb=self.memory_gb,
            labels=labels,
            classes=classes,
            **self.options(source, spec, root),
        )

    def options(self, source: Source, spec: ImageSpec, root: str) -> FilesOptions:
        """Return the options that all files of a source are read with."""
        decoder = decoder_of(source, max_pixels=self.max_pixels, background=self.background, bits=self.bits)
        return {
            "root": root,
            "image_size": spec.size,
            "resize": self.resize,
            "on_error": self.on_error,
            "decoder": decoder,
        }

    def in_memory(self, *sets: ImageFiles) -> list[ImageDataset]:
        """Decode these sets, if all of them together fit ``memory_gb``; otherwise return them as they are."""
        if sum(files.nbytes for files in sets) <= self.memory_gb * 2**30:
            return [files.in_memory() for files in sets]
        for files in sets:
            files.report_errors(files.source.problems)
        return list(sets)


def reader_of(options: FileOptions) -> FileReader:
    """Return the reader that the options of a set ask for."""
    return FileReader(**select(options, ReadingOptions))


def chosen(names: Sequence[str], max_images: int | None) -> list[int]:
    """Return which of these images ``limit`` takes: of every sub-folder its share; see ``spread``."""
    folders = class_folders(names)
    number = {folder: i for i, folder in enumerate(dict.fromkeys(folders))}
    return spread(len(names), max_images, torch.tensor([number[folder] for folder in folders])).tolist()


if not TYPE_CHECKING:
    __getattr__ = moved_from(__name__)

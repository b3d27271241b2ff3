"""Declare the options that image sets have in common. A set takes ``**options: Unpack[...]`` of one of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

from typing_extensions import TypedDict

from lightning_gans.config.types import FractionBelowOne, MaxPixels, NonNegative, PositiveInt
from lightning_gans.data.image_files import OnError
from lightning_gans.data.loader import Device, Workers
from lightning_gans.data.resize import Policy
from lightning_gans.data.source import Bits
from lightning_gans.extractors.base import Extractor
from lightning_gans.images.size import Size

Kind = TypeVar("Kind")


class ShapeOptions(TypedDict):
    """Declare the options that every set must have."""

    image_size: Size | None
    channels: PositiveInt


class DataOptions(ShapeOptions, total=False):
    """Declare the options of every set; see ``ImageDataModule``."""

    num_classes: PositiveInt | None
    flip: bool
    num_workers: Workers
    device: Device
    limit: PositiveInt | None
    val_fraction: FractionBelowOne
    seed: int
    extractor: Callable[[], Extractor] | None


class ReadingOptions(TypedDict, total=False):
    """Declare the options of encoded images; see ``FileReader``."""

    resize: Policy
    on_error: OnError
    max_pixels: MaxPixels
    background: str | None
    bits: Bits
    memory_gb: NonNegative


class FileOptions(DataOptions, ReadingOptions, total=False):
    """Declare the options of sets of encoded images."""


class SourceOptions(TypedDict):
    """Declare the options that every set of pairs must have."""

    source_channels: PositiveInt


class PairOptions(DataOptions, SourceOptions, total=False):
    """Declare the options of sets of pairs; see ``PairTransform``."""

    load_size: Size | None


class PairFileOptions(FileOptions, PairOptions, total=False):
    """Declare the options of sets of pairs in encoded images."""


def select(options: Mapping[str, object], kind: type[Kind]) -> Kind:
    """Return those of some options that a TypedDict declares, for the part of a set that takes them.

    Args:
        options: Of a set.
        kind: The TypedDict.
    """
    return cast(Kind, {key: value for key, value in options.items() if key in kind.__annotations__})


def shared_options(options: DataOptions) -> DataOptions:
    """Return the options that every set has, without those of its files and pairs."""
    return select(options, DataOptions)

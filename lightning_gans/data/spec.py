"""Describe the images that a data module asks its source for."""

from __future__ import annotations

from typing import NamedTuple


class ImageSpec(NamedTuple):
    """Describe the images that a data module asks its source for.

    Attributes:
        size: Height and width in pixels; (0, 0) for points.
        channels: Of an image, or of the target of a pair; of points the number of coordinates.
        source_channels: Of the source of a pair; 0 without pairs.
        num_classes: Number of classes if labels are wanted.
        max_images: Take so many images, of every class its share (see ``spread``); ``None``: all.
        seed: Seed of sets that are drawn.
    """

    size: tuple[int, int]
    channels: int
    source_channels: int = 0
    num_classes: int | None = None
    max_images: int | None = None
    seed: int = 0

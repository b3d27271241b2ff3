"""Read image sizes that are typed as one number or as ``[height, width]``. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

Size = int | Sequence[int]  # of images: a side, or [height, width]


def height_width(size: Size, key: str = "data.image_size") -> tuple[int, int]:
    """Return the height and the width of a size.

    Args:
        size: The side of a square, or ``[height, width]``, in pixels.
        key: Option that named it, for messages.

    Raises:
        ValueError: It is neither, or below 1.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2:
        raise ValueError(f"{key}={list(sides)}: must be a side, or [height, width]")
    if min(sides) < 1:
        raise ValueError(f"{key}={size}: must be >= 1")
    return int(sides[0]), int(sides[1])


def shortest(height: int, width: int) -> Size:
    """Return the shortest way to type a size: one side of a square, else ``[height, width]``."""
    return height if height == width else [height, width]


def size_text(size: Size) -> str:
    """Return a size as ``HEIGHTxWIDTH``, for messages, score cards and file names."""
    return "{}x{}".format(*height_width(size))

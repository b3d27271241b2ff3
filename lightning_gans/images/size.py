"""Read image sizes that are typed as one number or as ``[height, width]``. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

Size = int | Sequence[int]  # of images: a side, or [height, width]


def height_width(size: Size) -> tuple[int, int]:
    """Return the height and the width of a size.

    Args:
        size: The side of a square, or ``[height, width]``, in pixels.

    Raises:
        ValueError: It is a sequence of another length than two.
    """
    if isinstance(size, int):
        return size, size
    if len(size) != 2:
        raise ValueError(f"data.image_size={list(size)}: must be a side, or [height, width]")
    return int(size[0]), int(size[1])


def shortest(height: int, width: int) -> Size:
    """Return the shortest way to type a size: one side of a square, else ``[height, width]``."""
    return height if height == width else [height, width]


def size_text(size: Size) -> str:
    """Return a size as ``HEIGHTxWIDTH``, for messages, score cards and file names."""
    return "{}x{}".format(*height_width(size))

"""Draw the landmarks of a face by groups of points in fixed colours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from lightning_gans.data.resize import Policy, middle

POINTS = 68


class Group(NamedTuple):
    """Describe points that are joined by a line in one colour.

    Attributes:
        name: What they belong to.
        first: Number of the first point.
        last: Number of the last one.
        colour: Red, green and blue.
        is_closed: Join the last point to the first.
    """

    name: str
    first: int
    last: int
    colour: tuple[int, int, int]
    is_closed: bool = False


GROUPS = (  # of the 68 points of iBUG 300-W
    Group("chin", 0, 16, (0, 128, 0)),
    Group("right brow", 17, 21, (255, 165, 0)),
    Group("left brow", 22, 26, (255, 165, 0)),
    Group("bridge of the nose", 27, 30, (0, 0, 255)),
    Group("tip of the nose", 31, 35, (0, 0, 255)),
    Group("right eye", 36, 41, (255, 0, 0), True),
    Group("left eye", 42, 47, (255, 0, 0), True),
    Group("outer lip", 48, 59, (128, 0, 128), True),
    Group("inner lip", 60, 67, (255, 105, 180), True),
)


def draw_landmarks(points: np.ndarray, size: tuple[int, int], *, width: int = 2) -> np.ndarray:
    """Draw a face's landmarks as lines on white.

    Args:
        points: (68, 2), right and down in pixels of the drawing; they may lie outside of it.
        size: Height and width of the drawing.
        width: Of the lines, in pixels.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: Another number of points, or one that is not finite.
    """
    if points.shape != (POINTS, 2) or not np.isfinite(points).all():
        raise ValueError(f"landmarks: must be {POINTS} finite points, not an array {points.shape}")
    sheet = Image.new("RGB", size[::-1], "white")
    pen = ImageDraw.Draw(sheet)
    for group in GROUPS:
        line = [tuple(point) for point in points[group.first : group.last + 1].tolist()]
        pen.line([*line, line[0]] if group.is_closed else line, fill=group.colour, width=width)
    return np.asarray(sheet)


def placed(points: np.ndarray, whole: tuple[int, int], size: tuple[int, int], policy: Policy) -> np.ndarray:
    """Move landmarks as a picture is resized and cut by ``data.resize.fit``.

    Args:
        points: (N, 2), right and down in pixels of the picture.
        whole: Height and width of the picture.
        size: Height and width that it is fitted into.
        policy: See ``fit``.

    Returns:
        (N, 2), in pixels of the fitted picture.
    """
    if policy == "contain":
        scale = min(size[0] / whole[0], size[1] / whole[1])
        small = [max(1, round(side * scale)) for side in whole]
        offset = np.array([(size[1] - small[1]) // 2, (size[0] - small[0]) // 2])
        return np.asarray(points * np.array([small[1] / whole[1], small[0] / whole[0]]) + offset)
    box = whole if policy == "stretch" else middle(whole, size, policy)
    corner = np.array([(whole[1] - box[1]) // 2, (whole[0] - box[0]) // 2])
    return np.asarray((points - corner) * np.array([size[1] / box[1], size[0] / box[0]]))

"""Lay out many images, or points, in one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lightning_gans.images.pixels import displayable, to_pil, to_uint8


def grid(images: Tensor, *, columns: int | None = None, gap: int = 2) -> Tensor:
    """Lay images out in rows.

    Args:
        images: (N, C, H, W) uint8.
        columns: Images in a row; ``None``: a grid as square as possible.
        gap: Pixels between images.

    Returns:
        One image (C, H', W') uint8 of one, three or four channels.
    """
    images = displayable(images)
    n, channels, height, width = images.shape
    columns = columns or int(np.ceil(np.sqrt(n * height / width)))
    rows = -(-n // columns)
    sheet = torch.zeros(channels, rows * (height + gap) + gap, columns * (width + gap) + gap, dtype=torch.uint8)
    for i, image in enumerate(images.cpu()):
        top, left = gap + (i // columns) * (height + gap), gap + (i % columns) * (width + gap)
        sheet[:, top : top + height, left : left + width] = image
    return sheet


def panels(rows: Sequence[Sequence[Tensor]], *, gap: int = 2) -> Tensor:
    """Lay out groups of images that belong together, e.g. a picture and its translation, several groups in a line.

    Args:
        rows: Groups of equally many images (C, H, W) uint8, whose sizes and channels may differ. Within a group small
            ones are enlarged by a whole number.
        gap: Pixels between images; twice as many between groups.

    Returns:
        One image (C', H', W') uint8 of one or three channels.
    """
    groups = [[displayable(image.cpu())[:3] for image in row] for row in rows]
    channels = max(image.shape[0] for group in groups for image in group)
    groups = [[_enlarged(image, group).expand(channels, -1, -1) for image in group] for group in groups]
    height, width = (max(image.shape[i] for group in groups for image in group) for i in (1, 2))
    in_group = len(groups[0])
    across = max(1, round((len(groups) * height / (in_group * width)) ** 0.5))
    down = -(-len(groups) // across)
    sheet_width = across * (in_group * (width + gap) + gap) + gap
    sheet = torch.zeros(channels, down * (height + gap) + gap, sheet_width, dtype=torch.uint8)
    for i, group in enumerate(groups):
        top, left = gap + i // across * (height + gap), gap + i % across * (in_group * (width + gap) + gap)
        for j, image in enumerate(group):
            y = top + (height - image.shape[1]) // 2
            x = left + j * (width + gap) + (width - image.shape[2]) // 2
            sheet[:, y : y + image.shape[1], x : x + image.shape[2]] = image
    return sheet


def _enlarged(image: Tensor, beside: Sequence[Tensor]) -> Tensor:
    """Enlarge an image by the largest whole number at which it is not larger than the largest beside it."""
    factor = max(1, min(max(other.shape[i] for other in beside) // image.shape[i] for i in (1, 2)))
    return image.repeat_interleave(factor, 1).repeat_interleave(factor, 2)


def thumbnail(image: Tensor, size: Sequence[int], side: int, whole: bool = True) -> Tensor:
    """Enlarge an image to ``size``, then reduce or crop it to at most ``side`` pixels a side.

    Args:
        image: (C, H, W) uint8.
        size: Height and width to enlarge to first.
        side: Most pixels of the longer side.
        whole: Reduce the whole image; ``False``: crop its middle.

    Returns:
        (C', H', W') uint8 of one, three or four channels.
    """
    pixels = displayable(image)[None].float()
    if tuple(pixels.shape[-2:]) != tuple(size):
        pixels = F.interpolate(pixels, tuple(size), mode="nearest-exact")
    if not whole:
        top, left = (max(0, (length - side) // 2) for length in size)
        pixels = pixels[..., top : top + side, left : left + side]
    elif max(size) > side:
        reduced = [max(1, round(length * side / max(size))) for length in size]
        pixels = F.interpolate(pixels, reduced, mode="area")
    return pixels[0].round().to(torch.uint8)


def scatter(points: Tensor, behind: Tensor | None = None, *, size: int = 512, reach: float = 1.25) -> Tensor:
    """Draw points of the plane.

    Args:
        points: (N, 2), in blue.
        behind: (M, 2), in grey below them; ``None``: none.
        size: Height and width of the picture.
        reach: Largest coordinate: the picture shows [-reach, reach] in both directions, y upwards.

    Returns:
        (3, size, size) uint8.
    """
    sheet = np.full((size, size, 3), 255, np.uint8)
    for given, colour in ((behind, (200, 200, 200)), (points, (30, 80, 200))):
        if given is not None:
            dot(sheet, given, colour, reach)
    return torch.from_numpy(sheet).permute(2, 0, 1)


def dot(sheet: np.ndarray, points: Tensor, colour: tuple[int, int, int], reach: float) -> None:
    """Draw points (N, 2) as dots of 3x3 pixels into a square picture (S, S, 3) of [-reach, reach]^2, in place."""
    size = len(sheet)
    at = np.rint((points.cpu().numpy() / reach + 1) / 2 * (size - 1))
    at = at[np.isfinite(at).all(1) & (at >= 1).all(1) & (at < size - 1).all(1)].astype(int)
    for right, down in np.ndindex(3, 3):
        sheet[size - 2 - at[:, 1] + down, at[:, 0] - 1 + right] = colour


def overview(samples: Tensor, behind: Tensor | None = None, *, columns: int | None = None) -> Tensor:
    """Lay out images (N, C, H, W) uint8 in a grid, or draw points (N, 2) before the real ones ``behind`` them."""
    return scatter(samples, behind) if samples.ndim == 2 else grid(samples, columns=columns)


def aligned_columns(n: int, period: int) -> int | None:
    """Return the columns of a nearly square grid in which samples whose conditions repeat stand below their like.

    Args:
        n: Samples.
        period: Samples after which conditions repeat; 0: they do not.

    Returns:
        A multiple of ``period``; ``None`` if that would be more than twice as wide as a square grid.
    """
    square = n**0.5
    return period * max(1, round(square / period)) if 0 < period <= 2 * square else None


def picture(images: Tensor, *, columns: int | None = None) -> Image.Image:
    """Return images as one Pillow picture, which notebooks show.

    Args:
        images: (N, C, H, W), or one (C, H, W); in [-1, 1], or uint8.
        columns: Images in a row; ``None``: a grid as square as possible.
    """
    images = images if images.ndim == 4 else images[None]
    return to_pil(grid(images if images.dtype == torch.uint8 else to_uint8(images.detach()), columns=columns))

"""How images come to the size that was asked for."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

Policy = Literal["cover", "contain", "stretch", "native"]
BICUBIC = Image.Resampling.BICUBIC
_AT_ONCE = 2**24  # values whose float copies are held at a time


def resize(images: Tensor, size: int) -> Tensor:
    """Square uint8 images (N, C, S, S) to (N, C, size, size) by antialiased bicubic interpolation."""
    if images.shape[-1] == size:
        return images
    resized = torch.empty(*images.shape[:2], size, size, dtype=torch.uint8)
    for piece in _pieces(images):
        floats = F.interpolate(images[piece].float(), (size, size), mode="bicubic", antialias=True, align_corners=False)
        resized[piece] = floats.round_().clamp_(0, 255)
    return resized


def average(images: Tensor, factor: int) -> Tensor:
    """uint8 images (N, C, H, W) to (N, C, H / factor, W / factor): means of squares of pixels, rounded."""
    height, width = (side // factor for side in images.shape[-2:])
    small = torch.empty(*images.shape[:2], height, width, dtype=torch.uint8)
    for piece in _pieces(images):
        small[piece] = F.avg_pool2d(images[piece].float(), factor).round_()
    return small


def _pieces(images: Tensor) -> list[slice]:
    """Cuts along the first axis, each of as many images as may be held as floats."""
    size = max(1, _AT_ONCE // max(1, images.shape[1:].numel()))
    return [slice(start, start + size) for start in range(0, len(images), size)]


def fit(
    image: Image.Image,
    size: int,
    policy: Policy = "cover",
    *,
    whole: tuple[int, int] | None = None,
    resampling: Image.Resampling = Image.Resampling.BICUBIC,
) -> Image.Image:
    """A picture of any sides as a square of ``size``, by antialiased bicubic interpolation unless another is given.

    Args:
        image: Of an 8-bit mode.
        size: Sides of what is returned.
        policy: ``cover``: the middle square, as large as the shorter side; ``contain``: the whole picture, black
            (and transparent) beside it; ``stretch``: the whole picture, its aspect given up; ``native``: the middle
            square of ``size``, its pixels as they are, or ``cover`` of a picture that is smaller.
        resampling: Pillow's; labels take the nearest.
        whole: Width and height of the picture if ``image`` was decoded at an integer part of them, rounded up.
    """
    width, height = whole or image.size
    part = round(max(width, height) / max(image.size))
    if (width, height) == (size * part, size * part):
        return image

    def cut(left: int, top: int, right: int, bottom: int, sides: tuple[int, int]) -> Image.Image:
        box = (left / part, top / part, min(right / part, image.width), min(bottom / part, image.height))
        return image.resize(sides, resampling, box=box)

    if policy == "stretch":
        return cut(0, 0, width, height, (size, size))
    if policy == "contain":
        scale = size / max(width, height)
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        sheet = Image.new(image.mode, (size, size))
        sheet.paste(cut(0, 0, width, height, small), ((size - small[0]) // 2, (size - small[1]) // 2))
        return sheet
    side = min(width, height)  # only the square is computed: a very long picture costs no more than another
    if policy == "native":
        side = min(side, size)
    left, top = (width - side) // 2, (height - side) // 2
    return cut(left, top, left + side, top + side, (size, size))

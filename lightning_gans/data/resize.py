"""Resize images: pictures of any size by a policy, tensors by interpolation or averages."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

Policy = Literal["cover", "contain", "stretch", "native"]
BICUBIC = Image.Resampling.BICUBIC
_AT_ONCE = 2**24  # values whose float copies are held at a time


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize whole uint8 images by antialiased bicubic interpolation; another aspect stretches them.

    Args:
        images: (N, C, H, W).
        size: Height and width.

    Returns:
        (N, C, *size) uint8.
    """
    if images.shape[-2:] == size:
        return images
    resized = torch.empty(*images.shape[:2], *size, dtype=torch.uint8)
    for piece in _pieces(images):
        floats = F.interpolate(images[piece].float(), size, mode="bicubic", antialias=True, align_corners=False)
        resized[piece] = floats.round_().clamp_(0, 255)
    return resized


def average(images: Tensor, factor: int) -> Tensor:
    """Average squares of pixels of uint8 images, (N, C, H, W) to (N, C, H / factor, W / factor), rounded."""
    height, width = (side // factor for side in images.shape[-2:])
    small = images.new_empty(*images.shape[:2], height, width)
    for piece in _pieces(images):
        small[piece] = F.avg_pool2d(images[piece].float(), factor).round_()
    return small


def _pieces(images: Tensor) -> list[slice]:
    """Return slices along the first axis, each of as many images as are converted to floats at a time."""
    size = max(1, _AT_ONCE // max(1, images.shape[1:].numel()))
    return [slice(start, start + size) for start in range(0, len(images), size)]


def fit(
    image: Image.Image,
    size: tuple[int, int],
    policy: Policy = "cover",
    *,
    whole: tuple[int, int] | None = None,
    resampling: Image.Resampling = Image.Resampling.BICUBIC,
) -> Image.Image:
    """Fit a picture of any size into ``size``, by antialiased bicubic interpolation unless another is given.

    Args:
        image: Of an 8-bit mode.
        size: Height and width of the picture that is returned.
        policy: ``cover``: both sides are covered and the middle is cut out; ``contain``: the whole picture, black
            (and transparent) beside it; ``stretch``: the whole picture, its aspect given up; ``native``: the middle
            piece of ``size``, its pixels as they are, or ``cover`` of a picture that is smaller.
        resampling: Pillow's; labels take the nearest.
        whole: Width and height of the picture if ``image`` was decoded at an integer fraction of them, rounded up.
    """
    width, height = whole or image.size
    fraction = round(max(width, height) / max(image.size))
    if (height, width) == (size[0] * fraction, size[1] * fraction):
        return image

    def cut(left: int, top: int, right: int, bottom: int, sides: tuple[int, int]) -> Image.Image:
        box = (
            left / fraction,
            top / fraction,
            min(right / fraction, image.width),
            min(bottom / fraction, image.height),
        )
        return image.resize(sides[::-1], resampling, box=box)

    if policy == "stretch":
        return cut(0, 0, width, height, size)
    if policy == "contain":
        scale = min(size[0] / height, size[1] / width)
        small = (max(1, round(height * scale)), max(1, round(width * scale)))
        sheet = Image.new(image.mode, size[::-1])
        sheet.paste(cut(0, 0, width, height, small), ((size[1] - small[1]) // 2, (size[0] - small[0]) // 2))
        return sheet
    box = middle((height, width), size, policy)  # only this is computed: a very long picture costs no more than another
    top, left = (height - box[0]) // 2, (width - box[1]) // 2
    return cut(left, top, left + box[1], top + box[0], size)


def middle(whole: tuple[int, int], size: tuple[int, int], policy: Policy = "cover") -> tuple[int, int]:
    """Return the height and width of the middle piece of a picture that is resized to ``size``.

    Args:
        whole: Height and width of the picture.
        size: Height and width that are wanted.
        policy: ``native`` takes a piece of ``size``, where the picture has one; the others the largest of its aspect.
    """
    (height, width), (tall, wide) = whole, size
    if policy == "native" and height >= tall and width >= wide:
        return size
    if width * tall >= height * wide:
        return height, max(1, round(height * wide / tall))
    return max(1, round(width * tall / wide)), width

"""Convert between tensors in [-1, 1], uint8 pixels and Pillow images."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_uint8(images: Tensor) -> Tensor:
    """Convert images (..., C, H, W) in [-1, 1] to uint8, rounded to nearest; points (N, D) stay as they are."""
    if images.ndim == 2:
        return images.float()
    return images.float().add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)


def label_colours(labels: Tensor, num_labels: int) -> Tensor:
    """Colour a label map (..., H, W), one colour per label, as (..., 3, H, W) uint8; label 0 is black."""
    turns = torch.arange(num_labels) * 0.618034  # of the colour circle: the golden ratio keeps neighbours apart
    hues = (turns[:, None] - torch.tensor([0.0, 1 / 3, 2 / 3])) * 2 * torch.pi
    brightness = 0.6 + 0.4 * (torch.arange(num_labels) % 3 / 2)
    palette = (127.5 * (1 + hues.cos()) * brightness[:, None]).round().to(torch.uint8)
    palette[0] = 0
    return palette[labels.cpu().long()].movedim(-1, -3)


def visible(images: Tensor) -> Tensor:
    """Convert images (N, C, H, W) in [-1, 1], uint8 or one-hot labels to uint8 of at most four channels.

    One-hot labels, 1 in one channel of a pixel and 0 in the others, become colours.
    """
    if images.dtype == torch.uint8:
        return displayable(images)
    if images.shape[1] > 1 and bool(((images == 0) | (images == 1)).all()) and bool((images.sum(1) == 1).all()):
        return label_colours(images.argmax(1), images.shape[1])
    return displayable(to_uint8(images))


def displayable(images: Tensor) -> Tensor:
    """Drop channels of images (..., C, H, W) that viewers do not show: alpha of grey, and all beyond the third."""
    channels = images.shape[-3]
    kept = 1 if channels == 2 else 3 if channels > 4 else channels
    return images[..., :kept, :, :]


def to_pil(image: Tensor) -> Image.Image:
    """Convert an image (C, H, W) uint8 of one to four channels to Pillow's."""
    pixels = np.ascontiguousarray(image.cpu().permute(1, 2, 0).numpy())
    return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)

"""Compute Gaussian and Laplacian pyramids (Burt and Adelson 1983) of batches of images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

KERNEL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def blur(images: Tensor) -> Tensor:
    """Convolve images (N, C, H, W), H and W >= 3, with [1, 4, 6, 4, 1] / 16 in both directions, mirrored at the edge.

    Written as sums, which autocast leaves in the precision of the images.
    """
    height, width = images.shape[-2:]
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    rows = torch.stack([weight * padded[..., i : i + height, :] for i, weight in enumerate(KERNEL)]).sum(0)
    return torch.stack([weight * rows[..., i : i + width] for i, weight in enumerate(KERNEL)]).sum(0)


def shrink(images: Tensor) -> Tensor:
    """Blur images (N, C, H, W) and take every second pixel: (N, C, H / 2, W / 2)."""
    return blur(images)[..., ::2, ::2]


def enlarge(images: Tensor) -> Tensor:
    """Put zeros between the pixels of images (N, C, H, W) and blur them, times 4: (N, C, 2 H, 2 W)."""
    spaced = F.pad(images[..., :, None, :, None], (0, 1, 0, 0, 0, 1))  # (N, C, H, 2, W, 2)
    return blur(spaced.flatten(4, 5).flatten(2, 3)) * 4


def gaussian_pyramid(images: Tensor, levels: int) -> list[Tensor]:
    """Return images (N, C, H, W) at ``levels`` sizes, the smallest, H / 2^(levels - 1), first."""
    found = [images]
    for _ in range(levels - 1):
        found.insert(0, shrink(found[0]))
    return found


def laplacian_pyramid(images: Tensor, levels: int) -> list[Tensor]:
    """Return the smallest of ``levels`` sizes of images and what enlarging each lacks of the next: coarse first."""
    sizes = gaussian_pyramid(images, levels)
    return [sizes[0], *(fine - enlarge(coarse) for coarse, fine in zip(sizes, sizes[1:], strict=False))]


def collapse(pyramid: list[Tensor]) -> Tensor:
    """Rebuild the images (N, C, H, W) of a Laplacian pyramid: enlarge and add, level by level."""
    images, *residuals = pyramid
    for residual in residuals:
        images = enlarge(images) + residual
    return images

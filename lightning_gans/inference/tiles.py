"""Apply networks of fixed strides to images of any size, by mirrored borders and overlapping, blended tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_gans.config.errors import ConfigError

AT_ONCE = 3 * 2**20  # output pixels of one pass, unless a tile size is given
SIDE = 1024  # output pixels of a tile's side


class TilingSpec(NamedTuple):
    """Describe the sizes that a network takes, and the tiles that larger images are split into.

    Attributes:
        size_divisor: Heights and widths are multiples of this.
        smallest: Smallest height and width; a multiple of ``size_divisor``.
        scale: Side of the output divided by that of the input.
        tile: Side of the tiles that larger images are split into; ``None``: images are never split.
        limit: Most pixels of an image, borders included, that is not split.
    """

    size_divisor: int = 1
    smallest: int = 1
    scale: int = 1
    tile: int | None = None
    limit: int = 0

    def padded(self, side: int) -> int:
        """Return the height or width of an image with its mirrored border."""
        return max(self.smallest, -(-side // self.size_divisor) * self.size_divisor)

    def is_tiled(self, height: int, width: int) -> bool:
        """Return whether an image is split into tiles."""
        if self.tile is None:
            return False
        height, width = self.padded(height), self.padded(width)
        return height * width > self.limit and max(height, width) > self.tile

    @classmethod
    def of(
        cls, *, size_divisor: int = 1, trained: int = 1, scale: int = 1, tile: int | str | None = "auto"
    ) -> TilingSpec:
        """Return the specification of a network.

        Args:
            size_divisor: Heights and widths are multiples of this.
            trained: Shorter side of the inputs that it was trained on. Smaller images get borders, up to this side or
                four strides.
            scale: Side of the output divided by that of the input.
            tile: Side of the tiles that images with a longer side are split into; ``auto``: tiles whose output has 1024
                pixels a side, for images whose output has more than three million; ``None``: no tiles.

        Raises:
            ValueError: A tile that the network cannot take, or that leaves no room for an overlap.
        """
        smallest = max(size_divisor, min(4 * size_divisor, -(-trained // size_divisor) * size_divisor))
        least = max(2 * size_divisor, smallest, 8)
        if tile is None:
            return cls(size_divisor, smallest, scale)
        if tile == "auto":
            side = max(least, SIDE // scale)
            return cls(size_divisor, smallest, scale, -(-side // size_divisor) * size_divisor, AT_ONCE // scale**2)
        if not isinstance(tile, int) or isinstance(tile, bool) or tile < least or tile % size_divisor:
            of_it = f" and a multiple of {size_divisor}" if size_divisor > 1 else ""
            raise ConfigError("tile", tile, f"must be auto, null, or a number of pixels >= {least}{of_it}")
        return cls(size_divisor, smallest, scale, tile, 0)


def fitted(network: Callable[[Tensor], Tensor], images: Tensor, tiling: TilingSpec) -> Tensor:
    """Apply a network to images of any height and width.

    Images get mirrored borders up to sizes that it takes, and its output is cropped. Large ones go through it by
    overlapping tiles: each tile's outer part, a quarter of the overlap, has weight 0 and the next two quarters have
    linearly rising weights, so that no seam shows. A network whose receptive field reaches no further than that quarter
    gives the same with tiles and without. One that sees the whole image, by instance norm for instance, does not.

    Args:
        network: Maps images (N, C, H, W) of a size that it takes to (N, C', scale * H, scale * W).
        images: (N, C, H, W) of any size.
        tiling: Sizes that it takes.

    Returns:
        (N, C', scale * H, scale * W); of tiles on the CPU.
    """
    height, width = images.shape[-2:]
    sides = tiling.padded(height), tiling.padded(width)
    above, left = (sides[0] - height) // 2, (sides[1] - width) // 2
    rows, columns = _mirrored(height, above, sides[0]), _mirrored(width, left, sides[1])
    padded = images[..., rows.to(images.device), :][..., columns.to(images.device)]
    made = _tiled(network, padded, tiling) if tiling.is_tiled(height, width) else network(padded)
    s = tiling.scale
    return made[..., above * s : (above + height) * s, left * s : (left + width) * s]


def _mirrored(side: int, before: int, padded: int) -> Tensor:
    """Return the index of the row at each position of a padded image: mirrored at its ends, as often as needed."""
    period = max(1, 2 * (side - 1))
    place = (torch.arange(padded) - before) % period
    return torch.minimum(place, period - place)


def _tiled(network: Callable[[Tensor], Tensor], images: Tensor, tiling: TilingSpec) -> Tensor:
    """Return the weighted sum of the network's outputs of all tiles; the weights of a pixel sum to one."""
    s = tiling.scale
    rows, columns = (_pieces(side, tiling) for side in images.shape[-2:])
    whole: Tensor | None = None
    for top, tall, down in rows:
        for left, wide, across in columns:
            made = network(images[..., top : top + tall, left : left + wide]).cpu()
            if whole is None:
                whole = made.new_zeros(*made.shape[:2], *(side * s for side in images.shape[-2:]))
            place = whole[..., top * s : (top + tall) * s, left * s : (left + wide) * s]
            place += made * (down[:, None] * across)
    assert whole is not None
    return whole


def _pieces(side: int, tiling: TilingSpec) -> list[tuple[int, int, Tensor]]:
    """Return the tiles along one side: start, length, and the weights of the output."""
    tile = min(tiling.tile or side, side)
    stride = max(tiling.size_divisor, tile * 3 // 4 // tiling.size_divisor * tiling.size_divisor)
    starts = [*range(0, side - tile, stride), side - tile]
    overlap = (tile - stride) * tiling.scale
    length = tile * tiling.scale
    inside = torch.arange(length) + 0.5  # distance from the tile's first edge
    total, weights = torch.zeros(side * tiling.scale), []
    for start in starts:
        rising, falling = (((d - overlap / 4) / (overlap / 2)).clamp(0, 1) for d in (inside, inside.flip(0)))
        weight = torch.ones(length)
        weight = weight if start == 0 else torch.minimum(weight, rising)
        weight = weight if start + tile == side else torch.minimum(weight, falling)
        weights.append(weight)
        total[start * tiling.scale :][:length] += weight
    return [
        (start, tile, weight / total[start * tiling.scale :][:length])
        for start, weight in zip(starts, weights, strict=True)
    ]

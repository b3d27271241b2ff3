"""Networks of fixed strides on pictures of any size: mirrored borders, and overlapping tiles with blended edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

AT_ONCE = 3 * 2**20  # pixels that a network makes in one pass, unless a tile of its own size was asked for
SIDE = 1024  # of what a tile makes


class TilingSpec(NamedTuple):
    """What a network asks of the sizes that it is given.

    Attributes:
        size_divisor: Sides are multiples of this.
        smallest: No side is smaller; a multiple of ``size_divisor``.
        scale: Side of what it makes divided by that of what it takes.
        tile: Side of the tiles that larger pictures are cut into; ``None``: pictures are never cut.
        limit: Pictures of more pixels, borders included, are cut.
    """

    size_divisor: int = 1
    smallest: int = 1
    scale: int = 1
    tile: int | None = None
    limit: int = 0

    def padded(self, side: int) -> int:
        """The side of a picture with its mirrored border."""
        return max(self.smallest, -(-side // self.size_divisor) * self.size_divisor)

    def is_cut(self, height: int, width: int) -> bool:
        """Whether a picture is cut into tiles."""
        if self.tile is None:
            return False
        height, width = self.padded(height), self.padded(width)
        return height * width > self.limit and max(height, width) > self.tile

    @classmethod
    def of(
        cls, *, size_divisor: int = 1, trained: int = 1, scale: int = 1, tile: int | str | None = "auto"
    ) -> TilingSpec:
        """The geometry of a network.

        Args:
            size_divisor: Sides are multiples of this.
            trained: Side that it was trained on. Smaller pictures get borders, up to this side or four strides.
            scale: Side of what it makes divided by that of what it takes.
            tile: Side of the tiles that pictures with a longer side are cut into; ``auto``: such that a tile makes
                1024 pixels a side, for pictures that would make more than three million; ``None``: no tiles.

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
            raise ValueError(f"tile={tile}: must be auto, null, or a number of pixels >= {least}{of_it}")
        return cls(size_divisor, smallest, scale, tile, 0)


def fitted(network: Callable[[Tensor], Tensor], images: Tensor, geometry: TilingSpec) -> Tensor:
    """What a network makes of images of any size.

    Images get mirrored borders up to sizes that it takes, and what it makes is cut back. Large ones go through it by
    overlapping tiles: each tile's outer part, a quarter of the overlap, counts nothing and the next two quarters count
    linearly more, so that no seam shows. A network that looks no further than that quarter makes the same with tiles
    and without. One that looks at the whole image, by instance norm say, does not.

    Args:
        network: From images (N, C, H, W) of a size that it takes to (N, C', scale * H, scale * W).
        images: (N, C, H, W) of any size.
        geometry: What it asks of sizes.

    Returns:
        (N, C', scale * H, scale * W); of tiles on the CPU.
    """
    height, width = images.shape[-2:]
    sides = geometry.padded(height), geometry.padded(width)
    above, left = (sides[0] - height) // 2, (sides[1] - width) // 2
    rows, columns = _mirrored(height, above, sides[0]), _mirrored(width, left, sides[1])
    padded = images[..., rows.to(images.device), :][..., columns.to(images.device)]
    made = _tiled(network, padded, geometry) if geometry.is_cut(height, width) else network(padded)
    s = geometry.scale
    return made[..., above * s : (above + height) * s, left * s : (left + width) * s]


def _mirrored(side: int, before: int, padded: int) -> Tensor:
    """Which row stands at each place of a padded picture: mirrored at its ends, as often as need be."""
    period = max(1, 2 * (side - 1))
    place = (torch.arange(padded) - before) % period
    return torch.minimum(place, period - place)


def _tiled(network: Callable[[Tensor], Tensor], images: Tensor, geometry: TilingSpec) -> Tensor:
    """The sum of what the network makes of each tile, weighted; the weights of a place sum to one."""
    s = geometry.scale
    rows, columns = (_pieces(side, geometry) for side in images.shape[-2:])
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


def _pieces(side: int, geometry: TilingSpec) -> list[tuple[int, int, Tensor]]:
    """The tiles along one side: where each begins, its length, and the weights of what is made of it."""
    tile = min(geometry.tile or side, side)
    stride = max(geometry.size_divisor, tile * 3 // 4 // geometry.size_divisor * geometry.size_divisor)
    starts = [*range(0, side - tile, stride), side - tile]
    overlap = (tile - stride) * geometry.scale
    length = tile * geometry.scale
    inside = torch.arange(length) + 0.5  # distance from the tile's first edge
    total, weights = torch.zeros(side * geometry.scale), []
    for start in starts:
        rising, falling = (((d - overlap / 4) / (overlap / 2)).clamp(0, 1) for d in (inside, inside.flip(0)))
        weight = torch.ones(length)
        weight = weight if start == 0 else torch.minimum(weight, rising)
        weight = weight if start + tile == side else torch.minimum(weight, falling)
        weights.append(weight)
        total[start * geometry.scale :][:length] += weight
    return [
        (start, tile, weight / total[start * geometry.scale :][:length])
        for start, weight in zip(starts, weights, strict=True)
    ]

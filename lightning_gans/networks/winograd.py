"""Convolve by kernels of 3 x 3 on a CPU with fewer multiplications, by Winograd's minimal filtering.

A tile of 4 x 4 outputs needs 36 products of channels instead of 144 (F(4x4, 3x3) of Lavin, Gray 2016,
arXiv:1509.09308): its inputs and the kernel are evaluated as polynomials at 6 points each way, multiplied point by
point, which is a product of matrices, and interpolated. In float32 values are off by some 1e-5 of the largest one.

Images go through in parts that fit a processor's cache. Maps (N, C, H, W) may be of either layout, and so may weights
(O, C, 3, 3); what is made is channels-last.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.networks.way import Gradients, Shape, Way

TILE, TAPS = 4, 3  # outputs of a tile and taps of a kernel, each way
POINTS = (0.0, 1.0, -1.0, 2.0, -2.0)  # and infinity
SIDE = TILE + TAPS - 1  # inputs of a tile, and points, each way
PART = 3 << 19  # numbers that a part of the images becomes at most
CHANNELS = 128  # fewer, and tiles cost more than they save


class Winograd(Way):
    """Convolve tiles point by point; the stride is 1 and the kernel 3 x 3."""

    def pays(self, shape: Shape, weight: Shape) -> bool:
        """Tell whether there are many channels before and after, and enough tiles for the weight's transformation."""
        outputs, inputs, *kernel = weight
        if self.stride != 1 or kernel != [TAPS, TAPS] or min(inputs, outputs) < CHANNELS:
            return False
        rows, columns = (-(-side // TILE) for side in self.places(shape, (TAPS, TAPS)))
        return min(rows, columns) > 0 and shape[0] * rows * columns >= max(64, inputs * outputs // 2048)

    def convolve(self, maps: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolve maps (N, C, H, W) with a weight (O, C, 3, 3) and add a bias (O,): (N, O, H', W')."""
        tiles = _Tiles(self, maps.shape, len(weight))
        weights = _weight_points(weight).transpose(1, 2)
        shape = len(maps), len(weight), tiles.rows * TILE, tiles.columns * TILE
        made = torch.empty(shape, dtype=maps.dtype, device=maps.device, memory_format=torch.channels_last)
        whole = made.permute(0, 2, 3, 1)
        for images in tiles.images:
            padded, out = tiles.padded(maps[images]), tiles.apart(whole[images])
            for rows in tiles.bands:
                products = torch.bmm(tiles.map_points(padded, rows), weights).view(SIDE**2, -1)
                outputs = torch.mm(_matrices(maps.dtype).outputs, products)
                parts = TILE, TILE, len(padded), -1, tiles.columns, len(weight)
                out[:, rows] = outputs.view(parts).permute(2, 3, 0, 4, 1, 5)
        height, width = tiles.sides
        if (height, width) != made.shape[2:]:
            made = made[:, :, :height, :width].clone(memory_format=torch.channels_last)
        return made if bias is None else made.add_(bias[:, None, None])

    def gradients(
        self, gradient: Tensor, shape: Shape, weight: Tensor, maps: Tensor | None = None, *, by_maps: bool = True
    ) -> Gradients:
        """Differentiate by maps and by the weight."""
        tiles = _Tiles(self, shape, len(weight))
        weights = _weight_points(weight) if by_maps else None
        found = gradient.new_empty(shape[0], *shape[2:], shape[1]) if by_maps else None
        by_points: Tensor | None = None
        inside = [slice(self.padding, self.padding + side) for side in shape[2:]]
        for images in tiles.images:
            given = tiles.apart(tiles.whole(gradient[images]))
            padded = None if maps is None else tiles.padded(maps[images])
            sums = given.new_zeros(tiles.spread(len(given))) if by_maps else None
            for rows in tiles.bands:
                points = tiles.output_points(given[:, rows])
                if weights is not None and sums is not None:
                    tiles.add_maps(sums, torch.bmm(points, weights), rows)
                if padded is not None:
                    factors = points.transpose(1, 2), tiles.map_points(padded, rows)
                    by_points = torch.bmm(*factors) if by_points is None else by_points.baddbmm_(*factors)
            if found is not None and sums is not None:
                found[images] = sums[:, inside[0], inside[1]]
        return None if found is None else found.permute(0, 3, 1, 2), None if by_points is None else _weight(by_points)


class _Tiles:
    """Cut the maps (N, C, H, W) of a convolution into tiles, and put them together."""

    def __init__(self, way: Winograd, shape: Shape, outputs: int) -> None:
        (n, self.inputs, *self.input_sides), self.padding = shape, way.padding
        self.sides = way.places(shape, (TAPS, TAPS))
        self.rows, self.columns = (-(-side // TILE) for side in self.sides)
        row = SIDE**2 * self.columns * max(self.inputs, outputs)
        self.images = _slices(n, PART // (row * self.rows))
        self.bands = _slices(self.rows, PART // row)  # rows of tiles

    def padded(self, maps: Tensor) -> Tensor:
        """Pad maps (n, C, H, W) for whole tiles: (n, rows, columns, C), contiguous."""
        ends = (tiles * TILE + TAPS - 1 for tiles in (self.rows, self.columns))
        bottom, right = (end - side - self.padding for end, side in zip(ends, self.input_sides, strict=True))
        return F.pad(maps.permute(0, 2, 3, 1), (0, 0, self.padding, right, self.padding, bottom)).contiguous()

    def whole(self, outputs: Tensor) -> Tensor:
        """Pad outputs (n, O, H', W') to whole tiles: (n, rows, columns, O)."""
        bottom, right = self.rows * TILE - self.sides[0], self.columns * TILE - self.sides[1]
        outputs = outputs.permute(0, 2, 3, 1)
        return F.pad(outputs, (0, 0, 0, right, 0, bottom)) if bottom or right else outputs

    def apart(self, whole: Tensor) -> Tensor:
        """View outputs (n, rows, columns, O) as tiles (n, rows, TILE, columns, TILE, O)."""
        return torch.unflatten(torch.unflatten(whole, 2, (-1, TILE)), 1, (-1, TILE))

    def map_points(self, padded: Tensor, rows: slice) -> Tensor:
        """Evaluate rows of tiles at the points: (points, tiles, C)."""
        band = padded[:, rows.start * TILE :]
        image, row, column, _ = band.stride()
        shape = SIDE, SIDE, len(padded), rows.stop - rows.start, self.columns, self.inputs
        strides = row, column, image, TILE * row, TILE * column, 1
        inputs = band.as_strided(shape, strides, band.storage_offset()).reshape(SIDE**2, -1)
        return torch.mm(_matrices(padded.dtype).inputs, inputs).view(SIDE**2, -1, self.inputs)

    def output_points(self, tiles: Tensor) -> Tensor:
        """Differentiate the interpolation of tiles (n, rows, TILE, columns, TILE, O): (points, tiles, O)."""
        outputs = tiles.permute(2, 4, 0, 1, 3, 5).reshape(TILE**2, -1)
        return torch.mm(_matrices(tiles.dtype).outputs.T, outputs).view(SIDE**2, -1, tiles.shape[-1])

    def spread(self, n: int) -> tuple[int, ...]:
        """Return the shape of the sums of n images, (n, rows, columns, C), a tile more than there are each way."""
        return n, (self.rows + 1) * TILE, (self.columns + 1) * TILE, self.inputs

    def add_maps(self, sums: Tensor, points: Tensor, rows: slice) -> None:
        """Differentiate ``map_points``: add (points, tiles, C) to the sums; neighbours share two rows and columns."""
        inputs = torch.mm(_matrices(points.dtype).inputs.T, points.view(SIDE**2, -1))
        tiles = inputs.view(SIDE, SIDE, len(sums), -1, self.columns, self.inputs).permute(2, 3, 0, 4, 1, 5)
        there = self.apart(sums)
        here, below = there[:, rows], there[:, rows.start + 1 : rows.stop + 1]
        more = TAPS - 1
        here[:, :, :, :-1] += tiles[:, :, :TILE, :, :TILE]
        here[:, :, :, 1:, :more] += tiles[:, :, :TILE, :, TILE:]
        below[:, :, :more, :-1] += tiles[:, :, TILE:, :, :TILE]
        below[:, :, :more, 1:, :more] += tiles[:, :, TILE:, :, TILE:]


def _weight_points(weight: Tensor) -> Tensor:
    """Evaluate a weight (O, C, 3, 3) at the points: (points, O, C)."""
    taps = weight.permute(2, 3, 0, 1).reshape(TAPS**2, -1)
    return torch.mm(_matrices(weight.dtype).weights, taps).view(SIDE**2, *weight.shape[:2])


def _weight(points: Tensor) -> Tensor:
    """Differentiate ``_weight_points``: (points, O, C) to (O, C, 3, 3)."""
    taps = torch.mm(_matrices(points.dtype).weights.T, points.view(SIDE**2, -1))
    made = taps.view(TAPS, TAPS, *points.shape[1:]).permute(2, 3, 0, 1)
    return made.contiguous(memory_format=torch.channels_last)


class _Matrices(NamedTuple):
    """Hold what evaluates inputs (36, 36) and weights (36, 9) at the points, and interpolates outputs (16, 36)."""

    inputs: Tensor
    weights: Tensor
    outputs: Tensor


@cache
def _matrices(dtype: torch.dtype) -> _Matrices:
    """Build the matrices of Cook and Toom, both ways at once."""
    finite = torch.tensor(POINTS, dtype=torch.float64)
    infinity = torch.eye(SIDE, dtype=torch.float64)[-1:]
    others = [torch.cat([finite[:i], finite[i + 1 :]]) for i in range(len(finite))]
    scale = torch.stack([(point - rest).prod() for point, rest in zip(finite, others, strict=True)])
    inputs = torch.stack([*(F.pad(_polynomial(rest), (0, 1)) for rest in others), _polynomial(finite)])
    weights = torch.cat([torch.vander(finite, TAPS, increasing=True) / scale[:, None], infinity[:, -TAPS:]])
    outputs = torch.cat([torch.vander(finite, TILE, increasing=True), infinity[:, -TILE:]]).T
    return _Matrices(*(torch.kron(matrix, matrix).to(dtype) for matrix in (inputs, weights, outputs)))


def _polynomial(roots: Tensor) -> Tensor:
    """Return the coefficients of the polynomial with these roots, the constant first."""
    made = torch.ones(1, dtype=roots.dtype)
    for root in roots:
        made = F.pad(made, (1, 0)) - root * F.pad(made, (0, 1))
    return made


def _slices(n: int, size: int) -> list[slice]:
    """Divide ``n`` into even slices of at most ``size``, or of one."""
    parts = -(-n // max(1, size))
    return [slice(n * i // parts, n * (i + 1) // parts) for i in range(parts)]

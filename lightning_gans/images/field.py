"""Draw a function of the plane as a surface in colour with its gradients, below points."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from lightning_gans.images.sheets import dot

LOW, MIDDLE, HIGH = (230, 150, 90), (250, 250, 245), (110, 190, 170)  # colours of the values 0, 0.5 and 1
REAL, SAMPLES, ARROWS = (90, 90, 90), (30, 60, 200), (150, 60, 60)


def plane_grid(n: int, reach: float) -> Tensor:
    """Return the centres of n x n equal cells of [-reach, reach]^2, by rows from above: (n * n, 2)."""
    along = (torch.arange(n) + 0.5) / n * 2 * reach - reach
    down, right = torch.meshgrid(-along, along, indexing="ij")
    return torch.stack([right, down], -1).flatten(0, 1)


def field(
    surface: Tensor, gradients: Tensor, real: Tensor, samples: Tensor, *, size: int = 512, reach: float = 1.25
) -> Tensor:
    """Draw a surface, arrows along its gradients, real points and samples.

    Args:
        surface: Values from 0 (orange) over 0.5 (white) to 1 (green) at ``plane_grid(S, reach)``, (S * S,).
        gradients: Gradients at ``plane_grid(A, reach)``, (A * A, 2), as red lines that end in a dot; their lengths go
            with the root of the norms, so that small ones are seen.
        real: (M, 2), in grey.
        samples: (N, 2), in blue.
        size: Height and width of the picture.
        reach: Largest coordinate: the picture shows [-reach, reach] in both directions, y upwards.

    Returns:
        (3, size, size) uint8.
    """
    side = round(len(surface) ** 0.5)
    values = surface.float().cpu().nan_to_num(0.5).clamp(0, 1).view(side, side, 1)
    low, middle, high = (torch.tensor(colour, dtype=torch.float32) for colour in (LOW, MIDDLE, HIGH))
    colours = torch.where(values < 0.5, low.lerp(middle, values * 2), middle.lerp(high, values * 2 - 1))
    picture = Image.fromarray(colours.round().to(torch.uint8).numpy()).resize((size, size), Image.Resampling.BILINEAR)
    sheet = np.array(picture)
    dot(sheet, real, REAL, reach)
    picture = Image.fromarray(sheet)
    _draw_arrows(picture, gradients.float().cpu(), reach)
    sheet = np.array(picture)
    dot(sheet, samples, SAMPLES, reach)
    return torch.from_numpy(sheet).permute(2, 0, 1)


def _draw_arrows(picture: Image.Image, gradients: Tensor, reach: float) -> None:
    """Draw lines from the grid's points along gradients (A * A, 2), the longest as long as a cell."""
    side, pen = round(len(gradients) ** 0.5), ImageDraw.Draw(picture)
    norms = gradients.norm(dim=1)
    largest = norms[norms.isfinite()].amax() if bool(norms.isfinite().any()) else norms.new_tensor(0.0)
    for start, gradient, norm in zip(plane_grid(side, reach), gradients, norms, strict=True):
        if 0 < norm <= largest:
            end = start + gradient / norm * (norm / largest).sqrt() * (2 * reach / side)
            ends = [_pixel(point, picture.width, reach) for point in (start, end)]
            pen.line(ends, fill=ARROWS)
            right, down = ends[1]
            pen.ellipse((right - 1, down - 1, right + 1, down + 1), fill=ARROWS)


def _pixel(point: Tensor, size: int, reach: float) -> tuple[float, float]:
    x, y = (point / reach).tolist()
    return (x + 1) / 2 * (size - 1), (1 - y) / 2 * (size - 1)

"""Edges to pictures."""

from __future__ import annotations

from typing import Any

from lightning_gans.data.translation import degradations
from lightning_gans.data.translation.files import FromTargets


class Edges(FromTargets):
    """Any images, and their edges: black lines on white where colours change most (Canny 1986).

    Args:
        sigma: Of the Gaussian that smooths images first, in pixels.
        low: Change of colour by which a line goes on, as a share of the whole range per pixel.
        high: Change by which a line begins.
        **options: See ``FromTargets``; ``source_channels`` is 1, or 3 for the same in each.

    Raises:
        ValueError: A value out of range.
    """

    def __init__(self, *, sigma: float = 1.0, low: float = 0.02, high: float = 0.06, **options: Any) -> None:
        super().__init__(**options)
        degradations.check_channels(self.source_channels, 1, 3)
        if not 0 <= sigma <= self.side / 8:
            raise ValueError(f"data.sigma={sigma}: must be from 0 to {self.side / 8:g}, an eighth of data.image_size")
        if not 0 < low <= high:
            raise ValueError(f"data.low={low}, data.high={high}: must be above 0, and high not below low")
        self.degradation = degradations.CannyEdges(sigma, low, high)

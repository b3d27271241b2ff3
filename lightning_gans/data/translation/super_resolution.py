"""Small pictures to large ones."""

from __future__ import annotations

from typing import Any

from lightning_gans.data.translation.degradations import Downscale, check_channels, check_factor
from lightning_gans.data.translation.files import FromTargets


class SuperResolution(FromTargets):
    """Any images, and the same made smaller by antialiased bicubic interpolation after they were cut and mirrored.

    Args:
        factor: Side of a target divided by that of its source: 2, 4 or 8.
        **options: See ``FromTargets``.

    Raises:
        ValueError: A value out of range.
    """

    def __init__(self, *, factor: int = 4, **options: Any) -> None:
        super().__init__(**options)
        self.factor = check_factor(factor, self.side)
        check_channels(self.source_channels, self.channels)
        self.degradation = Downscale(factor)

"""Pictures with a hole to whole pictures."""

from __future__ import annotations

from typing import Any

from lightning_gans.data.translation.degradations import RandomMask, check_channels
from lightning_gans.data.translation.files import FromTargets


class Inpainting(FromTargets):
    """Any images, and the same with a rectangle put out: its values are 0, between black and white.

    Where the hole is and how large is drawn anew each time that an image is shown, by the seed.

    Args:
        hole_min: Least height and width of a hole, as a share of the image's.
        hole_max: Largest height and width.
        **options: See ``FromTargets``; with one ``source_channels`` more than ``channels`` the last one of a source
            tells the hole: 1 in it, -1 beside it.

    Raises:
        ValueError: A value out of range.
    """

    def __init__(self, *, hole_min: float = 0.25, hole_max: float = 0.5, **options: Any) -> None:
        super().__init__(**options)
        check_channels(self.source_channels, self.channels, self.channels + 1)
        if not 0 < hole_min <= hole_max <= 1:
            raise ValueError(
                f"data.hole_min={hole_min}, data.hole_max={hole_max}: must be above 0, at most 1, and max not below min"
            )
        self.degradation = RandomMask(hole_min, hole_max, mask=self.source_channels > self.channels)

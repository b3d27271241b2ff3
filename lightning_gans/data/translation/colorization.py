"""Brightness to colour."""

from __future__ import annotations

from typing import Any

from lightning_gans.data.translation.degradations import ToGray, check_channels
from lightning_gans.data.translation.files import FromTargets


class Colorization(FromTargets):
    """Any colour images, and their brightness.

    Args:
        **options: See ``FromTargets``; ``source_channels`` is 1, or 3 for the same in each.

    Raises:
        ValueError: A value out of range.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        check_channels(self.source_channels, 1, 3)
        if self.channels < 3:
            raise ValueError(f"data.channels={self.channels}: has no colours; must be 3 or 4")
        self.degradation = ToGray()

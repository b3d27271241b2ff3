"""Schedule numbers over the real images that a training has shown, as closed forms."""

from __future__ import annotations

import math

from lightning_gans.config.types import Positive, checked


def half_cosine(start: float, end: float, done: float) -> float:
    """Return where half a cosine from ``start`` to ``end`` stands once the share ``done`` of it is over."""
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, done))) / 2


class CosineValue:
    """Move a number along half a cosine over the real images that a training has shown, then keep it.

    Takes the place of a number where an option says so (``Scheduled``). It has no state: a resumed training goes on
    where it stood.

    Args:
        start: Value before the first image.
        end: Value from ``kimg`` on.
        kimg: Thousands of real images until then, > 0.
    """

    @checked
    def __init__(self, start: float, end: float, kimg: Positive) -> None:
        self.start, self.end, self.kimg = start, end, kimg

    def at(self, images_seen: int) -> float:
        """Return the value for a step that begins after so many real images."""
        return half_cosine(self.start, self.end, images_seen / (1000 * self.kimg))

    def __repr__(self) -> str:
        return f"{self.start} to {self.end}"


Scheduled = float | CosineValue


def value_at(value: Scheduled, images_seen: int) -> float:
    """Return the number, or where its schedule stands after so many real images."""
    return value.at(images_seen) if isinstance(value, CosineValue) else value


def ends_of(value: Scheduled) -> tuple[float, float]:
    """Return the two numbers between which a value lies throughout, for checks of its range."""
    return (value.start, value.end) if isinstance(value, CosineValue) else (value, value)

"""scikit-learn's digits in two looks."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.digits import read_digits
from lightning_gans.data.subset import spread
from lightning_gans.data.translation.base import Pairs, TranslationData

TEST = 297  # the last of the 1,797 digits
GROUND, INK = (24, 28, 110), (255, 190, 40)  # of the coloured look: dark blue and amber

Look = Literal["coloured", "inverted", "thick"]


class DigitDomains(TranslationData):
    """Two domains: handwritten digits, and digits in another look. Embedded.

    Training has 750 digits of either domain, none of them in both; the 297 test digits are there in both looks, so that
    a translation can be compared with what it should be.

    Args:
        look: Of the second domain. ``coloured``: amber on dark blue; ``inverted``: black on white; ``thick``: bolder
            strokes.
        **options: See ``TranslationData``.

    Raises:
        ValueError: A value out of range.
    """

    aligned = False

    def __init__(self, *, look: Look = "coloured", **options: Any) -> None:
        super().__init__(**options)
        if look not in ("coloured", "inverted", "thick"):
            raise ValueError(f"data.look={look}: must be coloured, inverted or thick")
        if look == "coloured" and self.channels != 3:
            raise ValueError(f"data.channels={self.channels}: data.look=coloured has 3; must be 3, or another look")
        self.look, self.part = look, f"first 1500 digits, half of them {look}"

    def load(self) -> Pairs:
        """Every other digit as it is, the others in their other look."""
        return self._pairs(slice(0, -TEST, 2), slice(1, -TEST, 2), aligned=False)

    def load_test(self) -> Pairs:
        """The same digits in both looks."""
        return self._pairs(slice(-TEST, None), slice(-TEST, None), aligned=True)

    def _pairs(self, sources: slice, targets: slice, *, aligned: bool) -> Pairs:
        whole, labels = read_digits(self.storage_size)
        digits = [whole[part][spread(len(whole[part]), self.limit, labels[part])] for part in (sources, targets)]
        plain = digits[0].repeat(1, self.source_channels, 1, 1)
        other = dress(digits[1], self.look)
        other = other if other.shape[1] == self.channels else other.repeat(1, self.channels, 1, 1)
        return Pairs(InMemoryImages(plain), InMemoryImages(other), aligned=aligned)


def dress(digits: Tensor, look: Look) -> Tensor:
    """White digits on black, (N, 1, H, W) uint8, in another look; (N, 3, H, W) if it is coloured."""
    if look == "inverted":
        return 255 - digits
    if look == "thick":  # what is faintly grey at the edges of strokes belongs to them, and one pixel more
        wider = F.max_pool2d(digits.float(), 3, stride=1, padding=1)
        return wider.sub(64).mul(4).clamp(0, 255).to(torch.uint8)
    ground, ink = (torch.tensor(colour)[:, None, None] for colour in (GROUND, INK))
    return (ground + (ink - ground) * digits / 255).round().to(torch.uint8)

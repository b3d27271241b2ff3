"""Outlines of scikit-learn's digits beside the digits."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.digits import read_digits
from lightning_gans.data.subset import spread
from lightning_gans.data.translation.base import Pairs, TranslationData

TEST = 297  # the last of the 1,797 digits


class DigitEdges(TranslationData):
    """Pairs: the outline of a handwritten digit to the digit. Embedded; 1,500 pairs to train on, 297 to test with.

    Args:
        **options: See ``TranslationData``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.part = "first 1500 digits"

    def load(self) -> Pairs:
        """The training pairs."""
        return self._pairs(slice(0, -TEST))

    def load_test(self) -> Pairs:
        """The test pairs."""
        return self._pairs(slice(-TEST, None))

    def _pairs(self, part: slice) -> Pairs:
        digits, labels = (values[part] for values in read_digits(self.storage_size))
        digits = digits[spread(len(digits), self.limit, labels)]
        sources = outlines(digits).repeat(1, self.source_channels, 1, 1)
        return Pairs(InMemoryImages(sources), InMemoryImages(digits.repeat(1, self.channels, 1, 1)))


def outlines(images: Tensor) -> Tensor:
    """White where the brightness crosses its middle value, black elsewhere: (N, 1, H, W) uint8 to the same."""
    bright = (images >= 128).float()
    inner = -F.max_pool2d(-bright, 3, stride=1, padding=1)
    return (bright - inner).mul(255).to(torch.uint8)

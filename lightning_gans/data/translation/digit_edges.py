"""Provide outlines of scikit-learn's digits beside the digits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.digits import read_digits
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import PairOptions, shared_options
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import spread
from lightning_gans.data.translation.pair_transform import pair_transform
from lightning_gans.data.translation.pairs import Pairs

TEST = 297  # the last of the 1,797 digits


class DigitEdges(ImageDataModule):
    """Provide pairs of the outline of a handwritten digit and the digit. Embedded; 1,500 pairs to train on, 297 tests.

    Args:
        **options: See ``ImageDataModule`` and ``PairTransform``.

    Raises:
        ValueError: A value out of range.
    """

    @checked
    def __init__(self, **options: Unpack[PairOptions]) -> None:
        super().__init__(source=DigitEdgesSource(), transform=pair_transform(options), **shared_options(options))


class DigitEdgesSource(ImageSource):
    """Give digits and their outlines."""

    split = "first 1500 digits"

    def load(self, spec: ImageSpec) -> Pairs:
        """Return the training pairs."""
        return self._pairs(spec, slice(0, -TEST))

    def load_test(self, spec: ImageSpec) -> Pairs:
        """Return the test pairs."""
        return self._pairs(spec, slice(-TEST, None))

    def _pairs(self, spec: ImageSpec, some: slice) -> Pairs:
        digits, labels = (values[some] for values in read_digits(spec.size))
        digits = digits[spread(len(digits), spec.max_images, labels)]
        sources = outlines(digits).repeat(1, spec.source_channels, 1, 1)
        return Pairs(InMemoryImages(sources), InMemoryImages(digits.repeat(1, spec.channels, 1, 1)))


def outlines(images: Tensor) -> Tensor:
    """Draw white where the brightness crosses its middle value, black elsewhere: (N, 1, H, W) uint8 to the same."""
    bright = (images >= 128).float()
    inner = -F.max_pool2d(-bright, 3, stride=1, padding=1)
    return (bright - inner).mul(255).to(torch.uint8)

"""Provide scikit-learn's handwritten digits."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import Unpack

from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import DataOptions
from lightning_gans.data.resize import resize
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import spread
from lightning_gans.runtime.light_imports import hidden


class Digits(ImageDataModule):
    """Provide the 1,797 handwritten digits that scikit-learn embeds: 8x8, 17 grey levels, ten classes.

    White on black, enlarged to ``image_size`` by bicubic interpolation. From the UCI Machine Learning Repository,
    "Optical Recognition of Handwritten Digits" (test part; Alpaydin and Kaynak 1998).

    Args:
        **options: See ``ImageDataModule``.
    """

    @checked
    def __init__(self, **options: Unpack[DataOptions]) -> None:
        super().__init__(source=DigitsSource(), **options)


class DigitsSource(ImageSource):
    """Give the digits and their labels."""

    def load(self, spec: ImageSpec) -> InMemoryImages:
        """Return all digits; channels beyond the first repeat it."""
        images, labels = read_digits(spec.size)
        taken = spread(len(images), spec.max_images, labels)
        images, labels = images[taken], labels[taken]
        return InMemoryImages(images.repeat(1, spec.channels, 1, 1), labels)


def read_digits(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the digits (N, 1, *size) uint8 and their labels (N,)."""
    with hidden({"pandas"}):  # which it imports for sets that it downloads
        from sklearn.datasets import load_digits

    digits = load_digits()
    grey = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8)
    return resize(grey[:, None], size), torch.from_numpy(digits.target).long()

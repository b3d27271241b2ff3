"""scikit-learn's handwritten digits."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.resize import resize
from lightning_gans.data.subset import spread


class Digits(ImageDataModule):
    """The 1,797 handwritten digits that scikit-learn embeds: 8x8, 17 grey levels, ten classes.

    White on black, enlarged to ``image_size`` by bicubic interpolation. From the UCI Machine Learning Repository,
    "Optical Recognition of Handwritten Digits" (test part; Alpaydin and Kaynak 1998).
    """

    def load(self) -> InMemoryImages:
        """All digits; channels beyond the first repeat it."""
        images, labels = read_digits(self.side)
        taken = spread(len(images), self.limit, labels)
        images, labels = images[taken], labels[taken]
        return InMemoryImages(images.repeat(1, self.channels, 1, 1), labels)


def read_digits(side: int) -> tuple[Tensor, Tensor]:
    """The digits (N, 1, side, side) uint8 and their labels (N,)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8)
    return resize(grey[:, None], side), torch.from_numpy(digits.target).long()

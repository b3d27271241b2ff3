"""scikit-learn's handwritten digits."""

from __future__ import annotations

import torch

from lightning_gans.data.base import ImageData, TensorImages
from lightning_gans.data.resize import resize


class Digits(ImageData):
    """The 1,797 handwritten digits that scikit-learn embeds: 8x8, 17 grey levels, ten classes.

    White on black, enlarged to ``image_size`` by bicubic interpolation. From the UCI Machine Learning Repository,
    "Optical Recognition of Handwritten Digits" (test part; Alpaydin and Kaynak 1998).
    """

    def load(self) -> TensorImages:
        """All digits; channels beyond the first repeat it."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        grey = torch.from_numpy(digits.images[: self.limit]).mul(255 / 16).round().to(torch.uint8)
        images = resize(grey[:, None], self.side).repeat(1, self.channels, 1, 1)
        return TensorImages(images, torch.from_numpy(digits.target[: self.limit]).long())

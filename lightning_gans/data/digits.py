"""Provide scikit-learn's handwritten digits."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
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
    table = _table()
    grey = torch.from_numpy(table[:, :64].reshape(-1, 8, 8)).mul(255 / 16).round().to(torch.uint8)
    return resize(grey[:, None], size), torch.from_numpy(table[:, 64]).long()


def _table() -> NDArray[np.float64]:
    """Read rows of 64 grey levels and a label from scikit-learn's file, without SciPy, which it would import."""
    package = find_spec("sklearn")
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # its file lies elsewhere

    found = load_digits()
    return np.column_stack([found.data, found.target])

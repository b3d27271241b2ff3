"""Features of the classifier of scikit-learn's digits that is embedded."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lightning_gans.extractors.base import Extractor, Features, file_hash, prepared
from lightning_gans.networks.classifier import Classifier as Network

DIGITS_WEIGHTS = Path(__file__).with_name("digits.pt")


class DigitsExtractor(Extractor):
    """Extract features by a small network that was trained on scikit-learn's digits.

    Its weights ship with the package, from ``python -m lightning_gans.training.train_digits``. Meant for digits; scores
    are named ``fd_digits``, ``is_digits``, ``kd_digits``.
    """

    name = "digits"
    resize = "bilinear to 32x32 with antialiasing, mean of channels"
    num_features = 64
    num_classes = 10
    accuracy = 0.9972  # on the fifth of scikit-learn's digits that it was not trained on

    def __init__(self) -> None:
        super().__init__()
        self.network = Network(channels=1, num_classes=10, image_size=32).eval().requires_grad_(False)
        self.network.load_state_dict(torch.load(DIGITS_WEIGHTS, weights_only=True))
        self.weights_hash = file_hash(DIGITS_WEIGHTS)

    def extract(self, images: Tensor) -> Features:
        """Compute features (N, 64) and logits (N, 10)."""
        return Features(*self.network(prepared(images, 1, 32)))

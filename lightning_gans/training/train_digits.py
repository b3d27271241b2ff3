"""Make ``digits.pt``, the weights of the ``digits`` extractor: ``python -m lightning_gans.training.train_digits``.

Trains on four fifths of scikit-learn's digits and prints the accuracy on the last fifth. About half a minute on two
cores. ``python -m lightning_gans.train_extractor`` does the same for any labelled set.
"""

from __future__ import annotations

import sys

import torch

from lightning_gans.data.digits import Digits
from lightning_gans.extractors.digits import DIGITS_WEIGHTS
from lightning_gans.extractors.fitting import train_classifier
from lightning_gans.networks.classifier import Classifier
from lightning_gans.training.classifier import in_memory

EPOCHS, SIZE = 40, 32


def train(epochs: int = EPOCHS) -> tuple[Classifier, float]:
    """Return the trained network and its accuracy on held-out digits."""
    images, labels = in_memory(Digits(image_size=SIZE, channels=1).load(), SIZE)
    return train_classifier(
        images, labels, lambda: Classifier(channels=1, num_classes=10, image_size=SIZE), size=SIZE, epochs=epochs
    )


if __name__ == "__main__":
    trained, score = train()
    torch.save(trained.state_dict(), DIGITS_WEIGHTS)
    print(f"{DIGITS_WEIGHTS}: accuracy on held-out digits {score:.4f}", file=sys.stderr)

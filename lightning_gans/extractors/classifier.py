"""Features of a classifier that ``train_extractor`` trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.extractors.base import Extractor, Features, file_hash, prepared
from lightning_gans.networks.classifier import Classifier as Network


class ClassifierExtractor(Extractor):
    """Extract features by a classifier from ``python -m lightning_gans.train_extractor``; scores name its data set.

    Args:
        weights: Its file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a file of that command.
    """

    def __init__(self, weights: str) -> None:
        super().__init__()
        path = Path(weights).expanduser()
        self.network, content = read_classifier(path)
        if "heads" in content:
            raise ConfigError("extractor.weights", weights, "is of avatars' attributes; say extractor=avatars")
        self.name, self.accuracy = f"classifier_{content['name']}", float(content["accuracy"])
        self.channels, self.image_size = content["network"]["channels"], content["network"]["image_size"]
        self.num_features, self.num_classes = self.network.num_features, self.network.num_classes
        colours = "mean of channels" if self.channels == 1 else "grey repeated"
        self.resize = f"bilinear to {self.image_size}x{self.image_size} with antialiasing, {colours}"
        self.weights_hash = file_hash(path)

    def extract(self, images: Tensor) -> Features:
        """Compute features (N, F) and logits (N, K)."""
        return Features(*self.network(prepared(images, self.channels, self.image_size)))


def read_classifier(path: Path) -> tuple[Network, dict[str, Any]]:
    """Read a file of ``train_extractor``: its network, ready for evaluation, and the rest of its content.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a file of that command.
    """
    if not path.is_file():
        raise FileNotFoundError(f"extractor.weights={path}: no such file")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        network = Network(**content["network"])
        network.load_state_dict(content["state_dict"])
        str(content["name"]), float(content["accuracy"])
    except Exception as error:
        raise ValueError(
            f"extractor.weights={path}: not made by python -m lightning_gans.train_extractor ({type(error).__name__})"
        ) from error
    return network.eval().requires_grad_(False), content

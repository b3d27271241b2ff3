"""Feature extractors: what turns images into the features that scores compare.

An extractor owns the resize, the range and the channel rule, and gives the metrics their honest names: ``fid``, ``is``
and ``kid`` are those of the Inception weights of 2015 alone.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIGITS_WEIGHTS = Path(__file__).with_name("digits.pt")


class Features(NamedTuple):
    """What an extractor says of N images."""

    features: Tensor  # (N, F) float32
    logits: Tensor  # (N, K) float32


class Extractor(nn.Module, ABC):
    """A fixed network. Always in evaluation mode, without gradients, in full precision."""

    name: str
    resize: str  # in words, for score cards
    num_features: int
    weights_hash: str  # first 16 hex digits of the SHA-256 of the weights file

    def key(self, metric: str) -> str:
        """The honest name of ``frechet``, ``inception_score`` or ``kernel`` with these features."""
        return {"frechet": "fd", "inception_score": "is", "kernel": "kd"}[metric] + f"_{self.name}"

    @abstractmethod
    def extract(self, images: Tensor) -> Features:
        """Features of images (N, C, H, W) uint8."""

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Features of images (N, C, H, W) uint8 of any size and number of channels."""
        if images.dtype != torch.uint8:
            raise ValueError(f"extractor {self.name}: images must be uint8, not {images.dtype}")
        with torch.autocast(images.device.type, enabled=False):
            return self.extract(images)

    def train(self, mode: bool = True) -> Extractor:
        """Stays in evaluation mode."""
        super().train(False)
        return self


def file_hash(path: Path) -> str:
    """First 16 hex digits of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def as_channels(images: Tensor, channels: int) -> Tensor:
    """uint8 images (N, C, H, W) as float grey (``channels`` 1, mean of the first three) or RGB (grey repeated)."""
    images = images.float()
    if images.shape[1] == 2:
        images = images[:, :1]
    colours = images[:, :3]
    if channels == 1:
        return colours.mean(1, keepdim=True)
    return colours.expand(-1, channels, -1, -1) if colours.shape[1] == 1 else colours


class DigitsNetwork(nn.Module):
    """A small classifier of digits: grey images (N, 1, 32, 32) in [-1, 1] to 64 features and 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, 64), nn.ReLU())
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Features:
        """(N, 1, 32, 32) -> features (N, 64) and logits (N, 10)."""
        features = self.body(images)
        return Features(features, self.head(features))


class Digits(Extractor):
    """A small network trained on scikit-learn's digits by ``python -m lightning_gans.metrics.train_digits``.

    Its weights ship with the package. Meant for digits; scores are named ``fd_digits``, ``is_digits``, ``kd_digits``.
    """

    name = "digits"
    resize = "bilinear to 32x32 with antialiasing, mean of channels"
    num_features = 64

    def __init__(self) -> None:
        super().__init__()
        self.network = DigitsNetwork().eval().requires_grad_(False)
        self.network.load_state_dict(torch.load(DIGITS_WEIGHTS, weights_only=True))
        self.weights_hash = file_hash(DIGITS_WEIGHTS)

    def extract(self, images: Tensor) -> Features:
        """Features (N, 64), logits (N, 10)."""
        grey = as_channels(images, 1)
        if grey.shape[-2:] != (32, 32):
            grey = F.interpolate(grey, (32, 32), mode="bilinear", antialias=True, align_corners=False)
        features: Features = self.network(grey / 127.5 - 1)
        return features


class Inception(Extractor):
    """The Inception weights of 2015 that published tables use, by torch-fidelity, with its TF1-compatible resize.

    Args:
        weights: A local ``weights-inception-2015-12-05-6726825d.pth``; ``None``: torch-fidelity downloads it once.

    Raises:
        FileNotFoundError: ``weights`` does not exist.
        ConnectionError: The download failed.
    """

    name = "inception"
    resize = "bilinear to 299x299 as in TensorFlow 1, without antialiasing, grey repeated"
    num_features = 2048
    PUBLISHED = "6726825d"  # how the SHA-256 of the published file begins
    URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        cached = Path(torch.hub.get_dir(), "checkpoints", self.URL.rpartition("/")[2])
        if weights is not None:
            self._check(Path(weights))
        try:
            self.network = FeatureExtractorInceptionV3(
                "inception-v3-compat",
                ["2048", "logits_unbiased"],
                feature_extractor_weights_path=weights,
                feature_extractor_internal_dtype="float32",
            )
        except OSError as error:
            raise ConnectionError(
                f"extractor=inception: its weights could not be downloaded ({error}). Fetch {self.URL} and say "
                f"extractor.weights=FILE, or put the file at {cached}"
            ) from error
        self.network.requires_grad_(False)
        self.weights_hash = file_hash(Path(weights) if weights else cached)

    def key(self, metric: str) -> str:
        """``fid``, ``is``, ``kid`` with the published weights; other weights are named by their hash."""
        if self.weights_hash.startswith(self.PUBLISHED):
            return {"frechet": "fid", "inception_score": "is", "kernel": "kid"}[metric]
        return f"{super().key(metric)}_{self.weights_hash[:8]}"

    @staticmethod
    def _check(path: Path) -> None:
        """Refuse a file that is absent or holds more than weights; torch-fidelity would unpickle anything."""
        if not path.is_file():
            raise FileNotFoundError(f"extractor.weights={path}: no such file")
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(f"extractor.weights={path}: not a file of weights ({type(error).__name__})") from error

    def extract(self, images: Tensor) -> Features:
        """Features (N, 2048), logits without bias (N, 1008)."""
        rgb = as_channels(images, 3).to(torch.uint8)
        features, logits = self.network(rgb)
        return Features(features.float(), logits.float())

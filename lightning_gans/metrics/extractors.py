"""Feature extractors: what turns images into the features that scores compare.

An extractor owns the resize, the range and the channel rule, and gives the metrics their honest names: ``fid``, ``is``
and ``kid`` are those of the Inception weights of 2015 alone.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.metrics.names import PUBLISHED, SHORT
from lightning_gans.networks.classifier import Classifier as Network

DIGITS_WEIGHTS = Path(__file__).with_name("digits.pt")


class Features(NamedTuple):
    """What an extractor says of N images."""

    features: Tensor  # (N, F) float32
    logits: Tensor  # (N, K) float32


class Extractor(nn.Module, ABC):
    """A fixed network. Always in evaluation mode, without gradients.

    Attributes:
        bf16: Compute in bfloat16. Off, since it moves scores by about a thousandth (``benchmarks/scoring.py``).
    """

    name: str
    resize: str  # in words, for score cards
    num_features: int
    num_classes: int
    weights_hash: str  # first 16 hex digits of the SHA-256 of the weights file
    accuracy: float | None = None  # of a classifier on images that it has not seen
    bf16 = False

    def key(self, metric: str) -> str:
        """The honest name of a metric's score with these features."""
        return f"{SHORT.get(metric, metric)}_{self.name}"

    @abstractmethod
    def extract(self, images: Tensor) -> Features:
        """Features of images (N, C, H, W) from 0 to 255, uint8 or float."""

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Features of images (N, C, H, W) uint8 of any size and number of channels."""
        if images.dtype != torch.uint8:
            raise ValueError(f"extractor {self.name}: images must be uint8, not {images.dtype}")
        return self.unrounded(images)

    @torch.no_grad()
    def unrounded(self, images: Tensor) -> Features:
        """Features of images (N, C, H, W) from 0 to 255 that were not rounded, to compare near images."""
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            found = self.extract(images)
        return Features(found.features.float(), found.logits.float())

    def about(self) -> dict[str, Any]:
        """What a score card says of it."""
        precision = "bf16" if self.bf16 else "32"
        about = {"extractor": self.name, "weights": self.weights_hash, "resize": self.resize, "precision": precision}
        return about if self.accuracy is None else {**about, "extractor_accuracy": self.accuracy}

    def train(self, mode: bool = True) -> Extractor:
        """Stays in evaluation mode."""
        super().train(False)
        return self


def file_hash(path: Path) -> str:
    """First 16 hex digits of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def as_channels(images: Tensor, channels: int) -> Tensor:
    """Images (N, C, H, W) as float grey (``channels`` 1, mean of the first three) or RGB (grey repeated)."""
    images = images.float()
    if images.shape[1] == 2:
        images = images[:, :1]
    colours = images[:, :3]
    if channels == 1:
        return colours.mean(1, keepdim=True)
    return colours.expand(-1, channels, -1, -1) if colours.shape[1] == 1 else colours


class Digits(Extractor):
    """A small network trained on scikit-learn's digits by ``python -m lightning_gans.metrics.train_digits``.

    Its weights ship with the package. Meant for digits; scores are named ``fd_digits``, ``is_digits``, ``kd_digits``.
    """

    name = "digits"
    resize = "bilinear to 32x32 with antialiasing, mean of channels"
    num_features = 64
    num_classes = 10

    def __init__(self) -> None:
        super().__init__()
        self.network = Network(channels=1, num_classes=10, image_size=32).eval().requires_grad_(False)
        self.network.load_state_dict(torch.load(DIGITS_WEIGHTS, weights_only=True))
        self.weights_hash = file_hash(DIGITS_WEIGHTS)

    def extract(self, images: Tensor) -> Features:
        """Features (N, 64), logits (N, 10)."""
        return Features(*self.network(prepared(images, 1, 32)))


class Classifier(Extractor):
    """A classifier that ``python -m lightning_gans.train_extractor data=...`` trained; scores name its data set.

    Args:
        weights: Its file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a file of that command.
    """

    def __init__(self, weights: str) -> None:
        super().__init__()
        path = Path(weights).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"extractor.weights={weights}: no such file")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            self.network = Network(**content["network"])
            self.network.load_state_dict(content["state_dict"])
            self.name, self.accuracy = f"classifier_{content['name']}", float(content["accuracy"])
        except Exception as error:
            raise ValueError(
                f"extractor.weights={weights}: not made by python -m lightning_gans.train_extractor "
                f"({type(error).__name__})"
            ) from error
        self.network.eval().requires_grad_(False)
        self.channels, self.image_size = content["network"]["channels"], content["network"]["image_size"]
        self.num_features, self.num_classes = self.network.num_features, self.network.num_classes
        colours = "mean of channels" if self.channels == 1 else "grey repeated"
        self.resize = f"bilinear to {self.image_size}x{self.image_size} with antialiasing, {colours}"
        self.weights_hash = file_hash(path)

    def extract(self, images: Tensor) -> Features:
        """Features (N, F), logits (N, K)."""
        return Features(*self.network(prepared(images, self.channels, self.image_size)))


class Stacked(Extractor):
    """Reads each of three channels as an image of its own, as in stacked MNIST, where they are three digits.

    Features are those of the channels side by side; a class is a triple of classes, so there are K^3.

    Args:
        base: Makes the extractor of one channel.
    """

    def __init__(self, base: Callable[[], Extractor]) -> None:
        super().__init__()
        self.base = base()
        self.name = f"stacked_{self.base.name}"
        self.resize = f"each channel as an image: {self.base.resize}"
        self.num_features, self.num_classes = 3 * self.base.num_features, self.base.num_classes**3
        self.weights_hash, self.accuracy = self.base.weights_hash, self.base.accuracy

    def extract(self, images: Tensor) -> Features:
        """Features (N, 3 F), log-probabilities of the triples (N, K^3).

        Raises:
            ValueError: The images have not three channels.
        """
        if images.shape[1] != 3:
            raise ValueError(f"extractor {self.name}: images have {images.shape[1]} channels; it takes 3")
        found = self.base.extract(images.flatten(0, 1)[:, None])
        one, two, three = found.logits.float().log_softmax(1).view(len(images), 3, -1).unbind(1)
        triples = one[:, :, None, None] + two[:, None, :, None] + three[:, None, None, :]
        return Features(found.features.reshape(len(images), -1), triples.flatten(1))


def prepared(images: Tensor, channels: int, size: int) -> Tensor:
    """Images (N, C, H, W) from 0 to 255 as (N, channels, size, size) from -1 to 1."""
    images = as_channels(images, channels)
    if images.shape[-2:] != (size, size):
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return images / 127.5 - 1


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
    num_classes = 1008
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
            return PUBLISHED.get(metric) or super().key(metric)
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
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

        size = self.network.INPUT_IMAGE_SIZE
        resized = interpolate_bilinear_2d_like_tensorflow1x(
            as_channels(images, 3), size=(size, size), align_corners=False
        )
        features = ((resized - 128) / 128).contiguous(memory_format=torch.channels_last)
        for name, layer in self.network.named_children():
            if name != "fc":
                features = layer(features)
        features = features.flatten(1)
        return Features(features, features @ self.network.fc.weight.T)

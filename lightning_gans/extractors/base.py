"""Feature extractors: the base class and the preparation of images."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Features(NamedTuple):
    """Hold features and logits of N images."""

    features: Tensor  # (N, F) float32
    logits: Tensor  # (N, K) float32


class Extractor(nn.Module, ABC):
    """Compute features by a fixed network, always in evaluation mode and without gradients.

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

    def key(self, score: str, published: str | None = None) -> str:
        """Return the key in cards of a score of these features.

        Args:
            score: Its name, e.g. ``fd``.
            published: Its name in published tables, if they have it, e.g. ``fid``; taken with their weights only.
        """
        return f"{score}_{self.name}"

    @abstractmethod
    def extract(self, images: Tensor) -> Features:
        """Compute features and logits of images (N, C, H, W) from 0 to 255, uint8 or float."""

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Compute features and logits of images (N, C, H, W) uint8; any C, H and W.

        Raises:
            ValueError: They are not uint8.
        """
        if images.dtype != torch.uint8:
            raise ValueError(f"extractor {self.name}: images must be uint8, not {images.dtype}")
        return self.unrounded(images)

    @torch.no_grad()
    def unrounded(self, images: Tensor) -> Features:
        """Compute features and logits of images (N, C, H, W) from 0 to 255 without rounding, to compare near images."""
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            found = self.extract(images)
        return Features(found.features.float(), found.logits.float())

    def metadata(self) -> dict[str, Any]:
        """Return name, weights, resize and precision, for score cards."""
        precision = "bf16" if self.bf16 else "32"
        about = {"extractor": self.name, "weights": self.weights_hash, "resize": self.resize, "precision": precision}
        return about if self.accuracy is None else {**about, "extractor_accuracy": self.accuracy}

    def train(self, mode: bool = True) -> Extractor:
        """Stay in evaluation mode, whatever is asked."""
        super().train(False)
        return self


def file_hash(path: Path) -> str:
    """Return the first 16 hex digits of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def as_channels(images: Tensor, channels: int) -> Tensor:
    """Convert images (N, C, H, W) to float grey (``channels`` 1, mean of the first three) or RGB (grey repeated)."""
    images = images.float()
    if images.shape[1] == 2:
        images = images[:, :1]
    colours = images[:, :3]
    if channels == 1:
        return colours.mean(1, keepdim=True)
    return colours.expand(-1, channels, -1, -1) if colours.shape[1] == 1 else colours


def prepared(images: Tensor, channels: int, size: int) -> Tensor:
    """Convert images (N, C, H, W) from 0 to 255 to (N, channels, size, size) from -1 to 1; rectangles are squeezed."""
    images = as_channels(images, channels)
    if images.shape[-2:] != (size, size):
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return images / 127.5 - 1

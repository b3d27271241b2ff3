"""Features of the Inception network of 2015 that published tables use."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lightning_gans.extractors.base import Extractor, Features, as_channels, file_hash


class Inception(Extractor):
    """Extract features by the Inception network of 2015, through torch-fidelity, with its TF1-compatible resize.

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

    def key(self, score: str, published: str | None = None) -> str:
        """Return the published name with the published weights; other weights are named by their hash."""
        if self.weights_hash.startswith(self.PUBLISHED):
            return published or super().key(score)
        return f"{super().key(score)}_{self.weights_hash[:8]}"

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
        """Compute features (N, 2048) and logits without bias (N, 1008)."""
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

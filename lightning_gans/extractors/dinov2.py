"""Features of DINOv2, which rank generators as people do (Stein et al. 2023, arXiv:2306.04675)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.extractors.base import Extractor, Features, as_channels, file_hash
from lightning_gans.networks.vit import VisionTransformer

HEAD = 64  # channels of a head of attention, in every published size
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in [0, 1]


class DINOv2(Extractor):
    """Extract the class token of DINOv2's vision transformer, with torch-fidelity's resize and normalisation.

    Images are resized to 224x224 as in TensorFlow 1. The network is built here by the sizes of its weights; nothing but
    weights is downloaded or read. It classifies nothing: the logits are 0, of one class.

    Args:
        size: ``s``, ``b`` or ``l``: 384, 768 or 1,024 features; of the file, if there is one.
        weights: A local ``dinov2_vits14_pretrain.pth``; ``None``: downloaded once (21, 86 or 300 million weights).

    Raises:
        FileNotFoundError: ``weights`` does not exist.
        ConnectionError: The download failed.
        ValueError: The file holds something else.
    """

    name = "dinov2"
    resize = "bilinear to 224x224 as in TensorFlow 1, without antialiasing, grey repeated"
    num_classes = 1
    SIDE = 224
    URL = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vit{0}14/dinov2_vit{0}14_pretrain.pth"

    def __init__(self, size: Literal["s", "b", "l"] = "l", weights: str | None = None) -> None:
        super().__init__()
        path = self._download(size) if weights is None else Path(weights)
        if not path.is_file():
            raise FileNotFoundError(f"extractor.weights={path}: no such file")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            self.network = build_network(state)
        except Exception as error:
            rule = f"not DINOv2's weights of size s, b or l ({type(error).__name__})"
            raise ConfigError("extractor.weights", str(path), rule) from error
        self.network.eval().requires_grad_(False)
        self.num_features, self.weights_hash = len(state["norm.weight"]), file_hash(path)

    def key(self, score: str, published: str | None = None) -> str:
        """Return the name of a score: ``fd_dinov2``, as in published tables, of size l; others have their width too."""
        return f"{score}_{self.name}" if self.num_features == 1024 else f"{score}_{self.name}_{self.num_features}"

    def _download(self, size: str) -> Path:
        """Download the weights of a size unless they are here, and return their path."""
        url = self.URL.format(size)
        path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
        try:
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(url, str(path))
        except OSError as error:
            raise ConnectionError(
                f"extractor=dinov2: its weights could not be downloaded ({error}). Fetch {url} and say "
                f"extractor.weights=FILE, or put the file at {path}"
            ) from error
        return path

    def extract(self, images: Tensor) -> Features:
        """Compute features (N, F) and logits 0 (N, 1)."""
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

        colours = as_channels(images, 3).contiguous()
        resized = interpolate_bilinear_2d_like_tensorflow1x(colours, size=(self.SIDE, self.SIDE), align_corners=False)
        mean, deviation = (resized.new_tensor(values).view(3, 1, 1) * 255 for values in (MEAN, DEVIATION))
        features = self.network((resized - mean) / deviation)
        return Features(features, features.new_zeros(len(features), 1))


def build_network(state: dict[str, Tensor]) -> VisionTransformer:
    """Build the network that weights are of, by their shapes, and load them.

    Args:
        state: Weights by their published names.

    Raises:
        KeyError: A weight is missing.
        RuntimeError: Weights of another architecture, such as size g's.
    """
    width, patch = state["patch_embed.proj.weight"].shape[0], state["patch_embed.proj.weight"].shape[-1]
    depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    grid = round((state["pos_embed"].shape[1] - 1) ** 0.5)
    network = VisionTransformer(width=width, depth=depth, heads=width // HEAD, patch=patch, grid=grid)
    network.load_state_dict(state)
    return network

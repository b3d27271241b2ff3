"""Points of the plane as their own features."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from lightning_gans.extractors.base import Extractor, Features
from lightning_gans.extractors.mixture import mixture


class Points(Extractor):
    """Take points as features, and log-likelihoods under each mode of a toy set as logits.

    So scores of a classifier hold: the most likely mode is the class, and modes without samples are missing.

    Args:
        distribution: The set: ``ring``, ``grid``, ``swiss_roll`` or ``moons``.
        std: Standard deviation of a mode in the literature's units; ``None``: the set's own.

    Raises:
        ValueError: There is no such set.
    """

    name = "points"
    resize = "none"
    num_features = 2

    def __init__(self, distribution: str | None, std: float | None = None) -> None:
        super().__init__()
        if distribution is None:
            raise ValueError("extractor.distribution=null: say which, ring, grid, swiss_roll or moons")
        self.mixture = mixture(distribution, std)
        self.num_classes = len(self.mixture.centres)
        description = f"{distribution} {self.mixture.sigma}"  # nothing is learnt; this names the density
        self.weights_hash = hashlib.sha256(description.encode()).hexdigest()[:16]

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Compute features (N, 2) and logits (N, K) of points (N, 2).

        Raises:
            ValueError: They are not points of the plane.
        """
        if images.shape[1:] != (2,) or not images.is_floating_point():
            raise ValueError(f"extractor points: needs points (N, 2), not {tuple(images.shape)} {images.dtype}")
        return self.extract(images.float())

    def extract(self, images: Tensor) -> Features:
        """Return the points and their log-likelihoods."""
        return Features(images, self.mixture.log_likelihood(images))

"""Path-length regularisation of a style-based generator (Karras et al. 2020, arXiv:1912.04958, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.config.types import FractionAboveZero, NonNegative, PositiveInt, checked
from lightning_gans.runtime.precision import full_precision


class PathLength:
    """Compute the path-length penalty of a generator.

    weight (|J_w^T y| - a)^2 with y ~ N(0, I) / sqrt(H W), where J_w is the Jacobian of the images by their styles and a
    a moving average of the lengths. The released code's lengths are root mean squares over the layers' styles, as here.

    Args:
        weight: Factor of the term, >= 0.
        decay: Share of the newest mean length in the average.
        shrink: The penalty is computed on a batch that is so many times smaller.
    """

    @checked
    def __init__(self, weight: NonNegative = 2.0, decay: FractionAboveZero = 0.01, shrink: PositiveInt = 2) -> None:
        self.weight, self.decay, self.shrink = weight, decay, shrink

    def __call__(self, lengths: Tensor, average: Tensor) -> Tensor:
        """Return the weighted mean penalty of lengths (N,) against their moving average, both scalars."""
        return self.weight * (lengths - average).square().mean()


def path_lengths(images: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
    """Return the length of J_w^T y of every sample, (N,), with its graph.

    Args:
        images: Generated from ``styles``, (N, C, H, W).
        styles: Of every layer, (N, L, W); in the graph of ``images``.
        noise: Standard normal, (N, C, H, W).
    """
    pixels = images.shape[-2] * images.shape[-1]
    seen = (full_precision(images) * noise).sum() / pixels**0.5
    (gradients,) = torch.autograd.grad(seen, styles, create_graph=True)
    return gradients.square().sum(2).mean(1).sqrt()

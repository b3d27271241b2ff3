"""Perceptual path length (Karras et al. 2019, arXiv:1812.04948)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from lightning_gans.config.types import checked
from lightning_gans.metrics.base import GenerativeMetric

EPSILON = 1e-4  # step along the path between two latents, of which the whole is 1
CUT = 0.01  # share of the shortest, and of the longest steps, that are left out


class PathLength(GenerativeMetric):
    """Compute the mean squared distance of features per squared step, over small steps along random paths.

    Low where the images change evenly. The paper's distance is LPIPS by VGG-16; with another extractor the value
    compares only with values of that extractor, which the score's name says.

    Args:
        space: ``z``: paths between latents; ``w``: between the styles of StyleGANs, on straight lines; the score is
            ``ppl_w`` then.
    """

    name = "path_length"
    feed = "paths"
    scores = ("ppl",)
    higher_is_better = False
    limit = 10000
    steps: list[Tensor]

    @checked
    def __init__(self, space: Literal["z", "w"] = "z") -> None:
        super().__init__()
        self.space = space
        if space == "w":
            self.name, self.scores = "path_length_w", ("ppl_w",)  # type: ignore[misc]
        self.add_state("steps", default=[], dist_reduce_fx="cat")

    def update(self, before: Tensor, after: Tensor) -> None:
        """Take features (N, F) of images a step of ``EPSILON`` apart."""
        self.steps.append((after.double() - before.double()).square().sum(1) / EPSILON**2)

    def compute(self) -> Tensor:
        """Return the mean without the lowest and the highest hundredth."""
        steps = dim_zero_cat(self.steps)
        low = torch.quantile(steps, CUT, interpolation="lower")
        high = torch.quantile(steps, 1 - CUT, interpolation="higher")
        return steps[(steps >= low) & (steps <= high)].mean()

    def settings(self) -> dict[str, Any]:
        """Return the number of paths and the step along them."""
        return {**super().settings(), "path_length_epsilon": EPSILON}


def lerp(start: Tensor, end: Tensor, at: Tensor | float) -> Tensor:
    """Interpolate on the straight line from ``start`` (N, Z) at 0 to ``end`` at 1; ``at`` is a number or (N, 1)."""
    return (start + (end - start) * at).to(start.dtype)


def slerp(start: Tensor, end: Tensor, at: Tensor | float) -> Tensor:
    """Interpolate on the arc from ``start`` (N, Z) at 0 to ``end`` at 1, by direction and by length.

    Gaussian latents of many dimensions all have about the same length, which a straight line leaves (White 2016,
    arXiv:1609.04468). Computed in double precision; latents of (nearly) one direction are joined by a straight line.

    Args:
        start: (N, Z).
        end: (N, Z).
        at: A number or (N, 1).
    """
    one, two = start.double(), end.double()
    lengths = [side.norm(dim=-1, keepdim=True).clamp(min=1e-12) for side in (one, two)]
    angle = ((one / lengths[0]) * (two / lengths[1])).sum(-1, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    straight = sine < 1e-6
    sine = torch.where(straight, 1.0, sine)
    arc = (one / lengths[0]) * ((1 - at) * angle).sin() / sine + (two / lengths[1]) * (at * angle).sin() / sine
    curved = arc * lerp(lengths[0], lengths[1], at)
    return torch.where(straight, lerp(one, two, at), curved).to(start.dtype)


def path_for(latent: str) -> Callable[[Tensor, Tensor, Tensor | float], Tensor]:
    """Return the interpolation that stays in a latent distribution: ``slerp`` for ``normal``, else ``lerp``."""
    return slerp if latent == "normal" else lerp

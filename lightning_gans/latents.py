"""Paths and arithmetic between the latents of a generator."""

from __future__ import annotations

import torch
from torch import Tensor


def lerp(start: Tensor, end: Tensor, at: Tensor | float) -> Tensor:
    """On the straight line from ``start`` (N, Z) at 0 to ``end`` at 1; ``at`` is a number or (N, 1)."""
    return start + (end - start) * at


def slerp(start: Tensor, end: Tensor, at: Tensor | float) -> Tensor:
    """On the arc from ``start`` (N, Z) at 0 to ``end`` at 1, by direction and by length.

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

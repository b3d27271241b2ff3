"""Divergences between distributions, in nats, and those of two parallel lines in closed form.

The lines are example 1 of Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875: P is uniform on {0} x [0, 1] and Q on
{theta} x [0, 1]. Their noisy kind adds N(0, sigma^2) to the first coordinate of both, so that the supports overlap
(Arjovsky and Bottou 2017, arXiv:1701.04862).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Divergences(NamedTuple):
    """Hold divergences of P from Q."""

    kl: float  # KL(P || Q) in nats, 0 to infinity
    js: float  # Jensen-Shannon in nats, 0 to ln 2
    total_variation: float  # 0 to 1
    wasserstein: float  # Wasserstein-1, >= 0


def kl(p: Tensor, q: Tensor) -> Tensor:
    """Compute KL(p || q) = sum p ln(p / q) in nats; infinite where q is 0 and p is not.

    Args:
        p: Probabilities (..., K), which sum to 1 over the last axis.
        q: Probabilities (..., K).

    Returns:
        (...).
    """
    return torch.where(p > 0, p * (p.log() - q.log()), 0.0).sum(-1)


def js(p: Tensor, q: Tensor) -> Tensor:
    """Compute the Jensen-Shannon divergence (KL(p || m) + KL(q || m)) / 2, m = (p + q) / 2: 0 to ln 2 nats.

    Args:
        p: Probabilities (..., K).
        q: Probabilities (..., K).
    """
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """Compute half of the sum of |p - q| over the last axis, from 0 to 1."""
    return (p - q).abs().sum(-1) / 2


def js_from_logits(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Compute ln 2 + (E_P[ln D(x)] + E_Q[ln(1 - D(x))]) / 2 for D = s(logit).

    It bounds the Jensen-Shannon divergence from below, and equals it for the optimal discriminator, whose logit is
    ln p(x) - ln q(x). Goodfellow et al. 2014, arXiv:1406.2661, theorem 1.

    Args:
        real_logits: Logits of samples of P, of any shape.
        fake_logits: Logits of samples of Q, of any shape.
    """
    return math.log(2) + (F.logsigmoid(real_logits).mean() + F.logsigmoid(-fake_logits).mean()) / 2


def kl_from_logits(real_logits: Tensor) -> Tensor:
    """Compute E_P[logit], which is KL(P || Q) for the optimal discriminator, whose logit is ln p(x) - ln q(x)."""
    return real_logits.mean()


def parallel_lines(theta: float) -> Divergences:
    """Return the divergences of two parallel lines at distance ``theta``.

    Where theta is not 0, KL is infinite, JS ln 2 and the total variation 1, whatever theta is: no gradient says which
    way to go. The Wasserstein distance is |theta|.
    """
    if theta == 0:
        return Divergences(0.0, 0.0, 0.0, 0.0)
    return Divergences(math.inf, math.log(2), 1.0, abs(theta))


def noisy_parallel_lines(theta: float, sigma: float) -> Divergences:
    """Return the divergences of two parallel lines at distance ``theta`` under noise N(0, ``sigma``^2).

    With t = theta / sigma: KL = t^2 / 2, JS = ln 2 + E_z[ln s(t^2 / 2 + t z)] for a standard normal z, by the
    trapezoidal rule, total variation erf(|t| / sqrt 8), Wasserstein distance |theta| as without noise.

    Raises:
        ValueError: ``sigma`` is not above 0.
    """
    if sigma <= 0:
        raise ValueError(f"sigma={sigma}: must be above 0; parallel_lines has none")
    t = theta / sigma
    z = torch.linspace(-10, 10, 4001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    shannon = math.log(2) + float(torch.trapezoid(density * F.logsigmoid(t * t / 2 + t * z), z))
    return Divergences(t * t / 2, max(0.0, shannon), math.erf(abs(t) / math.sqrt(8)), abs(theta))


def line_samples(theta: float, n: int, *, sigma: float = 0.0, seed: int = 0) -> Tensor:
    """Draw ``n`` points (n, 2) of the line {theta} x [0, 1], float64, with noise N(0, sigma^2) across it."""
    rng = torch.Generator().manual_seed(seed)
    along = torch.rand(n, generator=rng, dtype=torch.float64)
    across = theta + sigma * torch.randn(n, generator=rng, dtype=torch.float64)
    return torch.stack([across, along], 1)


def histogram(points: Tensor, bins: int, low: float, high: float) -> Tensor:
    """Return the shares of points in equal cells of [low, high)^D, (bins^D,); ``kl`` and ``js`` of two are estimates.

    Args:
        points: (N, D), all within the range.
        bins: Cells along an axis.
        low: Lower end of the range in every dimension.
        high: Upper end.

    Raises:
        ValueError: A point lies outside of the range.
    """
    cells = ((points.double() - low) / (high - low) * bins).floor().long()
    if bool(((cells < 0) | (cells >= bins)).any()):
        raise ValueError(f"histogram: a point lies outside of [{low}, {high})")
    places = bins ** torch.arange(points.shape[1] - 1, -1, -1, device=points.device)
    counts = torch.bincount((cells * places).sum(1), minlength=bins ** points.shape[1])
    return counts.double() / len(points)

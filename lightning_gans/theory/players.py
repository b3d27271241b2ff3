"""Best responses of the two players, and what a generator does whose discriminator stands still."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_gans.losses.objectives import Objective


def optimal_discriminator(p: Tensor, q: Tensor) -> Tensor:
    """Return p / (p + q), the discriminator that maximises the minimax objective; 1/2 where the densities are equal.

    Goodfellow et al. 2014, arXiv:1406.2661, proposition 1. NaN where both densities are 0, which no sample reaches.

    Args:
        p: Density of the real samples at any points, >= 0.
        q: Density of the generated samples at the same points.
    """
    return p / (p + q)


def discriminator_value(p: Tensor, q: Tensor, d: Tensor) -> Tensor:
    """Compute sum p ln d + sum q ln(1 - d) over the last axis, the minimax objective of a discriminator.

    At the optimum it is 2 JS(p, q) - ln 4, hence -ln 4 where p = q.

    Args:
        p: Probabilities of the real samples, (..., K).
        q: Probabilities of the generated samples, (..., K).
        d: Probabilities that the discriminator gives to real, (..., K) from 0 to 1.
    """
    return (torch.xlogy(p, d) + torch.xlogy(q, 1 - d)).sum(-1)


def logit_gradient(objective: Objective, fake_logits: Tensor) -> Tensor:
    """Compute the derivative of the generator's loss for one sample by the discriminator's logit of that sample.

    Where D wins, the logit is far below 0: the saturating loss has -s(logit), which vanishes, the non-saturating one
    s(logit) - 1, which goes to -1.

    Args:
        objective: Whose generator's loss it is; one that needs no real samples.
        fake_logits: Logits (N,) of generated samples.

    Returns:
        (N,).
    """
    logits = fake_logits.detach().requires_grad_()
    loss = torch.stack([*objective.generator(logits).values()]).sum() * logits.numel()  # terms are means
    (gradient,) = torch.autograd.grad(loss, logits)
    return gradient


class Descent(NamedTuple):
    """Hold what a generator did in T updates, and where it started."""

    points: Tensor  # (T + 1, N, D): its samples of the same latents
    spread: Tensor  # (T + 1,): root mean square distance of the samples from their mean
    sensitivity: Tensor  # (T + 1,): root mean square Frobenius norm of dG/dz over the latents


def descend_alone(
    generator: nn.Module,
    logits: Callable[[Tensor], Tensor],
    objective: Objective,
    latents: Tensor,
    optimizer: Optimizer,
    steps: int,
) -> Descent:
    """Train a generator against a discriminator that never changes.

    The best that it can do is to map all latents to the point that D takes for real most: spread and dG/dz go to 0. So
    a generator that runs ahead of its discriminator collapses.

    Args:
        generator: Maps latents (N, Z) to samples (N, D); trained in place.
        logits: The discriminator: maps samples (N, D) to logits (N,).
        objective: Whose generator's loss is minimised; one that needs no real samples.
        latents: (N, Z), the same at every update.
        optimizer: Of the generator's parameters.
        steps: Number of updates, T.
    """
    found = [_observed(generator, latents)]
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.stack([*objective.generator(logits(generator(latents))).values()]).sum()
        weights = [*generator.parameters()]
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.grad = gradient
        optimizer.step()
        found.append(_observed(generator, latents))
    points, spread, sensitivity = (torch.stack(values) for values in zip(*found, strict=True))
    return Descent(points, spread, sensitivity)


def _observed(generator: nn.Module, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return samples, their spread, and the norm of dG/dz."""
    latents = latents.detach().requires_grad_()
    made = generator(latents)  # (N, D)
    rows = [torch.autograd.grad(made[:, i].sum(), latents, retain_graph=True)[0] for i in range(made.shape[1])]
    squares = torch.stack(rows).square().sum((0, 2))  # (N,)
    points = made.detach()
    spread = (points - points.mean(0)).square().sum(1).mean().sqrt()
    return points, spread, squares.mean().sqrt()

"""How sure a distance of few samples is: the bootstrap."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.metrics.base import Buffered
from lightning_gans.runtime.seeding import derive_seed


class DistanceSpread(Buffered):
    """Standard deviation of the Frechet and of the kernel distance over other samples, by the bootstrap.

    The samples are drawn anew with replacement; the real images stand still. It says how much the number would move
    with other samples of the same generator. It says nothing of the Frechet distance's bias: few samples always raise
    that.

    Args:
        resamples: How often to draw.
        limit: Draw from the first so many samples, and scale what is found to their whole number.
        seed: Seed of the draws.
    """

    def __init__(self, *, resamples: int = 100, limit: int = 2000, seed: int = 0) -> None:
        super().__init__()
        self.resamples, self.limit, self.seed = resamples, limit, seed

    def compute(self) -> dict[str, Tensor]:
        """Standard deviations of ``frechet`` and ``kernel``."""
        real, samples = self.real_and_fake()
        real, fake = real[: 5 * self.limit].double(), samples[: self.limit].double()
        rng = torch.Generator().manual_seed(derive_seed("bootstrap", self.seed))
        draws = [torch.randint(len(fake), (len(fake),), generator=rng).to(fake.device) for _ in range(self.resamples)]
        scale = (len(fake) / len(samples)) ** 0.5
        return {
            "frechet": _frechet_distances(real, fake, draws).std() * scale,
            "kernel": _kernel_distances(real, fake, draws).std() * scale,
        }


def _frechet_distances(real: Tensor, fake: Tensor, draws: list[Tensor]) -> Tensor:
    """Frechet distances of the drawn rows of ``fake`` (N, F) to ``real`` (M, F).

    The trace of the product's root is the sum of the singular values of one centred side times the other's root.
    """
    mean, n = real.mean(0), len(fake)
    centred = (real - mean) / (len(real) - 1) ** 0.5
    root = torch.linalg.qr(centred, mode="r").R if len(real) > real.shape[1] else centred
    overlaps = fake @ root.T  # (N, min(M, F))
    found = []
    for draw in draws:
        some = fake[draw]
        spread = some.var(0).sum() + centred.square().sum()
        overlap = torch.linalg.svdvals(overlaps[draw] - overlaps[draw].mean(0)).sum() / (n - 1) ** 0.5
        found.append((some.mean(0) - mean).square().sum() + spread - 2 * overlap)
    return torch.stack(found)


def _kernel_distances(real: Tensor, fake: Tensor, draws: list[Tensor]) -> Tensor:
    """Kernel distances of the drawn rows of ``fake`` (N, F) to ``real`` (M, F), less what the real side adds to all."""

    def kernel(points: Tensor) -> Tensor:
        return (fake @ points.T / fake.shape[1] + 1) ** 3

    across, within, n = kernel(real).mean(1), kernel(fake), len(fake)
    found = []
    for draw in draws:
        drawn = within[draw][:, draw]
        found.append((drawn.sum() - drawn.trace()) / (n * (n - 1)) - 2 * across[draw].mean())
    return torch.stack(found)

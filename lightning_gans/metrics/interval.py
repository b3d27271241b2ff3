"""Confidence intervals of distances, by the bootstrap (Efron 1979)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.metrics.base import Buffered
from lightning_gans.runtime.seeding import derive_seed

WIDTH = 1.96  # standard deviations on either side of a score: 95 %


class DistanceSpread(Buffered):
    """Compute the standard deviation of the Frechet and of the kernel distance over other samples, by the bootstrap.

    Samples are drawn with replacement; the real images stay the same. It shows how much the number would vary with
    other samples of the same generator, and nothing of the Frechet distance's bias: few samples always raise that.

    Args:
        resamples: Number of bootstrap samples.
        limit: Draw from the first so many samples, and scale the deviations to the number of all.
    """

    name = "interval"
    feed = "features"
    scores = ()  # it gives bounds of others'
    higher_is_better = False
    refines = ("frechet", "kernel")
    limit: int

    @checked
    def __init__(self, *, resamples: PositiveInt = 100, limit: PositiveInt = 2000) -> None:
        super().__init__()
        self.resamples, self.limit = resamples, limit

    def compute(self) -> dict[str, Tensor]:
        """Return the standard deviations of ``fd`` and ``kd``."""
        real, samples = self.real_and_fake()
        real, fake = real[: 5 * self.limit].double(), samples[: self.limit].double()
        rng = torch.Generator().manual_seed(derive_seed("bootstrap", self.seed))
        draws = [torch.randint(len(fake), (len(fake),), generator=rng).to(fake.device) for _ in range(self.resamples)]
        scale = (len(fake) / len(samples)) ** 0.5
        return {
            "fd": _frechet_distances(real, fake, draws).std() * scale,
            "kd": _kernel_distances(real, fake, draws).std() * scale,
        }

    def report(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Return the bounds of 95 % intervals around those of its scores that are there, ``fd_low`` and ``fd_high``."""
        bounds = {}
        for name, deviation in self.compute().items():
            if name in scores:
                bounds[f"{name}_low"] = scores[name] - WIDTH * float(deviation)
                bounds[f"{name}_high"] = scores[name] + WIDTH * float(deviation)
        return bounds


def _frechet_distances(real: Tensor, fake: Tensor, draws: list[Tensor]) -> Tensor:
    """Compute Frechet distances of the drawn rows of ``fake`` (N, F) to ``real`` (M, F).

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
    """Compute kernel distances of the drawn rows of ``fake`` (N, F) to ``real`` (M, F), without ``real``'s own term."""

    def kernel(points: Tensor) -> Tensor:
        return (fake @ points.T / fake.shape[1] + 1) ** 3

    across, within, n = kernel(real).mean(1), kernel(fake), len(fake)
    found = []
    for draw in draws:
        drawn = within[draw][:, draw]
        found.append((drawn.sum() - drawn.trace()) / (n * (n - 1)) - 2 * across[draw].mean())
    return torch.stack(found)

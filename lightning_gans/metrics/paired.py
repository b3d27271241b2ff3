"""Distances of translations from their targets: means over pairs of images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_gans.metrics.base import GenerativeMetric
from lightning_gans.metrics.ms_ssim import ssim

Batch = dict[str, Tensor]
PEAK = 255.0
MOST = 100.0  # dB: the score of equal images, whose ratio is infinite


class PairMean(GenerativeMetric):
    """Average a score over pairs; on several processes over the pairs of all."""

    feed = "pairs"
    totals: Tensor
    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("totals", default=torch.zeros(len(self.keys), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("pairs", default=torch.tensor(0), dist_reduce_fx="sum")

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the names of what ``compare`` gives, in its order."""
        return self.scores

    @abstractmethod
    def compare(self, batch: Batch) -> Sequence[Tensor]:
        """Compare a batch with ``image`` and ``target`` (N, C, H, W) uint8 and ``source``: (N,) for each key."""

    def update(self, batch: Batch) -> None:
        """Take the pairs of a batch."""
        self.totals += torch.stack([values.double().sum() for values in self.compare(batch)]).to(self.totals)
        self.pairs += len(batch["image"])

    def compute(self) -> dict[str, Tensor]:
        """Return the means by name."""
        return dict(zip(self.keys, self.totals / self.pairs, strict=True))


class L1(PairMean):
    """Compute the mean absolute difference, as a share of the range of values."""

    name = "l1"
    scores = ("l1",)
    higher_is_better = False

    def compare(self, batch: Batch) -> list[Tensor]:
        """Compare translations with their targets: (N,)."""
        return [l1(batch["image"], batch["target"])]


class PSNR(PairMean):
    """Compute the peak signal-to-noise ratio in dB."""

    name = "psnr"
    scores = ("psnr",)
    higher_is_better = True

    def compare(self, batch: Batch) -> list[Tensor]:
        """Compare translations with their targets: (N,)."""
        return [psnr(batch["image"], batch["target"])]


class SSIM(PairMean):
    """Compute the structural similarity (Wang et al. 2004)."""

    name = "ssim"
    scores = ("ssim",)
    higher_is_better = True

    def compare(self, batch: Batch) -> list[Tensor]:
        """Compare translations with their targets: (N,)."""
        return [ssim(batch["image"], batch["target"])]


def l1(one: Tensor, two: Tensor) -> Tensor:
    """Compute the mean absolute difference of images (N, C, H, W) from 0 to 255, as a share of that range: (N,)."""
    return (one.double() - two.double()).abs().flatten(1).mean(1) / PEAK


def psnr(one: Tensor, two: Tensor) -> Tensor:
    """Compute the peak signal-to-noise ratio of images (N, C, H, W) from 0 to 255: (N,) in dB, 100 at most."""
    error = (one.double() - two.double()).square().flatten(1).mean(1)
    return (10 * torch.log10(PEAK**2 / error)).clamp(max=MOST)

"""Scores of a generator, each with a card that says what it is."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance
from tqdm import tqdm

from lightning_gans.data.base import ImageData
from lightning_gans.images import to_uint8
from lightning_gans.metrics.extractors import Extractor, Features
from lightning_gans.models.base import GenerativeModule
from lightning_gans.seeding import mix

METRICS = ("frechet", "inception_score", "kernel")
KERNEL_SUBSETS, KERNEL_SUBSET_SIZE, SPLITS = 50, 1000, 10


class _Given(nn.Module):
    """Stands where torchmetrics expects a network: the features are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


class Evaluator:
    """Compares samples with the training images. One pass over the extractor feeds every metric.

    Real images are read once and their features kept; samples are number 0 to n - 1 of the seed, shared out among the
    processes. The Frechet distance does not depend on how many there are; the splits of IS and the subsets of KID do.

    Args:
        extractor: What features are compared.
        n: Number of samples, >= 2.
        n_real: Number of real images; ``None``: all.
        metrics: Any of ``frechet`` (FID), ``inception_score`` (IS, mean and std over ten splits) and ``kernel`` (KID,
            mean over fifty subsets of a thousand, or of all if there are fewer).
        seed: Seed of the samples and of random subsets.
        batch_size: Images at once.
        time_budget_s: Stop sampling after so many seconds and score what is there; the count stands in the card.

    Raises:
        ValueError: An unknown metric or a number out of range.
    """

    def __init__(
        self,
        extractor: Extractor,
        *,
        n: int = 10000,
        n_real: int | None = None,
        metrics: Sequence[str] = METRICS,
        seed: int = 0,
        batch_size: int = 64,
        time_budget_s: float | None = None,
    ) -> None:
        check(n=n, n_real=n_real, metrics=metrics, batch_size=batch_size)
        self.extractor, self.n, self.n_real = extractor, n, n_real
        self.metrics, self.seed, self.batch_size, self.time_budget_s = tuple(metrics), seed, batch_size, time_budget_s
        self._real: list[Tensor] = []

    def __call__(self, module: GenerativeModule, data: ImageData, *, progress: bool = False) -> dict[str, Any]:
        """The score card; on all processes together.

        Args:
            module: Its sampling network is scored.
            data: Its training images are the reference.
            progress: Show a bar.

        Returns:
            ``scores`` by honest name, and everything that they depend on.
        """
        started = time.monotonic()
        rank, world = _rank_and_world()
        device = module.device
        self.extractor.to(device)
        total = len(data.train_images) if self.n_real is None else min(self.n_real, len(data.train_images))
        if min(self.n, total) < max(2, world):
            raise ValueError(f"evaluation: {self.n} samples and {total} real images; both must be >= {max(2, world)}")
        module.prepare_sampling()
        scores = self._new_metrics(device)
        if not self._real:
            batches = data.real_images(range(rank, total, world), self.batch_size)
            hidden = not progress or rank > 0
            for real in tqdm(batches, "real features", disable=hidden, leave=False, mininterval=1):
                self._real.append(self.extractor(real.to(device)).features)
        for features in self._real:
            for name, metric in scores.items():
                if name != "inception_score":
                    metric.update(features, real=True)
        sampled = self._score_samples(module, scores, range(rank, self.n, world), started, progress and rank == 0)
        counts = torch.tensor([sampled, sum(len(features) for features in self._real)], device=device)
        if world > 1:
            torch.distributed.all_reduce(counts)
        values = [self._compute(scores, int(counts.min()))]
        if world > 1:  # decisions are made by these: all processes need the same bits
            torch.distributed.broadcast_object_list(values, 0)
        return {
            "scores": values[0],
            "n": int(counts[0]),
            "n_real": int(counts[1]),
            "step": module.iteration,
            "images_seen": module.images_seen,
            "averaged": module.generator_ema is not None,
            "seed": self.seed,
            "extractor": self.extractor.name,
            "weights": self.extractor.weights_hash,
            "resize": self.extractor.resize,
            "data": type(data).__name__,
            "split": data.split,
            "image_size": data.image_size,
            "channels": data.channels,
            "kernel_subset_size": min(KERNEL_SUBSET_SIZE, int(counts.min())),
            "seconds": round(time.monotonic() - started, 2),
        }

    def _score_samples(
        self, module: GenerativeModule, scores: dict[str, Metric], indices: range, started: float, progress: bool
    ) -> int:
        """Feed this process's samples to every metric; how many there were."""
        sampled = 0
        batches = module.samples(indices, seed=self.seed, batch_size=self.batch_size)
        with tqdm(total=len(indices), desc="scoring", disable=not progress, leave=False, mininterval=1) as bar:
            for batch in batches:
                found: Features = self.extractor(to_uint8(batch))
                for name, metric in scores.items():
                    if name == "inception_score":
                        metric.update(found.logits)
                    else:
                        metric.update(found.features, real=False)
                sampled += len(batch)
                bar.update(len(batch))
                if self.time_budget_s is not None and time.monotonic() - started > self.time_budget_s and sampled > 1:
                    break
        return sampled

    def _new_metrics(self, device: torch.device) -> dict[str, Metric]:
        features = _Given(self.extractor.num_features)
        makers: dict[str, Callable[[], Metric]] = {
            "frechet": lambda: FrechetInceptionDistance(feature=features),
            "inception_score": lambda: InceptionScore(feature=features, splits=SPLITS),
            "kernel": lambda: KernelInceptionDistance(
                feature=features, subsets=KERNEL_SUBSETS, subset_size=KERNEL_SUBSET_SIZE
            ),
        }
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*will save all extracted features")
            return {name: makers[name]().to(device) for name in self.metrics}

    def _compute(self, scores: dict[str, Metric], smallest: int) -> dict[str, float]:
        values: dict[str, float] = {}
        with torch.random.fork_rng():  # splits and subsets are drawn from the default generator
            for name, metric in scores.items():
                if isinstance(metric, KernelInceptionDistance):
                    metric.subset_size = min(KERNEL_SUBSET_SIZE, smallest)
                if isinstance(metric, InceptionScore):
                    metric.splits = min(SPLITS, smallest)
                torch.manual_seed(mix("subsets", self.seed) % 2**32)
                value, key = metric.compute(), self.extractor.key(name)
                if isinstance(value, tuple):
                    values[key], values[f"{key}_std"] = float(value[0]), float(value[1])
                else:
                    values[key] = float(value)
        return values


def check(*, n: int, n_real: int | None, metrics: Sequence[str], batch_size: int, where: str = "evaluation") -> None:
    """Refuse what cannot be scored, before anything is loaded.

    Raises:
        ValueError: With the key, the value and what is allowed.
    """
    if not metrics:
        raise ValueError(f"{where}.metrics=[]: choose among {', '.join(METRICS)}")
    for metric in metrics:
        if metric not in METRICS:
            raise ValueError(f"{where}.metrics={metric}: must be among {', '.join(METRICS)}")
    for key, value in {"n": n, "n_real": n_real}.items():
        if value is not None and value < 2:
            raise ValueError(f"{where}.{key}={value}: must be >= 2")
    if batch_size < 1:
        raise ValueError(f"{where}.batch_size={batch_size}: must be >= 1")


def write_card(card: dict[str, Any], path: Path) -> Path:
    """Write a score card as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(card, indent=2) + "\n")
    return path


def _rank_and_world() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1

"""Scores of a generator or an image set, each with a card that says what it is."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance
from tqdm import tqdm

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import Batch
from lightning_gans.data.translation.base import TranslationData
from lightning_gans.evaluation.cache import RealCache
from lightning_gans.evaluation.selection import check_options, select_metrics
from lightning_gans.evaluation.sources import GeneratedImages, RealImages, ScoredImages, TranslatedImages
from lightning_gans.extractors.base import Extractor, Features
from lightning_gans.metrics.base import PrecomputedFeatures, join_batches
from lightning_gans.metrics.interval import DistanceSpread
from lightning_gans.metrics.modes import ModeCoverage
from lightning_gans.metrics.ms_ssim import PairedSimilarity
from lightning_gans.metrics.names import DEFAULT, METRICS, compares_with_reals, needs_extractor
from lightning_gans.metrics.paired import paired_metric
from lightning_gans.metrics.path_length import EPSILON, PathLength, path_for
from lightning_gans.metrics.prdc import PRDC
from lightning_gans.metrics.swd import SlicedWasserstein
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.translation import TranslationModule
from lightning_gans.runtime.distributed import all_gather, broadcast_object, rank_and_world, rank_slice, sum_numbers
from lightning_gans.runtime.seeding import derive_seed

KERNEL_SUBSETS, KERNEL_SUBSET_SIZE, SPLITS = 50, 1000, 10
LIMITS = {"prdc": 10000, "swd": 16384, "ms_ssim": 20000, "path_length": 10000, "interval": 2000}  # images looked at
WIDTH = 1.96  # standard deviations on either side of an interval: 95 %


class Evaluator:
    """Compares samples, or an image set, with real images. One pass over the extractor feeds every metric.

    Real images are read once, in an order that is shuffled the same way every time, and their features kept, on disk
    too. Every process takes one stretch of the samples and one of the real images; gathered, they stand in the order
    of one process, so scores do not depend on how many there are.

    Args:
        extractor: What features are compared; ``None`` where every metric compares pixels.
        n: Number of samples, >= 2; of an image set ``None`` takes all.
        n_real: Number of real images; ``None``: all.
        metrics: Names of ``lightning_gans.metrics.names.METRICS``.
        seed: Seed of the samples and of random subsets.
        batch_size: Images at once.
        time_budget_s: Stop sampling after so many seconds and score what is there, and at the first evaluation stop
            reading real images after so many; the counts stand in the card.
        cache: Folder that keeps the real features: ``auto``, a path, or ``None``.
        direction: Of a module's that translates: which of its translations are scored.

    Raises:
        ValueError: An unknown metric or a number out of range.
    """

    def __init__(
        self,
        extractor: Extractor | None,
        *,
        n: int | None = 10000,
        n_real: int | None = None,
        metrics: Sequence[str] = DEFAULT,
        seed: int = 0,
        batch_size: int = 64,
        time_budget_s: float | None = None,
        cache: str | None = "auto",
        direction: str = "a2b",
    ) -> None:
        check_options(n=n, n_real=n_real, metrics=metrics, batch_size=batch_size)
        if extractor is None and needs_extractor([*metrics]):
            raise ValueError(f"evaluation.metrics={list(metrics)}: need an extractor")
        self.extractor, self.n, self.n_real, self.metrics = extractor, n, n_real, tuple(metrics)
        self.seed, self.batch_size, self.time_budget_s = seed, batch_size, time_budget_s
        self.cache, self.direction = RealCache(cache), direction
        self._metrics: dict[str, Metric] = {}
        self._met: ImageDataModule | None = None  # the set whose images the metrics know
        self._n_real, self._deadline = 0, torch.inf

    def __call__(
        self,
        candidate: GenerativeModule | ImageDataModule,
        reference: ImageDataModule,
        *,
        examples: TranslationData | None = None,
        progress: bool = False,
        device: torch.device | str = "cpu",
    ) -> dict[str, Any]:
        """The score card; on all processes together.

        Args:
            candidate: A module, whose sampling network is scored, or an image set.
            reference: Its training images are what the candidate is compared with.
            examples: Whose examples a module translates; ``None``: those of ``reference``.
            progress: Show a bar.
            device: Where to score an image set; a module is scored where it lies.

        Returns:
            ``scores`` by honest name, and everything that they depend on; ``n_real`` is 0 where pairs alone are
            compared and no other real images.
        """
        started = time.monotonic()
        rank, world = rank_and_world()
        progress = progress and rank == 0
        data = examples or reference
        source, place = self._source(candidate, data, torch.device(device))
        real = RealImages(reference, self.n_real, self.direction) if compares_with_reals(self.metrics) else None
        counts = {"samples": source.n} | ({} if real is None else {"real images": real.n})
        if min(counts.values()) < 2 * world:
            named = " and ".join(f"{count} {what}" for what, count in counts.items())
            raise ValueError(f"evaluation: {named}; must be >= {2 * world}")
        if self.extractor is not None:
            self.extractor.to(place)
        self._update_real(real, place, progress)
        n = 0
        self._start_clock()
        for position, batch, found in self._extract(
            source, rank_slice(source.n, rank, world), place, "scoring", progress
        ):
            self._update(False, position, batch=batch, found=found)
            n += len(batch["image"])
        if isinstance(source, GeneratedImages) and "path_length" in self.metrics:
            self._update_path_length(source.module, rank_slice(min(source.n, LIMITS["path_length"]), rank, world))
        n = sum_numbers(n, place)
        scores = self._compute(n)
        if world > 1:  # decisions are made by these: all processes need the same bits
            scores = broadcast_object(scores)
        return {
            "scores": scores,
            "n": n,
            "n_real": self._n_real,
            **({} if self.extractor is None else self.extractor.metadata()),
            **({"data": type(data).__name__, "image_size": data.image_size} if real is None else real.metadata()),
            **({"candidate": source.metadata()} if isinstance(source, RealImages) else source.metadata()),
            **self._settings(n),
            "seconds": round(time.monotonic() - started, 2),
        }

    def _source(
        self, candidate: GenerativeModule | ImageDataModule, data: ImageDataModule, device: torch.device
    ) -> tuple[ScoredImages, torch.device]:
        """What is scored, and where; refuses metrics that make no sense of it."""
        select_metrics(self.metrics, candidate, data)
        if isinstance(candidate, TranslationModule) and isinstance(data, TranslationData):
            candidate.prepare_sampling()
            return TranslatedImages(candidate, data, self.n, self.seed, self.direction), candidate.device
        if not isinstance(candidate, ImageDataModule):
            candidate.prepare_sampling()
            return GeneratedImages(candidate, 10000 if self.n is None else self.n, self.seed), candidate.device
        if "path_length" in self.metrics:
            raise ValueError("metrics=path_length: needs a checkpoint, since images alone have no latents")
        return RealImages(candidate, self.n), device

    def _start_clock(self) -> None:
        self._deadline = time.monotonic() + (torch.inf if self.time_budget_s is None else self.time_budget_s)

    def _extract(
        self,
        source: ScoredImages,
        positions: range,
        device: torch.device,
        title: str,
        progress: bool,
        extract: bool = True,
    ) -> Iterator[tuple[int, Batch, Features | None]]:
        """Images by batch with their first position and their features, until the time is up."""
        extract = extract and needs_extractor(self.metrics)
        position = positions.start
        with tqdm(total=len(positions), desc=title, disable=not progress, leave=False, mininterval=1) as bar:
            for batch in source.batches(positions, self.batch_size):
                batch = {key: value.to(device) for key, value in batch.items()}
                images = batch["image"]
                yield position, batch, self.extractor(images) if extract and self.extractor else None
                position += len(images)
                bar.update(len(images))
                if time.monotonic() > self._deadline and position > positions.start + 1:
                    break

    def _update(self, real: bool, position: int, *, batch: Batch | None = None, found: Features | None = None) -> None:
        """Give every metric what it compares of a batch that begins at ``position``."""
        for name, metric in self._metrics.items():
            if METRICS[name] == "images" and batch is not None:
                metric.update(batch["image"][: max(0, LIMITS[name] - position)], real)
            elif METRICS[name] == "pairs" and batch is not None and not real:
                metric.update(batch)
            elif METRICS[name] == "features" and found is not None:
                metric.update(found.features, real=real)
            elif name == "modes" and found is not None:
                metric.update(found.logits.argmax(1), real)
            elif name == "inception_score" and found is not None and not real:
                metric.update(found.logits)

    # ------------------------------------------------------------------------------ the real side

    def _update_real(self, real: RealImages | None, device: torch.device, progress: bool) -> None:
        """Let the metrics know the real images, if any look at them; once, unless these are others."""
        if self._metrics and (real is None or self._met is real.data):
            for metric in self._metrics.values():
                metric.to(device).reset()
            return
        self._metrics = self._new_metrics(device)
        if real is None:
            return
        self._met = real.data
        rank, world = rank_and_world()
        mine = rank_slice(real.n, rank, world)
        extractor = self.extractor if any(METRICS[name] in ("features", "logits") for name in self.metrics) else None
        key = {**real.metadata(), "n_real": real.n, **({} if extractor is None else extractor.metadata())}
        kept = self.cache.load(key) if extractor else None
        if extractor and sum_numbers(int(kept is not None), device) < world:
            kept = None  # all processes read, or none does
        if kept is not None and extractor:
            for start in range(mine.start, mine.stop, 1024):
                end = min(start + 1024, mine.stop)
                classes = nn.functional.one_hot(kept["classes"][start:end].long(), extractor.num_classes)
                self._update(True, start, found=Features(kept["features"][start:end].to(device), classes.to(device)))
        looked_at = max([LIMITS[name] for name in self.metrics if METRICS[name] == "images"], default=0)
        pictures = range(mine.start, max(mine.start + 1, min(mine.stop, looked_at)))  # one at least: gathering needs it
        wanted = mine if extractor and kept is None else pictures if looked_at else range(0)
        fresh: list[Features] = []
        self._start_clock()
        for position, batch, found in self._extract(real, wanted, device, "real images", progress, kept is None):
            self._update(True, position, batch=batch, found=found)
            if found is not None:
                fresh.append(Features(found.features, found.logits.argmax(1)))
        self._n_real = (
            real.n if kept or not extractor else sum_numbers(sum(len(some.features) for some in fresh), device)
        )
        if fresh and self._n_real == real.n:
            features, classes = (torch.cat(list(some)) for some in zip(*fresh, strict=True))
            whole = [all_gather(values) for values in (features, classes)]
            if int(os.environ.get("LOCAL_RANK", 0)) == 0:
                self.cache.store(key, {"features": whole[0], "classes": whole[1].to(torch.int32)})

    # ------------------------------------------------------------------------------ the metrics

    def _update_path_length(self, module: GenerativeModule, positions: range) -> None:
        """Feed the path length with steps between pairs of latents, each pair a function of seed and position."""
        assert self.extractor is not None
        path = path_for(module.latent)
        with torch.no_grad():
            for first in range(positions.start, positions.stop, self.batch_size):
                chosen = range(first, min(first + self.batch_size, positions.stop))
                start, end = (
                    module.sampling_inputs(chosen, derive_seed("path", name, self.seed)) for name in ("start", "end")
                )
                rng = torch.Generator()
                where = torch.stack(
                    [torch.rand(1, generator=rng.manual_seed(derive_seed("at", self.seed, i))) for i in chosen]
                )
                where = where.to(module.device, torch.float64)
                batches = [(path(start[0], end[0], at), *start[1:]) for at in (where, where + EPSILON)]
                features = [
                    self.extractor.unrounded(images.add(1).mul(127.5).clamp(0, 255)).features
                    for images in module.generate(batches)
                ]
                self._metrics["path_length"].update(*features)
                if time.monotonic() > self._deadline:
                    break

    def _new_metrics(self, device: torch.device) -> dict[str, Metric]:
        features = PrecomputedFeatures(0 if self.extractor is None else self.extractor.num_features)
        num_classes = 0 if self.extractor is None else self.extractor.num_classes
        makers: dict[str, Callable[[], Metric]] = {
            "frechet": lambda: FrechetInceptionDistance(feature=features, reset_real_features=False),
            "inception_score": lambda: InceptionScore(feature=features, splits=SPLITS),
            "kernel": lambda: KernelInceptionDistance(feature=features, reset_real_features=False),
            "prdc": lambda: PRDC(limit=LIMITS["prdc"]),
            "modes": lambda: ModeCoverage(num_classes),
            "interval": lambda: DistanceSpread(limit=LIMITS["interval"], seed=self.seed),
            "path_length": PathLength,
            "swd": lambda: SlicedWasserstein(limit=LIMITS["swd"], seed=self.seed),
            "ms_ssim": PairedSimilarity,
        }
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*will save all extracted features")
            paired = {name: paired_metric(name).to(device) for name in self.metrics if METRICS[name] == "pairs"}
            return {name: paired[name] if name in paired else makers[name]().to(device) for name in self.metrics}

    def _compute(self, n: int) -> dict[str, float]:
        """Every score by its honest name."""
        values: dict[str, float] = {}
        spreads: dict[str, Tensor] = {}
        subset = self._kernel_subset_size(n)
        all_of_them = subset == n == self._n_real
        with torch.random.fork_rng():  # splits and subsets are drawn from the default generator
            for name, metric in self._metrics.items():
                torch.manual_seed(derive_seed("subsets", self.seed) % 2**32)
                if isinstance(metric, PRDC) and min(n, self._n_real) < metric.needed:
                    continue  # the time was up too early; the card's n says so
                if isinstance(metric, KernelInceptionDistance):
                    metric.subset_size, metric.subsets = subset, 1 if all_of_them else KERNEL_SUBSETS
                if isinstance(metric, InceptionScore):
                    metric.splits = min(SPLITS, n)
                join_batches(metric)
                value = metric.compute()
                if isinstance(metric, DistanceSpread):
                    spreads = value
                elif isinstance(value, dict):
                    values.update({self._key(name, score): float(one) for score, one in value.items()})
                elif isinstance(value, tuple):
                    values[self._key(name, name)] = float(value[0])
                    if name != "kernel" or not all_of_them:  # subsets that are all the same do not vary
                        values[self._key(name, name) + "_std"] = float(value[1])
                else:
                    values[self._key(name, name)] = float(value)
        for name, spread in spreads.items():
            if name in self.metrics:
                key = self._key(name, name)
                values[f"{key}_low"] = values[key] - WIDTH * float(spread)
                values[f"{key}_high"] = values[key] + WIDTH * float(spread)
        return values

    def _key(self, metric: str, score: str) -> str:
        if METRICS[metric] in ("images", "pairs") or self.extractor is None:
            return score
        return self.extractor.key(score)

    def _kernel_subset_size(self, n: int) -> int:
        return min(KERNEL_SUBSET_SIZE, n, self._n_real)

    def _settings(self, n: int) -> dict[str, Any]:
        """What else the scores depend on."""
        settings: dict[str, Any] = {}
        if "inception_score" in self.metrics:
            settings["inception_score_splits"] = min(SPLITS, n)
        if "kernel" in self.metrics:
            settings["kernel_subset_size"] = self._kernel_subset_size(n)
        for name, metric in self._metrics.items():
            if name in LIMITS:
                settings[f"{name}_n"] = min(LIMITS[name], n)
            if isinstance(metric, PRDC):
                settings |= {
                    "prdc_n_real": min(LIMITS[name], self._n_real),
                    "k": metric.k,
                    "k_density": metric.k_density,
                }
            if isinstance(metric, PathLength):
                settings["path_length_epsilon"] = EPSILON
        return settings

"""Scores of a generator or an image set, each with a card of what they depend on."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lightning_gans.config.types import Positive, PositiveInt, checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import Batch
from lightning_gans.evaluation.cache import RealCache
from lightning_gans.evaluation.own_feeds import OWN, update_own
from lightning_gans.evaluation.selection import (
    DEFAULT,
    check_classifier,
    check_options,
    compares_with_reals,
    needs_extractor,
    score_key,
    select_metrics,
)
from lightning_gans.evaluation.sources import GeneratedImages, RealImages, ScoredImages, TranslatedImages
from lightning_gans.extractors.base import Extractor, Features
from lightning_gans.metrics.base import LABELLED, QUALIFIERS, GenerativeMetric
from lightning_gans.metrics.path_length import EPSILON, lerp, path_for
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.sampling_options import split_given
from lightning_gans.models.styled import of_styles
from lightning_gans.models.translation import TranslationModule
from lightning_gans.runtime.distributed import all_gather, broadcast_object, rank_and_world, rank_slice, sum_numbers
from lightning_gans.runtime.seeding import derive_seed

OF_FEATURES = ("features", "logits")


class Evaluator:
    """Compare samples, or an image set, with real images; one pass of the extractor feeds every metric.

    Real images are read once, in a fixed shuffled order, and their features are cached, on disk too. Every process
    takes one slice of the samples and one of the real images; gathered, they are in the order of one process, so that
    scores do not depend on the number of processes.

    Args:
        extractor: Of the features that are compared; ``None`` where every metric compares pixels.
        n: Number of samples, >= 2; of an image set ``None`` takes all.
        n_real: Number of real images; ``None``: all.
        metrics: Names of ``conf/metric`` and metrics of your own.
        seed: Seed of the samples and of random subsets.
        batch_size: Images at once.
        time_budget_s: Stop sampling after so many seconds and score what is there, and at the first evaluation stop
            reading real images after so many; the card has the counts.
        cache: Folder of cached real features: ``auto``, a path, or ``None``.
        direction: Which translations of a translation module are scored.
        sampling: Options of sampling by name, e.g. ``{"truncation": 0.5}``.

    Raises:
        ValueError: An unknown metric or a number out of range.
    """

    @checked
    def __init__(
        self,
        extractor: Extractor | None,
        *,
        n: PositiveInt | None = 10000,
        n_real: PositiveInt | None = None,
        metrics: Sequence[str | GenerativeMetric] = DEFAULT,
        seed: int = 0,
        batch_size: PositiveInt = 64,
        time_budget_s: Positive | None = None,
        cache: str | None = "auto",
        direction: str = "a2b",
        sampling: Mapping[str, float | None] | None = None,
    ) -> None:
        self.metrics = check_options(n=n, n_real=n_real, metrics=metrics)
        if extractor is None and needs_extractor(self.metrics):
            raise ValueError(f"evaluation.metrics={[metric.name for metric in self.metrics]}: need an extractor")
        self.extractor, self.n, self.n_real = extractor, n, n_real
        self.seed, self.batch_size, self.time_budget_s = seed, batch_size, time_budget_s
        self.cache, self.direction = RealCache(cache), direction
        self.sampling = {name: value for name, value in (sampling or {}).items() if value is not None}
        self._fed: list[GenerativeMetric] = []  # copies of the metrics, with states
        self._met: ImageDataModule | None = None  # the set whose images they have seen
        self._n_real, self._deadline = 0, torch.inf

    def __call__(
        self,
        candidate: GenerativeModule | ImageDataModule,
        reference: ImageDataModule,
        *,
        examples: ImageDataModule | None = None,
        progress: bool = False,
        device: torch.device | str = "cpu",
    ) -> dict[str, Any]:
        """Return the score card; on all processes together.

        Args:
            candidate: A module, whose sampling network is scored, or an image set.
            reference: Its training images are what the candidate is compared with.
            examples: Whose examples a module translates; ``None``: those of ``reference``.
            progress: Show a bar.
            device: Where to score an image set; a module is scored on its own device.

        Returns:
            ``scores`` by key, and everything that they depend on; ``n_real`` is 0 where pairs alone are compared.

        Raises:
            ValueError: Fewer than two images for each process, or a metric that makes no sense of them.
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
        split: dict[str, Any] = {}
        self._start_clock()
        for position, batch, found in self._extract(
            source, rank_slice(source.n, rank, world), place, "scoring", progress
        ):
            self._update(False, position, batch=batch, found=found)
            n += len(batch["image"])
        for metric in self._fed:
            if isinstance(source, GeneratedImages) and metric.feed == "paths":
                n_paths = source.n if metric.limit is None else min(source.n, metric.limit)
                self._update_paths(metric, source, rank_slice(n_paths, rank, world))
            if metric.feed in OWN:
                how = {"n": source.n, "seed": self.seed, "batch_size": self.batch_size, "sampling": self.sampling}
                split |= update_own(metric, candidate, data, **how)  # type: ignore[arg-type]
        n = sum_numbers(n, place)
        for metric in self._fed:
            metric.n, metric.n_real = n, self._n_real
        scores = self._compute()
        if world > 1:  # decisions are made by these: all processes need the same bits
            scores = broadcast_object(scores)
        return {
            "scores": scores,
            "n": n,
            "n_real": self._n_real,
            **({} if self.extractor is None else self.extractor.metadata()),
            **({"data": type(data).__name__, "image_size": data.image_size} if real is None else real.metadata()),
            **({"candidate": source.metadata()} if isinstance(source, RealImages) else source.metadata()),
            **split,
            **self._settings(),
            "seconds": round(time.monotonic() - started, 2),
        }

    def _source(
        self, candidate: GenerativeModule | ImageDataModule, data: ImageDataModule, device: torch.device
    ) -> tuple[ScoredImages, torch.device]:
        """Return the images to score and their device, after a check that the metrics make sense of them."""
        select_metrics(self.metrics, candidate, data)
        check_classifier(self.metrics, self.extractor, data)
        if isinstance(candidate, TranslationModule) and data.translates:
            split_given(candidate, self.sampling)
            candidate.prepare_sampling()
            return TranslatedImages(candidate, data, self.n, self.seed, self.direction), candidate.device
        if not isinstance(candidate, ImageDataModule):
            n = 10000 if self.n is None else self.n
            for metric in self.metrics:
                if getattr(metric, "space", "z") == "w":
                    of_styles(candidate, "metrics", metric.name)
            return GeneratedImages(candidate, n, self.seed, **self.sampling), candidate.device
        for metric in self.metrics:
            if metric.feed == "paths":
                raise ValueError(f"metrics={metric.name}: needs a checkpoint, since images alone have no latents")
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
        """Yield batches with the position of their first image and their features, until the time is up."""
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

    def _update(
        self,
        real: bool,
        position: int,
        *,
        batch: Batch | None = None,
        found: Features | None = None,
        labels: Tensor | None = None,
    ) -> None:
        """Give every metric what it is fed of a batch that begins at ``position``; ``labels`` if there is no batch."""
        values = {} if found is None else found._asdict()
        if batch is not None:
            values["images"] = values["rows"] = batch["image"]
            labels = batch.get("label")
        for metric in self._fed:
            kind = metric.feed.removeprefix(LABELLED)
            if metric.feed == "pairs" and batch is not None and not real:
                metric.update(batch)
            elif kind in values:
                given = values[kind]
                if kind == "images" and metric.limit is not None:
                    given = given[: max(0, metric.limit - position)]
                if metric.feed == kind:
                    metric.update(given, real)
                elif labels is not None:
                    metric.update(given, labels[: len(given)].to(given.device), real)

    # ------------------------------------------------------------------------------ the real side

    def _update_real(self, real: RealImages | None, device: torch.device, progress: bool) -> None:
        """Feed the real images, if any metric takes them; once, unless the set is another."""
        if self._fed and (real is None or self._met is real.data):
            for metric in self._fed:
                metric.to(device).reset()
            return
        self._fed = self._new_metrics(device)
        if real is None:
            return
        self._met = real.data
        for metric in self._fed:
            metric.begin(real.data)
        rank, world = rank_and_world()
        mine = rank_slice(real.n, rank, world)
        extractor = self.extractor if any(m.feed.removeprefix(LABELLED) in OF_FEATURES for m in self.metrics) else None
        key = {**real.metadata(), "n_real": real.n, **({} if extractor is None else extractor.metadata())}
        kept = self.cache.load(key) if extractor else None
        if extractor and sum_numbers(int(kept is not None), device) < world:
            kept = None  # all processes read, or none does
        if kept is not None and extractor:
            for start in range(mine.start, mine.stop, 1024):
                end = min(start + 1024, mine.stop)
                classes = nn.functional.one_hot(kept["classes"][start:end].long(), extractor.num_classes)
                known = Features(kept["features"][start:end].to(device), classes.to(device))
                self._update(True, start, found=known, labels=real.labels(range(start, end)))
        limits = [real.n if m.limit is None else m.limit for m in self.metrics if m.feed.endswith("images")]
        looked_at = max(limits, default=0)
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

    def _update_paths(self, metric: GenerativeMetric, source: GeneratedImages, positions: range) -> None:
        """Feed features of small steps between pairs of latents, each pair a function of seed and position."""
        assert self.extractor is not None
        module, network = source.module, source.network
        is_of_styles = getattr(metric, "space", "z") == "w"
        path = lerp if is_of_styles else path_for(module.latent)
        if is_of_styles:
            styled = of_styles(module, "metrics", metric.name)
            network = styled.sampling_network(source.options, from_styles=True)
        with torch.no_grad():
            for first in range(positions.start, positions.stop, self.batch_size):
                chosen = range(first, min(first + self.batch_size, positions.stop))
                start, end = (source.inputs(chosen, derive_seed("path", name, self.seed)) for name in ("start", "end"))
                if is_of_styles:
                    start, end = ((styled.to_styles(*inputs),) for inputs in (start, end))
                rng = torch.Generator()
                where = torch.stack(
                    [torch.rand(1, generator=rng.manual_seed(derive_seed("at", self.seed, i))) for i in chosen]
                )
                where = where.to(module.device, torch.float64)
                batches = [(path(start[0], end[0], at), *start[1:]) for at in (where, where + EPSILON)]
                features = [
                    self.extractor.unrounded(images.add(1).mul(127.5).clamp(0, 255)).features
                    for images in module.generate(batches, network)
                ]
                metric.update(*features)
                if time.monotonic() > self._deadline:
                    break

    def _new_metrics(self, device: torch.device) -> list[GenerativeMetric]:
        """Copy the metrics and make their states; those that refine others come last."""
        made = sorted(copy.deepcopy(self.metrics), key=lambda metric: bool(metric.refines))
        num_features, num_classes = (
            (0, 0) if self.extractor is None else (self.extractor.num_features, self.extractor.num_classes)
        )
        for metric in made:
            metric.seed = self.seed
            metric.load_weights()
            metric.setup(num_features, num_classes)
            metric.to(device)
        return made

    def _compute(self) -> dict[str, float]:
        """Compute every score, by its key in cards."""
        values: dict[str, float] = {}
        keys: dict[str, str] = {}
        with torch.random.fork_rng():  # splits and subsets are drawn from the default generator
            for metric in self._fed:
                torch.manual_seed(derive_seed("subsets", self.seed) % 2**32)
                for name, value in metric.report(values).items():
                    ending = next((ending for ending in QUALIFIERS if name.endswith(ending)), "")
                    base = keys.get(name.removesuffix(ending))
                    keys[name] = base + ending if base and ending else score_key(metric, name, self.extractor)
                    values[name] = value
        return {keys[name]: value for name, value in values.items()}

    def _settings(self) -> dict[str, Any]:
        """Return what else the scores depend on, and which way is better of scores of other packages."""
        settings: dict[str, Any] = {}
        better: dict[str, bool] = {}
        for metric in self._fed:
            settings |= metric.settings()
            if not type(metric).__module__.startswith("lightning_gans."):
                for score in metric.scores:
                    better[score_key(metric, score, self.extractor)] = metric.is_higher_better(score)
        return settings | ({"higher_is_better": better} if better else {})

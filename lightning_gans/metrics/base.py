"""Base classes of metrics: what a metric declares of itself, and states of real and generated images."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

Feed = Literal[
    "features",
    "logits",
    "images",
    "pairs",
    "paths",
    "rows",
    "classified",
    "captioned",
    "labelled_features",
    "labelled_logits",
    "labelled_images",
]
LABELLED = "labelled_"  # how feeds of values with their classes begin
QUALIFIERS = ("_std", "_low", "_high", "_real", "_bicubic", "_shuffled")  # endings of keys that qualify another score


class GenerativeMetric(Metric):
    """Define metrics that an evaluation computes, chosen by ``_target_`` from ``conf/metric``.

    A subclass declares the class attributes below, adds its states in ``__init__``, and defines ``update`` and
    ``compute``. ``compute`` returns a tensor (the first of ``scores``) or tensors by score name, and is the same on all
    processes if every state has a ``dist_reduce_fx``. States whose names begin with ``real_`` outlive ``reset``: real
    images are read once, generated ones at each evaluation.

    Attributes:
        name: What configs and messages call it.
        feed: What ``update`` is given. ``features``: (N, F) and whether they are real. ``logits``: (N, K) of a
            classifier and whether they are real, of real images one-hot classes. ``images``: (N, C, H, W) uint8 and
            whether they are real. ``pairs``: a batch with ``image`` and ``target`` uint8 and ``source`` in [-1, 1].
            ``paths``: features (N, F) at the start and at the end of a small step between latents. ``classified``: the
            model's own logits (N, K) of test images and their classes (N,) int64. ``captioned``: see
            ``metrics/captioned.py``. ``rows``: encoded rows (N, D) of a table, and that they are generated; see
            ``metrics/table.py``.
            ``labelled_features``, ``labelled_logits``, ``labelled_images``: likewise (logits of real images one-hot),
            their classes (N,) int64 and whether they are real.
        scores: Names of its scores; those of extracted features get the extractor's name appended, ``fd_digits``.
        higher_is_better: Of its scores, or by score name; ``None``: neither way.
        published: Name of its first score in published tables, for Inception's published weights.
        limit: Number of images that it looks at; ``None``: all.
        data_kinds: Kinds of data that it makes sense for; ``None``: all.
        min_size: Smallest height and width of images, in pixels.
        min_images: Smallest number of samples and of real images.
        refines: Names of metrics of which one must be chosen too, since its scores qualify theirs.
        classifies: Whether the extractor must be a classifier of the data's own classes.
        best_rank: Of several metrics the highest picks the best checkpoint; among equals the first.
        seed: Seed of random choices, set by the evaluator.
        n: Number of generated images, set by the evaluator before ``compute``; of all processes.
        n_real: Number of real images, likewise.
    """

    is_differentiable = False
    full_state_update = False
    name: ClassVar[str]
    feed: ClassVar[Feed]
    scores: ClassVar[tuple[str, ...]]
    higher_is_better: bool | dict[str, bool] | None = None  # type: ignore[assignment]
    published: ClassVar[str | None] = None
    limit: int | None = None
    data_kinds: ClassVar[tuple[str, ...] | None] = None
    min_size: ClassVar[int] = 1
    min_images: int = 2
    refines: ClassVar[tuple[str, ...]] = ()
    classifies: ClassVar[bool] = False
    best_rank: ClassVar[int] = 0
    seed = 0
    n = 0
    n_real = 0

    def load_weights(self) -> None:
        """Load a network of the metric's own, if it has one.

        Raises:
            ConnectionError: It is not here and could not be downloaded.
        """

    def setup(self, num_features: int, num_classes: int) -> None:
        """Add states whose sizes follow from the extractor; called once, before the first update.

        Args:
            num_features: F; 0 without an extractor.
            num_classes: K; 0 without an extractor.
        """

    def begin(self, data: Any) -> None:
        """Learn from the real data what the metric needs beside its images; called once, before the first update.

        Args:
            data: The image set that samples are compared with.
        """

    def report(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Return the scores by name, without the extractor's.

        Args:
            scores: Those of the metrics before it.
        """
        found = self.compute()
        named = {self.scores[0]: found} if isinstance(found, Tensor) else found
        return {name: float(value) for name, value in named.items()}

    def settings(self) -> dict[str, Any]:
        """Return what else the scores depend on, for the score card."""
        return {} if self.limit is None else {f"{self.name}_n": min(self.limit, self.n)}

    def is_higher_better(self, score: str) -> bool:
        """Return whether more of a score is better; False where neither way is."""
        declared = self.higher_is_better
        return bool(declared.get(score) if isinstance(declared, dict) else declared)

    def reset(self) -> None:
        """Forget the generated images."""
        real: dict[str, Any] = {name: self._defaults.pop(name) for name in [*self._defaults] if name[:5] == "real_"}
        super().reset()
        self._defaults.update(real)


class Buffered(GenerativeMetric):
    """Define metrics that keep what they are given, in the order of the updates and then of the processes."""

    real_values: list[Tensor]
    fake_values: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("real_values", default=[], dist_reduce_fx="cat")
        self.add_state("fake_values", default=[], dist_reduce_fx="cat")

    def update(self, values: Tensor, real: bool) -> None:
        """Keep a batch, e.g. of features (N, F)."""
        (self.real_values if real else self.fake_values).append(values)

    def real_and_fake(self) -> tuple[Tensor, Tensor]:
        """Return all real values and all generated ones."""
        return dim_zero_cat(self.real_values), dim_zero_cat(self.fake_values)


class FromTorchmetrics(GenerativeMetric):
    """Define metrics that torchmetrics computes, from features or logits that are extracted already.

    Attributes:
        inner: Metric of torchmetrics.
    """

    inner: Metric

    @abstractmethod
    def make(self, features: nn.Module) -> Metric:
        """Return torchmetrics' metric, given the network that it expects."""

    def setup(self, num_features: int, num_classes: int) -> None:
        """Make torchmetrics' metric, whose states are as long as the features."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*will save all extracted features")
            self.inner = self.make(PrecomputedFeatures(num_features))

    def update(self, values: Tensor, real: bool) -> None:
        """Take features (N, F)."""
        self.inner.update(values, real=real)

    def compute(self) -> Any:
        """Return what torchmetrics' metric returns.

        Its lists become one tensor each first: it gathers them entry by entry, so that processes with unequal numbers
        of batches would wait for each other, and equal numbers come out interleaved.
        """
        for name in ("features", "real_features", "fake_features"):
            if isinstance(getattr(self.inner, name, None), list):
                setattr(self.inner, name, [torch.cat(getattr(self.inner, name))])
        return self.inner.compute()

    def reset(self) -> None:
        """Forget the generated images."""
        super().reset()
        self.inner.reset()


class PrecomputedFeatures(nn.Module):
    """Take the place of the network that torchmetrics expects, where features are computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """Return the features as they are."""
        return features


def is_qualifier(key: str) -> bool:
    """Return whether a key qualifies another score (std, interval bound, reference value)."""
    return key.endswith(QUALIFIERS)


def find_score(key: str, metrics: Iterable[GenerativeMetric]) -> tuple[GenerativeMetric, str] | None:
    """Return the metric and the score that a key of a card belongs to; ``None``: to none of these metrics."""
    names = [(name, metric, score) for metric in metrics for score in metric.scores for name in _names(metric, score)]
    fitting = [found for found in names if key == found[0] or key.startswith(f"{found[0]}_")]
    longest = max(fitting, key=lambda found: len(found[0]), default=None)
    return longest and longest[1:]


def _names(metric: GenerativeMetric, score: str) -> list[str]:
    return [score, *([metric.published] if metric.published and score == metric.scores[0] else [])]


def is_higher_better(key: str, metrics: Iterable[GenerativeMetric]) -> bool:
    """Return whether more is better of a score, by its key in cards."""
    found = find_score(key, metrics)
    return found is not None and found[0].is_higher_better(found[1])


def best_by(scores: Iterable[str], metrics: Iterable[GenerativeMetric]) -> str | None:
    """Return the score that picks the best checkpoint unless another is asked for.

    The Frechet distance, but PSNR of luma for super-resolution, and without features the first score.
    """
    known = list(metrics)

    def rank(key: str) -> int:
        found = find_score(key, known)
        return found[0].best_rank if found else 0

    return max((key for key in scores if not is_qualifier(key)), key=rank, default=None)

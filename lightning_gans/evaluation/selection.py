"""Choose the metrics that suit what is scored and whose weights are available."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from lightning.pytorch import Trainer

from lightning_gans.config.errors import ConfigError, prefix
from lightning_gans.config.metrics import metric_names
from lightning_gans.data.base import ImageDataModule
from lightning_gans.extractors.base import Extractor
from lightning_gans.extractors.inception import Inception
from lightning_gans.images.size import height_width
from lightning_gans.metrics.base import LABELLED, GenerativeMetric
from lightning_gans.metrics.library import as_metrics
from lightning_gans.metrics.table import check_held_out
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.translation import TranslationModule
from lightning_gans.runtime.distributed import create_on_all_ranks

DEFAULT = ("frechet", "inception_score", "kernel")
COMPARING = ("l1", "psnr", "ssim")
OF_TRANSLATIONS = {  # by kind of data; two domains may have test images that belong together
    "paired": ("frechet", *COMPARING),
    "unpaired": ("frechet", "kernel"),
    "super_resolution": ("psnr_y", "ssim_y", "psnr", "frechet"),
    "heads": ("frechet", *COMPARING),
}
OF_TABLES = ("column_shapes", "pair_trends", "detection")
PIXELS = (
    "images",
    "labelled_images",
    "pairs",
    "classified",
    "captioned",
    "rows",
)  # what metrics that need no extractor are fed


def needs_extractor(metrics: Iterable[GenerativeMetric]) -> bool:
    """Return whether any of the metrics compares features; the others compare pixels."""
    return any(metric.feed not in PIXELS for metric in metrics)


def compares_with_reals(metrics: Iterable[GenerativeMetric]) -> bool:
    """Return whether any of the metrics compares with real images, and not pairs alone."""
    return any(metric.feed != "pairs" for metric in metrics)


def check_options(
    *,
    n: int | None,
    n_real: int | None,
    metrics: Sequence[str | GenerativeMetric],
    where: str = "",
) -> list[GenerativeMetric]:
    """Make the metrics and check the options of an evaluation, before anything is loaded.

    Args:
        n: Number of samples.
        n_real: Number of real images.
        metrics: Names of ``conf/metric`` and metrics.
        where: Key of the config node that they stand in, for messages.

    Raises:
        ValueError: With the key, the value and what is allowed.
    """
    at = prefix(where)
    if not metrics:
        raise ConfigError(f"{at}metrics", [], f"choose among {', '.join(metric_names())}")
    made = as_metrics(metrics, where)
    names = {metric.name for metric in made}
    for metric in made:
        if metric.refines and not names.intersection(metric.refines):
            others = " or ".join(metric.refines)
            raise ConfigError(f"{at}metrics", metric.name, f"is one of {others}, which must be named too")
    smallest = max(metric.min_images for metric in made)
    for key, value in {"n": n, "n_real": n_real}.items():
        if value is not None and value < smallest:
            raise ConfigError(f"{at}{key}", value, f"must be >= {smallest}")
    return made


def select_metrics(
    metrics: Sequence[str | GenerativeMetric] | None,
    candidate: GenerativeModule | ImageDataModule,
    data: ImageDataModule,
    where: str = "",
) -> list[GenerativeMetric]:
    """Return the metrics that suit what is scored, or those asked for if they make sense.

    Args:
        metrics: What was asked for; ``None``: nothing.
        candidate: What is scored.
        data: Real images, or those that are translated.
        where: Key of the config node that they stand in, for messages.

    Raises:
        ValueError: A metric that makes no sense there, and why.
    """
    translates = isinstance(candidate, TranslationModule) and data.translates
    pairs = data.translates and data.examples_match
    chosen = metrics_for(data.kind, metrics, pairs=pairs, translates=translates, where=where)
    if metrics is None and not _unclassified(candidate, data):
        chosen += as_metrics(["accuracy"], where)
    check_held_out(chosen, data.val_fraction > 0)
    for metric in chosen:
        if metric.feed.startswith(LABELLED) and not has_classes(candidate):
            kind = type(candidate).__name__
            rule = f"needs samples of known classes; {kind} has none: choose a conditional family"
            raise ConfigError(f"{prefix(where)}metrics", metric.name, rule)
        if metric.feed == "classified" and (reason := _unclassified(candidate, data)):
            raise ConfigError(f"{prefix(where)}metrics", metric.name, reason)
        if metric.feed == "captioned" and (reason := _unspoken(candidate, data)):
            raise ConfigError(f"{prefix(where)}metrics", metric.name, reason)
        if data.image_size is not None and min(height_width(data.image_size)) < metric.min_size:
            rule = f"data.image_size={data.image_size}; must be >= {metric.min_size}"
            raise ConfigError(f"{prefix(where)}metrics", metric.name, rule)
    return chosen


def _unclassified(candidate: GenerativeModule | ImageDataModule, data: ImageDataModule) -> str | None:
    """Return why there is no accuracy of a model's own classifier; ``None`` if there is one."""
    if not hasattr(candidate, "classify"):
        return f"needs a family that classifies, such as semi_supervised; {type(candidate).__name__} does not"
    if data.kind != "labelled":
        return f"needs labelled images; these are of kind {data.kind}"
    if data.examples_of == "train":
        return "needs images that training has not seen; hold some out by data.val_fraction"
    return None


def _unspoken(candidate: GenerativeModule | ImageDataModule, data: ImageDataModule) -> str | None:
    """Return why there are no samples of known captions to score; ``None`` if there are."""
    if isinstance(candidate, ImageDataModule) or "text" not in candidate.conditioning:
        return f"needs a family that draws captions, such as stackgan; {type(candidate).__name__} does not"
    return None if data.example_images.texts else f"needs pictures with captions; {type(data).__name__} has none"


def has_classes(candidate: GenerativeModule | ImageDataModule) -> bool:
    """Return whether the classes of what is scored are known."""
    if isinstance(candidate, ImageDataModule):
        return candidate.kind == "labelled"
    return "label" in candidate.conditioning


def check_classifier(metrics: Iterable[GenerativeMetric], extractor: Extractor | None, data: ImageDataModule) -> None:
    """Refuse metrics that need a classifier of the data's classes with an extractor that is none.

    Raises:
        ConfigError: With both numbers of classes.
    """
    for metric in metrics:
        if metric.classifies and extractor is not None and extractor.num_classes != data.num_classes:
            rule = f"needs a classifier of {data.num_classes} classes; extractor {extractor.name} has "
            rule += f"{extractor.num_classes}: train one with python -m lightning_gans.train_extractor"
            raise ConfigError("metrics", metric.name, rule)


def metrics_for(
    kind: str, metrics: Sequence[str | GenerativeMetric] | None, *, pairs: bool, translates: bool, where: str = ""
) -> list[GenerativeMetric]:
    """Return the metrics for a kind of data, or those asked for if they make sense.

    Args:
        kind: Of the data.
        metrics: What was asked for; ``None``: nothing.
        pairs: Whether each translation has a known target.
        translates: Whether translations are scored, and not samples or images.
        where: Key of the config node that they stand in, for messages.

    Raises:
        ValueError: A metric that makes no sense there, and why.
    """
    if metrics is None:
        chosen = OF_TABLES if kind == "table" else OF_TRANSLATIONS.get(kind if translates else "", DEFAULT)
        return as_metrics([*chosen, *(COMPARING if pairs and kind == "unpaired" else ())], where)
    made = as_metrics(metrics, where)
    for metric in made:
        reason = _mismatch(metric, kind, pairs, translates)
        if reason:
            raise ConfigError(f"{prefix(where)}metrics", metric.name, reason)
    return made


def _mismatch(metric: GenerativeMetric, kind: str, pairs: bool, translates: bool) -> str | None:
    """Return why a metric makes no sense; ``None`` if it does."""
    if metric.feed == "pairs" and not translates:
        return "compares translations with their targets; there are none"
    if metric.feed == "pairs" and not pairs:
        return f"compares pairs; data of kind {kind} has no targets of its translations"
    if metric.data_kinds is not None and kind not in metric.data_kinds:
        return f"needs data of kind {' or '.join(metric.data_kinds)}; this is of kind {kind}"
    if kind == "table" and metric.feed != "rows":
        return "compares images; the data is a table"
    if metric.feed == "paths" and translates:
        return "walks between latents; translations have none"
    if metric.feed in ("images", "paths") and kind == "points":
        return "compares images; the data has points"
    return None


def available_metrics(
    metrics: Sequence[GenerativeMetric],
    make: Callable[[], Extractor] | None,
    *,
    was_asked: bool,
    bf16: bool = False,
    trainer: Trainer | None = None,
) -> tuple[Extractor | None, list[GenerativeMetric], dict[str, str]]:
    """Load the extractor if needed and drop metrics whose weights are unavailable.

    Args:
        metrics: What is wanted.
        make: Makes the extractor; ``None``: there is none.
        was_asked: Whether the extractor was asked for, so that it must be there.
        bf16: Let it compute in bfloat16.
        trainer: On whose processes, all together; ``None``: on this one.

    Returns:
        The extractor, the metrics that are left, and of the others why by their names.

    Raises:
        ValueError: The extractor was asked for and cannot be had.
    """
    extractor: Extractor | None = None
    lacking: dict[str, str] = {}
    features = [metric for metric in metrics if needs_extractor([metric])]
    if features and make is not None:
        extractor, problem = create_on_all_ranks(make, trainer)
        if problem and was_asked:
            raise ValueError(problem)
        lacking |= {", ".join(metric.name for metric in features): problem} if problem else {}
    if extractor is not None:
        extractor.bf16 = bf16
    left = []
    for metric in metrics:
        if extractor is None and needs_extractor([metric]):
            continue
        if extractor is not None and extractor.num_classes < 2 and metric.feed.endswith("logits"):
            lacking[metric.name] = f"extractor {extractor.name} classifies nothing"
            continue
        _, problem = create_on_all_ranks(metric.load_weights, trainer)
        if problem:
            lacking[metric.name] = problem
        else:
            left.append(metric)
    return extractor, left, lacking


def without_features(
    metrics: Sequence[GenerativeMetric], *, was_asked: bool, where: str = ""
) -> list[GenerativeMetric]:
    """Leave out the metrics that compare features, since there is no extractor (``extractor=none``).

    Args:
        metrics: What is wanted.
        was_asked: Whether they were asked for by name.
        where: Key of the config node that they stand in, for messages.

    Raises:
        ConfigError: One that was asked for compares features.
    """
    features = [metric for metric in metrics if needs_extractor([metric])]
    if features and was_asked:
        rule = "compares features, of which extractor=none has none; leave one of the two out"
        raise ConfigError(f"{prefix(where)}metrics", features[0].name, rule)
    return [metric for metric in metrics if not needs_extractor([metric])]


def score_key(metric: GenerativeMetric, score: str, extractor: Extractor | None) -> str:
    """Return the key of a score in cards: with the extractor's name, unless pixels are compared.

    Args:
        metric: The score's metric.
        score: Name of the score.
        extractor: Of the features.
    """
    if metric.feed in PIXELS or extractor is None:
        return score
    return extractor.key(score, metric.published if score == metric.scores[0] else None)


def score_names(metrics: Sequence[GenerativeMetric], extractor: Extractor | None) -> list[str]:
    """Return the keys of the scores that the metrics give, as far as they are known before."""
    return [score_key(metric, score, extractor) for metric in metrics for score in metric.scores]


def score_forms(metrics: Sequence[GenerativeMetric], extractor: str) -> list[str]:
    """Return the keys of the scores that the metrics give, by the name of an extractor that has not been made."""
    forms = []
    for metric in metrics:
        for score in metric.scores:
            published = metric.published if extractor == Inception.name and score == metric.scores[0] else None
            forms.append(score if metric.feed in PIXELS else published or f"{score}_{extractor}")
    return forms


def may_be_score(key: str, metrics: Sequence[GenerativeMetric]) -> bool:
    """Return whether the metrics give a score of this key with some extractor."""
    prefixes = [form[:-1] for metric in metrics if metric.feed not in PIXELS for form in score_forms([metric], "X")]
    return key in score_forms(metrics, Inception.name) or key.startswith(tuple(prefixes))

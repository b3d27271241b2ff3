"""Choose the metrics that suit what is scored and whose weights are available."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lightning.pytorch import Trainer

from lightning_gans.config.errors import prefix
from lightning_gans.data.base import ImageDataModule
from lightning_gans.extractors.base import Extractor
from lightning_gans.metrics.names import METRICS, SCORES, metrics_for, needs_extractor
from lightning_gans.metrics.paired import SMALLEST_FOR_LPIPS, paired_metric
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.translation import TranslationModule
from lightning_gans.runtime.distributed import create_on_all_ranks


def check_options(
    *, n: int | None, n_real: int | None, metrics: Sequence[str], batch_size: int, where: str = ""
) -> None:
    """Refuse what cannot be scored, before anything is loaded.

    Raises:
        ValueError: With the key, the value and what is allowed.
    """
    at = prefix(where)
    if not metrics:
        raise ValueError(f"{at}metrics=[]: choose among {', '.join(METRICS)}")
    for metric in metrics:
        if metric not in METRICS:
            raise ValueError(f"{at}metrics={metric}: must be among {', '.join(METRICS)}")
    if "interval" in metrics and not {"frechet", "kernel"} & {*metrics}:
        raise ValueError(f"{at}metrics=interval: is one of frechet or kernel, which must stand there too")
    smallest = 6 if "prdc" in metrics else 2
    for key, value in {"n": n, "n_real": n_real}.items():
        if value is not None and value < smallest:
            raise ValueError(f"{at}{key}={value}: must be >= {smallest}")
    if batch_size < 1:
        raise ValueError(f"{at}batch_size={batch_size}: must be >= 1")


def select_metrics(
    metrics: Sequence[str] | None, candidate: GenerativeModule | ImageDataModule, data: ImageDataModule, where: str = ""
) -> list[str]:
    """The metrics that suit what is scored, or those asked for if they make sense.

    Args:
        metrics: What was asked for.
        candidate: What is scored.
        data: Real images, or those that are translated.
        where: Key of the node that they stand in, or nothing.

    Raises:
        ValueError: A metric that makes no sense there, and why.
    """
    translates = isinstance(candidate, TranslationModule) and data.translates
    pairs = data.translates and data.examples_match
    chosen = metrics_for(data.kind, metrics, pairs=pairs, translates=translates, where=where)
    if "lpips" in chosen and min(data.shape[1:]) < SMALLEST_FOR_LPIPS:
        raise ValueError(
            f"{prefix(where)}metrics=lpips: data.image_size={data.image_size}; must be >= {SMALLEST_FOR_LPIPS}"
        )
    return chosen


def available_metrics(
    metrics: Sequence[str],
    make: Callable[[], Extractor] | None,
    *,
    was_asked: bool,
    bf16: bool = False,
    trainer: Trainer | None = None,
) -> tuple[Extractor | None, list[str], dict[str, str]]:
    """The extractor, if one is needed, and those of the metrics whose weights can be had.

    Args:
        metrics: What is wanted.
        make: Makes the extractor; ``None``: there is none.
        was_asked: Without the extractor nothing shall go on.
        bf16: Let it compute in bfloat16.
        trainer: On whose processes, all together; ``None``: on this one.

    Returns:
        The extractor, the metrics that are left, and of the others why by their names.

    Raises:
        ValueError: The extractor was asked for and cannot be had.
    """
    extractor: Extractor | None = None
    lacking: dict[str, str] = {}
    features = [name for name in metrics if needs_extractor([name])]
    if features and make is not None:
        extractor, problem = create_on_all_ranks(make, trainer)
        if problem and was_asked:
            raise ValueError(problem)
        lacking |= {", ".join(features): problem} if problem else {}
    if extractor is not None:
        extractor.bf16 = bf16
    left = [name for name in metrics if name not in features or extractor is not None]
    if "lpips" in left:
        _, problem = create_on_all_ranks(lambda: paired_metric("lpips"), trainer)
        if problem:
            left.remove("lpips")
            lacking["lpips"] = problem
    return extractor, left, lacking


def score_names(metrics: Sequence[str], extractor: Extractor | None) -> list[str]:
    """Names of the scores that the metrics give, as far as they are known before."""
    scores = [(METRICS[metric], score) for metric in metrics for score in SCORES.get(metric, (metric,))]
    plain = ("images", "pairs")
    return [score if fed in plain or extractor is None else extractor.key(score) for fed, score in scores]

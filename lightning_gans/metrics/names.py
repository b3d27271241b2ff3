"""The names of metrics and of their scores, and which way is better. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lightning_gans.config.errors import prefix

METRICS: dict[str, str] = {  # by the name that configs use: what it is fed with
    "frechet": "features",
    "inception_score": "logits",
    "kernel": "features",
    "prdc": "features",
    "modes": "logits",
    "interval": "features",
    "path_length": "paths",
    "swd": "images",
    "ms_ssim": "images",
    "l1": "pairs",
    "psnr": "pairs",
    "ssim": "pairs",
    "lpips": "pairs",
    "psnr_y": "pairs",
    "ssim_y": "pairs",
}
DEFAULT = ("frechet", "inception_score", "kernel")
COMPARING = ("l1", "psnr", "ssim")
DEFAULTS = {  # by the kind of the data that is translated; two domains may have test images that belong together
    "paired": ("frechet", *COMPARING),
    "unpaired": ("frechet", "kernel"),
    "super_resolution": ("psnr_y", "ssim_y", "psnr", "frechet"),
}
LUMA = ("psnr_y", "ssim_y")
SHORT = {"frechet": "fd", "inception_score": "is", "kernel": "kd", "path_length": "ppl"}
PUBLISHED = {"frechet": "fid", "inception_score": "is", "kernel": "kid"}  # with the Inception weights of 2015 alone
SCORES: dict[str, tuple[str, ...]] = {  # what a metric reports under the extractor's name, if not itself alone
    "prdc": ("precision", "recall", "density", "coverage"),
    "modes": ("modes", "modes_kl"),
}
_HIGHER = ("is", "precision", "recall", "density", "coverage", "modes", "psnr", "ssim")


def is_frechet(key: str) -> bool:
    """Whether a score is a Frechet distance, by whichever features."""
    return (key == "fid" or key.startswith("fd_")) and not is_bound(key)


def is_bound(key: str) -> bool:
    """Whether a score says how sure another one is, and is none by itself."""
    return key.endswith(("_std", "_low", "_high", "_real", "_bicubic"))


def is_higher_better(key: str) -> bool:
    """Whether more is better: IS, precision, recall, density, coverage, covered modes, PSNR and SSIM."""
    return not key.startswith("modes_kl") and key.split("_")[0] in _HIGHER


def needs_extractor(metrics: tuple[str, ...] | list[str]) -> bool:
    """Whether any of the metrics compares features; the others compare pixels."""
    return any(METRICS[metric] not in ("images", "pairs") for metric in metrics)


def compares_with_reals(metrics: Sequence[str]) -> bool:
    """Whether any of the metrics looks at real images beside what is scored, and not at pairs alone."""
    return any(METRICS[metric] != "pairs" for metric in metrics)


def score_forms(metrics: Iterable[str], extractor: str) -> list[str]:
    """Names of the scores that the metrics give, by the name of an extractor that has not been made."""
    published = PUBLISHED if extractor == "inception" else {}
    scores = [(METRICS[metric], score) for metric in metrics for score in SCORES.get(metric, (metric,))]
    return [
        score if fed in ("images", "pairs") else published.get(score, f"{SHORT.get(score, score)}_{extractor}")
        for fed, score in scores
    ]


def may_be_score(name: str, metrics: Iterable[str]) -> bool:
    """Whether the metrics give a score of this name with some extractor."""
    published = score_forms(metrics, "inception")
    return name in published or any(
        name.startswith(form[:-1]) and METRICS[metric] not in ("images", "pairs")
        for metric in metrics
        for form in score_forms([metric], "X")
    )


def best_by(scores: Iterable[str]) -> str | None:
    """The score that picks the best checkpoint unless another is asked for.

    The Frechet distance, but PSNR of luma of super-resolution, and without features the first score.
    """
    names = [name for name in scores if not is_bound(name)]
    chosen = [name for name in names if name == "psnr_y"] + [name for name in names if is_frechet(name)]
    return next(iter(chosen + names), None)


def metrics_for(
    kind: str, metrics: Sequence[str] | None, *, pairs: bool, translates: bool, where: str = ""
) -> list[str]:
    """The metrics for a kind of data, if none are asked for, or those asked for if they make sense.

    Args:
        kind: Of the data.
        metrics: What was asked for.
        pairs: Whether it is known what each translation should be.
        translates: Whether translations are scored, and not samples or images.
        where: Key of the node that they stand in, or nothing.

    Raises:
        ValueError: A metric that makes no sense there, and why.
    """
    if metrics is None:
        chosen = DEFAULTS.get(kind if translates else "", DEFAULT)
        return [*chosen, *(COMPARING if pairs and kind == "unpaired" else ())]
    for metric in metrics:
        reason = None
        if METRICS[metric] == "pairs" and not translates:
            reason = "compares translations with what they should be; there are none"
        elif METRICS[metric] == "pairs" and not pairs:
            reason = f"compares pairs; data of kind {kind} does not say what a translation should be"
        elif metric in LUMA and kind != "super_resolution":
            reason = f"is of super-resolution; data is of kind {kind}, for which there is {metric[:-2]}"
        elif METRICS[metric] == "paths" and translates:
            reason = "walks between latents; translations have none"
        elif METRICS[metric] in ("images", "paths") and kind == "points":
            reason = "compares images; the data has points"
        if reason:
            raise ValueError(f"{prefix(where)}metrics={metric}: {reason}")
    return [*metrics]

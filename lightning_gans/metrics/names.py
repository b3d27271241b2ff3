"""The names of metrics and of their scores, and which way is better. Imports no torch."""

from __future__ import annotations

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
}
DEFAULT = ("frechet", "inception_score", "kernel")
SHORT = {"frechet": "fd", "inception_score": "is", "kernel": "kd", "path_length": "ppl"}
PUBLISHED = {"frechet": "fid", "inception_score": "is", "kernel": "kid"}  # with the Inception weights of 2015 alone
SCORES: dict[str, tuple[str, ...]] = {  # what a metric reports under the extractor's name, if not itself alone
    "prdc": ("precision", "recall", "density", "coverage"),
    "modes": ("modes", "modes_kl"),
}
_HIGHER = ("is", "precision", "recall", "density", "coverage", "modes")


def is_frechet(key: str) -> bool:
    """Whether a score is a Frechet distance, by whichever features."""
    return (key == "fid" or key.startswith("fd_")) and not is_bound(key)


def is_bound(key: str) -> bool:
    """Whether a score says how sure another one is, and is none by itself."""
    return key.endswith(("_std", "_low", "_high", "_real"))


def is_higher_better(key: str) -> bool:
    """Whether more is better: the inception score, precision, recall, density, coverage and covered modes."""
    return not key.startswith("modes_kl") and key.split("_")[0] in _HIGHER


def needs_extractor(metrics: tuple[str, ...] | list[str]) -> bool:
    """Whether any of the metrics compares features; the others compare pixels."""
    return any(METRICS[metric] != "images" for metric in metrics)

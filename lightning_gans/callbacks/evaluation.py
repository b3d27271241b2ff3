"""Score the sampling network during training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from lightning_gans.callbacks.checkpoint import Checkpoint
from lightning_gans.config.errors import MISSING, ConfigError
from lightning_gans.config.types import Positive, PositiveInt, checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.evaluation.evaluator import Evaluator
from lightning_gans.evaluation.real import Real, reference_of
from lightning_gans.evaluation.score_history import caveat, write_card
from lightning_gans.evaluation.selection import (
    DEFAULT,
    available_metrics,
    check_options,
    score_key,
    score_names,
    select_metrics,
    without_features,
)
from lightning_gans.extractors.base import Extractor
from lightning_gans.extractors.inception import Inception
from lightning_gans.extractors.none import is_none
from lightning_gans.metrics.base import GenerativeMetric, best_by, is_higher_better
from lightning_gans.metrics.frechet import FrechetDistance
from lightning_gans.models.translation import TranslationModule
from lightning_gans.runtime.tolerance import warn_on_os_error


class Evaluation(Callback):
    """Score the sampling network at intervals and at the end, to loggers and ``scores/step-000300.json``.

    The extractor is the one asked for, else the one that the data names; if the weights of the latter are unavailable,
    training goes on with one warning and the scores that need none. The cards of a run are its score history: each has
    the generator updates, the images seen and the seconds of training so far, over all sessions.

    Args:
        every_n_train_steps: Generator updates between evaluations.
        n: Number of samples.
        n_real: Number of real images; ``None``: all training images.
        seed: Seed of the samples.
        batch_size: Images at once.
        metrics: Names of ``conf/metric``, or metrics of your own (see ``lightning_gans/metrics/README.md``); ``None``:
            those that suit the data.
        time_budget_s: Seconds that one evaluation may sample, and the first one read real images; ``None``: no limit.
        patience: Stop the training after so many evaluations without a better Frechet distance; ``None``: never.
        extractor: Makes the feature extractor; ``None``: the data's, or Inception where ``real`` names none.
        bf16: Compute its features in bfloat16, which changes the scores by about a thousandth.
        cache: Folder of cached real features: ``auto`` (the user's cache folder), a path, or ``None``.
        direction: Which translations of a family that translates both ways are scored.
        real: What to compare with: a dataset, a folder or zip, or an image set (see ``evaluation.real.reference_of``);
            ``None``: the image set that the Trainer trains on.

    Raises:
        ValueError: A value out of range, or a metric that makes no sense of the data.
    """

    @checked
    def __init__(
        self,
        *,
        every_n_train_steps: PositiveInt = 5000,
        n: PositiveInt = 10000,
        n_real: PositiveInt | None = None,
        seed: int = 0,
        batch_size: PositiveInt = 64,
        metrics: Sequence[str | GenerativeMetric] | None = None,
        time_budget_s: Positive | None = 600.0,
        patience: PositiveInt | None = None,
        extractor: Callable[[], Extractor] | None = None,
        bf16: bool = False,
        cache: str | None = "auto",
        direction: Literal["a2b", "b2a"] = "a2b",
        real: Real | None = None,
    ) -> None:
        some = DEFAULT if metrics is None else metrics
        made = check_options(n=n, n_real=n_real, metrics=some, where="callbacks.evaluation")
        if patience is not None and not _has_frechet(made):
            raise ConfigError("callbacks.evaluation.patience", patience, "needs frechet among the metrics")
        self.every_n_train_steps, self.patience, self.extractor = every_n_train_steps, patience, extractor
        self.bf16, self.real = bf16, real
        self._data: ImageDataModule | None = None
        self.options: dict[str, Any] = {
            "n": n,
            "n_real": n_real,
            "metrics": None if metrics is None else made,
            "seed": seed,
            "batch_size": batch_size,
            "time_budget_s": time_budget_s,
            "cache": cache,
            "direction": direction,
        }
        self.card: dict[str, Any] | None = None  # of the newest evaluation
        self.best: float | None = None
        self.without_gain = 0
        self._evaluator: Evaluator | None = None
        self._scored_at: int | None = None
        self._seconds, self._since = 0.0, 0.0  # of training, without scoring

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Make the extractor before training starts."""
        data = self._data = self._reference(trainer, pl_module)
        make, wanted = self.extractor, self.extractor is not None
        make = make or data.extractor or (None if self.real is None else Inception)
        asked = self.options["metrics"] is not None
        options = dict(self.options)
        where = "callbacks.evaluation"
        if isinstance(pl_module, TranslationModule):
            pl_module.check_direction(options["direction"])
        options["metrics"] = select_metrics(options["metrics"], pl_module, data, where)
        if is_none(make):
            make, options["metrics"] = None, without_features(options["metrics"], was_asked=asked, where=where)
        if self.patience is not None and not _has_frechet(options["metrics"]):
            raise ConfigError(f"{where}.patience", self.patience, "needs frechet among the metrics")
        extractor, options["metrics"], lacking = available_metrics(
            options["metrics"], make, was_asked=wanted, bf16=self.bf16, trainer=trainer
        )
        for names, problem in lacking.items():
            rank_zero_warn(f"training goes on without {names}: {problem}")
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            options.update(n=16, n_real=16)
        if not options["metrics"]:
            return
        self._evaluator = Evaluator(extractor, **options)
        if len(data.train_images) < 2:
            raise ValueError("callbacks.evaluation: needs two real images at least; set callbacks.evaluation=null")
        monitor = getattr(Checkpoint.of(trainer), "monitor", None)
        known = score_names(options["metrics"], extractor)
        if monitor is not None and monitor not in known:
            raise ConfigError("callbacks.checkpoint.monitor", monitor, f"must be among {', '.join(known)}")

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Score at intervals, unless a signal ends the training."""
        if trainer.global_step % self.every_n_train_steps == 0 and not _interrupted(trainer):
            self.score(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Score a resumed step whose checkpoint was written before its score."""
        step = trainer.global_step
        self._since = time.monotonic()
        if step and step % self.every_n_train_steps == 0:
            self.score(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Score the end, unless a signal ended the training."""
        if not _interrupted(trainer):
            self.score(trainer, pl_module)

    def score(self, trainer: Trainer, pl_module: Any) -> None:
        """Evaluate, once a step; on all processes together."""
        step = trainer.global_step
        if self._evaluator is None or self._data is None or self._scored_at == step:
            return
        self._scored_at = step
        self._seconds = self._elapsed()
        bar = trainer.progress_bar_callback is not None
        self.card = self._evaluator(pl_module, self._data, progress=bar)
        self.card["train_seconds"], self._since = round(self._seconds, 2), time.monotonic()
        if caveat(self.card):
            rank_zero_warn(caveat(self.card))
        scores = self.card["scores"]
        trainer.callback_metrics.update(scores)
        for logger in trainer.loggers:
            logger.log_metrics({**scores, "score_images": self.card["n"]}, step=step)
        path = Path(trainer.default_root_dir, "scores", f"step-{step:06d}.json")
        with warn_on_os_error(path):
            if trainer.is_global_zero:
                write_card(self.card, path)
        metrics, checkpoint = self._evaluator.metrics, Checkpoint.of(trainer)
        if checkpoint is not None and (key := checkpoint.monitor or best_by(scores, metrics)) is not None:
            higher = is_higher_better(key, metrics)
            checkpoint.save_best(trainer, pl_module, scores[key], higher_is_better=higher)
        for metric in metrics:
            if isinstance(metric, FrechetDistance):
                key = score_key(metric, metric.scores[0], self._evaluator.extractor)
                self._count_gains(trainer, scores[key])

    def _reference(self, trainer: Trainer, module: Any) -> ImageDataModule:
        """Return the image set to compare with.

        Raises:
            ValueError: There is none.
        """
        if self.real is not None:
            return reference_of(self.real, module, "callbacks.evaluation.real")
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, ImageDataModule):
            rule = "missing; give a dataset, a folder or an ImageDataModule, where the Trainer trains on none of these"
            raise ConfigError("callbacks.evaluation.real", MISSING, rule)
        return data

    def _count_gains(self, trainer: Trainer, distance: float) -> None:
        before = math.inf if self.best is None or math.isnan(self.best) else self.best
        gained = distance < before  # NaN never is
        self.best = distance if gained else self.best
        self.without_gain = 0 if gained else self.without_gain + 1
        if self.patience is not None and self.without_gain >= self.patience:
            trainer.should_stop = True

    def _elapsed(self) -> float:
        return self._seconds + (time.monotonic() - self._since if self._since else 0.0)

    def state_dict(self) -> dict[str, Any]:
        """Return the best score, the evaluations since, and the seconds of training."""
        state = {"best": self.best, "without_gain": self.without_gain, "scored_at": self._scored_at}
        return {**state, "seconds": self._elapsed()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the counts of the run that is resumed."""
        self.best, self.without_gain = state_dict["best"], state_dict["without_gain"]
        self._scored_at, self._seconds = state_dict["scored_at"], state_dict.get("seconds", 0.0)


def _has_frechet(metrics: Sequence[GenerativeMetric]) -> bool:
    return any(isinstance(metric, FrechetDistance) for metric in metrics)


def _interrupted(trainer: Trainer) -> bool:
    return getattr(Checkpoint.of(trainer), "interrupted_by", None) is not None

"""Compute how often samples have the attributes that their captions name."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.data.subset import spread
from lightning_gans.extractors.avatars import ATTRIBUTES_WEIGHTS
from lightning_gans.extractors.base import prepared
from lightning_gans.extractors.classifier import read_classifier
from lightning_gans.extractors.fitting import classifier_size, train_classifier
from lightning_gans.metrics.captioned import CaptionedMetric
from lightning_gans.networks.classifier import Classifier


class AttributeAccuracy(CaptionedMetric):
    """Compute the share of attributes that a classifier finds in samples as their captions name them.

    What a caption does not tell, such as the hair under a hat, is not counted. The mean over attributes is the score;
    the card has each attribute's share as ``attribute_accuracy_by``. Beside it
    are ``attribute_accuracy_real``, the classifier's share on the pictures themselves, which it has not seen, and
    ``attribute_accuracy_shuffled``, the samples' with captions of others.

    Args:
        weights: A classifier of the set's attributes, of ``python -m lightning_gans.train_extractor``; ``None``: for
            avatars one that ships with the package, for other sets one that is trained on the training pictures when
            the metric is first used.
        epochs: Passes of that training.
        width: Channels of its first convolution.
        train_images: Pictures that it is trained on.
    """

    name = "attribute_accuracy"
    scores = ("attribute_accuracy",)
    min_size = 8
    found_in_samples: list[Tensor]
    found_in_reals: list[Tensor]
    asked: list[Tensor]

    @checked
    def __init__(
        self,
        *,
        weights: str | None = None,
        epochs: PositiveInt = 12,
        width: PositiveInt = 16,
        train_images: PositiveInt = 5000,
    ) -> None:
        super().__init__()
        self.weights, self.epochs, self.width, self.train_images = weights, epochs, width, train_images
        for name in ("found_in_samples", "found_in_reals", "asked"):
            self.add_state(name, default=[], dist_reduce_fx="cat")
        self.heads: dict[str, int] = {}
        self.by_attribute: dict[str, float] = {}

    def begin(self, data: Any) -> None:
        """Load or train the classifier of the set's attributes.

        Raises:
            ConfigError: The set has no attributes, or the classifier is of others.
        """
        if not data.attributes:
            raise ConfigError(
                "metrics", self.name, f"needs pictures whose attributes are known; {type(data).__name__} has none"
            )
        shipped = ATTRIBUTES_WEIGHTS if type(data).__name__ == "Avatars" else None
        path = shipped if self.weights is None else Path(self.weights).expanduser()
        if path is not None:
            judge, content = read_classifier(path)
            self.heads, self.size, self.channels = (
                content["heads"],
                content["network"]["image_size"],
                content["network"]["channels"],
            )
        else:
            judge = self._train(data)
        if list(self.heads) != list(data.attributes):
            rule = f"is of {', '.join(self.heads)}; the data has {', '.join(data.attributes)}"
            raise ConfigError("metrics.weights", self.weights, rule)
        self.judge = judge.to(self.device)

    def _train(self, data: Any) -> Classifier:
        self.heads, self.size, self.channels = dict(data.attributes), classifier_size(data.shape[1:]), data.channels
        images = data.train_images
        chosen = spread(len(images), self.train_images)
        pictures, attributes = images.fetch(chosen)["image"], images.entries("attributes")[chosen]
        make = functools.partial(
            Classifier,
            channels=self.channels,
            num_classes=sum(self.heads.values()),
            image_size=self.size,
            width=self.width,
        )
        how = {"size": self.size, "epochs": self.epochs, "batch_size": 64, "seed": self.seed, "device": self.device}
        return train_classifier(pictures, attributes, make, heads=list(self.heads.values()), **how)[0]

    def update(self, made: Tensor, real: Tensor, attributes: Tensor | None, texts: Sequence[str], encoder: Any) -> None:
        """Classify samples and pictures."""
        assert attributes is not None
        self.found_in_samples.append(self._classified(made))
        self.found_in_reals.append(self._classified(real))
        self.asked.append(attributes.to(made.device))

    @torch.no_grad()
    def _classified(self, images: Tensor) -> Tensor:
        """Return the value of each attribute (N, A) int64 of images (N, C, H, W) uint8."""
        logits = self.judge(prepared(images, self.channels, self.size))[1]
        return torch.stack([part.argmax(1) for part in logits.split(list(self.heads.values()), 1)], 1)

    def compute(self) -> dict[str, Tensor]:
        """Return the score, ``attribute_accuracy_real`` and ``attribute_accuracy_shuffled``, from 0 to 1."""
        made, real, asked = (dim_zero_cat(some) for some in (self.found_in_samples, self.found_in_reals, self.asked))
        others = asked[self.shuffled(len(asked)).to(asked.device)]
        shares = _shares(made, asked)
        by_name = zip(self.heads, shares.tolist(), strict=True)
        self.by_attribute = {name: round(share, 6) for name, share in by_name if not math.isnan(share)}
        scores = {"": shares, "_real": _shares(real, asked), "_shuffled": _shares(made, others)}
        return {f"{self.name}{ending}": each.nanmean() for ending, each in scores.items()}

    def settings(self) -> dict[str, object]:
        """Return the share of every attribute."""
        return {"attribute_accuracy_by": self.by_attribute}


def _shares(found: Tensor, asked: Tensor) -> Tensor:
    """Return how often what is asked is found, of each attribute (A,) float64; NaN where it is never asked."""
    is_asked = asked >= 0
    return ((found == asked) & is_asked).double().sum(0) / is_asked.double().sum(0)

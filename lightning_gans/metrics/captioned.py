"""Define what metrics of samples of captions share: they see each sample with its caption and a real picture of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_gans.metrics.base import GenerativeMetric
from lightning_gans.runtime.seeding import derive_seed


class CaptionedMetric(GenerativeMetric):
    """Define metrics of samples that were asked for by captions of pictures that training has not seen.

    Beside each score X is X_shuffled, of the same samples with the captions of others: what a model that does not read
    its captions scores.
    """

    feed = "captioned"
    higher_is_better = True

    @abstractmethod
    def update(self, made: Tensor, real: Tensor, attributes: Tensor | None, texts: Sequence[str], encoder: Any) -> None:
        """Take samples and the pictures whose captions they have, (N, C, H, W) uint8 each.

        Args:
            made: Samples.
            real: Pictures.
            attributes: (N, A) int64 of the pictures, -1 where captions do not tell them, or ``None``.
            texts: Captions, one a sample.
            encoder: Encoder of text of the model, or ``None``.
        """

    def shuffled(self, n: int) -> Tensor:
        """Return an order of n samples in which none has its own place, unless n is 1."""
        order = torch.randperm(n, generator=torch.Generator().manual_seed(derive_seed("shuffled", self.seed)))
        moved = torch.empty_like(order)
        moved[order] = order.roll(1)
        return moved

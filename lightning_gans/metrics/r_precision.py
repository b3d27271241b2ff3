"""Compute how often a sample fits its caption better than 99 others (Xu et al. 2018, arXiv:1711.10485)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import checked
from lightning_gans.metrics.captioned import CaptionedMetric
from lightning_gans.runtime.seeding import derive_seed

OTHERS = 99


class RPrecision(CaptionedMetric):
    """Compute the share of samples that fit their own caption better than 99 captions of other pictures.

    Fitness is the product of both vectors of the model's own encoder, which has learnt from the training pictures;
    ``r_precision_real`` is the share of the pictures themselves, and ``r_precision_shuffled`` that of samples of other
    captions; chance is 1 of 100.
    """

    name = "r_precision"
    scores = ("r_precision",)
    of_samples: list[Tensor]
    of_reals: list[Tensor]
    of_texts: list[Tensor]

    @checked
    def __init__(self) -> None:
        super().__init__()
        for name in ("of_samples", "of_reals", "of_texts"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, made: Tensor, real: Tensor, attributes: Tensor | None, texts: Sequence[str], encoder: Any) -> None:
        """Keep the vectors of samples, pictures and captions.

        Raises:
            ConfigError: The model's encoder has no vectors of pictures.
        """
        vectors = None if encoder is None else encoder.images(made)
        if vectors is None:
            raise ConfigError(
                "metrics", self.name, "needs vectors of pictures too, which model/text_encoder=trained has"
            )
        self.of_samples.append(vectors.double())
        self.of_reals.append(encoder.images(real).double())
        self.of_texts.append(encoder.joint(texts).to(vectors.device).double())

    def compute(self) -> dict[str, Tensor]:
        """Return the score, ``r_precision_real`` and ``r_precision_shuffled``, from 0 to 1."""
        made, real, texts = (dim_zero_cat(some) for some in (self.of_samples, self.of_reals, self.of_texts))
        kinds, number = torch.unique(texts, dim=0, return_inverse=True)
        others = made[self.shuffled(len(made)).to(made.device)]
        sides = {"": made, "_real": real, "_shuffled": others}
        return {f"{self.name}{ending}": self._share(some, kinds, number) for ending, some in sides.items()}

    def _share(self, vectors: Tensor, kinds: Tensor, number: Tensor) -> Tensor:
        """Return the share of vectors (N, D) that caption ``number`` (N,) fits better than 99 other kinds (M, D) do."""
        rng = torch.Generator().manual_seed(derive_seed("captions", self.seed))
        scores = vectors @ kinds.T  # (N, M)
        u = torch.rand(scores.shape, generator=rng).to(scores.device).scatter(1, number[:, None], 2.0)
        shown = u.argsort(1, descending=True)[:, : OTHERS + 1]  # its own first
        own, *others = scores.gather(1, shown).unbind(1)
        return torch.stack([own > other for other in others] or [own == own]).all(0).double().mean()

"""Define text encoders: captions of any language to vectors of one length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_gans.data.captions import Captions
from lightning_gans.data.datasets import ImageDataset


class TextEncoder(nn.Module, ABC):
    """Map captions to vectors, always in evaluation mode and without gradients; no player trains it.

    Attributes:
        dim: Length of a vector, D.
    """

    dim: int

    def learn(self, images: ImageDataset, captions: Captions, *, seed: int = 0) -> None:  # noqa: B027
        """Learn from the pictures and captions of a training set, where the encoder has not learnt from any yet.

        Args:
            images: The pictures.
            captions: Of each picture.
            seed: Seed of everything random.
        """

    @abstractmethod
    def vectors(self, texts: Sequence[str]) -> Tensor:
        """Compute vectors (N, D) float of N captions, each a function of its caption alone."""

    @torch.no_grad()
    def embed(self, texts: Sequence[str], *, batch_size: int = 256) -> Tensor:
        """Compute vectors (N, D) float32 of N captions, on the CPU; those that are equal are computed once.

        Raises:
            ValueError: One is no text, or the encoder does not know it.
        """
        for text in texts:
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"text={text!r}: must be a sentence")
        number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        known = list(number)
        pieces = [self.vectors(known[start : start + batch_size]) for start in range(0, len(known), batch_size)]
        rows = torch.cat(pieces).float().cpu() if pieces else torch.empty(0, self.dim)
        if rows.shape[1:] != (self.dim,):
            raise ValueError(f"model.text_encoder: makes vectors of {rows.shape[1]}; model.generator takes {self.dim}")
        return rows[[number[text] for text in texts]]

    def images(self, images: Tensor) -> Tensor | None:
        """Compute vectors of pictures (N, C, H, W) uint8 whose products with those of ``joint`` say what fits.

        ``None`` from encoders of text alone.
        """
        return None

    def joint(self, texts: Sequence[str]) -> Tensor:
        """Compute vectors of captions as ``images`` are compared with."""
        return self.embed(texts)

    def train(self, mode: bool = True) -> TextEncoder:
        """Stay in evaluation mode, whatever is asked."""
        super().train(False)
        return self

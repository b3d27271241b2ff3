"""Draw and parse captions: conditions that are vectors of a text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.data.captions import captions_of
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.data.subset import spread
from lightning_gans.models.conditions import Condition, Kinds
from lightning_gans.text.base import TextEncoder

EXAMPLES = 1000  # captions of the training set that samples without a text of their own have


class Text(Condition):
    """Draw captions as vectors (N, D) float, entry ``text``, of up to 1,000 of the training set.

    Args:
        dim: Length of a vector, D.

    Attributes:
        encoder: Makes vectors of captions; ``None``: there is none, and vectors come from the data alone.
        vectors: (M, D), those of all training captions by number, once ``learn`` has been called; not saved.
    """

    argument = "text"
    examples: Tensor
    encoder: TextEncoder | None

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("examples", torch.zeros(EXAMPLES, dim))
        self.encoder = None
        self.vectors = torch.empty(0, dim)

    def learn(self, entry: str, images: ImageDataset, *, seed: int = 0) -> None:
        """Train the encoder on a set's captions and compute their vectors, or take those that the set has.

        Raises:
            ValueError: The set has no captions, or vectors of another length.
        """
        given, captions = images.entries(entry), captions_of(images)
        if captions is not None and self.encoder is not None:
            self.encoder.learn(images, captions, seed=seed)
            self.vectors = self.encoder.embed(captions.texts)
            self.fit(self.vectors[captions.numbers[captions.numbers >= 0]])
        elif given is not None:  # (N, K, D)
            self.fit(given.flatten(0, 1))
        else:
            lacks = "captions" if captions is None else "vectors of its captions; choose model/text_encoder"
            raise ValueError(f"data: has no {lacks}")

    def fit(self, values: Tensor) -> None:
        """Keep up to 1,000 of the vectors (N, D) of all training captions."""
        if values.shape[1:] != self.examples.shape[1:]:
            rule = f"the data has vectors of {values.shape[-1]}"
            raise ConfigError("model.generator.text_dim", self.examples.shape[1], rule)
        chosen = values[spread(len(values), EXAMPLES).to(values.device)]
        self.examples.copy_(chosen[torch.arange(EXAMPLES, device=chosen.device) % len(chosen)])

    def draw(self, u: Tensor) -> Tensor:
        """Map numbers (N,) in [0, 1) to vectors (N, D) of training captions."""
        index = (u * EXAMPLES).long().clamp(max=EXAMPLES - 1)
        return self.examples[index.to(self.examples.device)].to(u.device)

    def parse(self, values: Sequence[Any]) -> Tensor:
        """Turn captions into vectors (N, D) float32, on the CPU.

        Raises:
            ValueError: One is no text, or there is no encoder that knows it.
        """
        if self.encoder is None:
            rule = "the model has no text encoder, since it was trained on vectors; it draws captions of training"
            raise ConfigError("text", list(values), rule)
        return self.encoder.embed(list(values))

    def overview(self) -> None:
        """Return nothing: drawn ones are shown."""


def _text(generator: nn.Module) -> Text:
    dim = getattr(generator, "text_dim", None)
    if not isinstance(dim, int):
        name = f"{type(generator).__module__.rpartition('.')[2]}.{type(generator).__name__}"
        raise ConfigError("model.generator", name, "takes no captions; use networks.stackgan.Generator")
    return Text(dim)


TEXT: Kinds = {"text": _text}

"""Augmentations of what the discriminator sees: the base class and its random numbers."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn


class Draws(Protocol):
    """Where an augmentation gets its random numbers: this process's slice of those of the global batch."""

    images_seen: int

    def uniform(self, n: int, *shape: int) -> Tensor:
        """(n, *shape) numbers in [0, 1)."""

    def normal(self, n: int, *shape: int) -> Tensor:
        """(n, *shape) standard normal numbers."""


class Augmentation(nn.Module):
    """Changes samples (N, ...) in [-1, 1] at random, differentiably; its buffers are state of the training."""

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse samples of a shape that cannot be augmented.

        Raises:
            ValueError: With the augmentation and the shape.
        """
        if len(shape) != 3:
            raise ValueError(f"model.augment={type(self).__name__}: needs images, not samples of shape {shape}")

    def forward(self, samples: Tensor, draws: Draws) -> Tensor:
        """(N, ...) -> (N, ...)."""
        raise NotImplementedError

    def update_statistics(self, real_logits: Tensor) -> None:
        """See the discriminator's logits on real samples, without gradient."""

    def on_update_end(self, iteration: int, images: int) -> None:
        """End of a step that showed ``images`` real images; on all processes together."""

    def extra_logs(self) -> dict[str, Tensor]:
        """What is worth a curve, as scalars."""
        return {}

"""Augmentations of what the discriminator sees: the base class and its random numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError


class Draws(Protocol):
    """Draw an augmentation's random numbers: this process's slice of those of the global batch."""

    images_seen: int

    def uniform(self, n: int, *shape: int) -> Tensor:
        """Draw numbers in [0, 1), (n, *shape)."""

    def normal(self, n: int, *shape: int) -> Tensor:
        """Draw standard normal numbers, (n, *shape)."""


class TorchDraws:
    """Draw by torch's default generator, for an augmentation that is used by itself.

    Args:
        device: Of the numbers.
    """

    images_seen = 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def uniform(self, n: int, *shape: int) -> Tensor:
        """Draw numbers in [0, 1), (n, *shape)."""
        return torch.rand(n, *shape, device=self.device)

    def normal(self, n: int, *shape: int) -> Tensor:
        """Draw standard normal numbers, (n, *shape)."""
        return torch.randn(n, *shape, device=self.device)


class Augmentation(nn.Module, ABC):
    """Change samples (N, ...) in [-1, 1] at random and differentiably; buffers are state of the training.

    Modules pass themselves as the source of random numbers; ``augment(images)`` alone draws from torch's generator.
    """

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse samples of a shape that cannot be augmented.

        Raises:
            ValueError: With the augmentation and the shape.
        """
        if len(shape) != 3:
            raise ConfigError("model.augment", type(self).__name__, f"needs images, not samples of shape {shape}")

    def forward(self, samples: Tensor, draws: Draws | None = None) -> Tensor:
        """Augment samples (N, ...); returns the same shape.

        Args:
            samples: Floats in [-1, 1].
            draws: Source of random numbers; ``None``: torch's default generator.
        """
        return self.augment(samples, TorchDraws(samples.device) if draws is None else draws)

    @abstractmethod
    def augment(self, samples: Tensor, draws: Draws) -> Tensor:
        """Augment samples (N, ...) by given random numbers."""

    def update_statistics(self, real_logits: Tensor) -> None:
        """Read the discriminator's logits on real samples, without gradient."""

    def on_update_end(self, iteration: int, images: int) -> None:
        """Update the augmentation after a step that showed ``images`` real images; on all processes together."""

    def extra_logs(self) -> dict[str, Tensor]:
        """Return scalars to log, by name."""
        return {}

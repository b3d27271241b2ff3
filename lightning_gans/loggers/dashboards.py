"""What loggers show beside numbers: images and the run's config."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig
from torch import Tensor


class Dashboard:
    """Base of our loggers; each method does nothing where a logger has no place for what it is given."""

    def log_config(self, cfg: DictConfig) -> None:
        """Store a run's resolved config with its curves."""

    def log_image(self, key: str, images: list[Tensor], step: int | None = None, **kwargs: Any) -> None:
        """Show images.

        Args:
            key: Name on the dashboard.
            images: (C, H, W) uint8 each.
            step: Generator updates.
            **kwargs: Of the logger's own.
        """

    def close(self, *, failed: bool) -> None:
        """End the session once the training has ended, or has failed."""

"""Show images and a run's config on TensorBoard and W&B, through this package's loggers or Lightning's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig, OmegaConf
from torch import Tensor


def dashboard(logger: Logger) -> Dashboard:
    """Return what shows images and configs through a logger, chosen by the logger's class.

    Args:
        logger: Any of Lightning's; one that is neither TensorBoard's nor W&B's shows nothing.
    """
    if isinstance(logger, TensorBoardLogger):
        return TensorBoardDashboard(logger)
    return WandbDashboard(logger) if isinstance(logger, WandbLogger) else Dashboard()


class Dashboard:
    """Show nothing: for loggers of numbers alone, such as CSV."""

    def log_config(self, cfg: DictConfig) -> None:
        """Show a run's resolved config beside its curves."""

    def log_image(self, key: str, image: Tensor, step: int) -> None:
        """Show an image.

        Args:
            key: Name on the dashboard.
            image: (C, H, W) uint8.
            step: Generator updates.
        """

    def close(self, *, failed: bool) -> None:
        """End the session once the training has ended, or has failed."""


class TensorBoardDashboard(Dashboard):
    """Show images and the config, as text, in TensorBoard's event files."""

    def __init__(self, logger: TensorBoardLogger) -> None:
        self.logger = logger

    def log_config(self, cfg: DictConfig) -> None:
        """Show the config as a block of YAML."""
        self.logger.experiment.add_text("config", f"```yaml\n{OmegaConf.to_yaml(cfg, resolve=True)}```")

    def log_image(self, key: str, image: Tensor, step: int) -> None:
        """Show an image (C, H, W) uint8 under a key."""
        self.logger.experiment.add_image(key, torch.as_tensor(image), step)


class WandbDashboard(Dashboard):
    """Show images in a W&B run and store the config as the run's."""

    def __init__(self, logger: WandbLogger) -> None:
        self.logger = logger

    def log_config(self, cfg: DictConfig) -> None:
        """Store the config as the W&B run's config."""
        config = _as_utf8(OmegaConf.to_container(cfg, resolve=True))
        self.logger.experiment.config.update(config, allow_val_change=True)

    def log_image(self, key: str, image: Tensor, step: int) -> None:
        """Show an image (C, H, W) uint8 under a key."""
        from PIL import Image

        self.logger.log_image(key, [Image.fromarray(np.asarray(image.permute(1, 2, 0)).squeeze())], step=step)

    def close(self, *, failed: bool) -> None:
        """Finish the W&B run, or the next training of this process would go on with it."""
        import wandb

        wandb.finish(exit_code=int(failed))
        self.logger._experiment = None  # a second ``fit`` opens it again


def _as_utf8(node: Any) -> Any:
    """Replace what is no UTF-8 in a container's texts: bytes of file names that Python keeps as surrogates."""
    if isinstance(node, dict):
        return {key: _as_utf8(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_as_utf8(value) for value in node]
    return node.encode(errors="replace").decode() if isinstance(node, str) else node

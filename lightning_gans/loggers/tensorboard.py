"""TensorBoard event files in the run's folder."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from lightning_gans.loggers.dashboards import Dashboard


class TensorBoard(TensorBoardLogger, Dashboard):
    """TensorBoard event files in the run's folder.

    Args:
        save_dir: The run's folder.
    """

    def __init__(self, *, save_dir: str) -> None:
        super().__init__(save_dir, name="", version="tensorboard")

    def log_config(self, cfg: DictConfig) -> None:
        """Show the config as text."""
        self.experiment.add_text("config", f"```yaml\n{OmegaConf.to_yaml(cfg, resolve=True)}```")

    def log_image(self, key: str, images: list[Tensor], step: int | None = None, **kwargs: Any) -> None:
        """Show images (C, H, W) uint8 under a key."""
        for image in images:
            self.experiment.add_image(key, torch.as_tensor(image), step)

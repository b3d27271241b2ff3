"""Write TensorBoard event files into the run's folder."""

from __future__ import annotations

import importlib

from lightning.pytorch.loggers import TensorBoardLogger

from lightning_gans.loggers.extras import needed_extra


class TensorBoard(TensorBoardLogger):
    """Write TensorBoard event files into ``tensorboard`` in the run's folder.

    Args:
        save_dir: The run's folder.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, *, save_dir: str) -> None:
        with needed_extra("tensorboard"):
            importlib.import_module("torch.utils.tensorboard")
            super().__init__(save_dir, name="", version="tensorboard")

"""Write TensorBoard event files into the run's folder."""

from __future__ import annotations

from lightning.pytorch.loggers import TensorBoardLogger


class TensorBoard(TensorBoardLogger):
    """Write TensorBoard event files into ``tensorboard`` in the run's folder.

    Args:
        save_dir: The run's folder.
    """

    def __init__(self, *, save_dir: str) -> None:
        super().__init__(save_dir, name="", version="tensorboard")

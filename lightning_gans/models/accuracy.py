"""Measure the accuracy of a family that classifies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.data.base import ImageDataModule


class ClassifyingModule(Protocol):
    """Describe a module that classifies images."""

    @property
    def device(self) -> torch.device:
        """Return its device."""

    @property
    def dtype(self) -> torch.dtype:
        """Return the type of its weights."""

    def classify(self, images: Tensor) -> Tensor:
        """Return raw logits of the classes (N, K) of images (N, C, H, W) in [-1, 1], on the module's device."""


def classified(
    module: ClassifyingModule, data: ImageDataModule, indices: range, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the logits (N, K) that a module gives examples number ``indices`` of a set, and their classes (N,)."""
    for start in range(indices.start, indices.stop, batch_size):
        batch = data.examples(range(start, min(start + batch_size, indices.stop)))
        images = batch["image"].to(module.device, module.dtype)
        yield module.classify(images), batch["label"].to(module.device)


class Accuracy(Callback):
    """Log ``accuracy`` of the module's ``classify`` on the test images, at intervals and at the end.

    Of a set without test images it is that on the held-out ones (``data.val_fraction``); without either, or where the
    Trainer was given loaders, nothing is measured.

    Args:
        every_n_train_steps: Generator updates between measurements.
        batch_size: Images at once.
    """

    @checked
    def __init__(self, *, every_n_train_steps: PositiveInt = 500, batch_size: PositiveInt = 256) -> None:
        self.every_n_train_steps, self.batch_size = every_n_train_steps, batch_size
        self.history: dict[int, float] = {}  # by generator updates
        self._data: ImageDataModule | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Find the images."""
        data = getattr(trainer, "datamodule", None)
        self._data = data if isinstance(data, ImageDataModule) and data.examples_of != "train" else None
        if self._data is None:
            rank_zero_warn("no test images to measure the accuracy on; hold some out by data.val_fraction=0.2")

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Measure at intervals."""
        if trainer.global_step % self.every_n_train_steps == 0:
            self.measure(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Measure the end."""
        self.measure(trainer, pl_module)

    def measure(self, trainer: Trainer, pl_module: Any) -> None:
        """Classify all test images, once a step; every process does, and they agree."""
        step = trainer.global_step
        if self._data is None or step in self.history:
            return
        right = torch.zeros((), dtype=torch.int64, device=pl_module.device)
        for logits, labels in classified(pl_module, self._data, range(self._data.n_examples), self.batch_size):
            right += (logits.argmax(1) == labels).sum()
        self.history[step] = accuracy = int(right) / self._data.n_examples
        trainer.callback_metrics["accuracy"] = torch.tensor(accuracy)
        for logger in trainer.loggers:
            logger.log_metrics({"accuracy": accuracy}, step=step)

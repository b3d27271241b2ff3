"""Read the training set behind a Trainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from lightning.pytorch import Trainer
from torch import Tensor

from lightning_gans.data.datasets import ImageDataset


class TrainingData(Protocol):
    """Declare what families read of the data module that they train on, beside its batches."""

    train_images: ImageDataset

    @property
    def images_per_epoch(self) -> int:
        """Return the images of a pass over the training set."""

    def training_examples(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return training examples number ``indices``, without random transforms."""


def training_data(trainer: Trainer, needed_by: str) -> TrainingData:
    """Return the Trainer's data module.

    Args:
        trainer: The Trainer.
        needed_by: Option that needs it, for the message, e.g. ``model.marginal_bias=true``.

    Raises:
        ValueError: The Trainer was given a data loader alone.
    """
    found = getattr(trainer, "datamodule", None)
    if not hasattr(found, "train_images"):
        raise ValueError(f"{needed_by}: needs a data module with train_images, not a data loader alone")
    return cast(TrainingData, found)

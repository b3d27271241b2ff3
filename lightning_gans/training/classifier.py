"""Train classifiers that serve as extractors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.extractors.base import prepared
from lightning_gans.extractors.fitting import classifier_size, cut_at, train_classifier
from lightning_gans.images.files import make_folder
from lightning_gans.networks.classifier import Classifier
from lightning_gans.runtime.atomic import atomic_write


def in_memory(images: ImageDataset, size: int) -> tuple[Tensor, Tensor]:
    """Return all images (N, C, H, W) uint8 and labels (N,) of a set; larger ones resized to ``size``."""
    pieces, labels = [], []
    for start in range(0, len(images), 256):
        batch = images.fetch(torch.arange(start, min(start + 256, len(images))))
        image = batch["image"]
        if image.shape[-1] > size:
            image = prepared(image, image.shape[1], size).add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)
        pieces.append(image)
        labels.append(batch["label"])
    return torch.cat(pieces), torch.cat(labels)


def write_classifier(
    data: ImageDataModule,
    out: str | os.PathLike[str],
    *,
    name: str,
    epochs: int = 15,
    batch_size: int = 128,
    width: int = 32,
    flip: bool = False,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> tuple[float, int]:
    """Train a classifier of a labelled set and write the file that the ``classifier`` extractor reads.

    Args:
        data: The set.
        out: The file.
        name: Of the extractor: ``classifier_NAME``.
        epochs: Passes over the images.
        batch_size: Images of an update.
        width: Channels of the first convolution.
        flip: Mirror half of the images.
        seed: Seed of everything random.
        device: Where to train.
        progress: Show a bar.

    Returns:
        Its accuracy on images that it has not seen, and how many these are.

    Raises:
        ValueError: The file cannot be written, or the set has too few images.
    """
    path = Path(out).expanduser()
    make_folder(path.parent)
    if path.is_dir():
        raise ConfigError("out", out, f"is a folder; say a file, e.g. {path / 'classifier.pt'}")
    size = classifier_size(data.shape[1:])
    network: dict[str, Any] = {
        "channels": data.channels,
        "num_classes": data.num_classes,
        "image_size": size,
        "width": width,
    }
    images, labels = in_memory(data.train_images, size)
    if len(images) < 10:
        raise ValueError(f"{type(data).__name__}: {len(images)} images; needs 10")
    trained, accuracy = train_classifier(
        images,
        labels,
        lambda: Classifier(**network),
        size=size,
        epochs=epochs,
        batch_size=batch_size,
        flip=flip,
        seed=seed,
        device=device,
        progress=progress,
    )
    content = {"name": name, "network": network, "accuracy": accuracy, "state_dict": trained.state_dict()}
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)
    return accuracy, len(images) - cut_at(len(images))

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


def in_memory(images: ImageDataset, size: int, key: str = "label") -> tuple[Tensor, Tensor]:
    """Return all images (N, C, H, W) uint8 and labels (N,) of a set; larger ones resized to ``size``.

    Args:
        images: The set.
        size: Largest side.
        key: What is returned as labels: ``label``, or ``attributes`` (N, A).
    """
    pieces, labels = [], []
    for start in range(0, len(images), 256):
        batch = images.fetch(torch.arange(start, min(start + 256, len(images))))
        image = batch["image"]
        if image.shape[-1] > size:
            image = prepared(image, image.shape[1], size).add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)
        pieces.append(image)
        labels.append(batch.get(key, torch.empty(0)))
    entries = images.entries(key)
    return torch.cat(pieces), torch.cat(labels) if entries is None else entries


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

    Of a set without labels that has attributes, as avatars have, it learns all of these, and is measured on identities
    that it has not seen: a file for the ``avatars`` extractor.

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
        Its accuracy on images that it has not seen, the mean over attributes, and how many these are.

    Raises:
        ValueError: The file cannot be written, or the set has too few images.
    """
    path = Path(out).expanduser()
    make_folder(path.parent)
    if path.is_dir():
        raise ConfigError("out", out, f"is a folder; say a file, e.g. {path / 'classifier.pt'}")
    size = classifier_size(data.shape[1:])
    heads = data.attributes if data.num_classes is None else {}
    network: dict[str, Any] = {
        "channels": data.channels,
        "num_classes": data.num_classes or sum(heads.values()),
        "image_size": size,
        "width": width,
    }
    images, labels = in_memory(data.train_images, size, "attributes" if heads else "label")
    cut = cut_at(len(images))
    if heads:
        cut, unseen = len(images), in_memory(data.val().train_images, size, "attributes")
        images, labels = torch.cat([images, unseen[0]]), torch.cat([labels, unseen[1]])
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
        heads=list(heads.values()),
        cut=cut if heads else None,
    )
    content = {"name": name, "network": network, "accuracy": accuracy, "state_dict": trained.state_dict()}
    content |= {"heads": heads} if heads else {}
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)
    return accuracy, len(images) - cut

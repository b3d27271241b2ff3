"""Train classifiers that serve as extractors."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from lightning_gans.config.errors import ConfigError
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.extractors.base import prepared
from lightning_gans.images.files import make_folder
from lightning_gans.networks.classifier import Classifier
from lightning_gans.runtime.atomic import atomic_write


def cut_at(n: int) -> int:
    """Return how many of n images are trained on; the accuracy is measured on the others."""
    return n * 4 // 5


def jitter(images: Tensor) -> Tensor:
    """Rotate by up to 12 degrees, scale by up to 12 %, shift by up to a sixteenth; (N, C, H, W) float."""
    n = len(images)
    angle = (torch.rand(n) * 2 - 1) * 0.21
    scale = 1 + (torch.rand(n) * 2 - 1) * 0.12
    shift = (torch.rand(n, 2) * 2 - 1) * (2 / 16)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    affine = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    where = F.affine_grid(affine.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, where, padding_mode="border", align_corners=False)


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


def train_classifier(
    images: Tensor,
    labels: Tensor,
    make: Callable[[], Classifier],
    *,
    size: int,
    epochs: int,
    batch_size: int = 64,
    flip: bool = False,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> tuple[Classifier, float]:
    """Train on four fifths of the images with small shifts, rotations and changes of size.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
        make: Makes the network; called once the seed is set.
        size: Height and width that the network takes.
        epochs: Passes over the images.
        batch_size: Images of an update.
        flip: Mirror half of the images.
        seed: Seed of everything random.
        device: Where to train.
        progress: Show a bar.

    Returns:
        The network on the CPU in evaluation mode, and its accuracy on the last fifth.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        order = torch.randperm(len(images))
        cut = cut_at(len(order))
        fit, held_out = order[:cut], order[cut:]
        batch_size = min(batch_size, len(fit))
        network = make().to(device)
        channels = images.shape[1]
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
        steps = epochs * (len(fit) // batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
        for _ in tqdm(range(epochs), "training the classifier", disable=not progress, leave=False):
            shuffled = fit[torch.randperm(len(fit))]
            for index in torch.split(shuffled, batch_size)[: len(fit) // batch_size]:
                batch = prepared(images[index].to(device), channels, size)
                if flip:
                    batch = torch.where(torch.rand(len(batch), 1, 1, 1, device=device) < 0.5, batch.flip(-1), batch)
                loss = F.cross_entropy(network(jitter(batch))[1], labels[index].to(device))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    network.eval()
    right = 0
    with torch.no_grad():
        for index in torch.split(held_out, 512):
            logits = network(prepared(images[index].to(device), channels, size))[1]
            right += int((logits.argmax(1).cpu() == labels[index]).sum())
    return network.cpu(), right / len(held_out)


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
    size = int(min(64, max(8, 2 ** round(math.log2(min(data.shape[1:]))))))
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

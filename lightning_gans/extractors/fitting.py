"""Train small classifiers of labelled images, for features and for scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from lightning_gans.extractors.base import prepared
from lightning_gans.networks.classifier import Classifier


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


def classifier_size(sides: Sequence[int]) -> int:
    """Return the side of a classifier's images, a power of two from 8 to 64, for images of these ``sides``."""
    return int(min(64, max(8, 2 ** round(math.log2(min(sides))))))


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
    heads: Sequence[int] = (),
    cut: int | None = None,
) -> tuple[Classifier, float]:
    """Train on four fifths of the images with small shifts, rotations and changes of size.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64, or of several attributes (N, A).
        make: Makes the network; called once the seed is set.
        size: Height and width that the network takes.
        epochs: Passes over the images.
        batch_size: Images of an update.
        flip: Mirror half of the images.
        seed: Seed of everything random.
        device: Where to train.
        progress: Show a bar.
        heads: Number of classes of each attribute; their logits follow each other. Images of such sets are not moved,
            since they were drawn in their places.
        cut: Train on the first so many images, and measure on the others; ``None``: on four fifths drawn at random.

    Returns:
        The network on the CPU in evaluation mode, and its accuracy on the images that it was not trained on, the mean
        over attributes.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        order = torch.randperm(len(images)) if cut is None else torch.arange(len(images))
        cut = cut_at(len(order)) if cut is None else cut
        network = _fit(
            images,
            labels,
            order[:cut],
            make().to(device),
            size=size,
            epochs=epochs,
            batch_size=batch_size,
            flip=flip,
            progress=progress,
            heads=heads,
        )
    held_out = order[cut:]
    found = accuracies_on(network.to(device), images[held_out], labels[held_out], size=size, heads=heads)
    return network.cpu(), sum(found) / len(found)


def fit_classifier(
    images: Tensor,
    labels: Tensor,
    make: Callable[[], Classifier],
    *,
    size: int,
    epochs: int,
    batch_size: int = 64,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Classifier:
    """Train on all of the images as ``train_classifier`` does on four fifths, whose arguments these are.

    Returns:
        The network on ``device`` in evaluation mode.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        whole = torch.arange(len(images))
        return _fit(images, labels, whole, make().to(device), size=size, epochs=epochs, batch_size=batch_size)


def accuracy_on(network: Classifier, images: Tensor, labels: Tensor, *, size: int) -> float:
    """Return the share of images (N, C, H, W) uint8 whose class (N,) a network of side ``size`` finds."""
    return accuracies_on(network, images, labels, size=size)[0]


def accuracies_on(
    network: Classifier, images: Tensor, labels: Tensor, *, size: int, heads: Sequence[int] = ()
) -> list[float]:
    """Return the same for each attribute of labels (N, A), whose numbers of classes are ``heads``."""
    device = next(network.parameters()).device
    right: list[Tensor] = []
    with torch.no_grad():
        for some, classes in zip(torch.split(images, 512), torch.split(labels, 512), strict=True):
            logits = network(prepared(some.to(device), images.shape[1], size))[1]
            found = torch.stack([part.argmax(1) for part in _split(logits, heads)], 1)  # (n, A)
            right.append(found.cpu() == classes.cpu().view(len(classes), -1))
    return torch.cat(right).double().mean(0).tolist()


def _split(logits: Tensor, heads: Sequence[int]) -> Sequence[Tensor]:
    """Return the logits of each attribute."""
    return torch.split(logits, list(heads), 1) if heads else (logits,)


def _fit(
    images: Tensor,
    labels: Tensor,
    fit: Tensor,
    network: Classifier,
    *,
    size: int,
    epochs: int,
    batch_size: int,
    flip: bool = False,
    progress: bool = False,
    heads: Sequence[int] = (),
) -> Classifier:
    """Train a network on the images number ``fit``, by the default generator, and leave it in evaluation mode."""
    batch_size = min(batch_size, len(fit))
    channels, device = images.shape[1], next(network.parameters()).device
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = epochs * (len(fit) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in tqdm(range(epochs), "training the classifier", disable=not progress, leave=False):
        shuffled = fit[torch.randperm(len(fit))]
        for index in torch.split(shuffled, batch_size)[: len(fit) // batch_size]:
            batch = prepared(images[index].to(device), channels, size)
            if flip:
                batch = torch.where(torch.rand(len(batch), 1, 1, 1, device=device) < 0.5, batch.flip(-1), batch)
            classes = labels[index].to(device).view(batch_size, -1).unbind(1)
            parts = zip(_split(network(batch if heads else jitter(batch))[1], heads), classes, strict=True)
            loss = torch.stack([F.cross_entropy(part, label) for part, label in parts]).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return network.eval()

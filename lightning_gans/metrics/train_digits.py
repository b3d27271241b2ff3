"""Makes ``digits.pt``, the weights of the ``digits`` extractor: ``python -m lightning_gans.metrics.train_digits``.

Trains on four fifths of scikit-learn's digits with small shifts, rotations and changes of size, and prints the
accuracy on the last fifth. About half a minute on two cores.
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.data.digits import Digits
from lightning_gans.metrics.extractors import DIGITS_WEIGHTS, DigitsNetwork

EPOCHS, BATCH = 40, 64


def jitter(images: Tensor) -> Tensor:
    """Rotate by up to 12 degrees, scale by up to 12 %, shift by up to 2 pixels; (N, 1, 32, 32)."""
    n = len(images)
    angle = (torch.rand(n) * 2 - 1) * 0.21
    scale = 1 + (torch.rand(n) * 2 - 1) * 0.12
    shift = (torch.rand(n, 2) * 2 - 1) * (2 / 16)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    affine = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    where = F.affine_grid(affine, list(images.shape), align_corners=False)
    return F.grid_sample(images, where, padding_mode="border", align_corners=False)


def train() -> tuple[DigitsNetwork, float]:
    """The trained network and its accuracy on the digits that it has not seen."""
    torch.manual_seed(0)
    digits = Digits(image_size=32, channels=1).load()
    assert digits.labels is not None
    images, labels = digits.images.float() / 127.5 - 1, digits.labels
    order = torch.randperm(len(images))
    fit, held_out = order[: len(order) * 4 // 5], order[len(order) * 4 // 5 :]
    network = DigitsNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = EPOCHS * (len(fit) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(EPOCHS):
        shuffled = fit[torch.randperm(len(fit))]
        for index in torch.split(shuffled, BATCH)[: len(fit) // BATCH]:
            loss = F.cross_entropy(network(jitter(images[index])).logits, labels[index])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        accuracy = (network(images[held_out]).logits.argmax(1) == labels[held_out]).float().mean()
    return network, float(accuracy)


if __name__ == "__main__":
    trained, score = train()
    torch.save(trained.state_dict(), DIGITS_WEIGHTS)
    print(f"{DIGITS_WEIGHTS}: accuracy on held-out digits {score:.4f}", file=sys.stderr)

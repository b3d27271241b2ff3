"""A classifier of a hundred digits, alone and with the samples of a class-conditional GAN of the same hundred.

    python benchmarks/augmentation.py [--seeds 5] [--samples 2000] [--share 0.5] [option ...]

For each seed a hundred digits, ten of each class, are drawn from four fifths of the digits. ``model=cgan`` with DCGAN's
networks, or what the options say, trains on these hundred images only. Then the same classifier learns from the
hundred, and from batches of which ``--share`` are samples, each labelled with the class that it was asked for; both
with as many updates. ``shifted`` also moves every image by up to a pixel, as one would without a GAN. The accuracy is
that on the other fifth of the digits, which neither has seen.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans import build, compose
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.digits import read_digits
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.labelled import balanced_indices
from lightning_gans.data.spec import ImageSpec
from lightning_gans.images.pixels import to_uint8
from lightning_gans.networks.classifier import Classifier

SIDE, UPDATES, BATCH = 8, 1000, 50
GAN = [
    *("model=cgan", "model/network=cgan_dcgan", "data=digits", f"data.image_size={SIDE}", "trainer.precision=32-true"),
    *("model/augment=diffaugment", "trainer.max_steps=1500", "logger=none", "callbacks.samples=null"),
    *("callbacks.evaluation=null", "trainer.enable_progress_bar=false"),
]


class GivenImages(ImageSource):
    """Give images that are in memory already."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def load(self, spec: ImageSpec) -> InMemoryImages:
        """Return them."""
        return InMemoryImages(self.images, self.labels)


def generate(images: Tensor, labels: Tensor, n: int, options: list[str]) -> Tensor:
    """Train the GAN on images (N, 1, H, W) uint8 alone; return n samples uint8, classes 0 to 9 in turn."""
    with tempfile.TemporaryDirectory() as folder:
        run = build(compose(*GAN, *options), folder)
        data = ImageDataModule(
            GivenImages(images, labels), image_size=SIDE, channels=1, num_classes=10, seed=run.model.seed
        )
        run.trainer.fit(run.model, datamodule=data)
        return to_uint8(run.model.sample(n, classes=range(10)))


def accuracy(
    real: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    seed: int,
    made: tuple[Tensor, Tensor] | None = None,
    share: float = 0.0,
    shift: int = 0,
) -> float:
    """Train a classifier on images (N, 1, H, W) uint8 and labels (N,); return its accuracy on the test's."""
    torch.manual_seed(seed)
    network = Classifier(channels=1, num_classes=10, image_size=SIDE, width=32)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES)
    n_made = round(BATCH * share)
    for _ in range(UPDATES):
        pieces = [(real, BATCH - n_made), *([(made, n_made)] if made else [])]
        drawn = [(s, torch.randint(len(s[1]), (n,))) for s, n in pieces]
        images, labels = (torch.cat([s[part][index] for s, index in drawn]) for part in (0, 1))
        if shift:
            padded = F.pad(images, (shift,) * 4)
            corner = torch.randint(2 * shift + 1, (2, len(images)))
            images = torch.stack(
                [x[:, i : i + SIDE, j : j + SIDE] for x, i, j in zip(padded, *corner.tolist(), strict=True)]
            )
        loss = F.cross_entropy(network(images / 127.5 - 1)[1], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        return float((network(test[0] / 127.5 - 1)[1].argmax(1) == test[1]).double().mean())


def main() -> None:
    """Print a row a seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.5, help="of a batch that is generated")
    parser.add_argument("options", nargs="*", help="of the GAN's training")
    given = parser.parse_args()
    images, labels = read_digits((SIDE, SIDE))
    print(
        "| seed | hundred | with samples | shifted | shifted, with samples | minutes |\n|---|---|---|---|---|---|",
        flush=True,
    )
    rows = []
    for seed in range(given.seeds):
        started = time.process_time()
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        held_out, rest = order[: len(order) // 5], order[len(order) // 5 :]
        chosen = rest[balanced_indices(labels[rest], 100, seed)]
        real, test = ((images[index], labels[index]) for index in (chosen, held_out))
        samples = generate(*real, given.samples, [f"seed={seed}", *given.options])
        made = (samples, torch.arange(len(samples)) % 10)
        row = [
            accuracy(real, test, seed, *extra, shift=shift) for shift in (0, 1) for extra in ((), (made, given.share))
        ]
        rows.append(torch.tensor(row))
        minutes = (time.process_time() - started) / 60
        print(f"| {seed} | " + " | ".join(f"{value:.3f}" for value in row) + f" | {minutes:.1f} |", flush=True)
    print("| mean | " + " | ".join(f"{value:.3f}" for value in torch.stack(rows).mean(0)) + " | |")


if __name__ == "__main__":
    main()

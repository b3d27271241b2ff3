"""A classifier of a hundred digits, alone and with the samples of a class-conditional GAN of the same hundred.

    python benchmarks/augmentation.py [--seeds 0 1 2 3 4] [--samples 2000] [-- option ...]

For each seed a hundred digits, ten of each class, are drawn from four fifths of the digits. ``model=cgan`` with DCGAN's
networks, or what the options say, trains on these hundred images only. Then the same classifier learns, in as many
updates each: from the hundred alone; from batches of which half, or a fifth, are samples, each labelled with the class
that it was asked for; from batches with a fifth of those samples that the first classifier takes for their class; from
samples alone in the first half of the updates and from the hundred in the second. Each once with the images as they
are, and once with all of them moved by up to a pixel, as one would without a GAN. The accuracy is that on the other
fifth of the digits, which nothing has seen.
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
SETTINGS = ("hundred", "half samples", "a fifth", "a fifth, recognised", "samples first")
Labelled = tuple[Tensor, Tensor]  # images (N, 1, H, W) uint8 and labels (N,)
GAN = [
    *("model=cgan", "model/network=cgan_dcgan", "data=digits", f"data.image_size={SIDE}", "trainer.precision=32-true"),
    *("model/augment=diffaugment", "trainer.max_steps=1500", "logger=none", "callbacks.samples=null"),
    *("callbacks.evaluation=null", "trainer.enable_progress_bar=false"),
]


class GivenImages(ImageSource):
    """Give images that are in memory already."""

    def __init__(self, images: Tensor, labels: Tensor | None) -> None:
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


def shares(setting: str, update: int) -> int:
    """Return how many of a batch are samples."""
    if setting == "samples first":
        return BATCH if update < UPDATES // 2 else 0
    return {"hundred": 0, "half samples": BATCH // 2}.get(setting, BATCH // 5)


def fit(real: Labelled, made: Labelled, setting: str, seed: int, shift: int) -> Classifier:
    """Train a classifier on real images and samples, moved by up to ``shift`` pixels."""
    torch.manual_seed(seed)
    network = Classifier(channels=1, num_classes=10, image_size=SIDE, width=32)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES)
    for update in range(UPDATES):
        n = shares(setting, update)
        drawn = [(some, torch.randint(len(some[1]), (k,))) for some, k in ((real, BATCH - n), (made, n)) if k]
        images, labels = (torch.cat([some[part][index] for some, index in drawn]) for part in (0, 1))
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
    return network.eval()


@torch.no_grad()
def recognised(network: Classifier, some: Labelled) -> Tensor:
    """Return which images a classifier takes for their class, (N,) bool."""
    return network(some[0] / 127.5 - 1)[1].argmax(1) == some[1]


def accuracies(real: Labelled, made: Labelled, test: Labelled, seed: int, shift: int) -> list[float]:
    """Return the accuracy of every setting on the test's images."""
    found: list[float] = []
    known = made
    for setting in SETTINGS:
        network = fit(real, known if setting == "a fifth, recognised" else made, setting, seed, shift)
        if setting == "hundred":
            keep = recognised(network, made)
            known = made[0][keep], made[1][keep]
        found.append(float(recognised(network, test).double().mean()))
    return found


def main() -> None:
    """Print a row a seed; accuracies of images as they are / shifted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=range(5))
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("options", nargs="*", help="of the GAN's training")
    given = parser.parse_args()
    images, labels = read_digits((SIDE, SIDE))
    print("| seed | " + " | ".join(SETTINGS) + " | minutes |\n|---" + "|---" * len(SETTINGS) + "|---|", flush=True)
    rows = []
    for seed in given.seeds:
        started = time.process_time()
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        held_out, rest = order[: len(order) // 5], order[len(order) // 5 :]
        chosen = rest[balanced_indices(labels[rest], 100, seed)]
        real, test = ((images[index], labels[index]) for index in (chosen, held_out))
        samples = generate(*real, given.samples, [f"seed={seed}", *given.options])
        made = (samples, torch.arange(len(samples)) % 10)
        rows.append(torch.tensor([accuracies(real, made, test, seed, shift) for shift in (0, 1)]))
        minutes = (time.process_time() - started) / 60
        print(f"| {seed} | " + cells(rows[-1]) + f" | {minutes:.1f} |", flush=True)
    print("| mean | " + cells(torch.stack(rows).mean(0)) + " | |")


def cells(both: Tensor) -> str:
    """Write accuracies (2, settings) as cells of a table."""
    return " | ".join(f"{plain:.3f} / {shifted:.3f}" for plain, shifted in both.T.tolist())


if __name__ == "__main__":
    main()

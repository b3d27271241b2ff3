"""Images per second of our loader against torchvision's per-image pipeline, and whether workers feed a step in time.

    python benchmarks/data_loading.py [--mnist DIR] [--zip FILE] [--images 20000] [--jpegs 10000]

Both hand out shuffled batches of 64 as floats in [-1, 1], mirrored at random, on one thread a process. Theirs is the
usual ``DataLoader(MNIST(..., transform))`` and ``DataLoader(ImageFolder(..., transform))``, in this process and with a
worker a core; the better one counts. Ours holds the set in memory; what reading it once takes stands beside. Every
figure is the best of three in turn. Without files, random images of the same formats are made.

The second table reads a folder of JPEGs of 256x256 from disk (``memory_gb=0``) by two workers while steps of 50 ms go
by, in which this process sleeps as one does that waits for a GPU: how long a step waits for its batch beyond them.
"""

from __future__ import annotations

import argparse
import os
import struct
import tempfile
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.folder import Folder
from lightning_gans.data.mnist import MNIST

BATCH = 64
STEP = 0.05  # seconds


def batches(data: ImageDataModule, batch_size: int) -> Iterable[dict[str, torch.Tensor]]:
    """Batches as a training step fetches them, uint8."""
    plan = SimpleNamespace(images=batch_size, resolution=None)
    schedule = SimpleNamespace(resolutions=lambda step: [])
    place = {"schedule": schedule, "device": torch.device("cpu")}
    module = SimpleNamespace(plan=lambda step: plan, iteration=0, images_seen=0, **place)
    data.trainer = SimpleNamespace(lightning_module=module, global_rank=0, world_size=1)  # type: ignore[assignment]
    return data.train_dataloader()


def ours(data: ImageDataModule) -> Iterable[torch.Tensor]:
    """Batches as a module's training step gets them."""
    for batch in batches(data, BATCH):
        yield data.on_after_batch_transfer(batch, 0)["image"]


def theirs(dataset: Dataset, workers: int) -> Iterable[torch.Tensor]:
    """Batches of the per-image pipeline."""
    loader = DataLoader(
        dataset, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0, drop_last=True
    )
    while True:
        for images, _ in loader:
            yield images


def speed(batches: Iterable[torch.Tensor], images: int) -> float:
    """Images per second after the first ten batches."""
    stream = iter(batches)
    for _ in range(10):
        assert next(stream).dtype == torch.float32
    steps = max(1, images // BATCH)
    started = time.perf_counter()
    for _ in range(steps):
        next(stream)
    return steps * BATCH / (time.perf_counter() - started)


def compare(name: str, data: ImageDataModule, dataset: Dataset, images: int) -> None:
    """Print one row."""
    started = time.perf_counter()
    data.setup("fit")
    seconds = time.perf_counter() - started
    best = [0.0, 0.0, 0.0]
    for _ in range(3):
        found = [speed(theirs(dataset, workers), images) for workers in (0, os.cpu_count() or 1)]
        found.append(speed(ours(data), 10 * images))
        best = [max(pair) for pair in zip(best, found, strict=True)]
    rows = [name, *[f"{one:,.0f}" for one in best], f"{best[2] / max(best[:2]):.0f}"]
    print(f"| {' | '.join(rows)} | {len(data.train_images):,} in {seconds:.1f} s |", flush=True)


def feed(folder: Path, n: int) -> None:
    """Print how long steps wait for batches that two workers read."""
    rng = np.random.default_rng(0)
    for i in range(n):
        path = folder / "jpegs" / f"{i % 100:02d}" / f"{i:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        coarse.resize((256, 256), Image.Resampling.BICUBIC).save(path, quality=90)
    print(
        f"\n| {n:,} JPEGs of 256x256, two workers | waits, ms a step, median | 90th percentile | images/s |\n|"
        + "---|" * 4
    )
    for batch in (16, 32, 48, 64):
        data = Folder(root=str(folder / "jpegs"), image_size=256, channels=3, memory_gb=0, num_workers=2)
        data.setup("fit")
        stream, waits = iter(batches(data, batch)), []
        for _ in range(100):
            asked = time.perf_counter()
            next(stream)
            waits.append(time.perf_counter() - asked)
            time.sleep(STEP)
        waits = sorted(waits[20:])
        rate, middle, high = (
            batch / (sum(waits) / len(waits) + STEP),
            waits[len(waits) // 2],
            waits[9 * len(waits) // 10],
        )
        print(f"| batch {batch} | {1000 * middle:.1f} | {1000 * high:.1f} | {rate:,.0f} |", flush=True)


def make_mnist(folder: Path) -> Path:
    """Random digits in MNIST's files."""
    rng = np.random.default_rng(0)
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", 60000), ("t10k", 10)):
        for kind, array in (
            ("images-idx3", rng.integers(0, 256, (n, 28, 28))),
            ("labels-idx1", rng.integers(0, 10, n)),
        ):
            header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
            (raw / f"{part}-{kind}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())
    return folder


def make_zip(folder: Path, n: int = 5000) -> Path:
    """Random 32x32 PNGs in two class folders."""
    rng = np.random.default_rng(0)
    for i in range(n):
        path = folder / "made" / "ab"[i % 2] / f"{i:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    with zipfile.ZipFile(folder / "made.zip", "w") as archive:
        for path in sorted((folder / "made").rglob("*.png")):
            archive.write(path, path.relative_to(folder / "made"))
    return folder / "made.zip"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, help="folder that holds MNIST/raw")
    parser.add_argument("--zip", type=Path, help="a zip of class folders of images of one size, 32x32 say")
    parser.add_argument("--images", type=int, default=20000, help="images per measurement of the per-image pipeline")
    parser.add_argument("--jpegs", type=int, default=10000, help="JPEGs in the folder that two workers read")
    given = parser.parse_args()
    torch.set_num_threads(1)
    usual = [transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
    print(f"batch {BATCH}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print(
        f"| images/s | torchvision | torchvision, {os.cpu_count()} workers | ours | ratio to the better | read once |"
    )
    print("|" + "---|" * 6)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        root = str(given.mnist or make_mnist(folder))
        dataset = datasets.MNIST(root, transform=transforms.Compose([transforms.Pad(2), *usual]))
        options = {"image_size": 32, "flip": True}
        compare("MNIST, 32x32x1", MNIST(root=root, download=False, channels=1, **options), dataset, given.images)
        path = given.zip or make_zip(folder)
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder / "unpacked")
        images = datasets.ImageFolder(str(folder / "unpacked"), transform=transforms.Compose(usual))
        compare("zip, 32x32x3", Folder(root=str(path), channels=3, **options), images, given.images)
        feed(folder, given.jpegs)


if __name__ == "__main__":
    main()

"""Where the images that are scored come from: a generator, or an image set."""

from __future__ import annotations

import os
import zipfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from lightning_gans.data.base import ImageData
from lightning_gans.data.folder import EXTENSIONS, Folder
from lightning_gans.images import to_uint8
from lightning_gans.models.base import GenerativeModule
from lightning_gans.seeding import mix


class Source(Protocol):
    """Images number 0 to n - 1, the same whoever asks for which of them."""

    n: int

    def images(self, indices: range, batch_size: int) -> Iterator[Tensor]:
        """Batches (N, C, H, W) uint8."""

    def about(self) -> dict[str, Any]:
        """What a score card says of them."""


class Samples:
    """What a module generates.

    Args:
        module: Its sampling network is asked.
        n: How many there are.
        seed: Seed of the samples.
    """

    def __init__(self, module: GenerativeModule, n: int, seed: int) -> None:
        self.module, self.n, self.seed = module, n, seed

    def images(self, indices: range, batch_size: int) -> Iterator[Tensor]:
        """Batches (N, C, H, W) uint8 on the module's device."""
        for batch in self.module.samples(indices, seed=self.seed, batch_size=batch_size):
            yield to_uint8(batch)

    def about(self) -> dict[str, Any]:
        """Step, images seen, averaged or not, seed."""
        return {
            "step": self.module.iteration,
            "images_seen": self.module.images_seen,
            "averaged": self.module.generator_ema is not None,
            "seed": self.seed,
        }


class Pictures:
    """An image set in a shuffled order that never changes, so that the first n are a fair choice of all.

    Args:
        data: The set.
        n: How many to take; ``None``: all.
    """

    def __init__(self, data: ImageData, n: int | None = None) -> None:
        self.data = data
        total = len(data.train_images)
        self.n = total if n is None else min(n, total)
        self.order = torch.randperm(total, generator=torch.Generator().manual_seed(mix("scored images")))

    def images(self, indices: range, batch_size: int) -> Iterator[Tensor]:
        """Batches (N, C, H, W) uint8, read ahead by threads."""
        fetch = self.data.train_images.fetch
        batches = (self.order[indices[i : i + batch_size]] for i in range(0, len(indices), batch_size))
        threads = min(8, os.cpu_count() or 1)
        waiting: deque[Future[dict[str, Tensor]]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            for batch in batches:
                waiting.append(pool.submit(fetch, batch))
                if len(waiting) > threads:
                    yield waiting.popleft().result()["image"]
            while waiting:
                yield waiting.popleft().result()["image"]

    def about(self) -> dict[str, Any]:
        """Set, split, size, channels and a fingerprint of the content."""
        return {
            "data": type(self.data).__name__,
            "split": self.data.split,
            "image_size": self.data.image_size,
            "channels": self.data.channels,
            "content": self.data.train_images.fingerprint(),
        }


def folder(root: str, key: str, *, image_size: int | None, channels: int) -> Folder:
    """A folder or zip as an image set.

    Args:
        root: The folder or zip.
        key: The option that named it.
        image_size: Resize and cut to this; ``None``: take the images as they are.
        channels: 1 to 4.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: There are no images in it, or without ``image_size`` they are not squares of one size.
    """
    try:
        data = Folder(root=root, image_size=image_size or _common_size(root), channels=channels)
        data.setup("test")
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(str(error).replace("data.root=", f"{key}=")) from error
    return data


def _common_size(root: str) -> int:
    """The side of all images in a folder or zip, by their headers; 1 where there are none to look at."""
    sizes: dict[tuple[int, int], str] = {}
    for name, file in _files(Path(root).expanduser()):
        try:
            sizes.setdefault(Image.open(file).size, name)
        except OSError:
            continue  # told with its name when it is read
    if len(sizes) > 1 or len(set(next(iter(sizes), ()))) > 1:
        found = ", ".join(f"{width}x{height} ({name})" for (width, height), name in list(sizes.items())[:3])
        raise ValueError(f"data.root={root}: its images are not squares of one size: {found}; say image_size=SIZE")
    return next(iter(sizes), (1, 1))[0]


def _files(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """What may be an image in a folder or zip, opened."""
    if path.is_dir():
        for name in sorted(path.rglob("*")):
            if name.name.lower().endswith(EXTENSIONS) and not name.name.startswith(".") and name.is_file():
                with name.open("rb") as file:
                    yield name.name, file
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.lower().endswith(EXTENSIONS) and not Path(info.filename).name.startswith("."):
                    with archive.open(info) as file:
                        yield info.filename, file

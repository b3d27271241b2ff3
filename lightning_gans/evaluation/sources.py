"""Sources of the images that are scored: a generator, or an image set."""

from __future__ import annotations

import hashlib
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import Batch, ImageDataset
from lightning_gans.data.decoding import BACKGROUND, Decoder
from lightning_gans.data.file_sources import check_exists, no_images, printable, source_at
from lightning_gans.data.folder import Folder
from lightning_gans.data.image_files import OnError
from lightning_gans.data.source import Bits
from lightning_gans.images.pixels import to_uint8
from lightning_gans.images.size import Size, shortest
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.sampling_options import split_given
from lightning_gans.models.translation import TranslationModule
from lightning_gans.runtime.seeding import derive_seed

AT_ONCE = 2**22  # pixels translated in one batch


class ScoredImages(Protocol):
    """Give images number 0 to n - 1, each a function of its number alone."""

    n: int

    def batches(self, indices: range, batch_size: int) -> Iterator[Batch]:
        """Yield ``image`` (N, C, H, W) uint8 and, of translations, ``target`` uint8 and ``source`` in [-1, 1]."""

    def metadata(self) -> dict[str, Any]:
        """Return the entries of a score card."""


class GeneratedImages:
    """Give images that a module's sampling network generates.

    Args:
        module: The module.
        n: Number of images.
        seed: Seed of the samples.
        **options: Options of sampling, e.g. ``truncation=0.5``.

    Raises:
        ValueError: An option that the family does not have.
    """

    def __init__(self, module: GenerativeModule, n: int, seed: int, **options: float | None) -> None:
        self.module, self.n, self.seed = module, n, seed
        _, self.options = split_given(module, options)
        module.prepare_sampling()
        self.network = module.sampling_network(self.options)

    def inputs(self, indices: range, seed: int) -> tuple[Tensor, ...]:
        """Draw the generator's inputs for samples number ``indices`` of a seed."""
        return self.module.sampling_inputs(indices, seed, **self.options)

    def generate(self, batches: Iterable[tuple[Tensor, ...]]) -> Iterator[Tensor]:
        """Run the network on batches of inputs; yields images (N, C, H, W) in [-1, 1]."""
        return self.module.generate(batches, self.network)

    def batches(self, indices: range, batch_size: int) -> Iterator[Batch]:
        """Yield ``image`` (N, C, H, W) uint8, and conditions such as ``label`` (N,), on the module's device."""
        for start in range(0, len(indices), batch_size):
            inputs = self.inputs(indices[start : start + batch_size], self.seed)
            (images,) = self.generate([inputs])
            yield {"image": to_uint8(images), **dict(zip(self.module.conditioning, inputs[1:], strict=True))}

    def metadata(self) -> dict[str, Any]:
        """Return step, images seen, averaged or not, seed, and options of sampling."""
        return module_metadata(self.module) | {"seed": self.seed, **self.options}


class TranslatedImages:
    """Give translations of the examples of a set, in a fixed shuffled order.

    Args:
        module: The module that translates.
        data: Set of the examples.
        n: Number of images at most.
        seed: Seed of the translations.
        direction: One of the module's.

    Raises:
        ValueError: It does not translate in this direction.
    """

    def __init__(
        self, module: TranslationModule, data: ImageDataModule, n: int | None, seed: int, direction: str
    ) -> None:
        module.check_direction(direction)
        self.module, self.data, self.seed, self.direction = module, data, seed, direction
        self.n = data.n_examples if n is None else min(n, data.n_examples)
        self.order = shuffled(data.n_examples)

    def batches(self, indices: range, batch_size: int) -> Iterator[Batch]:
        """Yield ``image``, ``target`` (N, C, H, W) uint8 and ``source`` in [-1, 1], on the module's device."""
        source, target = ("source", "target")[:: 1 if self.direction == "a2b" else -1]
        size = max(1, min(batch_size, AT_ONCE // math.prod(self.data.shape[1:])))
        for i in range(0, len(indices), size):
            batch = self.data.examples(self.order[indices[i : i + size]].tolist())
            batch = {key: value.to(self.module.device) for key, value in batch.items()}
            made = self.module.translate_batch(batch, direction=self.direction, seed=self.seed)
            yield {"image": to_uint8(made), "target": to_uint8(batch[target]), "source": batch[source]}

    def metadata(self) -> dict[str, Any]:
        """Return step, images seen, averaged or not, seed, direction, and which split was translated."""
        return module_metadata(self.module) | {
            "seed": self.seed,
            "direction": self.direction,
            "translated": self.data.examples_of,
            "translated_content": self.data.example_images.fingerprint(),
        }


def module_metadata(module: GenerativeModule) -> dict[str, Any]:
    """Return the entries of a module in a score card."""
    averaged = module.generator_ema is not None
    return {"step": module.iteration, "images_seen": module.images_seen, "averaged": averaged}


def shuffled(total: int) -> Tensor:
    """Return the numbers below ``total`` in a fixed random order, so that the first ones are a fair choice of all."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(derive_seed("scored images")))


class Domain(ImageDataset):
    """Give one domain of a translation set, at the size of its examples.

    Args:
        data: The set.
        side: ``source`` or ``target``.
    """

    def __init__(self, data: ImageDataModule, side: str) -> None:
        self.data, self.side = data, side
        both = data.train_images
        self.alone: ImageDataset | None = getattr(both, side, None)  # of two domains each has its own number of images
        self.is_in_memory = both.is_in_memory

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.data.train_images if self.alone is None else self.alone)

    def fetch(self, index: Tensor) -> Batch:
        """Return ``image`` (N, C, H, W) uint8."""
        both = self.data.train_images
        images = both.fetch(index)[self.side] if self.alone is None else self.alone.fetch(index)["image"]
        return {"image": self.data.transform.resized(self.side, images)}

    def fingerprint(self) -> str:
        """Return a content hash of the domain and of its size."""
        content = self.data.train_images if self.alone is None else self.alone
        size = shortest(*self.data.shape[1:])
        text = f"{self.side} fitted to {size} {content.fingerprint()}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class RealImages:
    """Give images of a set in a fixed shuffled order, so that the first n are a fair choice of all.

    Args:
        data: The set; of a translation set the output domain is taken.
        n: Number of images; ``None``: all.
        direction: Of the translations.
    """

    def __init__(self, data: ImageDataModule, n: int | None = None, direction: str = "a2b") -> None:
        self.data, self.images, self.channels = data, data.train_images, data.channels
        if data.translates:
            self.images = Domain(data, "target" if direction == "a2b" else "source")
            self.channels = data.channels if direction == "a2b" else data.source_channels
        self.n = len(self.images) if n is None else min(n, len(self.images))
        self.order = shuffled(len(self.images))

    def batches(self, indices: range, batch_size: int) -> Iterator[Batch]:
        """Yield ``image`` (N, C, H, W) uint8, and ``label`` (N,) of labelled sets; threads read files ahead."""
        batches = (self.order[indices[i : i + batch_size]] for i in range(0, len(indices), batch_size))
        if self.images.is_in_memory:  # each thread that computes brings a team of its own, which spins
            yield from map(self.images.fetch, batches)
            return
        threads = min(8, os.cpu_count() or 1)
        waiting: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            for batch in batches:
                waiting.append(pool.submit(self.images.fetch, batch))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def labels(self, indices: range) -> Tensor | None:
        """Return the classes (N,) int64 of images number ``indices``, if there are any, without reading images."""
        labels = self.images.entries("label")
        return None if labels is None else labels[self.order[indices.start : indices.stop]]

    def metadata(self) -> dict[str, Any]:
        """Return set, split, size, channels and a fingerprint of the content."""
        return {
            "data": type(self.data).__name__,
            "split": self.data.description,
            "image_size": self.data.image_size,
            "channels": self.channels,
            "content": self.content,
        }

    @cached_property
    def content(self) -> str:
        """Return a fingerprint of the content, which is read once."""
        return self.images.fingerprint()


def folder(
    root: str,
    key: str,
    *,
    image_size: Size | None,
    channels: int,
    on_error: OnError = "stop",
    background: str | None = BACKGROUND,
    bits: Bits = None,
) -> Folder:
    """Open a folder or zip as an image set.

    Args:
        root: The folder or zip.
        key: The option that named it.
        image_size: Resize and cut to this, a side or [height, width]; ``None``: take the images as they are.
        channels: 1 to 4.
        on_error: See ``FileReader``.
        background: See ``FileReader``.
        bits: See ``FileReader``.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: There are no images in it, or without ``image_size`` they are not of one size.
    """
    try:
        check_exists(root)
        how: dict[str, Any] = {"channels": channels, "on_error": on_error, "background": background, "bits": bits}
        data = Folder(root=root, image_size=image_size or _common_size(root), **how)
        data.setup("test")
    except (FileNotFoundError, ValueError) as error:
        said = str(error).replace("data.root=", f"{key}=").replace("data.on_error", "on_error")
        raise (FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError)(said) from error
    return data


def _common_size(root: str) -> Size:
    """Return the size of all images in a folder or zip; only those that a camera turned are decoded for it."""
    source = source_at(root)
    names = source.names()
    if not names:
        raise ValueError(f"data.root={root}: {no_images(source)}")
    sizes: dict[tuple[int, int], str] = {}
    for name in names:
        try:
            sizes.setdefault(source.picture(name, Decoder()).upright_size(), name)
        except Exception:  # a damaged file can fail anywhere in Pillow; told with its name when it is read
            continue
    if not sizes:
        raise ValueError(f"data.root={root}: none of its {len(names)} files can be read, such as {printable(names[0])}")
    if len(sizes) > 1:
        found = ", ".join(f"{width}x{height} ({printable(name)})" for (width, height), name in list(sizes.items())[:3])
        raise ValueError(f"data.root={root}: its images are not of one size: {found}; say image_size=SIZE")
    ((width, height),) = sizes
    return shortest(height, width)

"""Sets of two sides, for translation: pairs that belong together, or two domains drawn independently."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import REQUESTED, Batch, BatchIndices, ImageDataset
from lightning_gans.data.resize import resize
from lightning_gans.data.translation.degradations import Degradation
from lightning_gans.runtime.seeding import derive_seed


class Pairs(ImageDataset):
    """Two sets side by side: image i of the one belongs to image i of the other, or to none.

    Args:
        source: Images that are translated.
        target: What they are translated to.
        aligned: Whether image i of both belong together.

    Raises:
        ValueError: Aligned sets of different lengths.
    """

    def __init__(self, source: ImageDataset, target: ImageDataset, *, aligned: bool = True) -> None:
        if aligned and len(source) != len(target):
            raise ValueError(f"pairs: {len(source)} sources and {len(target)} targets")
        self.source, self.target, self.aligned = source, target, aligned

    def __len__(self) -> int:
        """Number of sources."""
        return len(self.source)

    def fetch(self, index: Tensor, partners: Tensor | None = None) -> Batch:
        """``source`` and ``target`` (N, C, H, W); of sets that are not aligned target i stands beside source i."""
        partners = index % len(self.target) if partners is None else partners
        return {"source": self.source.fetch(index)["image"], "target": self.target.fetch(partners)["image"]}

    def get_batch(self, request: BatchIndices) -> Batch:
        """The sources of a request and what stands beside them."""
        return self.fetch(request.indices, request.target_indices)

    def fingerprint(self) -> str:
        """Of the targets, which scores compare with."""
        return hashlib.blake2b(f"target {self.target.fingerprint()}".encode(), digest_size=16).hexdigest()


class ChannelConcat(ImageDataset):
    """A set whose images hold both sides, and what else belongs to them, side by side in their channels.

    Args:
        whole: The set.
        channels: Of each part, by the key that the batch has it under.
    """

    def __init__(self, whole: ImageDataset, **channels: int) -> None:
        self.whole, self.channels = whole, channels

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.whole)

    def fetch(self, index: Tensor) -> Batch:
        """``source``, ``target`` and the like, (N, C, H, W) each."""
        parts = torch.split(self.whole.fetch(index)["image"], list(self.channels.values()), 1)
        return {key: part.contiguous() for key, part in zip(self.channels, parts, strict=True)}

    def fingerprint(self) -> str:
        """Of both sides."""
        return self.whole.fingerprint()


class Targets(ImageDataset):
    """Targets alone: their sources are made of them on the device.

    Args:
        target: The images.
    """

    def __init__(self, target: ImageDataset) -> None:
        self.target = target

    def __len__(self) -> int:
        """Number of targets."""
        return len(self.target)

    def fetch(self, index: Tensor) -> Batch:
        """``target`` (N, C, H, W) uint8."""
        return {"target": self.target.fetch(index)["image"]}

    def fingerprint(self) -> str:
        """Of the targets."""
        return self.target.fingerprint()


class TranslationData(ImageDataModule):
    """A set for translation by configuration. A set overrides ``load`` and, if it has a test part, ``load_test``.

    Batches reach the module as ``source`` (N, source_channels, H, W) and ``target`` (N, channels, H, W), floats in
    [-1, 1], cut and mirrored alike.

    Args:
        source_channels: Channels of what is translated.
        load_size: Side that images are held at; pieces of ``image_size`` are cut out at random places. ``None``:
            ``image_size``, nothing is cut. Test images are held at ``image_size`` whatever it is, but those of
            super-resolution, whose scale would be another one.
        **options: See ``ImageDataModule``; ``image_size`` and ``channels`` are those of the target.

    Attributes:
        label_keys: Keys of a batch whose values are numbers of classes or objects, which must not be mixed.
        examples_of: Which part ``examples`` are, in words for score cards.
        examples_match: Whether source i of the examples belongs to target i, so that one can be scored by the other.

    Raises:
        ValueError: A value out of range.
    """

    aligned: ClassVar[bool] = True  # source i belongs to target i
    label_keys: frozenset[str] = frozenset()
    degradation: Degradation | None = None  # makes the sources, where they are made of the targets
    factor: int = 1  # side of a target divided by that of its source

    def __init__(self, *, source_channels: int, load_size: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        if source_channels < 1:
            raise ValueError(f"data.source_channels={source_channels}: must be >= 1")
        if load_size is not None and load_size < self.side:
            raise ValueError(f"data.load_size={load_size}: must be >= data.image_size={self.side}, or null")
        self.source_channels, self.load_size = source_channels, load_size
        self._examples: tuple[ImageDataset, str, TranslationData] | None = None

    @property
    def kind(self) -> str:
        """What a family must accept to train on this set."""
        if self.factor > 1:
            return "super_resolution"
        return "paired" if self.aligned else "unpaired"

    @property
    def keeps_scale(self) -> bool:
        """Whether examples are cut out of what is held, and not reduced: of super-resolution, whose scale it is."""
        return self.factor > 1

    @property
    def storage_size(self) -> int:
        """Side of the images that ``load`` gives."""
        return self.load_size or self.side

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one source and of one target."""
        side = self.side // self.factor
        return {"source": (self.source_channels, side, side), "target": self.shape}

    @property
    def n_partners(self) -> int | None:
        """Targets, where they are drawn independently."""
        whole = self.train_images
        return None if self.aligned else len(whole.target)  # type: ignore[attr-defined]

    def load_test(self) -> ImageDataset | None:
        """The published test part; ``None`` without one."""
        return None

    def divide(self, whole: ImageDataset) -> tuple[ImageDataset, ImageDataset]:
        """Pairs stay together; of two domains each gives its share."""
        if self.aligned or not isinstance(whole, Pairs):
            return super().divide(whole)
        sources, targets = super().divide(whole.source), super().divide(whole.target)
        train, kept = (Pairs(*sides, aligned=False) for sides in zip(sources, targets, strict=True))
        return train, kept

    # ------------------------------------------------------------------------------ what a batch becomes

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Cut and mirror both sides alike and give floats in [-1, 1], on the device."""
        mirror, corners = batch["hflip"][:, None, None, None], batch["crop_offsets"]
        made = {}
        for key, images in batch.items():
            if key in REQUESTED:
                continue
            if images.ndim == 4:
                images = crop(images, self.side * images.shape[-1] // self.storage_size, corners)
                images = torch.where(mirror, images.flip(-1), images) if self.flip else images
            made[key] = images
        return self.to_batch(made, batch.get("random_params"))

    def to_batch(self, batch: Batch, draws: Tensor | None) -> Batch:
        """A whole batch of what was cut.

        Args:
            batch: uint8 images.
            draws: (N, 4) in [0, 1), what is random in it.

        Returns:
            Floats in [-1, 1]; sources that are not there are made of the targets.
        """
        made = {key: as_floats(images) for key, images in batch.items()}
        if self.degradation is not None:
            draws = torch.full((len(made["target"]), 4), 0.5) if draws is None else draws
            source = self.degradation(made["target"], draws.to(made["target"].device))
            made["source"] = (
                source if source.shape[1] == self.source_channels else source.expand(-1, self.source_channels, -1, -1)
            )
        return made

    # ------------------------------------------------------------------------------ examples

    def setup(self, stage: str) -> None:
        """Load the images, and the examples, before training starts."""
        super().setup(stage)
        self._choose_examples()

    def _choose_examples(self) -> tuple[ImageDataset, str, TranslationData]:
        """The examples, which part they are, and the set that says at which size they are held."""
        if self._examples is None:
            tests = self
            if self.load_size is not None and not self.keeps_scale:
                tests = copy.copy(self)
                tests.load_size = tests._parts = None
            test = tests.load_test()
            if test is not None:
                self._examples = test, "test", tests
            elif self.val_fraction:
                self._examples = self.held_out_images, "held-out", self
            else:
                self._examples = self.train_images, "train", self
        return self._examples

    def held_out(self) -> ImageDataModule:
        """As the base; what is translated stays the same."""
        self._choose_examples()
        return super().held_out()

    @property
    def example_images(self) -> ImageDataset:
        """What pictures and scores translate: the test part, else the held-out images, else the training images."""
        return self._choose_examples()[0]

    @property
    def examples_of(self) -> str:
        """Which part the examples are, in words for score cards: test, held-out or train."""
        return self._choose_examples()[1]

    @property
    def examples_match(self) -> bool:
        """Whether source i of the examples belongs to target i."""
        return getattr(self.example_images, "aligned", self.aligned)

    @property
    def n_examples(self) -> int:
        """Number of examples."""
        return len(self.example_images)

    def examples(self, indices: Sequence[int]) -> Batch:
        """Examples number ``indices``: whole images of ``image_size``, not mirrored, as a batch reaches the module.

        Of super-resolution it is the middle of each, which has the scale of what is trained on.
        """
        images, _, held = self._choose_examples()
        return held._whole(images, indices)

    def training_examples(self, indices: Sequence[int]) -> Batch:
        """Training images number ``indices``, likewise."""
        return self._whole(self.train_images, indices)

    def _whole(self, images: ImageDataset, indices: Sequence[int]) -> Batch:
        batch = images.fetch(torch.tensor(indices, dtype=torch.int64))
        draws = [torch.rand(4, generator=torch.Generator().manual_seed(derive_seed("example", i))) for i in indices]
        return self.to_batch({key: self.fitted(key, images) for key, images in batch.items()}, torch.stack(draws))

    def real_images(self, indices: range, batch_size: int) -> Iterator[Tensor]:
        """The targets number ``indices`` of the training images, by batch.

        Yields:
            (N, channels, image_size, image_size) uint8.
        """
        for start in range(0, len(indices), batch_size):
            index = torch.tensor(indices[start : start + batch_size])
            yield self.fitted("target", self.train_images.fetch(index)["target"])

    def fitted(self, key: str, images: Tensor) -> Tensor:
        """Images as they are held, at the size that examples have.

        Args:
            key: What a batch calls them.
            images: (N, C, H, W) uint8.

        Returns:
            The same, reduced; their middle where the scale is kept.
        """
        side = self.side * images.shape[-1] // self.storage_size
        if images.ndim < 4 or side == images.shape[-1]:
            return images
        if self.keeps_scale:
            return crop(images, side, torch.full((len(images), 2), 0.5))
        if key in self.label_keys:
            return F.interpolate(images, (side, side), mode="nearest-exact")
        return resize(images, side)


def crop(images: Tensor, side: int, corners: Tensor) -> Tensor:
    """Square pieces of images, each from its own place; without a word to the host.

    Args:
        images: (N, C, H, W).
        side: Of the pieces.
        corners: (N, 2) in [0, 1): how far down and to the right of all possible places.

    Returns:
        (N, C, side, side).
    """
    n, channels, height, width = images.shape
    if (height, width) == (side, side):
        return images
    room = torch.tensor([height - side + 1, width - side + 1], device=images.device)
    first = (corners.to(images.device) * room).long()
    steps = torch.arange(side, device=images.device)
    rows = (first[:, :1] + steps)[:, None, :, None].expand(n, channels, side, width)
    columns = (first[:, 1:] + steps)[:, None, None, :].expand(n, channels, side, side)
    return images.gather(2, rows).gather(3, columns)


def as_floats(images: Tensor) -> Tensor:
    """uint8 to floats in [-1, 1]; anything else as it is."""
    return images.float().div(127.5).sub(1) if images.dtype == torch.uint8 else images

"""Cut and mirror both sides of pairs alike, and make sources of targets, on the device."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.data.datasets import REQUESTED, Batch
from lightning_gans.data.options import PairOptions
from lightning_gans.data.resize import resize
from lightning_gans.data.transforms import Transform, scaled
from lightning_gans.data.translation.degradations import Degradation
from lightning_gans.images.size import Size, height_width


class PairTransform(Transform):
    """Turn stored pairs into batches of ``source`` (N, source_channels, H, W) and ``target`` (N, channels, H, W).

    Args:
        image_size: Of the target, a side or [height, width].
        channels: Of the target.
        source_channels: Of the source.
        load_size: Store images at this size and cut pieces of ``image_size`` out at random places; ``None``:
            ``image_size``, nothing is cut. Test images are stored at ``image_size``, unless ``keeps_scale``.
        flip: Mirror half of the pairs.
        degradation: Makes the sources of the targets; ``None``: the set has both.
        num_labels: Sources are label maps of so many classes, which batches have one-hot; ``None``: they are images.
        instance: Batches have instance maps too, ``instance`` (N, 1, H, W) int64.
        keeps_scale: Evaluate the middle of what is stored in place of the reduced whole; always so with a degradation
            that makes sources smaller, since super-resolution must keep the scale of its pixels.

    Raises:
        ValueError: A value out of range.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        source_channels: PositiveInt,
        load_size: Size | None = None,
        flip: bool = False,
        degradation: Degradation | None = None,
        num_labels: int | None = None,
        instance: bool = False,
        keeps_scale: bool = False,
    ) -> None:
        self.size, self.source_channels, self.flip = height_width(image_size), source_channels, flip
        self.storage_size = self.size if load_size is None else height_width(load_size, "data.load_size")
        if self.storage_size[0] < self.size[0] or self.storage_size[1] < self.size[1]:
            raise ConfigError("data.load_size", load_size, f"must be >= data.image_size={image_size}, or null")
        self.degradation, self.num_labels = degradation, num_labels
        if degradation is not None:
            degradation.check(self.size, channels, source_channels)
            self.factor = degradation.factor
        self.keeps_scale = keeps_scale or self.factor > 1
        self.label_keys = frozenset({"instance"} if num_labels is None else {"source", "instance"})
        height, width = (side // self.factor for side in self.size)
        self.shapes = {"source": (source_channels, height, width), "target": (channels, *self.size)}
        if instance:
            self.shapes["instance"] = (1, *self.size)

    def __call__(self, batch: Batch) -> Batch:
        """Return a training batch whose sides are cut and mirrored alike."""
        hflip, offsets = batch["hflip"][:, None, None, None], batch["crop_offsets"]
        made = {}
        for key, images in batch.items():
            if key in REQUESTED:
                continue
            if images.ndim == 4:
                images = crop(images, self._size_of(images), offsets)
                images = torch.where(hflip, images.flip(-1), images) if self.flip else images
            made[key] = images
        return self._to_batch(made, batch.get("random_params"))

    def whole(self, batch: Batch, random_params: Tensor) -> Batch:
        """Return whole images at their size; where the scale is kept, the middle of each."""
        return self._to_batch({key: self.resized(key, images) for key, images in batch.items()}, random_params)

    def resized(self, key: str, images: Tensor) -> Tensor:
        """Return stored images (N, C, H, W) at the size of evaluation; values of label maps are not mixed.

        Args:
            key: Of the batch.
            images: (N, C, H, W) uint8.
        """
        if images.ndim < 4 or (size := self._size_of(images)) == tuple(images.shape[-2:]):
            return images
        if self.keeps_scale:
            return crop(images, size, torch.full((len(images), 2), 0.5))
        return F.interpolate(images, size, mode="nearest-exact") if key in self.label_keys else resize(images, size)

    def for_tests(self) -> PairTransform:
        """Return the transform of test images, stored at ``image_size`` unless the scale is kept."""
        if self.keeps_scale or self.storage_size == self.size:
            return self
        other = copy.copy(self)
        other.storage_size = self.size
        return other

    def _size_of(self, images: Tensor) -> tuple[int, int]:
        """Return the size of pieces of stored images, which may be stored smaller than targets are."""
        height, width = (
            side * stored // whole
            for side, stored, whole in zip(self.size, images.shape[-2:], self.storage_size, strict=True)
        )
        return height, width

    def _to_batch(self, batch: Batch, random_params: Tensor | None) -> Batch:
        """Return floats in [-1, 1]; label maps one-hot, numbers of instances as they are, sources made if need be."""
        made: Batch = {}
        if self.num_labels is not None:
            classes = torch.arange(self.num_labels, device=batch["source"].device)[:, None, None]
            made["source"] = (batch["source"] == classes).float()  # (N, num_labels, H, W)
        if "instance" in batch:
            made["instance"] = from_two_bytes(batch["instance"])
        made = {**{key: scaled(images) for key, images in batch.items() if key not in made}, **made}
        if self.degradation is not None:
            target = made["target"]
            random_params = torch.full((len(target), 4), 0.5) if random_params is None else random_params
            source = self.degradation(target, random_params.to(target.device))
            made["source"] = (
                source if source.shape[1] == self.source_channels else source.expand(-1, self.source_channels, -1, -1)
            )
        return made


def pair_transform(
    options: PairOptions,
    degradation: Degradation | None = None,
    *,
    num_labels: int | None = None,
    instance: bool = False,
    resize: str | None = None,
) -> PairTransform:
    """Return the transform that the options of a set of pairs ask for.

    Args:
        options: Of the set.
        degradation: See ``PairTransform``.
        num_labels: See ``PairTransform``.
        instance: See ``PairTransform``.
        resize: How files are resized; ``native`` keeps their scale.

    Raises:
        ValueError: A value out of range.
    """
    image_size = options["image_size"]
    if image_size is None:
        raise ConfigError("data.image_size", None, "must be >= 1")
    return PairTransform(
        image_size=image_size,
        channels=options["channels"],
        source_channels=options["source_channels"],
        load_size=options.get("load_size"),
        flip=options.get("flip", False),
        degradation=degradation,
        num_labels=num_labels,
        instance=instance,
        keeps_scale=resize == "native",
    )


def crop(images: Tensor, size: tuple[int, int], offsets: Tensor) -> Tensor:
    """Cut a piece out of each image at its own place, without waiting for the device.

    Args:
        images: (N, C, H, W).
        size: Height and width of the pieces.
        offsets: (N, 2) in [0, 1): 0 is the top or left end, 1 the other.

    Returns:
        (N, C, *size).
    """
    n, channels, height, width = images.shape
    if (height, width) == size:
        return images
    room = torch.tensor([height - size[0] + 1, width - size[1] + 1], device=images.device)
    first = (offsets.to(images.device) * room).long()
    steps = [torch.arange(side, device=images.device) for side in size]
    rows = (first[:, :1] + steps[0])[:, None, :, None].expand(n, channels, size[0], width)
    columns = (first[:, 1:] + steps[1])[:, None, None, :].expand(n, channels, *size)
    return images.gather(2, rows).gather(3, columns)


def from_two_bytes(numbers: Tensor) -> Tensor:
    """Return (N, 2, H, W) uint8, the upper byte first, as (N, 1, H, W) int64."""
    return numbers[:, :1].long() * 256 + numbers[:, 1:].long()

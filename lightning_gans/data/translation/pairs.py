"""Combine two image datasets into pairs, or into two domains drawn independently."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from lightning_gans.data.datasets import Batch, BatchIndices, ImageDataset
from lightning_gans.data.image_source import ImageSource


class Pairs(ImageDataset):
    """Combine two datasets: image i of the one belongs to image i of the other, or to none.

    Args:
        source: Images that are translated.
        target: What they are translated to.
        aligned: Image i of both belong together.

    Raises:
        ValueError: Aligned sets of different lengths.
    """

    def __init__(self, source: ImageDataset, target: ImageDataset, *, aligned: bool = True) -> None:
        if aligned and len(source) != len(target):
            raise ValueError(f"pairs: {len(source)} sources and {len(target)} targets")
        self.source, self.target, self.aligned = source, target, aligned
        self.is_in_memory = source.is_in_memory and target.is_in_memory

    def __len__(self) -> int:
        """Return the number of sources."""
        return len(self.source)

    def fetch(self, index: Tensor, partners: Tensor | None = None) -> Batch:
        """Return ``source`` and ``target`` (N, C, H, W); without ``partners`` target i beside source i."""
        partners = index % len(self.target) if partners is None else partners
        return {"source": self.source.fetch(index)["image"], "target": self.target.fetch(partners)["image"]}

    def get_batch(self, request: BatchIndices) -> Batch:
        """Return the sources of a request and the targets beside them."""
        return self.fetch(request.indices, request.target_indices)

    def on(self, device: torch.device) -> ImageDataset:
        """Return the same pairs, both sides on a device."""
        return Pairs(self.source.on(device), self.target.on(device), aligned=self.aligned)

    def fingerprint(self) -> str:
        """Hash the targets, which scores compare with."""
        return hashlib.blake2b(f"target {self.target.fingerprint()}".encode(), digest_size=16).hexdigest()


class ChannelConcat(ImageDataset):
    """Split images whose channels hold both sides of a pair, and maps that belong to them.

    Args:
        whole: The images.
        channels: Of each side, by its key in a batch.
    """

    def __init__(self, whole: ImageDataset, **channels: int) -> None:
        self.whole, self.channels, self.is_in_memory = whole, channels, whole.is_in_memory

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.whole)

    def fetch(self, index: Tensor) -> Batch:
        """Return ``source``, ``target`` and maps, (N, C, H, W) each."""
        sides = torch.split(self.whole.fetch(index)["image"], list(self.channels.values()), 1)
        return {key: side.contiguous() for key, side in zip(self.channels, sides, strict=True)}

    def fingerprint(self) -> str:
        """Hash both sides."""
        return self.whole.fingerprint()


class Targets(ImageDataset):
    """Provide targets alone, whose sources are made of them on the device.

    Args:
        target: The images.
    """

    def __init__(self, target: ImageDataset) -> None:
        self.target, self.is_in_memory = target, target.is_in_memory

    def __len__(self) -> int:
        """Return the number of targets."""
        return len(self.target)

    def fetch(self, index: Tensor) -> Batch:
        """Return ``target`` (N, C, H, W) uint8."""
        return {"target": self.target.fetch(index)["image"]}

    def fingerprint(self) -> str:
        """Hash the targets."""
        return self.target.fingerprint()


def hold_out_domains(
    source: ImageSource, whole: ImageDataset, fraction: float, seed: int
) -> tuple[ImageDataset, ImageDataset]:
    """Split each of two domains into the images to train on and the share that training never sees.

    Args:
        source: Of the set.
        whole: Its ``Pairs``.
        fraction: Share of the second part, in (0, 1).
        seed: Seed of the choice.
    """
    assert isinstance(whole, Pairs)
    sides = [ImageSource.hold_out(source, side, fraction, seed) for side in (whole.source, whole.target)]
    train, val = (Pairs(*side, aligned=False) for side in zip(*sides, strict=True))
    return train, val

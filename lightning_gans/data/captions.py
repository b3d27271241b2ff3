"""Hold what is said of pictures: captions by number, and image sets that have them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_gans.data.datasets import Batch, ImageDataset

NONE = -1  # in the place of a caption, where a picture has fewer than others


class Captions(NamedTuple):
    """Number the captions of N pictures.

    Attributes:
        texts: The M different captions.
        numbers: (N, K) int64, those of each picture, then ``NONE``.
    """

    texts: Sequence[str]
    numbers: Tensor


def number_captions(pictures: Sequence[Sequence[str]]) -> Captions:
    """Number the captions of pictures; those that are said of several have one number.

    Args:
        pictures: Captions of each picture, one at least.
    """
    known: dict[str, int] = {}
    rows = [list(dict.fromkeys(known.setdefault(text, len(known)) for text in texts)) for texts in pictures]
    numbers = torch.full((len(rows), max(map(len, rows), default=1)), NONE)
    for row, found in zip(numbers, rows, strict=True):
        row[: len(found)] = torch.tensor(found)
    return Captions(list(known), numbers)


class CaptionedImages(ImageDataset):
    """Give pictures with the numbers of their captions, and their classes and attributes if they have them.

    Args:
        rows: Pictures whose ``label`` is their row in what follows.
        captions: Of each row.
        labels: (N,) int64, class of each row, or ``None``.
        attributes: (N, A) int64, or ``None``.
        classes: Names of the classes.
    """

    def __init__(
        self,
        rows: ImageDataset,
        captions: Captions,
        labels: Tensor | None = None,
        attributes: Tensor | None = None,
        classes: list[str] | None = None,
    ) -> None:
        self.rows, self.texts, self.classes = rows, captions.texts, classes
        self.is_in_memory = rows.is_in_memory
        self.columns = {"caption": captions.numbers}
        self.columns |= {} if labels is None else {"label": labels}
        self.attributes = attributes

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.rows)

    def fetch(self, index: Tensor) -> Batch:
        """Return ``image`` (N, C, H, W) uint8, ``caption`` (N, K) int64 and, where there are classes, ``label``."""
        batch = self.rows.fetch(index)
        return {"image": batch["image"], **{key: column[batch["label"]] for key, column in self.columns.items()}}

    def entries(self, key: str) -> Tensor | None:
        """Return captions (N, K) as ``caption``, classes (N,) as ``label`` and ``attributes`` (N, A)."""
        column = self.attributes if key == "attributes" else self.columns.get(key)
        rows = self.rows.entries("label")
        return None if column is None or rows is None else column[rows]

    def resized(self, resolution: int | None) -> ImageDataset:
        """Return this set with smaller pictures."""
        return self._with(self.rows.resized(resolution))

    def on(self, device: torch.device) -> ImageDataset:
        """Return this set with its pictures, and what is said of them, on a device."""
        other = self._with(self.rows.on(device))
        place = other.rows.fetch(torch.tensor([0]))["label"].device  # the CPU still, if they do not fit
        other.columns = {key: column.to(place) for key, column in self.columns.items()}
        return other

    def _with(self, rows: ImageDataset) -> CaptionedImages:
        other = copy.copy(self)
        other.rows = rows
        return other

    def fingerprint(self) -> str:
        """Return the hash of the pictures, which scores compare with."""
        return self.rows.fingerprint()


def captions_of(images: ImageDataset) -> Captions | None:
    """Return the captions of a set; ``None`` if it has none."""
    numbers = images.entries("caption")
    return None if numbers is None or not images.texts else Captions(images.texts, numbers)


def shared(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return which rows have a caption in common: (N, M) bool.

    Args:
        ours: (N, K) int64, numbers of captions or ``NONE``.
        theirs: (M, L) int64, likewise.
    """
    same = ours[:, None, :, None] == theirs[None, :, None, :]  # (N, M, K, L)
    return (same & (ours != NONE)[:, None, :, None]).flatten(2).any(2)

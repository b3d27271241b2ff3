"""Patches of scikit-learn's two sample photographs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.translation.base import Targets, TranslationData
from lightning_gans.data.translation.degradations import Downscale, ToGray, check_channels, check_factor, grey
from lightning_gans.runtime.seeding import derive_seed

FOR_TESTS = (240, 400)  # columns of the 640 of each photograph that training never sees
N_PATCHES = 2000
PLAIN = 10.0  # standard deviation of grey levels (0 to 255) below which a patch has nothing to show: sky, say


class Patches(TranslationData):
    """Patches of the temple and the flower that scikit-learn embeds (427x640, RGB), and what is made of them.

    2,000 patches to train on, at random places left and right of a strip of 160 columns; test patches lie in the strip,
    half a patch apart. Patches of sky and dark are left out.

    Args:
        **options: See ``TranslationData``.

    Raises:
        ValueError: A value out of range.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        largest = FOR_TESTS[1] - FOR_TESTS[0]
        if self.storage_size > largest:
            key = "image_size" if self.load_size is None else "load_size"
            raise ValueError(f"data.{key}={self.storage_size}: must be <= {largest}, the width that is kept for tests")
        if self.channels not in (1, 3):
            raise ValueError(f"data.channels={self.channels}: must be 1 or 3")
        self.part = f"photographs without columns {FOR_TESTS[0]} to {FOR_TESTS[1]}"

    def load(self) -> Targets:
        """Patches beside the strip."""
        return Targets(InMemoryImages(_training_patches(self)))

    def load_test(self) -> Targets:
        """Patches of the strip."""
        return Targets(InMemoryImages(_test_patches(self)))


class PhotoPatches(Patches):
    """Small pictures to large ones: patches of two photographs.

    Args:
        factor: Side of a target divided by that of its source: 2, 4 or 8.
        **options: See ``Patches``.

    Raises:
        ValueError: A value out of range.
    """

    def __init__(self, *, factor: int = 4, **options: Any) -> None:
        super().__init__(**options)
        check_channels(self.source_channels, self.channels)
        self.factor = check_factor(factor, self.side)
        self.degradation = Downscale(factor)


class PhotoColors(Patches):
    """Brightness to colour: patches of two photographs.

    Args:
        **options: See ``Patches``; ``source_channels`` is 1, or 3 for the same in each.

    Raises:
        ValueError: A value out of range.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        check_channels(self.source_channels, 1, 3)
        self.degradation = ToGray()


def _photographs(channels: int) -> list[Tensor]:
    """Temple and flower, (C, 427, 640) uint8."""
    from sklearn.datasets import load_sample_images

    found = [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in load_sample_images().images]
    if channels == 3:
        return found
    return [grey(image[None].float())[0].round().to(torch.uint8) for image in found]


def _training_patches(data: TranslationData) -> Tensor:
    """(N, C, S, S) uint8."""
    side, rng = data.storage_size, torch.Generator().manual_seed(derive_seed("photo patches", data.storage_size))
    sides = [
        part
        for photo in _photographs(data.channels)
        for part in (photo[..., : FOR_TESTS[0]], photo[..., FOR_TESTS[1] :])
    ]
    patches: list[Tensor] = []
    while len(patches) < min(N_PATCHES, data.limit or N_PATCHES):
        which, y, x = torch.rand(3, generator=rng).tolist()
        part = sides[int(which * len(sides))]
        top, left = int(y * (part.shape[1] - side + 1)), int(x * (part.shape[2] - side + 1))
        patch = part[:, top : top + side, left : left + side]
        if _shows_something(patch):
            patches.append(patch)
    return torch.stack(patches)


def _test_patches(data: TranslationData) -> Tensor:
    """(N, C, S, S) uint8, in a shuffled order that never changes."""
    side, step = data.storage_size, max(1, data.storage_size // 2)
    strips = [photo[..., slice(*FOR_TESTS)] for photo in _photographs(data.channels)]
    pieces = [strip.unfold(1, side, step).unfold(2, side, step).permute(1, 2, 0, 3, 4) for strip in strips]
    patches = [patch for piece in pieces for patch in piece.flatten(0, 1) if _shows_something(patch)]
    order = torch.randperm(len(patches), generator=torch.Generator().manual_seed(derive_seed("test patches")))
    return torch.stack([patches[i] for i in order[: data.limit].tolist()])


def _shows_something(patch: Tensor) -> bool:
    return float(patch.float().std((1, 2)).max()) >= PLAIN

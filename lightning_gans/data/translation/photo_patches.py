"""Provide patches of scikit-learn's two sample photographs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import PairOptions, shared_options
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.translation.degradations import Downscale, Factor, ToGray, grey
from lightning_gans.data.translation.pair_transform import pair_transform
from lightning_gans.data.translation.pairs import Targets
from lightning_gans.images.size import height_width
from lightning_gans.runtime.seeding import derive_seed

HEIGHT = 427  # of each photograph
FOR_TESTS = (240, 400)  # columns of the 640 of each photograph that training never sees
N_PATCHES = 2000
PLAIN = 10.0  # standard deviation of grey levels (0 to 255) below which a patch has nothing to show: sky, say


class PhotoPatches(ImageDataModule):
    """Provide pairs for super-resolution: patches of two photographs, reduced and whole.

    Args:
        factor: Side of a target divided by that of its source: 2, 4 or 8.
        **options: See ``ImageDataModule`` and ``PairTransform``.

    Raises:
        ValueError: A value out of range.
    """

    @checked
    def __init__(self, *, factor: Factor = 4, **options: Unpack[PairOptions]) -> None:
        transform = pair_transform(options, Downscale(factor))
        super().__init__(source=PatchSource(), transform=transform, **shared_options(options))
        _check_size(options)


class PhotoColors(ImageDataModule):
    """Provide pairs for colourization: the brightness of patches of two photographs, and the patches.

    Args:
        **options: See ``ImageDataModule`` and ``PairTransform``; ``source_channels`` is 1, or 3 for the same in each.

    Raises:
        ValueError: A value out of range.
    """

    @checked
    def __init__(self, **options: Unpack[PairOptions]) -> None:
        transform = pair_transform(options, ToGray())
        super().__init__(source=PatchSource(), transform=transform, **shared_options(options))
        _check_size(options)


class PatchSource(ImageSource):
    """Give patches of the temple and the flower that scikit-learn embeds (427x640, RGB).

    2,000 patches to train on, at random places left and right of a strip of 160 columns; test patches are in the strip,
    half a patch apart. Patches of sky and dark are left out.
    """

    split = f"photographs without columns {FOR_TESTS[0]} to {FOR_TESTS[1]}"

    def check(self, spec: ImageSpec) -> None:
        """Refuse other channels than grey and RGB."""
        if spec.channels not in (1, 3):
            raise ConfigError("data.channels", spec.channels, "must be 1 or 3")

    def load(self, spec: ImageSpec) -> Targets:
        """Return patches beside the strip."""
        return Targets(InMemoryImages(_training_patches(spec)))

    def load_test(self, spec: ImageSpec) -> Targets:
        """Return patches of the strip."""
        return Targets(InMemoryImages(_test_patches(spec)))


def _check_size(options: PairOptions) -> None:
    """Refuse patches that are larger than the strip that is kept for tests."""
    load_size = options.get("load_size")
    key, size = ("image_size", options["image_size"]) if load_size is None else ("load_size", load_size)
    height, width = height_width(size or 1)
    largest = FOR_TESTS[1] - FOR_TESTS[0]
    if width > largest:
        raise ConfigError(f"data.{key}", size, f"must be <= {largest}, the width that is kept for tests")
    if height > HEIGHT:
        raise ConfigError(f"data.{key}", size, f"must be <= {HEIGHT}, the height of the photographs")


def _photographs(channels: int) -> list[Tensor]:
    """Return temple and flower, (C, 427, 640) uint8."""
    from sklearn.datasets import load_sample_images

    found = [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in load_sample_images().images]
    if channels == 3:
        return found
    return [grey(image[None].float())[0].round().to(torch.uint8) for image in found]


def _training_patches(spec: ImageSpec) -> Tensor:
    """Return patches (N, C, H, W) uint8."""
    height, width = spec.size
    seeds = (height,) if height == width else spec.size
    rng = torch.Generator().manual_seed(derive_seed("photo patches", *seeds))
    areas = [
        area
        for photo in _photographs(spec.channels)
        for area in (photo[..., : FOR_TESTS[0]], photo[..., FOR_TESTS[1] :])
    ]
    patches: list[Tensor] = []
    while len(patches) < min(N_PATCHES, spec.max_images or N_PATCHES):
        which, y, x = torch.rand(3, generator=rng).tolist()
        area = areas[int(which * len(areas))]
        top, left = int(y * (area.shape[1] - height + 1)), int(x * (area.shape[2] - width + 1))
        patch = area[:, top : top + height, left : left + width]
        if _shows_something(patch):
            patches.append(patch)
    return torch.stack(patches)


def _test_patches(spec: ImageSpec) -> Tensor:
    """Return patches (N, C, H, W) uint8 in a shuffled order that never changes."""
    height, width = spec.size
    strips = [photo[..., slice(*FOR_TESTS)] for photo in _photographs(spec.channels)]
    pieces = [
        strip.unfold(1, height, max(1, height // 2)).unfold(2, width, max(1, width // 2)).permute(1, 2, 0, 3, 4)
        for strip in strips
    ]
    patches = [patch for piece in pieces for patch in piece.flatten(0, 1) if _shows_something(patch)]
    order = torch.randperm(len(patches), generator=torch.Generator().manual_seed(derive_seed("test patches")))
    return torch.stack([patches[i] for i in order[: spec.max_images].tolist()])


def _shows_something(patch: Tensor) -> bool:
    return float(patch.float().std((1, 2)).max()) >= PLAIN

"""Augmentations of what the discriminator sees."""

from typing import TYPE_CHECKING

from lightning_gans.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from lightning_gans.augment.adaptive import AdaptiveAugment
    from lightning_gans.augment.base import Augmentation
    from lightning_gans.augment.diffaugment import DiffAugment
    from lightning_gans.augment.instance_noise import InstanceNoise
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "AdaptiveAugment",
    "Augmentation",
    "DiffAugment",
    "InstanceNoise",
]

"""Provide scikit-learn's digits in two looks."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import ImageDataset, InMemoryImages
from lightning_gans.data.digits import read_digits
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import PairOptions, shared_options
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import spread
from lightning_gans.data.translation.pair_transform import pair_transform
from lightning_gans.data.translation.pairs import Pairs, hold_out_domains

TEST = 297  # the last of the 1,797 digits
GROUND, INK = (24, 28, 110), (255, 190, 40)  # of the coloured look: dark blue and amber

Look = Literal["coloured", "inverted", "thick"]


class DigitDomains(ImageDataModule):
    """Provide two domains: handwritten digits, and digits in another look. Embedded.

    Training has 750 digits of either domain, none of them in both; the 297 test digits are there in both looks, so that
    a translation can be compared with what it should be.

    Args:
        look: Of the second domain. ``coloured``: amber on dark blue; ``inverted``: black on white; ``thick``: bolder
            strokes.
        **options: See ``ImageDataModule`` and ``PairTransform``.

    Raises:
        ValueError: A value out of range.
    """

    @checked
    def __init__(self, *, look: Look = "coloured", **options: Unpack[PairOptions]) -> None:
        super().__init__(source=DigitDomainsSource(look), transform=pair_transform(options), **shared_options(options))


class DigitDomainsSource(ImageSource):
    """Give digits in two looks.

    Args:
        look: Of the second domain.
    """

    aligned = False

    def __init__(self, look: Look) -> None:
        self.look, self.split = look, f"first 1500 digits, half of them {look}"

    def check(self, spec: ImageSpec) -> None:
        """Refuse colours without three channels."""
        if self.look == "coloured" and spec.channels != 3:
            raise ConfigError("data.channels", spec.channels, "data.look=coloured has 3; must be 3, or another look")

    def load(self, spec: ImageSpec) -> Pairs:
        """Return every other digit as it is, the others in their other look."""
        return self._pairs(spec, slice(0, -TEST, 2), slice(1, -TEST, 2), aligned=False)

    def load_test(self, spec: ImageSpec) -> Pairs:
        """Return the same digits in both looks."""
        return self._pairs(spec, slice(-TEST, None), slice(-TEST, None), aligned=True)

    def hold_out(self, whole: ImageDataset, fraction: float, seed: int) -> tuple[ImageDataset, ImageDataset]:
        """Split each domain."""
        return hold_out_domains(self, whole, fraction, seed)

    def _pairs(self, spec: ImageSpec, sources: slice, targets: slice, *, aligned: bool) -> Pairs:
        whole, labels = read_digits(spec.size)
        digits = [whole[some][spread(len(whole[some]), spec.max_images, labels[some])] for some in (sources, targets)]
        plain = digits[0].repeat(1, spec.source_channels, 1, 1)
        other = dress(digits[1], self.look)
        other = other if other.shape[1] == spec.channels else other.repeat(1, spec.channels, 1, 1)
        return Pairs(InMemoryImages(plain), InMemoryImages(other), aligned=aligned)


def dress(digits: Tensor, look: Look) -> Tensor:
    """Change the look of white digits on black, (N, 1, H, W) uint8; coloured ones are (N, 3, H, W)."""
    if look == "inverted":
        return 255 - digits
    if look == "thick":  # what is faintly grey at the edges of strokes belongs to them, and one pixel more
        wider = F.max_pool2d(digits.float(), 3, stride=1, padding=1)
        return wider.sub(64).mul(4).clamp(0, 255).to(torch.uint8)
    ground, ink = (torch.tensor(colour)[:, None, None] for colour in (GROUND, INK))
    return (ground + (ink - ground) * digits / 255).round().to(torch.uint8)

"""Provide handwritten digits with captions that are made of what is measured on each picture."""

from __future__ import annotations

import copy
import functools
import itertools
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor
from typing_extensions import Unpack

from lightning_gans.config.types import Fraction, checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.captions import CaptionedImages, Captions, number_captions
from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.digits import read_digits
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import DataOptions
from lightning_gans.data.resize import resize
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import spread
from lightning_gans.runtime.seeding import derive_seed

DRAWN = 64  # side that digits are drawn at
WORDS: dict[str, tuple[str, ...]] = {  # of every attribute, in the order of its values
    "digit": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "stroke": ("thin", "thick"),
    "slant": ("leaning left", "upright", "leaning right"),
    "size": ("small", "large"),
    "brightness": ("dim", "bright"),
}
BOUNDS: dict[str, tuple[float, ...]] = {"stroke": (0.185,), "slant": (-0.2, 0.2), "size": (0.8,), "brightness": (0.7,)}
SENTENCES = (
    "a {size} {brightness} {stroke} {digit} {slant}",
    "a {stroke} {digit} {slant}, {size} and {brightness}",
    "the digit {digit}, {brightness}, {slant}, {size} and {stroke}",
    "{size} {digit} in {stroke} {brightness} strokes, {slant}",
    "a {stroke} {digit} {slant}",
    "a {size} {brightness} {digit}",
)


class DigitCaptions(ImageDataModule):
    """Provide scikit-learn's digits, each drawn several times, with captions such as "a thin seven leaning right".

    A drawing is a digit with a stroke, a slant, a size and a brightness of its own, functions of ``seed``. They are
    then measured on the picture (``measure``), and what is measured is what the captions say: four sentences with all
    five attributes, one without size and brightness, one without stroke and slant. A share of the combinations of all
    words is held out: their pictures are the test part, and no picture of training has such a combination.

    Args:
        drawings: Of each digit.
        test_share: Share of the combinations of words whose pictures are the test part.
        **options: See ``ImageDataModule``; ``seed`` also draws the pictures. ``num_classes`` is 10 for labels, which
            are the digits, or ``None``.
    """

    @checked
    def __init__(
        self, *, drawings: Annotated[int, Ge(1)] = 3, test_share: Fraction = 0.15, **options: Unpack[DataOptions]
    ) -> None:
        source = DrawnDigits(drawings, test_share, options.get("seed", 0))
        super().__init__(source=source, **options)

    @property
    def attributes(self) -> dict[str, int]:
        """Return the number of values of each attribute."""
        return {name: len(words) for name, words in WORDS.items()}

    def val(self) -> ImageDataModule:
        """Return this set with what was held out, or else the test part, in the place of the training images."""
        if self.val_fraction:
            return super().val()
        other, test = copy.copy(self), self.source.load_test(self.spec)
        assert test is not None
        other._splits, other.split = (test, None), f"test part of {self.split}"
        return other


class DrawnDigits(ImageSource):
    """Draw the digits and say what they look like.

    Args:
        drawings: Of each digit.
        test_share: Share of the combinations of words that are held out.
        seed: Of everything drawn.
    """

    def __init__(self, drawings: int, test_share: float, seed: int) -> None:
        self.drawings, self.test_share, self.seed = drawings, test_share, seed

    def load(self, spec: ImageSpec) -> CaptionedImages:
        """Draw the pictures of training."""
        return self._part(spec, is_test=False)

    def load_test(self, spec: ImageSpec) -> CaptionedImages | None:
        """Draw the pictures whose combination of words is held out; ``None`` if there are none."""
        test = self._part(spec, is_test=True)
        return test if len(test) else None

    def _part(self, spec: ImageSpec, *, is_test: bool) -> CaptionedImages:
        pictures, digits = draw(self.drawings, self.seed, spec.size)
        attributes = attributes_of(pictures, digits)
        held = held_out(self.test_share, self.seed)[tuple(attributes.T)]
        chosen = (held if is_test else ~held).nonzero()[:, 0]
        chosen = chosen[spread(len(chosen), spec.max_images, digits[chosen])]
        labels = digits[chosen] if spec.num_classes else None
        images = InMemoryImages(pictures[chosen].repeat(1, spec.channels, 1, 1), torch.arange(len(chosen)))
        captions = caption_all(attributes[chosen])
        return CaptionedImages(
            images, captions, labels, attributes[chosen], list(WORDS["digit"]) if labels is not None else None
        )


def caption_all(attributes: Tensor) -> Captions:
    """Return the captions of pictures with attributes (N, 5) int64, every sentence in turn."""
    return number_captions([sentences(row) for row in attributes.tolist()])


def sentences(values: list[int]) -> list[str]:
    """Return all that is said of a picture with these values of the attributes."""
    words = {name: choices[value] for (name, choices), value in zip(WORDS.items(), values, strict=True)}
    said = [sentence.format(**words) for sentence in SENTENCES]
    return [text.replace("a eight", "an eight") for text in said]


def held_out(share: float, seed: int) -> Tensor:
    """Return which combinations of values are held out, bool by the values of all attributes.

    Args:
        share: Of the combinations.
        seed: Of the choice.
    """
    sizes = [len(words) for words in WORDS.values()]
    found = torch.zeros(sizes, dtype=torch.bool)
    for values in itertools.product(*map(range, sizes)):
        found[values] = derive_seed("held out words", seed, *values) / 2**63 < share
    return found


@functools.lru_cache(maxsize=2)  # both parts of a set are of one
def draw(drawings: int, seed: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Draw every digit several times, with a stroke, slant, size and brightness that are drawn by ``seed``.

    Returns:
        Pictures (N, 1, *size) uint8 and their digits (N,) int64.
    """
    whole, digits = read_digits((DRAWN, DRAWN))
    whole, digits = whole.repeat(drawings, 1, 1, 1).float() / 255, digits.repeat(drawings)
    n, rng = len(whole), torch.Generator().manual_seed(derive_seed("drawn digits", seed))

    def pick(*values: float, spread_by: float) -> Tensor:  # (N,) one of the values, give or take
        middle = torch.tensor(values)[torch.randint(len(values), (n,), generator=rng)]
        return middle + spread_by * (2 * torch.rand(n, generator=rng) - 1)

    pen, shear = pick(0.64, 0.25, spread_by=0.04), pick(-0.42, 0.0, 0.42, spread_by=0.1)
    scale, light = pick(0.62, 0.95, spread_by=0.04), pick(0.45, 0.95, spread_by=0.05)
    shear = shear - measure(whole)["slant"].float()
    rows = torch.stack([1 / scale, shear / scale, torch.zeros(n)], 1), torch.stack([0 * scale, 1 / scale, 0 * scale], 1)
    where = F.affine_grid(torch.stack(rows, 1), [n, 1, DRAWN, DRAWN], align_corners=False)
    sheared = F.grid_sample(whole, where, align_corners=False)
    inked = ((sheared - pen.view(-1, 1, 1, 1)) * 4 + 0.5).clamp(0, 1) * light.view(-1, 1, 1, 1)
    return resize(inked.mul(255).round().to(torch.uint8), size), digits


def measure(pictures: Tensor) -> dict[str, Tensor]:
    """Measure white ink on black.

    Args:
        pictures: (N, 1, H, W), from 0 to 1.

    Returns:
        (N,) each: ``stroke``, twice the ink's area over its total variation, which is its width, over its height;
        ``slant``, the shear to the right in the ink's second moments; ``size``, the share of rows with ink;
        ``brightness``, the largest value.
    """
    ink = pictures[:, 0].double()
    height, width = ink.shape[1:]
    top = ink.amax((1, 2)).clamp(min=1e-6)
    ink = ink / top[:, None, None]
    area = ink.sum((1, 2))
    down, right = torch.arange(height).double()[:, None], torch.arange(width).double()[None]
    from_top = down - ((ink * down).sum((1, 2)) / area)[:, None, None]
    from_left = right - ((ink * right).sum((1, 2)) / area)[:, None, None]
    slant = -(ink * from_left * from_top).sum((1, 2)) / (ink * from_top.square()).sum((1, 2))
    rows = (ink.amax(2) > 0.5).sum(1)
    framed = F.pad(ink, (1, 1, 1, 1))
    across, along = framed.diff(dim=2)[:, 1:], framed.diff(dim=1)[:, :, 1:]
    variation = (across.square() + along.square()).sqrt().sum((1, 2))
    stroke = 2 * area / variation / rows
    return {"stroke": stroke, "slant": slant, "size": rows / height, "brightness": top}


def attributes_of(pictures: Tensor, digits: Tensor) -> Tensor:
    """Return the value of each attribute (N, 5) int64, in the order of ``WORDS``, of pictures (N, 1, H, W) uint8."""
    measured = measure(pictures.float() / 255)
    found = [
        torch.bucketize(measured[name], torch.tensor(bounds, dtype=torch.float64)) for name, bounds in BOUNDS.items()
    ]
    return torch.stack([digits, *found], 1)

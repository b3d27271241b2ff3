"""Provide cartoon faces whose attributes are known, drawn on this machine."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import TypedDict, Unpack

from lightning_gans.avatars.cache import Face, render
from lightning_gans.avatars.captions import caption, is_said
from lightning_gans.avatars.identities import Part, Population
from lightning_gans.avatars.parts import (
    ATTRIBUTES,
    Avatar,
    Expressions,
    Label,
    Parts,
    class_count,
    class_names,
    class_number,
    kinds,
)
from lightning_gans.avatars.render import Kind, is_installed
from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import Fraction, PositiveInt, checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.captions import number_captions
from lightning_gans.data.datasets import Batch, ImageDataset, InMemoryImages, Subset
from lightning_gans.data.downloads import luminance
from lightning_gans.data.image_source import ImageSource, val_count
from lightning_gans.data.options import DataOptions, select, shared_options
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import spread
from lightning_gans.runtime.seeding import derive_seed

SIZES = (8, 512)  # smallest and largest side
WORDINGS = 2  # captions of a face
TEST_SHARE = 5  # identities of training for one of the test part


class FaceOptions(TypedDict, total=False):
    """Declare the options of every set of faces, beside ``identities``.

    ``expressions_per_identity`` (16) faces of each identity; ``parts``: ``avataaars``, the original artwork, with 1,872
    expressions, or ``all``, with those that came later and 2,028; ``expressions``: ``all`` of them, or the eight
    ``named`` ones: neutral, happy, sad, ...; ``pose`` (0): turn, shift and scale faces at random, with a strength up
    to 1.
    """

    expressions_per_identity: PositiveInt
    parts: Parts
    expressions: Expressions
    pose: Fraction


class AvatarOptions(DataOptions, FaceOptions, total=False):
    """Declare the options of avatars; see ``FaceOptions`` and ``ImageDataModule``."""


class Avatars(ImageDataModule):
    """Provide faces of identities, each with several expressions; drawn once and kept in the user's cache folder.

    An identity has skin, hair or a hat, perhaps glasses and a beard, a nose and clothes; an expression is brows, eyes
    and a mouth. Face i is a function of ``seed`` and i. The artwork is Avataaars by Pablo Stanley.

    A test part of a fifth as many identities, none of which is in training, stands in where nothing is held out by
    ``val_fraction``, which takes whole identities too.

    Args:
        identities: Number of identities to train on.
        labels: What ``label`` is: ``expression``, ``glasses``, ``hair``, ...; ``None``: there is none.
        **options: See ``FaceOptions`` and ``ImageDataModule``; ``seed`` also draws the faces.

    Raises:
        ValueError: A value out of range, or the extra ``avatars`` is not installed.
    """

    @checked
    def __init__(
        self,
        *,
        identities: PositiveInt = 500,
        labels: Label | None = None,
        **options: Unpack[AvatarOptions],
    ) -> None:
        faces = faces_of(select(options, FaceOptions), identities, options.get("seed", 0))
        super().__init__(source=AvatarsSource(faces, labels), **shared_options(options))
        self.parts: Parts = faces.population.parts

    @property
    def attributes(self) -> dict[str, int]:
        """Return the number of classes of each of an avatar's attributes."""
        return {name: len(kinds(name, self.parts)) for name in ATTRIBUTES}

    def val(self) -> ImageDataModule:
        """Return this set with what was held out, or else the test part, in the place of the training images."""
        if self.val_fraction:
            return super().val()
        other, test = copy.copy(self), self.source.load_test(self.spec)
        assert test is not None
        other._splits, other.split = (test, None), f"test part of {self.split}"
        return other


class Faces:
    """Number the faces of a set and draw those that are asked for.

    Args:
        population: Draws them.
        identities: Number of identities to train on.

    Raises:
        ConfigError: The packages that draw are not installed.
    """

    def __init__(self, population: Population, identities: int) -> None:
        if not is_installed():
            rule = 'needs python-avatars and resvg-py: pip install "lightning_gans[avatars]"'
            raise ConfigError("data", "avatars", rule)
        self.population, self.identities = population, identities

    @property
    def description(self) -> str:
        """Describe the faces of training for score cards."""
        drawn = self.population
        return f"{self.identities:,} identities x {drawn.expressions_per_identity} faces by seed {drawn.seed}"

    def avatars(self, part: Part) -> list[Avatar]:
        """Return the attributes of all faces of a part."""
        identities = self.identities if part == "train" else -(-self.identities // TEST_SHARE)
        return [self.population.avatar(i, part) for i in range(identities * self.population.expressions_per_identity)]

    def images(
        self, kind: Kind, avatars: Sequence[Avatar], numbers: Tensor, part: Part, size: int, channels: int
    ) -> FaceImages:
        """Draw faces, or read them from the cache.

        Args:
            kind: ``picture`` or ``drawing``.
            avatars: What is drawn.
            numbers: (N,) int64, of the faces, which their poses follow.
            part: Of the faces.
            size: Side in pixels.
            channels: 3, or 1 for grey.
        """
        poses = [self.population.place(number, part) for number in numbers.tolist()]
        made = torch.from_numpy(render([Face(*both) for both in zip(avatars, poses, strict=True)], kind, size))
        pixels = luminance(made) if made.shape[1] > channels else made.expand(-1, channels, -1, -1).contiguous()
        identities = numbers // self.population.expressions_per_identity
        return FaceImages(pixels, None, avatars, identities, self.population.seed)


def faces_of(options: FaceOptions, identities: int, seed: int) -> Faces:
    """Return the faces that the options of a set ask for.

    Args:
        options: Of the set.
        identities: Number of identities to train on.
        seed: Of everything drawn.
    """
    return Faces(Population(seed=seed, **options), identities)


class FaceImages(InMemoryImages):
    """Hold faces with their attributes.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64, or ``None``.
        avatars: Of the N faces, for captions.
        identities: (N,) int64, number of each one's identity; ``entries("identity")`` has them too.
        seed: Of the captions' wordings.
    """

    def __init__(
        self, images: Tensor, labels: Tensor | None, avatars: Sequence[Avatar], identities: Tensor, seed: int = 0
    ) -> None:
        super().__init__(images, labels)
        self.avatars, self.identities = avatars, identities
        captions = number_captions([[caption(one, seed + i) for i in range(WORDINGS)] for one in avatars])
        self.texts, self.captions = captions

    def fetch(self, index: Tensor) -> Batch:
        """Index the images, their labels, and the numbers of their captions (N, 2) as ``caption``."""
        return {**super().fetch(index), "caption": self.captions[index]}

    def entries(self, key: str) -> Tensor | None:
        """Return ``label``, ``identity`` (N,), ``caption`` (N, 2) or all ``attributes`` (N, 13), int64.

        ``said`` (N, 13) bool is which of the attributes captions tell.
        """
        if key == "caption":
            return self.captions
        if key == "attributes":
            numbers = [[kinds(name, "all").index(getattr(one, name)) for name in ATTRIBUTES] for one in self.avatars]
            return torch.tensor(numbers, dtype=torch.int64)
        if key == "said":
            return torch.tensor([is_said(one) for one in self.avatars])
        return self.identities if key == "identity" else super().entries(key)


class AvatarsSource(ImageSource):
    """Give faces and their labels.

    Args:
        faces: All of them.
        label: What they are labelled by.
    """

    def __init__(self, faces: Faces, label: Label | None) -> None:
        self.faces, self.label, self.split = faces, label, faces.description

    def check(self, spec: ImageSpec) -> None:
        """Refuse sizes that are not drawn, and another number of classes than the label has."""
        check_size(spec)
        drawn = self.faces.population
        allowed = class_count(self.label, drawn.parts, drawn.expressions)
        if spec.num_classes not in (None, allowed):
            rule = (
                "needs data.labels" if allowed is None else f"data.labels={self.label} has {allowed}, or null for none"
            )
            raise ConfigError("data.num_classes", spec.num_classes, rule)

    def load(self, spec: ImageSpec) -> FaceImages:
        """Draw the faces of training."""
        return self._images("train", spec)

    def load_test(self, spec: ImageSpec) -> FaceImages:
        """Draw the faces of the test part."""
        return self._images("test", spec)

    def hold_out(self, whole: ImageDataset, fraction: float, seed: int) -> tuple[ImageDataset, ImageDataset]:
        """Split by identity."""
        return hold_out_identities(whole, whole, fraction, seed)

    def _images(self, part: Part, spec: ImageSpec) -> FaceImages:
        drawn = self.faces.population
        avatars = self.faces.avatars(part)
        label = self.label if spec.num_classes else None
        how = drawn.parts, drawn.expressions
        labels = None if label is None else torch.tensor([class_number(one, label, *how) for one in avatars])
        taken = spread(len(avatars), spec.max_images, labels)
        chosen = [avatars[i] for i in taken.tolist()]
        images = self.faces.images("picture", chosen, taken, part, spec.size[0], spec.channels)
        images.labels = None if labels is None else labels[taken]
        images.classes = None if label is None else class_names(label, *how)
        return images


def hold_out_identities(whole: ImageDataset, faces: ImageDataset, fraction: float, seed: int) -> tuple[Subset, Subset]:
    """Split a set so that no identity that is held out has a face in training.

    Args:
        whole: The set.
        faces: The same faces with their identities.
        fraction: Share of the second part, of the identities, in (0, 1).
        seed: Seed of the choice.
    """
    identities = faces.entries("identity")
    assert identities is not None
    found = torch.unique(identities)
    count = val_count(len(found), fraction)
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(derive_seed("held out", seed)))
    is_held = torch.isin(identities, found[order[:count]])
    return Subset(whole, (~is_held).nonzero()[:, 0]), Subset(whole, is_held.nonzero()[:, 0])


def check_size(spec: ImageSpec) -> None:
    """Refuse rectangles, and other sizes and channels than faces are drawn with.

    Raises:
        ConfigError: By the option.
    """
    smallest, largest = SIZES
    if spec.size[0] != spec.size[1] or not smallest <= spec.size[0] <= largest:
        raise ConfigError("data.image_size", list(spec.size), f"faces are squares of {smallest} to {largest} pixels")
    if spec.channels not in (1, 3):
        raise ConfigError("data.channels", spec.channels, "must be 1 or 3")

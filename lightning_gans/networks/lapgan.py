"""Define LAPGAN's networks (Denton et al. 2015, arXiv:1506.05751): a pair for each level of a Laplacian pyramid."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn

from lightning_gans.config.types import FractionBelowOne, PositiveInt, checked
from lightning_gans.images.pyramid import enlarge, gaussian_pyramid
from lightning_gans.images.size import Size
from lightning_gans.networks.classes import check_given, checked_classes, entries_of, one_hot
from lightning_gans.networks.convolution import Conv2d
from lightning_gans.networks.dropout import Dropout
from lightning_gans.networks.layers import check_divisible
from lightning_gans.runtime.precision import full_precision

Classes = Literal["plane"]
Levels = Annotated[int, Ge(2)]
UNPADDED = 16  # shorter side from which on the discriminators' convolutions see no zeros, as published
SMALLEST = 2  # pixels of the coarsest level


class Standard(nn.Module):
    """Bring a level's outputs to the mean and standard deviation that it has in the training set, pixel by pixel.

    Args:
        shape: Of an image or residual, (C, H, W).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def forward(self, outputs: Tensor) -> Tensor:
        """Map outputs (N, C, H, W) of mean 0 and standard deviation 1 to an image or residual, in float32."""
        return self.mean + self.std * full_precision(outputs)


class ClassPlane(nn.Module):
    """Map classes (N,) to a map (N, 1, H, W), which networks see as one more channel.

    Args:
        num_classes: Number of classes.
        size: Height and width.
    """

    def __init__(self, num_classes: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.num_classes, self.size = num_classes, size
        self.dense = nn.Linear(num_classes, math.prod(size))

    def forward(self, classes: Tensor, like: Tensor) -> Tensor:
        """Map classes (N,) int64 to (N, 1, H, W) of the type of ``like``."""
        plane: Tensor = self.dense(one_hot(classes, self.num_classes, like))
        return plane.view(-1, 1, *self.size)


class CoarseGenerator(nn.Module):
    """Map latents (N, Z) and classes to outputs (N, C, H, W): two hidden dense layers with ReLU, nothing at the end."""

    def __init__(self, shape: tuple[int, ...], latent_dim: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.shape, self.num_classes = shape, num_classes
        inputs = latent_dim + num_classes
        self.layers = nn.Sequential(
            *_hidden(inputs, hidden), *_hidden(hidden, hidden), nn.Linear(hidden, math.prod(shape))
        )

    def forward(self, latents: Tensor, *classes: Tensor) -> Tensor:
        """Map latents (N, Z), and classes (N,) if it takes them, to outputs (N, C, H, W)."""
        given = [one_hot(some, self.num_classes, latents) for some in classes]
        made: Tensor = self.layers(torch.cat([latents, *given], 1))
        return made.view(-1, *self.shape)


class FineGenerator(nn.Module):
    """Map an enlarged coarse image, a map of noise and the class's plane to outputs (N, C, H, W).

    Convolutions of 7x7, 7x7 and 5x5 with ReLU between them and nothing at the end.
    """

    def __init__(self, shape: tuple[int, ...], planes: int, num_classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.plane = ClassPlane(num_classes, (height, width)) if num_classes else None
        inputs = channels + 1 + (self.plane is not None)
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, planes, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Conv2d(planes, planes, 7, padding=3),
            nn.ReLU(inplace=True),
            Conv2d(planes, channels, 5, padding=2),
        )

    def forward(self, coarse: Tensor, noise: Tensor, *classes: Tensor) -> Tensor:
        """Map images (N, C, H, W), noise (N, 1, H, W), and classes (N,) if it takes them, to (N, C, H, W)."""
        made: Tensor = self.layers(_stacked([coarse, noise], self.plane, classes))
        return made


class Generator(nn.Module):
    """Map latents (N, latent_dim) to images (N, channels, H, W), from the coarsest level of a pyramid up.

    ``levels[0]`` makes the coarsest image from the first ``coarse_latent_dim`` latents; every further level adds to the
    enlarged image before it a residual that it makes from that image and from a map of noise, the next H x W latents.
    ``standards`` bring what the networks put out to the scale of each level (``Standard``). Images are not bounded.

    Args:
        image_size: Side or [height, width], a multiple of 2^(levels - 1); the coarsest level has 2 pixels at least.
        channels: Image channels.
        levels: Sizes of the pyramid; each halves the one before it.
        coarse_latent_dim: Latents of the coarsest level.
        hidden: Units of the coarsest level's hidden layers.
        planes: Feature maps of the finer levels.
        classes: ``plane``: take the class too, one-hot beside the coarsest level's latents, as a plane on finer ones.
        num_classes: Number of classes; needed with ``classes``.

    Raises:
        ConfigError: The size is not allowed, or the data has no classes.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        levels: Levels = 3,
        coarse_latent_dim: PositiveInt = 100,
        hidden: PositiveInt = 1200,
        planes: PositiveInt = 64,
        classes: Classes | None = None,
        num_classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = 0 if classes is None else checked_classes(num_classes)
        self.conditions = entries_of(self.num_classes)
        self.shapes = shapes = level_shapes(image_size, channels, levels)
        self.parts = [coarse_latent_dim, *(height * width for _, height, width in shapes[1:])]  # of the latents
        self.latent_dim = sum(self.parts)
        coarsest = CoarseGenerator(shapes[0], coarse_latent_dim, hidden, self.num_classes)
        finer = [FineGenerator(shape, planes, self.num_classes) for shape in shapes[1:]]
        self.levels = nn.ModuleList([coarsest, *finer])
        self.standards = nn.ModuleList(Standard(shape) for shape in shapes)

    def split(self, latents: Tensor) -> list[Tensor]:
        """Cut latents (N, latent_dim) into those of each level."""
        return list(torch.split(latents, self.parts, 1))

    def at(self, level: int, latents: Tensor, coarse: Tensor | None, *classes: Tensor) -> Tensor:
        """Make the image of one level.

        Args:
            level: 0 for the coarsest.
            latents: Of this level, (N, Z).
            coarse: Image of the level before it, (N, C, H / 2, W / 2); ``None`` at the coarsest.
            *classes: (N,) int64, if the networks take them.

        Returns:
            (N, C, H, W).
        """
        network, standard = self.levels[level], self.standards[level]
        if coarse is None:
            image: Tensor = standard(network(latents, *classes))
            return image
        below = enlarge(coarse)
        noise = latents.view(-1, 1, *below.shape[-2:])
        residual: Tensor = standard(network(below, noise, *classes))
        return below + residual

    def pyramid(self, latents: Tensor, *classes: Tensor) -> list[Tensor]:
        """Map latents (N, latent_dim), and classes (N,) if it takes them, to each level's images, coarsest first."""
        check_given(classes, self.num_classes)
        images: list[Tensor] = []
        for level, part in enumerate(self.split(latents)):
            images.append(self.at(level, part, images[-1] if images else None, *classes))
        return images

    def forward(self, latents: Tensor, *classes: Tensor) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) if it takes them, to images (N, channels, H, W)."""
        return self.pyramid(latents, *classes)[-1]


class CoarseDiscriminator(nn.Module):
    """Map images (N, C, H, W) and classes to logits (N,): two hidden dense layers with ReLU and dropout."""

    def __init__(self, shape: tuple[int, ...], hidden: int, dropout: float, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        inputs = math.prod(shape) + num_classes
        first, second = _hidden(inputs, hidden, dropout), _hidden(hidden, hidden, dropout)
        self.layers = nn.Sequential(*first, *second, nn.Linear(hidden, 1))

    def forward(self, images: Tensor, *classes: Tensor) -> Tensor:
        """Map images (N, C, H, W), and classes (N,) if it takes them, to logits (N,)."""
        given = [one_hot(some, self.num_classes, images) for some in classes]
        return torch.flatten(self.layers(torch.cat([images.flatten(1), *given], 1)))


class FineDiscriminator(nn.Module):
    """Map images (N, C, H, W) and the class's plane to logits (N,).

    Convolutions of 5x5 and of 5x5 with stride 2, ReLU after each, and a dense layer. Without padding as published;
    images below 16 pixels are padded by 2.
    """

    def __init__(self, shape: tuple[int, ...], planes: int, num_classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.plane = ClassPlane(num_classes, (height, width)) if num_classes else None
        padding = 0 if min(height, width) >= UNPADDED else 2
        across = [(side - 4 + 2 * padding - 5 + 2 * padding) // 2 + 1 for side in (height, width)]
        self.layers = nn.Sequential(
            nn.Conv2d(channels + (self.plane is not None), planes, 5, padding=padding),
            nn.ReLU(inplace=True),
            nn.Conv2d(planes, planes, 5, stride=2, padding=padding),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(planes * math.prod(across), 1),
        )

    def forward(self, images: Tensor, *classes: Tensor) -> Tensor:
        """Map images (N, C, H, W), and classes (N,) if it takes them, to logits (N,)."""
        return torch.flatten(self.layers(_stacked([images], self.plane, classes)))


class Discriminator(nn.Module):
    """Map images (N, channels, H, W) to logits (N, levels): a discriminator for each level of their pyramid.

    ``levels[k]`` sees an image of its size, a coarse one and its residual as one sum, and never the coarse image apart.

    Args:
        image_size: Side or [height, width], a multiple of 2^(levels - 1).
        channels: Image channels.
        levels: Sizes of the pyramid.
        hidden: Units of the coarsest level's hidden layers.
        dropout: Probability that a hidden unit of the coarsest level is dropped, from 0 to below 1.
        planes: Feature maps of the finer levels.
        classes: ``plane``: take the class too.
        num_classes: Number of classes; needed with ``classes``.

    Raises:
        ConfigError: The size is not allowed, or the data has no classes.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        levels: Levels = 3,
        hidden: PositiveInt = 600,
        dropout: FractionBelowOne = 0.5,
        planes: PositiveInt = 64,
        classes: Classes | None = None,
        num_classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = 0 if classes is None else checked_classes(num_classes)
        shapes = level_shapes(image_size, channels, levels)
        coarsest = CoarseDiscriminator(shapes[0], hidden, dropout, self.num_classes)
        finer = [FineDiscriminator(shape, planes, self.num_classes) for shape in shapes[1:]]
        self.levels = nn.ModuleList([coarsest, *finer])

    def forward(self, images: Tensor, *classes: Tensor) -> Tensor:
        """Map images (N, channels, H, W), and classes (N,) if it takes them, to logits (N, levels), coarsest first."""
        check_given(classes, self.num_classes)
        sizes = gaussian_pyramid(images, len(self.levels))
        return torch.stack([level(image, *classes) for level, image in zip(self.levels, sizes, strict=True)], 1)


def level_shapes(image_size: Size, channels: int, levels: int) -> list[tuple[int, int, int]]:
    """Return the shapes (C, H, W) of a pyramid's images, coarsest first.

    Raises:
        ConfigError: The size cannot be halved so often.
    """
    factor = 2 ** (levels - 1)
    height, width = check_divisible(image_size, factor, SMALLEST * factor, f" with levels={levels}")
    return [(channels, height // part, width // part) for part in (2**k for k in reversed(range(levels)))]


def _hidden(inputs: int, outputs: int, dropout: float = 0.0) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.ReLU(inplace=True), *([Dropout(dropout)] if dropout else [])]


def _stacked(maps: list[Tensor], plane: ClassPlane | None, classes: tuple[Tensor, ...]) -> Tensor:
    """Join maps (N, C, H, W) and the class's plane in channels."""
    check_given(classes, 0 if plane is None else plane.num_classes)
    return torch.cat([*maps, *(plane(some, maps[0]) for some in classes if plane is not None)], 1)

"""Define StackGAN's networks (Zhang et al. 2017, arXiv:1612.03242): two generators and two discriminators."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import Positive, PositiveInt, checked
from lightning_gans.images.size import Size
from lightning_gans.networks.conditioning_augmentation import ConditioningAugmentation, drawn
from lightning_gans.networks.convolution import Conv2d
from lightning_gans.networks.layers import normal_init, normalised, square_side
from lightning_gans.runtime.precision import full_precision

Norm = Literal["batch", "spectral"] | None
INNER, MOST_DOWNS = 16, 2  # the side that stage II's inner map has in the paper, and the halvings down to it
DEEPEST = 8  # times the base width of the maps that a discriminator decides on


class Conditioned(NamedTuple):
    """Hold a stage's images (N, C, H, W), and the mean and log variance (N, condition_dim) of its conditions."""

    images: Tensor
    mean: Tensor
    log_variance: Tensor


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size, without bias."""
    return Conv2d(inputs, outputs, 3, padding=1, bias=False)


def halving(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 4x4 convolution of stride 2 without bias."""
    return Conv2d(inputs, outputs, 4, 2, 1, bias=False)


def doubling(width: int, times: int) -> tuple[list[nn.Module], int]:
    """Return blocks that double a map and halve its ``width`` feature maps, and how many are left."""
    layers: list[nn.Module] = []
    for _ in range(times):
        half = max(1, width // 2)
        layers += [nn.Upsample(scale_factor=2), conv3x3(width, half), nn.BatchNorm2d(half), nn.ReLU()]
        width = half
    return layers, width


class StageI(nn.Module):
    """Map noise, the condition's noise and embeddings to small images.

    Args:
        image_size: Side of the images, a power of two from 8.
        channels: Image channels.
        text_dim: Length of an embedding.
        condition_dim: Length of a condition.
        noise_dim: Length of the noise.
        base_channels: Feature maps, GF of the released code; the 4x4 map has as many times 2^(doublings - 1).
    """

    def __init__(
        self, image_size: int, channels: int, text_dim: int, condition_dim: int, noise_dim: int, base_channels: int
    ) -> None:
        super().__init__()
        times = round(math.log2(image_size)) - 2
        width = base_channels << (times - 1)
        self.ca = ConditioningAugmentation(text_dim, condition_dim)
        self.fc = nn.Sequential(
            nn.Linear(noise_dim + condition_dim, 16 * width, bias=False), nn.BatchNorm1d(16 * width), nn.ReLU()
        )
        layers, last = doubling(width, times)
        self.body = nn.Sequential(nn.Unflatten(1, (width, 4, 4)), *layers, conv3x3(last, channels), nn.Tanh())

    def forward(self, noise: Tensor, condition_noise: Tensor, text: Tensor) -> Conditioned:
        """Map (N, noise_dim), (N, condition_dim) and (N, text_dim) to images (N, C, H, W)."""
        mean, log_variance = self.ca(text)
        condition = drawn(mean, log_variance, condition_noise)
        return Conditioned(self.body(self.fc(torch.cat([noise, condition], 1))), mean, log_variance)


class Residual(nn.Module):
    """Add two 3x3 convolutions with batch norm to their input (N, width, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first = [conv3x3(width, width), nn.BatchNorm2d(width), nn.ReLU()]
        self.block = nn.Sequential(*first, conv3x3(width, width), nn.BatchNorm2d(width))

    def forward(self, features: Tensor) -> Tensor:
        """Return the sum after a ReLU."""
        return F.relu(features + self.block(features))


class StageII(nn.Module):
    """Map stage I's images, the condition's noise and embeddings to large images.

    Args:
        downs: Times that stage I's images are halved, 0 to 2.
        doublings: Times that what is left of them is doubled.
        channels: Image channels.
        text_dim: Length of an embedding.
        condition_dim: Length of a condition.
        base_channels: Feature maps of the first convolution, GF of the released code.
        blocks: Residual blocks at the smallest map.
    """

    def __init__(
        self,
        downs: int,
        doublings: int,
        channels: int,
        text_dim: int,
        condition_dim: int,
        base_channels: int,
        blocks: int,
    ) -> None:
        super().__init__()
        gf = base_channels
        self.ca = ConditioningAugmentation(text_dim, condition_dim)
        encoder: list[nn.Module] = [conv3x3(channels, gf), nn.ReLU()]
        for number, (inputs, outputs) in enumerate(((gf, 2 * gf), (2 * gf, 4 * gf))):
            layer = halving if number < downs else conv3x3
            encoder += [layer(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.encoder = nn.Sequential(*encoder)
        self.joint = nn.Sequential(conv3x3(condition_dim + 4 * gf, 4 * gf), nn.BatchNorm2d(4 * gf), nn.ReLU())
        self.residual = nn.Sequential(*(Residual(4 * gf) for _ in range(blocks)))
        layers, last = doubling(4 * gf, doublings)
        self.body = nn.Sequential(*layers, conv3x3(last, channels), nn.Tanh())

    def forward(self, small: Tensor, condition_noise: Tensor, text: Tensor) -> Conditioned:
        """Map (N, C, h, w), (N, condition_dim) and (N, text_dim) to images (N, C, H, W)."""
        mean, log_variance = self.ca(text)
        encoded = self.encoder(small)  # (N, 4 GF, h / 2^downs, w / 2^downs)
        joined = beside(encoded, drawn(mean, log_variance, condition_noise))
        return Conditioned(self.body(self.residual(self.joint(joined))), mean, log_variance)


def beside(maps: Tensor, condition: Tensor) -> Tensor:
    """Append conditions (N, D) to maps (N, C, H, W) as constant maps: (N, C + D, H, W)."""
    constant = condition.to(maps.dtype)[:, :, None, None].expand(-1, -1, *maps.shape[2:])
    return torch.cat([maps, constant], 1)


def stage_sizes(image_size: Size, stage1_size: int | None) -> tuple[int, int]:
    """Return the sides of stage I's and stage II's images.

    Args:
        image_size: Of the data.
        stage1_size: ``None``: a quarter.

    Raises:
        ConfigError: They are no powers of two, or stage I's is not the smaller one.
    """
    side = square_side(image_size, 16, 1024, "StackGAN")
    small = max(8, side // 4) if stage1_size is None else stage1_size
    if small < 8 or small & (small - 1) or small >= side:
        raise ConfigError("stage1_size", small, f"must be a power of two from 8, below data.image_size={side}")
    return small, side


class Generator(nn.Module):
    """Map latents (N, latent_dim) and embeddings (N, text_dim) to images (N, channels, H, W) in [-1, 1].

    Weights begin by DCGAN's rule, those of a condition's variance as N(0, 1 / text_dim) and those of its mean
    ``condition_gain`` times as large: with 0.02 as in the released code, made for vectors of 1,024, short vectors are
    lost in noise, whose deviation is at least 1, and the divergence takes the rest.

    Latents are the noise and the noises of both stages' conditions. In stage 1 images are stage I's, enlarged; in
    stage 2 they are stage II's, which sees those of stage I.

    Args:
        image_size: Side of the images, a power of two from 16; 256 in the paper.
        channels: Image channels, >= 1.
        stage1_size: Side of stage I's images, a power of two from 8; ``None``: a quarter of ``image_size``.
        text_dim: Length of an embedding.
        condition_dim: Length of a condition.
        condition_gain: Of the first weights of a condition's mean; more keeps more of what a vector says in the noise.
        noise_dim: Length of the noise.
        base_channels: Feature maps of both stages, 128 for birds and flowers, 192 for COCO; see ``StageI``.
        blocks: Residual blocks of stage II, 4 for birds and flowers, 2 for COCO.
        downs: Times that stage II halves stage I's images, 0 to 2; ``None``: as often as leaves a 16x16 map,
            which is twice for the paper's 64x64. A map of 4x4 no longer says what a stroke was.

    Attributes:
        stage: 1 or 2, whose images are made.

    Raises:
        ConfigError: A size is not allowed.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        stage1_size: PositiveInt | None = None,
        text_dim: PositiveInt = 1024,
        condition_dim: PositiveInt = 128,
        condition_gain: Positive = 1.0,
        noise_dim: PositiveInt = 100,
        base_channels: PositiveInt = 128,
        blocks: PositiveInt = 4,
        downs: Literal[0, 1, 2] | None = None,
    ) -> None:
        super().__init__()
        small, side = stage_sizes(image_size, stage1_size)
        halvings = min(MOST_DOWNS, max(0, round(math.log2(small / INNER)))) if downs is None else downs
        doublings = round(math.log2(side // small)) + halvings
        self.sizes, self.stage = (small, side), 1
        self.text_dim, self.condition_dim, self.noise_dim = text_dim, condition_dim, noise_dim
        self.latent_dim = noise_dim + 2 * condition_dim
        shape = (channels, text_dim, condition_dim)
        self.stage1 = StageI(small, *shape, noise_dim, base_channels)
        self.stage2 = StageII(halvings, doublings, *shape, base_channels, blocks)
        self.apply(normal_init)
        for stage in (self.stage1, self.stage2):
            nn.init.normal_(stage.ca.fc.weight, 0.0, text_dim**-0.5)
            stage.ca.fc.weight.data[:condition_dim] *= condition_gain

    def made(self, latents: Tensor, text: Tensor) -> Conditioned:
        """Return what the stage makes, at its own size; stage I stands still in stage 2."""
        noise, first, second = torch.split(latents, [self.noise_dim, self.condition_dim, self.condition_dim], 1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.stage == 1):
            found: Conditioned = self.stage1(noise, first, text)
        if self.stage == 2:
            found = self.stage2(found.images, second, text)
        return found

    def forward(self, latents: Tensor, text: Tensor) -> Tensor:
        """Map latents (N, latent_dim) and embeddings (N, text_dim) to images (N, channels, H, W)."""
        images = self.made(latents, text).images
        return F.interpolate(images, scale_factor=self.sizes[1] // images.shape[-1]) if self.stage == 1 else images


class StageDiscriminator(nn.Module):
    """Map images to features, and features with or without a condition to raw logits (N,).

    Args:
        image_size: Side of the images, a power of two.
        channels: Image channels.
        condition_dim: Length of a condition.
        base_channels: Feature maps of the first layer, DF of the released code; they double at every halving, and are
            brought down to 8 times as many at 4x4.
        norm: ``batch``, ``spectral`` on every layer, or ``None``.
        projects: Add the product of the features, their mean over space, and of a linear map of the condition.
        judges_alone: Give logits of images without a condition too.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        condition_dim: int,
        base_channels: int,
        norm: Norm,
        projects: bool,
        *,
        judges_alone: bool,
    ) -> None:
        super().__init__()
        after = "spectral" if norm == "spectral" else None
        layers: list[nn.Module] = [*normalised(initialised(halving(channels, base_channels)), after), nn.LeakyReLU(0.2)]
        width = base_channels
        for _ in range(round(math.log2(image_size)) - 3):
            layers += [*normalised(initialised(halving(width, 2 * width)), norm), nn.LeakyReLU(0.2)]
            width *= 2
        while width > DEEPEST * base_channels:
            layers += [*normalised(initialised(conv3x3(width, width // 2)), norm), nn.LeakyReLU(0.2)]
            width //= 2
        self.features = nn.Sequential(*layers)
        joint = [*normalised(initialised(conv3x3(width + condition_dim, width)), norm), nn.LeakyReLU(0.2)]
        last, alone = (normalised(initialised(Conv2d(width, 1, 4)), after) for _ in range(2))
        self.joint = nn.Sequential(*joint, *last)
        self.alone = nn.Sequential(*alone) if judges_alone else None
        self.projection = normalised(nn.Linear(condition_dim, width, bias=False), after)[0] if projects else None

    def logits(self, features: Tensor, condition: Tensor) -> Tensor:
        """Map features (N, F, 4, 4) and conditions (N, condition_dim) to logits (N,)."""
        logits: Tensor = self.joint(beside(features, condition)).flatten()
        if self.projection is not None:
            logits = logits + (self.projection(condition) * features.mean((2, 3))).sum(1)
        return full_precision(logits)

    def logits_alone(self, features: Tensor) -> Tensor | None:
        """Map features (N, F, 4, 4) to logits (N,) of images without a condition; ``None`` in stage I."""
        return None if self.alone is None else full_precision(self.alone(features).flatten())


def initialised(layer: nn.Conv2d) -> nn.Conv2d:
    """Initialise a convolution by DCGAN's rule; spectral norm starts from its weights."""
    normal_init(layer)
    return layer


class Discriminator(nn.Module):
    """Map images and conditions (N, condition_dim) to raw logits (N,), by a network for each stage.

    Args:
        image_size: As the generator's.
        channels: Image channels, >= 1.
        stage1_size: As the generator's.
        condition_dim: As the generator's.
        base_channels: Feature maps of the first layers, 64 for birds and flowers, 96 for COCO.
        norm: ``batch`` as in the paper, ``spectral`` on every layer, or ``None``.
        projection: Add a product of features and condition to logits, as a projection discriminator does (Miyato and
            Koyama 2018, arXiv:1802.05637): layers that add the condition to features learn slowly which go together.

    Attributes:
        stage: 1 or 2, whose images are judged.

    Raises:
        ConfigError: A size is not allowed.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        stage1_size: PositiveInt | None = None,
        condition_dim: PositiveInt = 128,
        base_channels: PositiveInt = 64,
        norm: Norm = "batch",
        projection: bool = False,
    ) -> None:
        super().__init__()
        small, side = stage_sizes(image_size, stage1_size)
        self.sizes, self.stage, self.condition_dim = (small, side), 1, condition_dim
        how: Any = (channels, condition_dim, base_channels, norm, projection)
        self.stage1 = StageDiscriminator(small, *how, judges_alone=False)
        self.stage2 = StageDiscriminator(side, *how, judges_alone=True)

    @property
    def judge(self) -> StageDiscriminator:
        """Return the stage's network."""
        return self.stage1 if self.stage == 1 else self.stage2

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        """Map images of the stage's size and conditions (N, condition_dim) to logits (N,)."""
        return self.judge.logits(self.judge.features(images), condition)

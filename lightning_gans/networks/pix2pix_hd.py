"""Define pix2pixHD's networks (Wang et al. 2018, arXiv:1711.11585)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import NonNegativeInt, PositiveInt, checked
from lightning_gans.images.size import Size, height_width, shortest
from lightning_gans.networks.convolution import Conv2d
from lightning_gans.networks.instance_norm import InstanceNorm2d
from lightning_gans.networks.layers import normal_init
from lightning_gans.networks.translation_resnet import ResnetBlock
from lightning_gans.runtime.aliases import moved_from
from lightning_gans.runtime.precision import full_precision

Stage = Literal["coarse", "enhancer", "joint"]
MOST_DOWNS = 4
INNERMOST = 4  # smallest side of a map that instance norm is asked to normalise
MOST_CHANNELS = 512  # of a discriminator


def count_downs(image_size: Size, downs: int | None, key: str, scale: int = 1, leave: int = INNERMOST) -> int:
    """Return how often a network halves its input: as often as the paper's, or less, so that enough of a map is left.

    Args:
        image_size: Side of the data's images, or ``[height, width]``.
        downs: Halvings that were asked for; ``None``: up to four.
        key: Config key of the network, for the message.
        scale: Factor by which the network's input is smaller than the data's images.
        leave: Shorter side of the innermost map that is left unless ``downs`` is given, once halved at least.

    Raises:
        ConfigError: The images are too small, or their sides do not divide.
    """
    height, width = height_width(image_size)
    allowed = [
        count
        for count in range(1, MOST_DOWNS + 1 if downs is None else downs + 1)
        if all(side % (scale << count) == 0 and side // (scale << count) >= INNERMOST for side in (height, width))
    ]
    if downs is None and allowed:
        return max((count for count in allowed if min(height, width) // (scale << count) >= leave), default=allowed[0])
    if downs is not None and downs in allowed:
        return downs
    unit = scale << (1 if downs is None else max(downs, 1))
    asked = "" if downs is None else f" with {key}.downs={downs}"
    rule = f"must be a multiple of {unit} and at least {unit * INNERMOST}, so that the innermost map of {key} is "
    raise ConfigError(
        "data.image_size", f"{shortest(height, width)}{asked}", f"{rule}{INNERMOST}x{INNERMOST} or larger"
    )


class Generator(nn.Module):
    """Translate (N, C, H, W) to (N, channels, H, W): a global generator at half the size, a local enhancer around it.

    The global one is a 7x7 convolution, halvings, residual blocks and doublings; its last features, at half the size,
    are added to the enhancer's, which has one halving, some residual blocks and one doubling. Instance norm without
    gain and bias, ReLUs, mirrored borders, tanh.

    Args:
        image_size: Side of the images that it is trained on, or ``[height, width]``.
        source_channels: Channels of the source, >= 1.
        channels: Channels of the output, >= 1.
        instance_edges: Concatenate a map of instances' edges to the source.
        feature_channels: Channels of an encoder's features that are concatenated as well, >= 0.
        base_channels: Feature maps of the global generator's first layer, >= 2; the enhancer has half as many.
        downs: Halvings of the global generator; ``None``: four, or as many as leave a 4x4 map.
        blocks: Residual blocks of the global generator, >= 1.
        enhancer: Build a local enhancer; ``False``: the global generator works at full size.
        enhancer_blocks: Residual blocks of the enhancer, >= 1.
        bias_before_norm: Give convolutions that instance norm follows a bias, as in the authors' code.

    Attributes:
        size_divisor: Sides of inputs are multiples of this.

    Raises:
        ConfigError: The size is not allowed, or a value out of range.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        source_channels: PositiveInt,
        channels: PositiveInt,
        instance_edges: bool = False,
        feature_channels: NonNegativeInt = 0,
        base_channels: Annotated[int, Ge(2)] = 64,
        downs: PositiveInt | None = None,
        blocks: PositiveInt = 9,
        enhancer: bool = True,
        enhancer_blocks: PositiveInt = 3,
        bias_before_norm: bool = True,
    ) -> None:
        super().__init__()
        scale = 2 if enhancer else 1
        downs = count_downs(image_size, downs, "model.generator", scale)
        self.instance_edges, self.feature_channels, self.has_enhancer = instance_edges, feature_channels, enhancer
        self.source_channels = source_channels
        self.size_divisor = scale << downs
        inputs, n, bias = source_channels + instance_edges + feature_channels, base_channels, bias_before_norm
        self.trunk = nn.Sequential(
            *_first(inputs, n, bias),
            *[layer for level in range(downs) for layer in _down(n << level, n << level + 1, bias)],
            *[ResnetBlock(n << downs, "instance", "image", [], bias) for _ in range(blocks)],
            *[layer for level in reversed(range(downs)) for layer in _up(n << level + 1, n << level, bias)],
        )
        self.coarse_image = nn.Sequential(*_last(n, channels))
        if enhancer:
            self.enhancer_down = nn.Sequential(*_first(inputs, n // 2, bias), *_down(n // 2, n, bias))
            self.enhancer_up = nn.Sequential(
                *[ResnetBlock(n, "instance", "image", [], bias) for _ in range(enhancer_blocks)],
                *_up(n, n // 2, bias),
                *_last(n // 2, channels),
            )
        self.apply(normal_init)

    def forward(self, inputs: Tensor, stage: Stage = "joint") -> Tensor:
        """Translate a batch.

        Args:
            inputs: (N, source_channels + 1 if edges + feature_channels, H, W).
            stage: ``coarse``: the global generator alone; ``enhancer``: its features have no gradients; ``joint``.

        Returns:
            (N, channels, H, W) in [-1, 1]; half of H and W in the coarse stage of a generator with an enhancer.
        """
        if not self.has_enhancer:
            return torch.as_tensor(self.coarse_image(self.trunk(inputs)))
        small = halved(inputs)
        if stage == "coarse":
            return torch.as_tensor(self.coarse_image(self.trunk(small)))
        with torch.set_grad_enabled(stage == "joint" and torch.is_grad_enabled()):
            features = self.trunk(small)  # (N, n, H / 2, W / 2)
        return torch.as_tensor(self.enhancer_up(self.enhancer_down(inputs) + features))


class Discriminator(nn.Module):
    """Apply equal patch discriminators at several scales of the image, each half as large as the one before.

    Args:
        image_size: Side of the images that it is trained on, or ``[height, width]``.
        source_channels: Channels of the source, which conditions it, >= 1.
        channels: Channels of the image, >= 1.
        instance_edges: Condition it on the map of instances' edges as well.
        base_channels: Feature maps of the first layer, >= 1; they double up to 512.
        layers: Layers of stride 2, >= 1.
        scales: Number of discriminators, >= 1.
        coarse: Check that it takes images of half the size too, since the generator has a coarse phase.
        bias_before_norm: Give convolutions that instance norm follows a bias, as in the authors' code.

    Raises:
        ConfigError: The images are too small for so many scales.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        source_channels: PositiveInt,
        channels: PositiveInt,
        instance_edges: bool = False,
        base_channels: PositiveInt = 64,
        layers: PositiveInt = 3,
        scales: PositiveInt = 2,
        coarse: bool = True,
        bias_before_norm: bool = True,
    ) -> None:
        super().__init__()
        height, width = height_width(image_size)
        smallest = [side >> (scales - 1 + coarse) for side in (height, width)]
        if min(smallest) < INNERMOST:
            phase = " in the coarse phase" if coarse else ""
            seen = f"the smallest image that it sees{phase} is {smallest[0]}x{smallest[1]} at data.image_size="
            rule = f"{seen}{shortest(height, width)}; must be {INNERMOST}x{INNERMOST} or larger"
            raise ConfigError("model.discriminator.scales", scales, rule)
        self.instance_edges, self.layers = instance_edges, layers
        inputs = source_channels + instance_edges + channels
        self.scales = nn.ModuleList(
            [PatchDiscriminator(inputs, base_channels, layers, bias_before_norm) for _ in range(scales)]
        )
        self.apply(normal_init)

    def forward(self, images: Tensor) -> list[list[Tensor]]:
        """Return every layer's output by scale, logits last, of (N, source_channels + 1 if edges + channels, H, W)."""
        found = []
        for index, patches in enumerate(self.scales):
            images = halved(images) if index else images
            found.append(patches(images))
        return found


class PatchDiscriminator(nn.Module):
    """Classify patches by 4x4 convolutions, ``layers`` of stride 2 and two of stride 1."""

    def __init__(self, inputs: int, base_channels: int, layers: int, bias_before_norm: bool) -> None:
        super().__init__()
        widths = [min(base_channels << level, MOST_CHANNELS) for level in range(layers + 1)]
        parts: list[nn.Module] = []
        for level, width in enumerate(widths):
            stride, bias = 2 if level < layers else 1, bias_before_norm or not level
            convolution = Conv2d(inputs, width, 4, stride, 2, bias=bias)
            norm = [InstanceNorm2d(width)] if level else []
            parts.append(nn.Sequential(convolution, *norm, nn.LeakyReLU(0.2, inplace=True)))
            inputs = width
        self.parts = nn.ModuleList([*parts, nn.Conv2d(inputs, 1, 4, 1, 2)])

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the outputs of all layers of images (N, C, H, W), the last being raw logits (N, 1, h, w)."""
        found = []
        for part in self.parts:
            images = part(images)
            found.append(images)
        return found


class Encoder(nn.Module):
    """Map images (N, channels, H, W) to maps of features (N, feature_channels, H, W) in [-1, 1].

    Args:
        image_size: Side of the images that it is trained on, or ``[height, width]``.
        channels: Channels of the image, >= 1.
        feature_channels: Channels of the features, >= 1.
        base_channels: Feature maps of the first layer, >= 1.
        downs: Halvings; ``None``: four, or as many as leave a 4x4 map.
        bias_before_norm: Give convolutions that instance norm follows a bias, as in the authors' code.

    Raises:
        ConfigError: The size is not allowed.
    """

    @checked
    def __init__(
        self,
        *,
        image_size: Size,
        channels: PositiveInt,
        feature_channels: PositiveInt = 3,
        base_channels: PositiveInt = 16,
        downs: PositiveInt | None = None,
        bias_before_norm: bool = True,
    ) -> None:
        super().__init__()
        downs = count_downs(image_size, downs, "model.encoder")
        self.feature_channels, n, bias = feature_channels, base_channels, bias_before_norm
        self.layers = nn.Sequential(
            *_first(channels, n, bias),
            *[layer for level in range(downs) for layer in _down(n << level, n << level + 1, bias)],
            *[layer for level in reversed(range(downs)) for layer in _up(n << level + 1, n << level, bias)],
            *_last(n, feature_channels),
        )
        self.apply(normal_init)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, channels, H, W) to features (N, feature_channels, H, W)."""
        return torch.as_tensor(self.layers(images))


def halved(images: Tensor) -> Tensor:
    """Shrink images (N, C, H, W) of even sides to half: means over 3x3 pixels, those beyond the border left out."""
    return F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)


def edges(instances: Tensor) -> Tensor:
    """Map instances (N, 1, H, W) int64 to float: 1 where one of four neighbours is of another instance, else 0."""
    found = torch.zeros_like(instances, dtype=torch.bool)
    across = instances[..., 1:] != instances[..., :-1]
    down = instances[..., 1:, :] != instances[..., :-1, :]
    found[..., 1:] |= across
    found[..., :-1] |= across
    found[..., 1:, :] |= down
    found[..., :-1, :] |= down
    return found.float()


def instance_means(features: Tensor, instances: Tensor) -> tuple[Tensor, Tensor]:
    """Average features over the pixels of every instance.

    Args:
        features: (N, F, H, W).
        instances: (N, 1, H, W) int64, >= 0; numbers of instances, those of different images apart.

    Returns:
        Means (K, F) in full precision, and for every pixel the row that is its instance's, (N, H, W) int64.
    """
    numbers = torch.arange(len(instances), device=instances.device)[:, None, None, None]
    apart = numbers * (instances.max() + 1) + instances
    found, rows = torch.unique(apart, return_inverse=True)
    flat = full_precision(features).movedim(1, -1).flatten(0, 2)  # (N H W, F)
    index = rows.flatten()
    sums = flat.new_zeros(len(found), flat.shape[1]).index_add(0, index, flat)
    sizes = torch.bincount(index, minlength=len(found))
    return sums / sizes[:, None], rows[:, 0]


def _first(inputs: int, width: int, bias: bool) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), *_normed(nn.Conv2d(inputs, width, 7, bias=bias))]


def _down(inputs: int, outputs: int, bias: bool) -> list[nn.Module]:
    return _normed(nn.Conv2d(inputs, outputs, 3, 2, 1, bias=bias))


def _up(inputs: int, outputs: int, bias: bool) -> list[nn.Module]:
    return _normed(nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1, bias=bias))


def _last(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), Conv2d(inputs, outputs, 7), nn.Tanh()]


def _normed(layer: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [layer, InstanceNorm2d(layer.out_channels), nn.ReLU(inplace=True)]


if not TYPE_CHECKING:
    __getattr__ = moved_from(__name__)

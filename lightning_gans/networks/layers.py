"""Provide blocks and rules that at least two networks use."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm, spectral_norm

from lightning_gans.config.errors import ConfigError
from lightning_gans.images.size import Size, height_width, shortest
from lightning_gans.networks.instance_norm import InstanceNorm2d, instance_norm
from lightning_gans.runtime.precision import full_precision

SPECTRAL_NORM = _SpectralNorm
MOST_BASE = 15  # pixels of the shorter side of the map that a network starts from, of rectangles
Minibatch = Literal["stddev", "discrimination"]
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def check_image_size(image_size: int, smallest: int, largest: int, key: str = "data.image_size") -> None:
    """Refuse a side of squares that is not a power of two within bounds, naming the nearest one that is.

    Args:
        image_size: The side, in pixels.
        smallest: Smallest side allowed.
        largest: Largest side allowed.
        key: Config key of the side, for the message.

    Raises:
        ConfigError: With the key, the value and what is allowed.
    """
    allowed = [1 << k for k in range(largest.bit_length()) if smallest <= 1 << k <= largest]
    if image_size not in allowed:
        nearest = min(allowed, key=lambda size: (abs(size - image_size), size))
        raise ConfigError(key, image_size, f"must be one of {', '.join(map(str, allowed))}; the nearest is {nearest}")


def square_side(image_size: Size, smallest: int, largest: int, networks: str) -> int:
    """Return the side of images for networks that make squares only.

    Args:
        image_size: Their size, a power of two.
        smallest: Smallest side.
        largest: Largest side.
        networks: Name of the networks, for the message.

    Raises:
        ConfigError: The size is a rectangle, or out of range.
    """
    height, width = height_width(image_size)
    if height != width:
        raise ConfigError("data.image_size", [height, width], f"{networks} makes squares only; give one side")
    check_image_size(height, smallest, largest)
    return height


def base_shape(image_size: Size, smallest: int, largest: int) -> tuple[int, tuple[int, int]]:
    """Return how often a network halves images, and the height and width of the map that is left.

    Images are halved as often as both sides allow, so that the shorter side of the map is 4 to 15: 64 is 4x4 and
    [96, 128] is 6x8 doubled four times, [72, 128] is 9x16 doubled three times.

    Args:
        image_size: Side of squares, a power of two; or ``[height, width]``, both multiples of one power of two.
        smallest: Smallest length of the shorter side.
        largest: Largest length of the shorter side.

    Raises:
        ConfigError: The size is not allowed; with the nearest one that is.
    """
    height, width = height_width(image_size)
    if height == width:
        check_image_size(height, smallest, largest)
    shrink = min(1.0, largest / max(1, min(height, width)))
    allowed: dict[tuple[int, int], tuple[int, tuple[int, int]]] = {}  # by image size
    for levels in range(1, largest.bit_length() - 2):  # the most halvings count
        down, across = (max(4, round(side * shrink / (1 << levels))) for side in (height, width))
        if min(down, across) <= MOST_BASE and smallest <= min(down, across) << levels <= largest:
            allowed[down << levels, across << levels] = levels, (down, across)
    if (height, width) not in allowed:
        nearest = min(allowed, key=lambda size: (abs(size[0] - height) + abs(size[1] - width), size))
        rule = f"must be multiples of a power of two, the shorter side 4 to {MOST_BASE} times that power and from "
        raise ConfigError(
            "data.image_size", [height, width], f"{rule}{smallest} to {largest}; the nearest is {list(nearest)}"
        )
    return allowed[height, width]


def check_divisible(image_size: Size, divisor: int, smallest: int, why: str = "") -> tuple[int, int]:
    """Return height and width of images whose sides a network can halve.

    Args:
        image_size: Side of squares, or ``[height, width]``.
        divisor: Both sides are multiples of this.
        smallest: Smallest length of the shorter side.
        why: End of the message, such as the option that asks for it.

    Raises:
        ConfigError: The size is not allowed.
    """
    height, width = height_width(image_size)
    if height % divisor or width % divisor or min(height, width) < smallest:
        at_least = f", at least {smallest}" if smallest > divisor else ""
        raise ConfigError("data.image_size", shortest(height, width), f"must be a multiple of {divisor}{at_least}{why}")
    return height, width


def widths(levels: int, base_channels: int, max_channels: int) -> list[int]:
    """Return the feature maps of each halving: doubling from ``base_channels`` up to ``max_channels``."""
    return [min(base_channels << level, max_channels) for level in range(levels)]


def normal_init(module: nn.Module) -> None:
    """Initialise a layer by DCGAN's rule: weights N(0, 0.02), batch norm gains N(1, 0.02), biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, BATCH_NORMS) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm2d) and module.bias is not None:
        nn.init.zeros_(module.bias)


def normalised(layer: nn.Conv2d | nn.Linear, norm: str | None) -> list[nn.Module]:
    """Return a convolution or dense layer and its normalisation, as a list of layers.

    Args:
        layer: Initialised layer; spectral norm starts from its weights.
        norm: ``batch``, ``instance`` (convolutions only), ``layer``, ``spectral`` or ``None``.
    """
    if norm == "spectral":
        return [spectral_norm(layer)]
    width = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    made = normalisation(norm, width, flat=isinstance(layer, nn.Linear))
    return [layer] if made is None else [layer, made]


def normalisation(norm: str | None, width: int, *, flat: bool = False) -> nn.Module | None:
    """Return a layer that normalises ``width`` feature maps, or features if ``flat``; ``None`` for spectral norm.

    ``layer`` is over all maps of a sample, with a gain and a bias per map (Ba et al. 2016, arXiv:1607.06450).
    """
    if norm == "batch":
        return nn.BatchNorm1d(width) if flat else nn.BatchNorm2d(width)
    if norm == "layer":
        return nn.LayerNorm(width) if flat else nn.GroupNorm(1, width)
    if norm == "instance":
        return InstanceNorm2d(width, affine=True)
    return None


class MinibatchStddev(nn.Module):
    """Add a group's standard deviation as a feature map. Karras et al. 2018, arXiv:1710.10196, section 3.

    Groups are strided (sample i with i + N/size, i + 2N/size, ...), so processes that hold every W-th sample form the
    same groups as one process as long as their share divides by ``size``; otherwise groups are those of each process's
    share, as they are those of each micro-batch. The deviation is the population's, with 1e-8 under the root, averaged
    over all features.

    Args:
        size: Samples in a group; where the batch does not divide by it the largest size from 2 that does divide it,
            and the whole batch where none does.

    Raises:
        ConfigError: A size below 2.
    """

    extra = 1

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        if size < 2:
            raise ConfigError("group_size", size, "must be >= 2, samples to compare")
        self.size = size

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, C, ...) to (N, C + 1, ...)."""
        n = len(features)
        size = next((k for k in range(min(self.size, n), 1, -1) if n % k == 0), n)
        groups = full_precision(features).reshape(size, n // size, -1)
        variance = (groups - groups.mean(0)).square().mean(0)  # (N / size, features); torch.var is slow over rows
        deviation = variance.add(1e-8).sqrt().mean(1)  # (N / size,)
        shape = (n, 1, *features.shape[2:])
        extra = deviation.repeat(size).view(n, *[1] * (features.dim() - 1)).expand(shape)
        return torch.cat([features, extra.to(features.dtype)], 1)


class MinibatchDiscrimination(nn.Module):
    """Add features: the closeness of every sample to the others of its batch, by ``kernels`` learned kernels.

    o_b(i) = sum over j != i of exp(-|M_ib - M_jb|_1) with M = f T. Salimans et al. 2016, arXiv:1606.03498, section
    3.2. The batch is this process's.

    Args:
        features: Number of values of a sample.
        kernels: Number of kernels.
        dimensions: Dimensions of each kernel.
    """

    def __init__(self, features: int, kernels: int = 100, dimensions: int = 5) -> None:
        super().__init__()
        self.extra = kernels
        self.tensor = nn.Parameter(torch.randn(features, kernels, dimensions) / features**0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, C, ...) to (N, C + kernels, ...), the new ones constant over space."""
        n = len(features)
        flat = full_precision(features).flatten(1)
        with torch.autocast(flat.device.type, enabled=False):
            seen = (flat @ self.tensor.flatten(1)).view(n, *self.tensor.shape[1:])  # (N, kernels, dimensions)
            closeness = torch.exp(-(seen[:, None] - seen[None]).abs().sum(-1)).sum(1) - 1  # without itself
        extra = closeness.view(n, -1, *[1] * (features.dim() - 2)).expand(n, -1, *features.shape[2:])
        return torch.cat([features, extra.to(features.dtype)], 1)


def minibatch_layer(
    minibatch: Minibatch | None, shape: tuple[int, ...], group_size: int = 4
) -> tuple[list[nn.Module], int]:
    """Return the layer that compares samples of ``shape`` (C, ...), as a list, and the channels that it adds."""
    if minibatch is None:
        return [], 0
    values = int(torch.Size(shape).numel())
    layer = MinibatchStddev(group_size) if minibatch == "stddev" else MinibatchDiscrimination(values)
    return [layer], layer.extra


def has_spectral_norm(module: nn.Module) -> bool:
    """Return whether any layer has spectral norm."""
    return any(isinstance(layer, SPECTRAL_NORM) for layer in module.modules())


def has_batch_norm(module: nn.Module) -> bool:
    """Return whether any layer has batch norm."""
    return any(isinstance(layer, BATCH_NORMS) for layer in module.modules())


TestStatistics = Literal["image", "running"]


class ImageBatchNorm(nn.BatchNorm2d):
    """Apply batch norm that can normalise each image by its own statistics at test time.

    pix2pix (Isola et al. 2017, arXiv:1611.07004, section 3.4) tests with the statistics of the test batch; as a batch
    of one that makes an image's translation independent of the images beside it. A network trained on batches of one
    has learnt from these statistics; one trained on larger batches from statistics closer to the running ones.

    Args:
        width: Feature maps.
        test_statistics: ``image``: its own; ``running``: as batch norm usually does; ``None``: left to
            ``set_test_statistics``.
    """

    settled: TestStatistics = "running"

    def __init__(self, width: int, test_statistics: TestStatistics | None) -> None:
        super().__init__(width)
        self.test_statistics = test_statistics

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Map features (N, C, H, W) to the same shape."""
        if self.training or (self.test_statistics or self.settled) == "running":
            return super().forward(input)
        return instance_norm(input, self.weight, self.bias, eps=self.eps)


def set_test_statistics(network: nn.Module, statistics: TestStatistics) -> None:
    """Set the statistics that batch norm without a choice of its own uses at test time."""
    for layer in network.modules():
        if isinstance(layer, ImageBatchNorm):
            layer.settled = statistics


def translation_norm(
    norm: Literal["batch", "instance"] | None, width: int, test_statistics: TestStatistics | None = "running"
) -> list[nn.Module]:
    """Return the norm of translation networks, as a list: instance norm has no gain, bias or running statistics."""
    if norm == "instance":
        return [InstanceNorm2d(width)]
    return [ImageBatchNorm(width, test_statistics)] if norm == "batch" else []


def has_bias(norm: str | None, bias_before_norm: bool | None = None) -> bool:
    """Return whether a convolution of a translation network, with ``norm`` after it, has a bias.

    A norm subtracts the bias again, so that this changes the number of weights and not what is learnt.

    Args:
        norm: Norm after the convolution; without one there always is a bias.
        bias_before_norm: Have a bias in front of a norm; ``None``: before instance norm and not before batch norm, as
            in the PyTorch code of CycleGAN's and pix2pix's authors.
    """
    return norm is None or (norm == "instance" if bias_before_norm is None else bias_before_norm)


def compile_network(network: nn.Module) -> None:
    """Compile a network in place, but for spectral norm, which changes its vectors at every forward pass."""
    for layer in network.modules():
        if isinstance(layer, SPECTRAL_NORM):
            layer.forward = torch.compiler.disable(layer.forward)  # type: ignore
    network.compile()

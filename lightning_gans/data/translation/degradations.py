"""Make the source of a pair of its target: smaller, grey, edges, with holes.

Each is computed on the device from the images of a batch after they were cut and mirrored, so that both sides of a pair
fit whatever was done to them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import FractionAboveZero, NonNegative, Positive, checked
from lightning_gans.images.size import shortest

Factor = Literal[2, 4, 8]
_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
_REACH = 16  # pixels over which a weak edge is followed from a strong one


class Degradation(ABC):
    """Make sources (N, C', H', W') in [-1, 1] of targets (N, C, H, W) in [-1, 1].

    Attributes:
        factor: Side of a target divided by that of its source.
    """

    factor: int = 1

    def check(self, size: tuple[int, int], channels: int, source_channels: int) -> None:
        """Refuse pairs that this degradation cannot make.

        Args:
            size: Height and width of the targets.
            channels: Channels of the targets.
            source_channels: Channels of the sources.

        Raises:
            ValueError: By the option, with the values allowed.
        """
        check_source_channels(source_channels, channels)

    @abstractmethod
    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Return the sources of a batch; ``draws`` (N, 4) in [0, 1) is what is random in them."""


def grey(images: Tensor) -> Tensor:
    """Return the luma (N, 1, H, W) of images (N, C, H, W): RGB weighed by ITU-R BT.601; without colours channel 0."""
    if images.shape[1] < 3:
        return images[:, :1]
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=images.dtype, device=images.device)
    return (images[:, :3] * weights[:, None, None]).sum(1, keepdim=True)


class Downscale(Degradation):
    """Divide height and width by ``factor``, by antialiased bicubic interpolation, rounded to 8 bits.

    Args:
        factor: 2, 4 or 8.
    """

    @checked
    def __init__(self, factor: Factor) -> None:
        self.factor = factor

    def check(self, size: tuple[int, int], channels: int, source_channels: int) -> None:
        """Refuse sizes that are no multiple of the factor."""
        if size[0] % self.factor or size[1] % self.factor:
            raise ConfigError("data.image_size", shortest(*size), f"must be a multiple of data.factor={self.factor}")
        super().check(size, channels, source_channels)

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Reduce (N, C, H, W) to (N, C, H / factor, W / factor)."""
        size = (images.shape[-2] // self.factor, images.shape[-1] // self.factor)
        small = F.interpolate(images.float(), size, mode="bicubic", antialias=True, align_corners=False)
        return small.add_(1).mul_(127.5).round_().clamp_(0, 255).div_(127.5).sub_(1)


class ToGray(Degradation):
    """Take the colours away."""

    def check(self, size: tuple[int, int], channels: int, source_channels: int) -> None:
        """Refuse targets without colours."""
        check_source_channels(source_channels, 1, 3)
        if channels < 3:
            raise ConfigError("data.channels", channels, "has no colours; must be 3 or 4")

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Turn (N, C, H, W) into (N, 1, H, W)."""
        return grey(images)


class CannyEdges(Degradation):
    """Draw black lines on white where colours change most (Canny 1986).

    The image is smoothed by a Gaussian and its gradient taken by Sobel's operator, in each pixel that of the channel
    where it is largest. A pixel is a line where the gradient is the largest along its own direction (of four) and above
    ``high``, or above ``low`` and joined to such a pixel by a path of at most 16 pixels.

    Args:
        sigma: Standard deviation of the Gaussian, in pixels.
        low: Gradient, as the share of the whole range that a channel changes by per pixel.
        high: The same of pixels that lines begin at.
    """

    @checked
    def __init__(self, sigma: NonNegative = 1.0, low: Positive = 0.02, high: Positive = 0.06) -> None:
        if low > high:
            raise ConfigError("data.high", high, f"must be >= data.low={low}")
        self.sigma, self.low, self.high = sigma, low, high

    def check(self, size: tuple[int, int], channels: int, source_channels: int) -> None:
        """Refuse a Gaussian that is wide for the images."""
        check_source_channels(source_channels, 1, 3)
        if self.sigma > min(size) / 8:
            allowed = f"must be from 0 to {min(size) / 8:g}, an eighth of data.image_size"
            raise ConfigError("data.sigma", self.sigma, allowed)

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Turn (N, C, H, W) into (N, 1, H, W) of -1 (line) and 1."""
        n, height, width = len(images), *images.shape[-2:]
        colours = images[:, : 1 if images.shape[1] < 3 else 3].float().add(1).div(2)
        smooth = F.pad(_blur(colours.reshape(-1, 1, height, width), self.sigma), (1, 1, 1, 1), mode="replicate")
        sobel = torch.tensor(_SOBEL, device=images.device).div(8)[None, None]
        across = F.conv2d(smooth, sobel).view(n, -1, height, width)
        down = F.conv2d(smooth, sobel.mT).view(n, -1, height, width)
        strength, channel = torch.hypot(across, down).max(1, keepdim=True)
        across, down = across.gather(1, channel), down.gather(1, channel)
        thin = strength * _is_ridge(strength, across, down)
        weak, line = thin > self.low, (thin > self.high).float()
        for _ in range(_REACH):
            line = F.max_pool2d(line, 3, 1, 1) * weak
        return 1 - 2 * line


def _blur(images: Tensor, sigma: float) -> Tensor:
    if sigma == 0:
        return images
    reach = min(round(3 * sigma) or 1, min(images.shape[-2:]) - 1)
    at = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = (kernel / kernel.sum())[None, None, None]
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel), kernel.mT)


def _is_ridge(strength: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Return where the gradient is no smaller than both neighbours along its own direction, in steps of 45 degrees."""
    height, width = strength.shape[-2:]
    padded = F.pad(strength, (1, 1, 1, 1))

    def ridge(dy: int, dx: int) -> Tensor:
        before = padded[..., 1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width]
        return (strength >= before) & (strength > padded[..., 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width])

    tangent = 0.41421356  # of 22.5 degrees
    is_across = down.abs() <= tangent * across.abs()
    is_down = across.abs() < tangent * down.abs()
    diagonal = torch.where(across * down > 0, ridge(1, 1), ridge(1, -1))
    return torch.where(is_across, ridge(0, 1), torch.where(is_down, ridge(1, 0), diagonal))


class RandomMask(Degradation):
    """Mask a rectangle of every image: its values are 0, in the middle between black and white.

    Args:
        hole_min: Least height and width of a hole, as a share of the image's.
        hole_max: Largest height and width.
        mask: Add a channel of -1 in the hole and 1 beside it, as an alpha channel has it.
    """

    @checked
    def __init__(
        self, hole_min: FractionAboveZero = 0.25, hole_max: FractionAboveZero = 0.5, *, mask: bool = False
    ) -> None:
        if hole_min > hole_max:
            raise ConfigError("data.hole_max", hole_max, f"must be >= data.hole_min={hole_min}")
        self.smallest, self.largest, self.mask = hole_min, hole_max, mask

    def check(self, size: tuple[int, int], channels: int, source_channels: int) -> None:
        """Refuse sources of other channels than the targets', or one more for the mask."""
        check_source_channels(source_channels, channels, channels + 1)

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Mask (N, C, H, W); with the mask as a channel it becomes (N, C + 1, H, W)."""
        sides = torch.tensor(images.shape[-2:], device=images.device)
        size = ((self.smallest + (self.largest - self.smallest) * draws[:, :2]) * sides).round().clamp_min(1)
        first = (draws[:, 2:4] * (sides - size + 1)).floor()
        inside = []
        for axis, side in enumerate(images.shape[-2:]):
            at = torch.arange(side, device=images.device)
            start = first[:, axis, None]
            inside.append((at >= start) & (at < start + size[:, axis, None]))
        hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]  # (N, 1, H, W)
        masked = images.masked_fill(hole, 0.0)
        return torch.cat([masked, 1 - 2 * hole.to(images.dtype)], 1) if self.mask else masked


def check_source_channels(source_channels: int, *made: int) -> None:
    """Refuse ``source_channels`` that a set's sources do not have.

    Raises:
        ValueError: With those that they can have.
    """
    if source_channels not in made:
        allowed = " or ".join(str(channels) for channels in dict.fromkeys(made))
        raise ConfigError("data.source_channels", source_channels, f"must be {allowed}")

"""Differentiable augmentations of what the discriminator sees, real and generated alike, in both players' updates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.precision import full_precision
from lightning_gans.schedules import CosineValue, Scheduled, ends_of
from lightning_gans.strategy import sum_over_processes


class Draws(Protocol):
    """Where an augmentation gets its random numbers: this process's slice of those of the global batch."""

    images_seen: int

    def uniform(self, n: int, *shape: int) -> Tensor:
        """(n, *shape) numbers in [0, 1)."""

    def normal(self, n: int, *shape: int) -> Tensor:
        """(n, *shape) standard normal numbers."""


class Augmentation(nn.Module):
    """Changes samples (N, ...) in [-1, 1] at random, differentiably; its buffers are state of the training."""

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse samples of a shape that cannot be augmented.

        Raises:
            ValueError: With the augmentation and the shape.
        """
        if len(shape) != 3:
            raise ValueError(f"model.augment={type(self).__name__}: needs images, not samples of shape {shape}")

    def forward(self, samples: Tensor, draws: Draws) -> Tensor:
        """(N, ...) -> (N, ...)."""
        raise NotImplementedError

    def observe(self, real_logits: Tensor) -> None:
        """See the discriminator's logits on real samples, without gradient."""

    def adapt(self, iteration: int, images: int) -> None:
        """End of a step that showed ``images`` real images; on all processes together."""

    def gauges(self) -> dict[str, Tensor]:
        """What is worth a curve, as scalars."""
        return {}


class InstanceNoise(Augmentation):
    """x + sigma(t) N(0, I), where sigma falls linearly to 0. Sonderby et al. 2017, arXiv:1610.04490; Arjovsky 2017.

    Args:
        sigma: Standard deviation at the start, in units of the images' range [-1, 1].
        decay_kimg: Thousands of real images until the noise is gone; ``None``: it stays.
    """

    def __init__(self, sigma: float = 0.1, decay_kimg: float | None = 100.0) -> None:
        super().__init__()
        if sigma <= 0:
            raise ValueError(f"model.augment.sigma={sigma}: must be > 0")
        if decay_kimg is not None and decay_kimg <= 0:
            raise ValueError(f"model.augment.decay_kimg={decay_kimg}: must be > 0, or null")
        self.sigma, self.decay_kimg = sigma, decay_kimg

    def check(self, shape: tuple[int, ...]) -> None:
        """Any samples will do."""

    def sigma_at(self, images_seen: int) -> float:
        """Standard deviation after so many real images."""
        gone = images_seen / (1000 * self.decay_kimg) if self.decay_kimg else 0.0
        return self.sigma * max(0.0, 1 - gone)

    def forward(self, samples: Tensor, draws: Draws) -> Tensor:
        """(N, ...) -> (N, ...), no longer bound to [-1, 1]."""
        return samples + self.sigma_at(draws.images_seen) * draws.normal(*samples.shape)


Policy = Literal["color", "translation", "cutout"]


class DiffAugment(Augmentation):
    """DiffAugment. Zhao et al. 2020, arXiv:2006.10738, section 3.2.

    ``color``: brightness +- 0.5 in [-1, 1], saturation times 0 to 2, contrast times 0.5 to 1.5. ``translation``: by up
    to 1/8 of the side, what enters is 0. ``cutout``: a square of half the side is set to 0.

    Args:
        policy: What to do, in this order.
    """

    def __init__(self, policy: Sequence[Policy] = ("color", "translation", "cutout")) -> None:
        super().__init__()
        if not policy:
            raise ValueError("model.augment.policy=[]: choose among color, translation, cutout")
        self.policy = tuple(policy)

    def forward(self, samples: Tensor, draws: Draws) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        for name in self.policy:
            samples = getattr(self, f"_{name}")(samples, draws)
        return samples

    def _color(self, images: Tensor, draws: Draws) -> Tensor:
        brightness, saturation, contrast = draws.uniform(len(images), 3, 1, 1, 1).unbind(1)
        images = images + (brightness - 0.5)
        grey = images.mean(1, keepdim=True)
        images = grey + 2 * saturation * (images - grey)
        mean = images.mean((1, 2, 3), keepdim=True)
        return mean + (contrast + 0.5) * (images - mean)

    def _translation(self, images: Tensor, draws: Draws) -> Tensor:
        n, _, height, width = images.shape
        u = draws.uniform(n, 2)
        rows, row_inside = _shifted(height, u[:, 0])
        columns, column_inside = _shifted(width, u[:, 1])
        moved = images[torch.arange(n, device=u.device)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        inside = row_inside[:, :, None] & column_inside[:, None, :]  # (N, H, W)
        return moved.permute(0, 3, 1, 2) * inside[:, None]

    def _cutout(self, images: Tensor, draws: Draws) -> Tensor:
        n, _, height, width = images.shape
        u = draws.uniform(n, 2)
        row_cut, column_cut = _within(height, u[:, 0]), _within(width, u[:, 1])
        cut = row_cut[:, :, None] & column_cut[:, None, :]
        return images * ~cut[:, None]


def _shifted(side: int, u: Tensor) -> tuple[Tensor, Tensor]:
    """Source index of every position after a shift of up to side / 8, and whether it lies inside: both (N, side)."""
    most = round(side / 8)
    shift = (u * (2 * most + 1)).floor().long() - most
    source = torch.arange(side, device=u.device) + shift[:, None]
    return source.clamp(0, side - 1), (source >= 0) & (source < side)


def _within(side: int, u: Tensor) -> Tensor:
    """Positions inside a window of side / 2 around a random centre, (N, side)."""
    window = side // 2
    start = (u * (side + 1 - window % 2)).floor().long() - window // 2
    position = torch.arange(side, device=u.device)
    return (position >= start[:, None]) & (position < start[:, None] + window)


class AdaptiveAugment(Augmentation):
    """Adaptive discriminator augmentation (ADA). Karras et al. 2020, arXiv:2006.06676, section 3.

    Each transformation is done with probability p, independently for every sample: mirroring, turns by 90 degrees,
    whole-pixel shifts; scaling, stretching, rotation, fractional shifts; brightness, contrast, inversion of the luma
    axis, hue and saturation (the last two where there are three channels); a cut-out square. Every ``interval`` steps p
    moves towards where E[sign(D(real))] is ``target``, from 0 to 1 within ``kimg`` at the fastest. Without a target p
    does not adapt: it is a number, or a function of the images seen as in R3GAN. What differs from the paper: images
    are resampled bilinearly, without its wavelet low-pass filter, and penalties see the augmented samples.

    Args:
        target: Wanted E[sign(D(real))], from -1 to 1; ``None``: p does not adapt.
        interval: Steps between changes of p.
        kimg: Thousands of real images in which p may run from 0 to 1.
        p: Probability at the start, 0 to 1; without a target also a ``CosineValue`` over the real images seen.
        colour: Probability of each change of colour, as a share of p.
        cutout: Probability that a square of half the side is set to 0, as a share of p; 0 in the paper.
    """

    p: Tensor
    signs: Tensor
    mine: Tensor

    def __init__(
        self,
        target: float | None = 0.6,
        interval: int = 4,
        kimg: float = 500.0,
        p: Scheduled = 0.0,
        colour: float = 1.0,
        cutout: float = 0.0,
    ) -> None:
        super().__init__()
        if target is not None and not -1 <= target <= 1:
            raise ValueError(f"model.augment.target={target}: must be from -1 to 1, or null")
        if target is not None and isinstance(p, CosineValue):
            raise ValueError(f"model.augment.p={p}: model.augment.target={target} moves it; set target to null")
        if interval < 1:
            raise ValueError(f"model.augment.interval={interval}: must be >= 1")
        if kimg <= 0:
            raise ValueError(f"model.augment.kimg={kimg}: must be > 0")
        if not 0 <= min(ends_of(p)) <= max(ends_of(p)) <= 1:
            raise ValueError(f"model.augment.p={p}: must be from 0 to 1")
        for key, share in {"colour": colour, "cutout": cutout}.items():
            if not 0 <= share <= 1:
                raise ValueError(f"model.augment.{key}={share}: must be from 0 to 1")
        self.target, self.interval, self.kimg = target, interval, kimg
        self.colour, self.cutout = colour, cutout
        self.schedule = p if isinstance(p, CosineValue) else None
        self.register_buffer("p", torch.tensor(float(ends_of(p)[0])))
        self.register_buffer("signs", torch.zeros(3))  # their sum and number, and images, since p last moved
        self.register_buffer("mine", torch.zeros(2), persistent=False)  # this step's and process's sum and number

    def observe(self, real_logits: Tensor) -> None:
        """Count the signs of the logits, if p adapts to them."""
        if self.target is None:
            return
        self.mine[0] += real_logits.sign().sum()
        self.mine[1] += real_logits.numel()

    def adapt(self, iteration: int, images: int) -> None:
        """Move p every ``interval`` steps, by all processes' signs; a scheduled p is a function of the images alone."""
        if self.target is None:
            return
        self.signs[:2] += sum_over_processes(self.mine)
        self.signs[2] += images
        self.mine.zero_()
        if iteration % self.interval:
            return
        direction = (self.signs[0] / self.signs[1] - self.target).sign()
        self.p.add_(direction * self.signs[2] / (1000 * self.kimg)).clamp_(0, 1)
        self.signs.zero_()

    def gauges(self) -> dict[str, Tensor]:
        """P."""
        return {"augment_p": self.p.clone()}

    def forward(self, samples: Tensor, draws: Draws) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if self.schedule is not None:
            self.p.fill_(self.schedule.at(draws.images_seen))
        with torch.autocast(samples.device.type, enabled=False):  # positions need more digits than bf16 has
            samples = self._recolour(self._move(full_precision(samples), draws), draws)
            return self._cut(samples, draws) if self.cutout else samples

    def _move(self, images: Tensor, draws: Draws) -> Tensor:
        n, side = len(images), images.shape[-1]
        u, noise = draws.uniform(n, 14).unbind(1), draws.normal(n, 4).unbind(1)
        p, turning = self.p, 1 - (1 - self.p).sqrt()  # the two rotations together happen with probability p
        one, zero = torch.ones_like(u[0]), torch.zeros_like(u[0])
        coin, angles = torch.where(u[1] < 0.5, -one, one), [(2 * v - 1) * math.pi for v in (u[9], u[12])]
        whole = [((2 * v - 1) * 0.125 * side).round() * 2 / side for v in (u[5], u[6])]  # pixels
        mirror = torch.where(u[0] < p, coin, one)
        scale = torch.where(u[7] < p, torch.exp2(0.2 * noise[0]), one)
        stretch = torch.where(u[10] < p, torch.exp2(0.2 * noise[1]), one)
        steps = (
            _scaling(mirror, one),
            _rotation(torch.where(u[2] < p, (u[3] * 4).floor() * (math.pi / 2), zero)),
            _shift(*(torch.where(u[4] < p, distance, zero) for distance in whole)),
            _scaling(scale, scale),
            _rotation(torch.where(u[8] < turning, angles[0], zero)),
            _scaling(stretch, 1 / stretch),
            _rotation(torch.where(u[11] < turning, angles[1], zero)),
            _shift(*(torch.where(u[13] < p, 0.25 * distance, zero) for distance in (noise[2], noise[3]))),
        )
        transform = steps[0]
        for step in steps[1:]:
            transform = transform @ step
        where = F.affine_grid(transform[:, :2], list(images.shape), align_corners=False)
        return F.grid_sample(images, where, mode="bilinear", padding_mode="reflection", align_corners=False)

    def _recolour(self, images: Tensor, draws: Draws) -> Tensor:
        n, channels = images.shape[:2]
        u, noise = draws.uniform(n, 7, 1, 1).unbind(1), draws.normal(n, 3, 1, 1).unbind(1)
        eye = torch.eye(channels, device=images.device).expand(n, -1, -1)
        luma = torch.full((channels, channels), 1 / channels, device=images.device)
        p = self.p * self.colour
        matrix = torch.where(u[1] < p, torch.exp2(0.5 * noise[1]) * eye, eye)  # contrast
        matrix = torch.where(u[2] < p, eye - 2 * luma * (u[3] < 0.5), eye) @ matrix
        if channels == 3:
            matrix = torch.where(u[4] < p, _hue((2 * u[5] - 1) * math.pi, luma), eye) @ matrix
            matrix = torch.where(u[6] < p, luma + (eye - luma) * torch.exp2(noise[2]), eye) @ matrix
        offset = torch.where(u[0] < p, 0.2 * noise[0], torch.zeros_like(noise[0]))  # brightness
        flat = matrix @ (images.flatten(2) + offset)
        return flat.view_as(images)

    def _cut(self, images: Tensor, draws: Draws) -> Tensor:
        n, side = len(images), images.shape[-1]
        u = draws.uniform(n, 3, 1)
        place = (torch.arange(side, device=images.device) + 0.5) / side
        rows, columns = ((place - u[:, axis]).abs() < 0.25 for axis in (1, 2))  # (N, side)
        cut = rows[:, :, None] & columns[:, None, :] & (u[:, :1] < self.p * self.cutout)
        return images * ~cut[:, None]


def _matrices(rows: list[list[Tensor]]) -> Tensor:
    """(N, 3, 3) from entries (N,)."""
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrices([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def _rotation(angle: Tensor) -> Tensor:
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    cos, sin = angle.cos(), angle.sin()
    return _matrices([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])


def _shift(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrices([[one, zero, x], [zero, one, y], [zero, zero, one]])


def _hue(angle: Tensor, luma: Tensor) -> Tensor:
    """Rotation of colours about the grey axis by ``angle`` (N, 1, 1): Rodrigues' formula, (N, 3, 3)."""
    s = 1 / math.sqrt(3)
    cross = torch.tensor([[0.0, -s, s], [s, 0.0, -s], [-s, s, 0.0]], device=angle.device)
    eye = torch.eye(3, device=angle.device)
    return eye * angle.cos() + luma * (1 - angle.cos()) + cross * angle.sin()

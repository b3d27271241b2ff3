"""Adaptive discriminator augmentation (ADA)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor

from lightning_gans.augment.base import Augmentation, Draws
from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import Fraction, Positive, PositiveInt, checked
from lightning_gans.runtime.distributed import sum_over_processes
from lightning_gans.runtime.precision import full_precision
from lightning_gans.schedules.values import CosineValue, Scheduled, ends_of


class AdaptiveAugment(Augmentation):
    """Augment what the discriminator sees with an adaptive probability (ADA).

    Karras et al. 2020, arXiv:2006.06676, section 3.

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

    @checked
    def __init__(
        self,
        target: Annotated[float, Ge(-1), Le(1)] | None = 0.6,
        interval: PositiveInt = 4,
        kimg: Positive = 500.0,
        p: Scheduled = 0.0,
        colour: Fraction = 1.0,
        cutout: Fraction = 0.0,
    ) -> None:
        super().__init__()
        if target is not None and isinstance(p, CosineValue):
            raise ConfigError("p", p, f"model.augment.target={target} moves it; set target to null")
        if not 0 <= min(ends_of(p)) <= max(ends_of(p)) <= 1:
            raise ConfigError("p", p, "must be from 0 to 1")
        self.target, self.interval, self.kimg = target, interval, kimg
        self.colour, self.cutout = colour, cutout
        self.schedule = p if isinstance(p, CosineValue) else None
        self.register_buffer("p", torch.tensor(float(ends_of(p)[0])))
        self.register_buffer("signs", torch.zeros(3))  # their sum and number, and images, since p last moved
        self.register_buffer("mine", torch.zeros(2), persistent=False)  # this step's and process's sum and number

    def update_statistics(self, real_logits: Tensor) -> None:
        """Count the signs of the logits, if p adapts to them."""
        if self.target is None:
            return
        self.mine[0] += real_logits.sign().sum()
        self.mine[1] += real_logits.numel()

    def on_update_end(self, iteration: int, images: int) -> None:
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

    def extra_logs(self) -> dict[str, Tensor]:
        """Return p, the current probability."""
        return {"augment_p": self.p.clone()}

    def augment(self, samples: Tensor, draws: Draws) -> Tensor:
        """Augment images (N, C, H, W), each transformation of each image with probability p."""
        if self.schedule is not None:
            self.p.fill_(self.schedule.at(draws.images_seen))
        with torch.autocast(samples.device.type, enabled=False):  # positions need more digits than bf16 has
            samples = self._recolour(self._move(full_precision(samples), draws), draws)
            return self._cut(samples, draws) if self.cutout else samples

    def _move(self, images: Tensor, draws: Draws) -> Tensor:
        n, (height, width) = len(images), images.shape[-2:]
        aspect = height / width  # affine_grid's coordinates are -1 to 1 along both sides: of rectangles too
        u, noise = draws.uniform(n, 14).unbind(1), draws.normal(n, 4).unbind(1)
        p, turning = self.p, 1 - (1 - self.p).sqrt()  # the two rotations together happen with probability p
        one, zero = torch.ones_like(u[0]), torch.zeros_like(u[0])
        coin, angles = torch.where(u[1] < 0.5, -one, one), [(2 * v - 1) * math.pi for v in (u[9], u[12])]
        draws_of = ((u[5], width), (u[6], height))
        whole = [((2 * v - 1) * 0.125 * side).round() * 2 / side for v, side in draws_of]  # pixels
        mirror = torch.where(u[0] < p, coin, one)
        scale = torch.where(u[7] < p, torch.exp2(0.2 * noise[0]), one)
        stretch = torch.where(u[10] < p, torch.exp2(0.2 * noise[1]), one)
        steps = (
            _scaling(mirror, one),
            _rotation(torch.where(u[2] < p, (u[3] * 4).floor() * (math.pi / 2), zero)),
            _shift(*(torch.where(u[4] < p, distance, zero) for distance in (whole[0], whole[1] * aspect))),
            _scaling(scale, scale),
            _rotation(torch.where(u[8] < turning, angles[0], zero)),
            _scaling(stretch, 1 / stretch),
            _rotation(torch.where(u[11] < turning, angles[1], zero)),
            _shift(*(torch.where(u[13] < p, 0.25 * distance, zero) for distance in (noise[2], noise[3] * aspect))),
        )
        transform = steps[0]
        for step in steps[1:]:
            transform = transform @ step
        unit = torch.tensor([1.0, aspect, 1.0], device=images.device)
        transform = transform * (unit / unit[:, None])
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
        n, sides = len(images), images.shape[-2:]
        u = draws.uniform(n, 3, 1)
        places = [(torch.arange(side, device=images.device) + 0.5) / side for side in sides]
        rows, columns = ((place - u[:, axis]).abs() < 0.25 for axis, place in enumerate(places, 1))  # (N, side)
        cut = rows[:, :, None] & columns[:, None, :] & (u[:, :1] < self.p * self.cutout)
        return images * ~cut[:, None]


def _matrices(rows: list[list[Tensor]]) -> Tensor:
    """Return matrices (N, 3, 3) from entries (N,)."""
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
    """Return rotations of colours about the grey axis by ``angle`` (N, 1, 1), (N, 3, 3); Rodrigues' formula."""
    s = 1 / math.sqrt(3)
    cross = torch.tensor([[0.0, -s, s], [s, 0.0, -s], [-s, s, 0.0]], device=angle.device)
    eye = torch.eye(3, device=angle.device)
    return eye * angle.cos() + luma * (1 - angle.cos()) + cross * angle.sin()

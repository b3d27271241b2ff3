"""Progressive growing as a function of the step: resolution, fade, batch size and learning rate."""

from __future__ import annotations

import math
from typing import NamedTuple

from lightning_gans.networks.layers import check_image_size

ByResolution = dict[int, float]


class Phase(NamedTuple):
    """A stretch of the training at one resolution.

    Attributes:
        resolution: Side of the images.
        fading: Whether the newest block is faded in; else it has its full weight.
        first: Generator update that the phase starts with.
        steps: Generator updates that it takes; ``None``: all that are left.
        batch_size: Real images per discriminator update, over all processes.
        lr_factor: What learning rates are multiplied by.
    """

    resolution: int
    fading: bool
    first: int
    steps: int | None
    batch_size: int
    lr_factor: float = 1.0

    @property
    def name(self) -> str:
        """In words: 8x8, or 8x8 fading in."""
        return f"{self.resolution}x{self.resolution}{' fading in' * self.fading}"

    def alpha(self, step: int) -> float:
        """Weight of the newest block in step number ``step``: the share of the fade that is over at its middle."""
        return (step - self.first + 0.5) / self.steps if self.fading and self.steps else 1.0


class Growth:
    """When both networks grow. Karras et al. 2018, arXiv:1710.10196, section 2 and appendix A.1.

    The first resolution is trained for ``stabilise_kimg``; then each next one is faded in for ``fade_kimg`` and trained
    for ``stabilise_kimg``, the last one to the end of the training. Both count thousands of real images shown to the
    discriminator and are rounded up to whole steps. Values by resolution hold from there up to the next one given; the
    lengths given for the smallest one hold below it too.

    Args:
        start: Resolution to start with, a power of two from 4.
        fade_kimg: Length of a fade, or lengths by resolution; 0: the new block has its full weight at once.
        stabilise_kimg: Length of the training between two fades, or lengths by resolution.
        batch_sizes: Real images per discriminator update by resolution, over all processes; ``model.batch_size`` holds
            below the first one given, and everywhere if ``None``.
        lr_factors: What the learning rates of both players are multiplied by, by resolution; 1 below the first.
        reset_optimizers: Forget the optimisers' moments where a fade begins and where it ends.

    Raises:
        ValueError: A value out of range.
    """

    def __init__(
        self,
        *,
        start: int = 4,
        fade_kimg: float | ByResolution = 800.0,
        stabilise_kimg: float | ByResolution = 800.0,
        batch_sizes: dict[int, int] | None = None,
        lr_factors: ByResolution | None = None,
        reset_optimizers: bool = True,
    ) -> None:
        check_image_size(start, 4, 1024, "model.growth.start")
        for key, smallest, given in (
            ("fade_kimg", 0, fade_kimg),
            ("stabilise_kimg", 0, stabilise_kimg),
            ("batch_sizes", 1, batch_sizes or {}),
            ("lr_factors", 0, lr_factors or {}),
        ):
            if given == {} and key.endswith("_kimg"):
                raise ValueError(f"model.growth.{key}={{}}: must be a number, or numbers by resolution")
            for resolution, value in given.items() if isinstance(given, dict) else [(None, given)]:
                said = value if resolution is None else f"{{{resolution}: {value}}}"
                if isinstance(resolution, str):
                    raise ValueError(f"model.growth.{key}.{resolution}={value}: say model.growth.{key}={said}")
                if resolution is not None:
                    check_image_size(resolution, 4, 1024, f"model.growth.{key}, resolution")
                if not smallest <= value < math.inf or (key == "lr_factors" and value == 0):
                    bound = "> 0" if key == "lr_factors" else f">= {smallest}"
                    raise ValueError(f"model.growth.{key}={said}: must be {bound} and finite")
        self.start, self.reset_optimizers = start, reset_optimizers
        self.fade_kimg, self.stabilise_kimg = fade_kimg, stabilise_kimg
        self.batch_sizes, self.lr_factors = batch_sizes or {}, lr_factors or {}

    def stay(self, resolution: int) -> float:
        """Thousands of images that ``resolution`` is trained on once it has faded in."""
        return _at(self.stabilise_kimg, resolution, _first(self.stabilise_kimg))

    def phases(self, image_size: int, batch_size: int, n_critic: int) -> list[Phase]:
        """The whole schedule, in order; the last phase has no end.

        Args:
            image_size: Last resolution.
            batch_size: Real images per discriminator update where ``batch_sizes`` says nothing.
            n_critic: Discriminator updates per generator update.

        Raises:
            ValueError: ``start`` is larger than ``image_size``.
        """
        if self.start > image_size:
            raise ValueError(f"model.growth.start={self.start}: must be at most data.image_size={image_size}")
        found: list[Phase] = []
        step, resolution = 0, self.start
        while True:
            batch = int(_at(self.batch_sizes, resolution, batch_size))
            factor = _at(self.lr_factors, resolution, 1.0)
            for fading, kimg in ((True, self.fade_kimg), (False, self.stabilise_kimg)):
                steps: int | None = math.ceil(_at(kimg, resolution, _first(kimg)) * 1000 / (batch * n_critic) - 1e-9)
                if resolution == image_size and not fading:
                    steps = None
                if steps != 0 and not (fading and resolution == self.start):
                    found.append(Phase(resolution, fading, step, steps, batch, factor))
                    step += steps or 0
            if resolution == image_size:
                return found
            resolution *= 2


def _at(values: float | ByResolution | dict[int, int], resolution: int, default: float) -> float:
    """The value of the largest resolution given that is not above this one."""
    if not isinstance(values, dict):
        return values
    below = [given for given in values if given <= resolution]
    return values[max(below)] if below else default


def _first(values: float | ByResolution) -> float:
    """The value of the smallest resolution given."""
    return values[min(values)] if isinstance(values, dict) else values

"""Plan progressive growing as phases: resolution, fade, batch size and learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lightning_gans.networks.layers import check_image_size
from lightning_gans.schedules.training_schedule import Phase, TrainingSchedule

ByResolution = dict[int, float]


class Growth:
    """Plan when both networks grow. Karras et al. 2018, arXiv:1710.10196, section 2 and appendix A.1.

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

    def phases(self, image_size: int, batch_size: int, n_critic: int) -> list[Phase]:
        """List all phases in order; the last one has no end.

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
        resolution = self.start
        while resolution <= image_size:
            batch = int(_at(self.batch_sizes, resolution, batch_size))
            option = f"growth.batch_sizes, at {resolution}" if self.batch_sizes else "batch_size"
            factor = _at(self.lr_factors, resolution, 1.0)
            for fading, kimg in ((True, self.fade_kimg), (False, self.stabilise_kimg)):
                steps: int | None = math.ceil(_at(kimg, resolution, _first(kimg)) * 1000 / (batch * n_critic) - 1e-9)
                if resolution == image_size and not fading:
                    steps = None
                if not (fading and resolution == self.start):
                    name = f"{resolution}x{resolution}{' fading in' * fading}"
                    found.append(
                        Phase(
                            name,
                            steps,
                            batch,
                            n_critic,
                            resolution=resolution,
                            fading=fading,
                            lr_factor=factor,
                            batch_option=option,
                        )
                    )
            resolution *= 2
        return found


def growing_schedule(growth: Growth | None, image_size: int, batch_size: int, n_critic: int) -> TrainingSchedule:
    """Make the schedule of a family whose networks can grow.

    Args:
        growth: When they grow; ``None``: full resolution from the start.
        image_size: Last resolution.
        batch_size: Real images per discriminator update where ``growth`` says nothing.
        n_critic: Discriminator updates per generator update.

    Raises:
        ValueError: Growth starts above ``image_size``.
    """

    def earlier(options: Mapping[str, Any]) -> TrainingSchedule:
        given = {key: value for key, value in (options.get("growth") or {}).items() if key != "_target_"}
        theirs = Growth(**given) if options.get("growth") else None
        return growing_schedule(theirs, image_size, options["batch_size"], options["n_critic"])

    options_read = ("growth", "batch_size", "n_critic")
    if growth is None:
        whole = Phase(f"{image_size}x{image_size}", None, batch_size, n_critic, resolution=image_size)
        return TrainingSchedule([whole], earlier=earlier, options=options_read)
    phases = growth.phases(image_size, batch_size, n_critic)
    kimg = sum(phase.kimg for phase in phases) + _at(growth.stabilise_kimg, image_size, _first(growth.stabilise_kimg))
    advice = f"the whole is max_kimg={kimg:g}, or say a shorter model.growth.fade_kimg and stabilise_kimg"
    return TrainingSchedule(phases, advice=advice, earlier=earlier, options=options_read)


def _at(values: float | ByResolution | dict[int, int], resolution: int, default: float) -> float:
    """Return the value of the largest resolution given that is not above this one."""
    if not isinstance(values, dict):
        return values
    below = [given for given in values if given <= resolution]
    return values[max(below)] if below else default


def _first(values: float | ByResolution) -> float:
    """Return the value of the smallest resolution given."""
    return values[min(values)] if isinstance(values, dict) else values

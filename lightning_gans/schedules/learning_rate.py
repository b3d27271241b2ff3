"""Schedule learning rates as closed forms of generator updates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lightning_gans.config.errors import ConfigError, as_typed
from lightning_gans.config.types import (
    FractionAboveZero,
    FractionBelowOne,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveInt,
    checked,
)
from lightning_gans.schedules.values import half_cosine


class Schedule(LRScheduler):
    """Set the learning rate to base rate x ``factor(updates)``, never below ``floor`` unless the base rate is.

    Args:
        optimizer: Whose rate to set.
        floor: Smallest rate.
    """

    @checked
    def __init__(self, optimizer: Optimizer, *, floor: NonNegative = 0.0) -> None:
        self.floor = floor
        super().__init__(optimizer)

    def factor(self, updates: int) -> float:
        """Return the base rate's factor after so many generator updates."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Return the counters; the options come from the config."""
        return {key: self.__dict__[key] for key in ("base_lrs", "last_epoch", "_step_count", "_last_lr")}

    def get_lr(self) -> list[Any]:
        """Return the rate of every parameter group."""
        factor = self.factor(self.last_epoch)
        return [max(base * factor, min(self.floor, base)) for base in self.base_lrs]


class Constant(Schedule):
    """Keep the base rate, and count updates, where no schedule was asked for."""

    def factor(self, updates: int) -> float:
        """Return 1."""
        return 1.0


class LinearDecay(Schedule):
    """Keep the rate for ``constant`` updates, then decay it linearly to 0 over ``updates``.

    Args:
        optimizer: Whose rate to set.
        updates: Generator updates of the descent.
        constant: Generator updates before it.
        floor: Smallest rate.
    """

    @checked
    def __init__(
        self, optimizer: Optimizer, *, updates: PositiveInt, constant: int = 0, floor: NonNegative = 0.0
    ) -> None:
        self.updates, self.constant = updates, constant
        super().__init__(optimizer, floor=floor)

    def factor(self, updates: int) -> float:
        """Return 1 - (t - constant) / updates, clamped to [0, 1]."""
        return min(1.0, max(0.0, 1 - (updates - self.constant) / self.updates))


class RepeatedLinearDecay(Schedule):
    """Decay the rate linearly to 0 in the second half of each of several trainings in a row.

    After the last training the rate stays at 0.

    Args:
        optimizer: Whose rate to set.
        trainings: Generator updates of each training, by its phases, e.g. [[200], [20, 180]]; 0: no such phase.
        floor: Smallest rate.
    """

    @checked
    def __init__(self, optimizer: Optimizer, *, trainings: Sequence[Sequence[int]], floor: NonNegative = 0.0) -> None:
        self.lengths = [sum(phases) for phases in trainings]
        if min((updates for phases in trainings for updates in phases), default=0) < 0 or not sum(self.lengths):
            raise ConfigError("trainings", list(map(list, trainings)), "must be >= 0, and not all 0")
        super().__init__(optimizer, floor=floor)

    def factor(self, updates: int) -> float:
        """Return the factor from 1 to 0 in the second half of the training that has begun last."""
        for length in self.lengths:
            if updates < length:
                constant = length // 2
                return min(1.0, 1 - (updates - constant) / (length - constant))
            updates -= length
        return 0.0


class RepeatedHalving(Schedule):
    """Halve the rate at every interval, and start from the base rate again in each of several phases.

    Args:
        optimizer: Whose rate to set.
        phases: (updates, interval) of each phase, generator updates both; the last phase has no end.
        floor: Smallest rate.
    """

    @checked
    def __init__(self, optimizer: Optimizer, *, phases: Sequence[Sequence[int]], floor: NonNegative = 0.0) -> None:
        self.phases = [tuple(phase) for phase in phases]
        if not self.phases or any(len(phase) != 2 or min(phase) < 1 for phase in self.phases):
            raise ConfigError("phases", list(map(list, phases)), "must be pairs of updates and interval, >= 1 each")
        super().__init__(optimizer, floor=floor)

    def factor(self, updates: int) -> float:
        """Return 1/2 to the power of the intervals that are over in the phase."""
        for length, interval in self.phases[:-1]:
            if updates < length:
                return float(0.5 ** (updates // interval))
            updates -= length
        return float(0.5 ** (updates // self.phases[-1][1]))


class EpochDecay(LinearDecay):
    """Decay the rate linearly as ``LinearDecay`` does, by passes over the training set (epochs).

    Args:
        optimizer: Whose rate to set.
        batch_size: Images of an update, ``model.batch_size``.
        images: Images of a pass; ``None``: those of the training set, which says it when the training starts.
        constant: Passes at the base rate.
        decay: Passes of the descent to 0.
        floor: Smallest rate.
    """

    @checked
    def __init__(
        self,
        optimizer: Optimizer,
        *,
        batch_size: PositiveInt,
        images: PositiveInt | None = None,
        constant: int = 100,
        decay: PositiveInt = 100,
        floor: NonNegative = 0.0,
    ) -> None:
        self.batch_size, self.images, self.passes = batch_size, images, (constant, decay)
        super().__init__(optimizer, floor=floor, updates=1)
        self.learn(images)

    def learn(self, images: int | None) -> None:
        """Take the number of images of a pass from the training set, unless it was given."""
        images = self.images or images
        if images is not None:
            constant, decay = (passes * images // self.batch_size for passes in self.passes)
            self.constant, self.updates = constant, max(1, decay)

    def factor(self, updates: int) -> float:
        """Return the factor of ``LinearDecay``; 1 while the number of images is not known."""
        return super().factor(updates) if updates else 1.0


class CosineDecay(Schedule):
    """Decay the rate along half a cosine to ``final`` times the base rate, then keep it.

    Its length is said in ``updates``, or in ``kimg`` and ``batch_size``, which is the same at any batch size.

    Args:
        optimizer: Whose rate to set.
        updates: Generator updates of the descent.
        kimg: Thousands of real images of the descent, in place of ``updates``.
        batch_size: Real images of a generator update, with ``kimg``: ``model.batch_size``, times ``n_critic``.
        final: Last rate as a fraction of the first.
        beta2: Last beta2 of Adam, reached from the optimiser's own along the same cosine; ``None``: it stays.
        floor: Smallest rate.
    """

    @checked
    def __init__(
        self,
        optimizer: Optimizer,
        *,
        updates: PositiveInt | None = None,
        kimg: Positive | None = None,
        batch_size: PositiveInt | None = None,
        final: float = 0.0,
        beta2: FractionBelowOne | None = None,
        floor: NonNegative = 0.0,
    ) -> None:
        if (updates is None) is (kimg is None):
            raise ConfigError(
                "updates", updates, f"beside kimg={as_typed(kimg)}; say one of the two and leave the other null"
            )
        if kimg is not None and batch_size is None:
            raise ConfigError("kimg", kimg, "needs batch_size, which is null")
        if beta2 is not None and "betas" not in optimizer.defaults:
            raise ConfigError("beta2", beta2, f"{type(optimizer).__name__} has none; set it to null")
        self.updates, self.kimg = updates if kimg is None else 1000 * kimg / (batch_size or 1), kimg
        self.final, self.beta2 = final, beta2
        super().__init__(optimizer, floor=floor)

    def count_images(self, batch_size: int) -> None:
        """Let the descent in ``kimg`` take updates of so many real images, where a loader gives others."""
        if self.kimg is not None:
            self.updates = 1000 * self.kimg / batch_size

    def factor(self, updates: int) -> float:
        """Return final + (1 - final) (1 + cos(pi t / updates)) / 2."""
        return half_cosine(1.0, self.final, updates / (self.updates or 1))

    def get_lr(self) -> list[Any]:
        """Return the rate of every parameter group, and set beta2 beside it."""
        if self.beta2 is not None:
            first = self.optimizer.defaults["betas"][1]
            beta2 = half_cosine(first, self.beta2, self.last_epoch / (self.updates or 1))
            for group in self.optimizer.param_groups:
                group["betas"] = (group["betas"][0], beta2)
        return super().get_lr()


class ExponentialDecay(Schedule):
    """Multiply the rate by ``gamma`` every ``every`` updates, from update ``after`` on.

    Args:
        optimizer: Whose rate to set.
        gamma: Factor, above 0 to 1.
        every: Generator updates between two multiplications; 1: a smooth decay.
        after: Generator updates that do not count, an earlier phase's say.
        floor: Smallest rate.
        momentum: Last momentum of SGD, reached linearly over ``momentum_updates``; ``None``: it stays.
        momentum_updates: Generator updates until then.
    """

    @checked
    def __init__(
        self,
        optimizer: Optimizer,
        *,
        gamma: FractionAboveZero,
        every: PositiveInt = 1,
        after: NonNegativeInt = 0,
        floor: NonNegative = 0.0,
        momentum: float | None = None,
        momentum_updates: PositiveInt = 1,
    ) -> None:
        if momentum is not None and "momentum" not in optimizer.defaults:
            raise ConfigError("momentum", momentum, f"{type(optimizer).__name__} has none; set it to null")
        self.gamma, self.every, self.after = gamma, every, after
        self.momentum, self.momentum_updates = momentum, momentum_updates
        super().__init__(optimizer, floor=floor)

    def factor(self, updates: int) -> float:
        """Return gamma^floor((t - after) / every), at most 1."""
        return float(self.gamma ** (max(0, updates - self.after) // self.every))

    def get_lr(self) -> list[Any]:
        """Return the rate of every parameter group, and set the momentum beside it."""
        if self.momentum is not None:
            first = self.optimizer.defaults["momentum"]
            done = min(1.0, self.last_epoch / self.momentum_updates)
            for group in self.optimizer.param_groups:
                group["momentum"] = first + (self.momentum - first) * done
        return super().get_lr()


def scale_rates(schedule: LRScheduler, factor: float) -> None:
    """Set every parameter group's rate to the schedule's newest one times ``factor``."""
    for group, rate in zip(schedule.optimizer.param_groups, schedule.get_last_lr(), strict=True):
        group["lr"] = rate * factor

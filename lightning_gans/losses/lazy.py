"""Lazy regularisation: penalties at every k-th generator update only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.losses.path_length import PathLength
from lightning_gans.losses.penalties import Penalty

Factory = Callable[[Iterable[nn.Parameter]], Optimizer]


class Lazy:
    """Compute a penalty at every k-th generator update, k times as strong (lazy regularisation).

    Karras et al. 2020, arXiv:1912.04958, section 3.1 and appendix B. It has an optimiser step of its own after the
    player's, so that k updates take k + 1 steps; for Adam to move as far as before, its rate is multiplied by
    c = k / (k + 1) and its betas are raised to the power c.

    Args:
        penalty: Any penalty.
        interval: k. The penalty is due at updates 0, k, 2k, ..., a function of the step alone.
    """

    @checked
    def __init__(self, penalty: Penalty | PathLength, interval: PositiveInt = 16) -> None:
        self.penalty, self.interval = penalty, interval

    @property
    def needs_fakes(self) -> bool:
        """Return whether the penalty looks at generated samples."""
        return isinstance(self.penalty, Penalty) and self.penalty.needs_fakes

    def is_due(self, step: int) -> bool:
        """Return whether step number ``step`` has the penalty."""
        return step % self.interval == 0

    def __call__(self, *inputs: Any, **options: Any) -> Tensor:
        """Return k times the penalty, which is given all arguments; a scalar."""
        return self.interval * self.penalty(*inputs, **options)


def corrected(options: Mapping[str, Any], interval: int) -> dict[str, Any]:
    """Return an optimiser's options with ``lr`` and ``betas``, where it has them, corrected for a lazy penalty."""
    share, made = interval / (interval + 1), dict(options)
    if made.get("lr") is not None:
        made["lr"] = made["lr"] * share
    if made.get("betas") is not None:
        made["betas"] = tuple(beta**share for beta in made["betas"])
    return made


def corrected_factory(factory: Factory, interval: int) -> Factory:
    """Return a factory of optimisers that are corrected for a lazy penalty."""
    return partial(_make, factory=factory, interval=interval)


def _make(weights: Iterable[nn.Parameter], *, factory: Factory, interval: int) -> Optimizer:
    optimizer = factory(weights)
    for options in (optimizer.defaults, *optimizer.param_groups):
        options.update(corrected(options, interval))
    return optimizer

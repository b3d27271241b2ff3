"""Schedule phases, resolutions, learning rates and other values over a training."""

from typing import TYPE_CHECKING

from lightning_gans.runtime.aliases import moved_from
from lightning_gans.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from lightning_gans.schedules.learning_rate import (
        CosineDecay,
        EpochDecay,
        ExponentialDecay,
        LinearDecay,
        RepeatedHalving,
        RepeatedLinearDecay,
    )
    from lightning_gans.schedules.values import CosineValue
else:
    __getattr__, __dir__ = lazy_names(__name__, moved_from(__name__))

__all__ = [
    "CosineDecay",
    "CosineValue",
    "EpochDecay",
    "ExponentialDecay",
    "LinearDecay",
    "RepeatedHalving",
    "RepeatedLinearDecay",
]

"""Objectives, penalties and perceptual distances."""

from typing import TYPE_CHECKING

from lightning_gans.runtime.aliases import moved_from
from lightning_gans.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from lightning_gans.losses.lazy import Lazy
    from lightning_gans.losses.objectives import (
        Hinge,
        LeastSquares,
        NonSaturating,
        Objective,
        Relativistic,
        Saturating,
        Wasserstein,
    )
    from lightning_gans.losses.path_length import PathLength
    from lightning_gans.losses.penalties import R1, R1R2, R2, ApproximateR1R2, Dragan, GradientPenalty, Penalty
    from lightning_gans.losses.perceptual import Perceptual
else:
    __getattr__, __dir__ = lazy_names(__name__, moved_from(__name__))

__all__ = [
    "ApproximateR1R2",
    "Dragan",
    "GradientPenalty",
    "Hinge",
    "Lazy",
    "LeastSquares",
    "NonSaturating",
    "Objective",
    "PathLength",
    "Penalty",
    "Perceptual",
    "R1",
    "R1R2",
    "R2",
    "Relativistic",
    "Saturating",
    "Wasserstein",
]

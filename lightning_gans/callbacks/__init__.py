"""Callbacks of a training: progress, grids, scores, checkpoints, stability."""

from typing import TYPE_CHECKING

from lightning_gans.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from lightning_gans.callbacks.checkpoint import Checkpoint
    from lightning_gans.callbacks.evaluation import Evaluation
    from lightning_gans.callbacks.plane import PlaneView
    from lightning_gans.callbacks.progress import Progress
    from lightning_gans.callbacks.resolution_schedule import ResolutionSchedule
    from lightning_gans.callbacks.samples import SampleGrid
    from lightning_gans.callbacks.stability import DivergedError, StabilityGuard
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Checkpoint",
    "DivergedError",
    "Evaluation",
    "PlaneView",
    "Progress",
    "ResolutionSchedule",
    "SampleGrid",
    "StabilityGuard",
]

"""Options that families pass on to their bases, for ``**options: Unpack[...]``.

The bases document and check them. An unknown key is refused by every family, from Python and in a config.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import Required, TypedDict

from lightning_gans.augment.base import Augmentation
from lightning_gans.config.types import Positive, PositiveInt
from lightning_gans.losses.objectives import Objective
from lightning_gans.losses.penalties import Penalty
from lightning_gans.models.ema import EMA
from lightning_gans.models.sampling import Latent

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
SchedulerFactory = Callable[[Optimizer], LRScheduler]


class ModuleOptions(TypedDict, total=False):
    """Declare the options of ``GenerativeModule`` but the distribution of its latents."""

    g_optimizer: Required[OptimizerFactory]
    g_scheduler: SchedulerFactory | None
    batch_size: PositiveInt
    accumulate: PositiveInt
    clip_grad: Positive | None
    ema: EMA | None
    channels_last: bool
    compile: bool
    seed: int
    freeze: Sequence[str]


class LatentOptions(ModuleOptions, total=False):
    """Declare the options of ``GenerativeModule``."""

    latent: Latent


class OwnObjectiveOptions(LatentOptions, total=False):
    """Declare the options of ``AdversarialModule`` for a family that has an objective of its own."""

    d_optimizer: Required[OptimizerFactory]
    d_scheduler: SchedulerFactory | None
    penalty: Penalty | None
    augment: Augmentation | None
    n_critic: PositiveInt
    g_batch_size: PositiveInt | None
    clip_weights: Positive | None
    reuse_fakes: bool
    dequantise: bool


class AdversarialOptions(OwnObjectiveOptions, total=False):
    """Declare the options of ``AdversarialModule``."""

    objective: Required[Objective]


class TranslationOptions(ModuleOptions, total=False):
    """Declare the options of ``TranslationModule``."""

    objective: Required[Objective]
    d_optimizer: Required[OptimizerFactory]
    d_scheduler: SchedulerFactory | None

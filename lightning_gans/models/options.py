"""Options that families pass on to their bases, for ``**options: Unpack[...]``.

The bases document and check them. An unknown key is refused by every family, from Python and in a config. A family
fills in what its paper fixes; the bases demand the objective and the optimisers where a family fixes none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import TypedDict

from lightning_gans.augment.base import Augmentation
from lightning_gans.config.types import Positive, PositiveInt
from lightning_gans.losses.lazy import Lazy
from lightning_gans.losses.objectives import Objective
from lightning_gans.losses.penalties import Penalty
from lightning_gans.models.ema import EMA
from lightning_gans.models.sampling import Latent

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
SchedulerFactory = Callable[[Optimizer], LRScheduler]


def adam(lr: float = 2e-4, beta1: float = 0.5, beta2: float = 0.999) -> OptimizerFactory:
    """Return a factory of Adam; the defaults are DCGAN's, which later papers took over."""
    return functools.partial(Adam, lr=lr, betas=(beta1, beta2))


class ModuleOptions(TypedDict, total=False):
    """Declare the options of ``GenerativeModule`` but the distribution of its latents."""

    g_optimizer: OptimizerFactory
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

    d_optimizer: OptimizerFactory
    d_scheduler: SchedulerFactory | None
    penalty: Penalty | Lazy | None
    augment: Augmentation | None
    n_critic: PositiveInt
    g_batch_size: PositiveInt | None
    clip_weights: Positive | None
    reuse_fakes: bool
    dequantise: bool


class AdversarialOptions(OwnObjectiveOptions, total=False):
    """Declare the options of ``AdversarialModule``."""

    objective: Objective


class TranslationOptions(ModuleOptions, total=False):
    """Declare the options of ``TranslationModule``."""

    objective: Objective
    d_optimizer: OptimizerFactory
    d_scheduler: SchedulerFactory | None

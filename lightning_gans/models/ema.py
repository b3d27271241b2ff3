"""Average the generator's weights (exponential moving average) and measure its batch norm statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError, as_typed
from lightning_gans.config.types import FractionBelowOne, NonNegativeInt, Positive, checked
from lightning_gans.networks.layers import BATCH_NORMS
from lightning_gans.schedules.values import Scheduled, ends_of, value_at


class EMA:
    """Average the generator's weights by an exponential moving average.

    After an update that showed b images, w_ema <- w + beta (w_ema - w) with beta = 0.5^(b / h), so that a weight
    loses half of its say within h images whatever the batch. Early on h is at most ``ramp_up`` times the images seen,
    so that the initial weights are soon forgotten (Karras et al. 2020, arXiv:2006.06676, and its released code).

    With ``decay`` it is a constant beta whatever the batch, as older papers have it; the other two are ``None`` then.

    Args:
        half_life_kimg: h in thousands of real images, > 0; a number, or a ``CosineValue`` over the images seen before
            the update, which may start at 0 (no average yet).
        ramp_up: Largest h as a fraction of the images seen; ``None``: no ramp.
        decay: beta of every update, from 0 to below 1.
        start: Generator updates until which the average is the newest generator itself (Brock et al. 2019).

    Raises:
        ValueError: A value out of range, or not exactly one of ``half_life_kimg`` and ``decay``.
    """

    @checked
    def __init__(
        self,
        half_life_kimg: Scheduled | None = 10.0,
        ramp_up: Positive | None = 0.05,
        decay: FractionBelowOne | None = None,
        start: NonNegativeInt = 0,
    ) -> None:
        ends = (1.0, 1.0) if half_life_kimg is None else ends_of(half_life_kimg)
        if min(ends) < 0 or max(ends) <= 0:
            raise ConfigError("half_life_kimg", half_life_kimg, "must be > 0, or null with model.ema.decay")
        if (decay is None) is (half_life_kimg is None) or (decay is not None and ramp_up is not None):
            others = f"with decay={as_typed(decay)}, ramp_up={as_typed(ramp_up)}"
            rule = f"{others}, one of the first two must be null, and ramp_up with half_life_kimg"
            raise ConfigError("half_life_kimg", half_life_kimg, rule)
        self.half_life_kimg, self.ramp_up, self.decay, self.start = half_life_kimg, ramp_up, decay, start

    def beta(self, images: int, images_seen: int) -> float:
        """Return the weight of the old average after an update of ``images``, the run having shown ``images_seen``."""
        if self.half_life_kimg is None:
            return self.decay or 0.0
        half_life = value_at(self.half_life_kimg, images_seen - images) * 1000
        if self.ramp_up is not None:
            half_life = min(half_life, self.ramp_up * images_seen)
        return float(0.5 ** (images / max(half_life, 1e-8)))

    @torch.no_grad()
    def update(self, average: nn.Module, live: nn.Module, images: int, images_seen: int, updates: int) -> None:
        """Move ``average`` towards ``live`` after so many updates of it; buffers are copied."""
        beta = self.beta(images, images_seen) if updates > self.start else 0.0
        torch._foreach_lerp_(list(average.parameters()), list(live.parameters()), 1 - beta)
        for mine, theirs in zip(average.buffers(), live.buffers(), strict=True):
            mine.copy_(theirs)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """Put ``network`` in evaluation mode; restore every layer's mode afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield network
    finally:
        for module, mode in modes:
            module.training = mode


@torch.no_grad()
def measure_batch_norm(
    network: nn.Module, batches: Iterator[tuple[Tensor, ...]], keeping: Iterable[nn.Module] = ()
) -> None:
    """Replace batch norm's running statistics by their plain mean over ``batches`` of inputs.

    Averaged weights never saw the statistics that the live network collected; these are their own
    (Brock et al. 2019, arXiv:1809.11096, "standing statistics").

    Does nothing to a network without batch norm, nor to layers in ``keeping``.
    """
    kept = set(keeping)
    norms = [layer for layer in network.modules() if isinstance(layer, BATCH_NORMS) and layer.track_running_stats]
    norms = [norm for norm in norms if norm not in kept]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    with evaluating(network):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative mean
            norm.training = True
        for inputs in batches:
            network(*inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum

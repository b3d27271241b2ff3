"""Share an update among micro-batches, and a player's weights among groups of its optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from torch import nn

from lightning_gans.models.lazy_adam import BY_ROW
from lightning_gans.networks.attention import SelfAttention
from lightning_gans.networks.layers import BATCH_NORMS, SPECTRAL_NORM
from lightning_gans.networks.talking_heads import VideoRows

Part = TypeVar("Part")


def once_an_update(networks: Sequence[nn.Module], micro_batches: Sequence[Part]) -> Iterator[Part]:
    """Yield the micro-batches of one update, after which running states of layers have moved once and not each time.

    Spectral norm's power iteration runs in the first micro-batch. Batch norm's running statistics move by the mean of
    the micro-batches' statistics, at the momentum m of one batch: the i-th of k has the momentum m / (k - (k - i) m).

    Args:
        networks: Those that the update runs; what is in evaluation mode stays as it is.
        micro_batches: Of the update.
    """
    k = len(micro_batches)
    if k == 1:
        yield micro_batches[0]
        return
    layers = [layer for network in networks for layer in network.modules() if layer.training]
    spectral = [layer for layer in layers if isinstance(layer, SPECTRAL_NORM)]
    norms = [layer for layer in layers if isinstance(layer, BATCH_NORMS) and layer.momentum is not None]
    momenta = [norm.momentum or 0.0 for norm in norms]
    try:
        for i, micro_batch in enumerate(micro_batches, 1):
            for layer in spectral:
                layer.training = i == 1
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum / (k - (k - i) * momentum)
            yield micro_batch
    finally:
        for layer in spectral:
            layer.training = True
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def decay_groups(module: nn.Module, weights: list[nn.Parameter]) -> list[Any]:
    """Return weights for an optimiser, in groups of their own gates of self-attention, which never decay, and tables.

    Args:
        module: Holds the layers.
        weights: Of one player.
    """
    gates = {id(layer.gate) for layer in module.modules() if isinstance(layer, SelfAttention)}
    tables = {id(layer.weight) for layer in module.modules() if isinstance(layer, VideoRows)}
    found: list[Any] = []
    for names, options in ((gates, {"weight_decay": 0.0, "never_decays": True}), (tables, {BY_ROW: True})):
        own = [weight for weight in weights if id(weight) in names]
        found += [{"params": own, **options}] if own else []
    others = [weight for weight in weights if id(weight) not in gates | tables]
    return [{"params": others}, *found] if found else others

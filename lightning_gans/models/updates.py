"""Share an update among micro-batches, and make a player's optimiser with groups of its weights."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from lightning.pytorch import LightningModule
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from lightning_gans.models.lazy_adam import BY_ROW
from lightning_gans.networks.attention import SelfAttention
from lightning_gans.networks.layers import BATCH_NORMS, SPECTRAL_NORM
from lightning_gans.networks.talking_heads import VideoRows
from lightning_gans.runtime.device import remember_no_cuda

HOW = {"foreach", "fused", "capturable", "differentiable"}  # options of torch's optimisers that choose how they compute

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


def make_optimizer(
    module: LightningModule, factory: Callable[[Any], Optimizer], weights: list[nn.Parameter]
) -> Optimizer:
    """Make an optimiser, which steps a weight by one fused kernel where torch has one and options do not say how.

    On a CPU a step of Adam takes a quarter to a sixth of the time of separate operations. With 16-mixed a fused step
    would unscale gradients by itself, after they have been clipped, so there is none.

    Args:
        module: Holds the layers, and the trainer if there is one.
        factory: Takes weights or groups of them; of ``Adam``, ``AdamW`` or ``SGD`` itself a partial.
        weights: Of one player.
    """
    remember_no_cuda()
    groups, trainer = decay_groups(module, weights), module._trainer
    scales = trainer is not None and trainer.precision == "16-mixed"
    if isinstance(factory, functools.partial) and factory.func in (Adam, AdamW, SGD) and not scales:
        fits = all(weight.is_floating_point() and weight.device.type in ("cpu", "cuda") for weight in weights)
        if fits and not HOW & factory.keywords.keys():
            factory = functools.partial(factory, fused=True)
    return factory(groups)

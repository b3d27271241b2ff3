"""Freeze layers of a family's networks: their weights and statistics stay as they are (``model.freeze``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from lightning_gans.config.errors import ConfigError, unknown

_DEEPEST = 3  # parts of a layer's name that a message lists


class FrozenLayers:
    """Keep chosen layers out of training, e.g. the first ones of a discriminator (Mo et al. 2020, arXiv:2002.10964).

    Their weights get no gradients and no optimiser, so that weight decay and clipping pass them over; their batch norm
    and spectral norm stay in evaluation mode, so that statistics do not move.

    Args:
        patterns: Names of layers or weights, e.g. ``discriminator.layers.0``, which also stands for all below it, or
            globs, ``discriminator.layers.[0-4]``.
        trainable: Weights by player; those of frozen layers are taken out.
    """

    def __init__(self, patterns: Sequence[str], trainable: Mapping[str, list[nn.Parameter]]) -> None:
        self.patterns, self._trainable = tuple(patterns), trainable
        self._layers: list[str] | None = None  # names; None: not frozen yet

    def apply(self, module: nn.Module) -> None:
        """Freeze the layers of a module whose players are complete; a second call changes nothing.

        Raises:
            ConfigError: A name that no layer or weight has, or a player without any weights left.
        """
        if self._layers is not None:
            return
        weights = {id(weight): player for player, group in self._trainable.items() for weight in group}
        owned = [(name, layer) for name, layer in module.named_modules() if name]
        owned = [(name, layer) for name, layer in owned if any(id(weight) in weights for weight in layer.parameters())]
        named = [(name, weight) for name, weight in module.named_parameters() if id(weight) in weights]
        for pattern in self.patterns:
            names = [name for name, _ in (*owned, *named)]
            if not any(_matches(name, pattern) for name in names):
                shown = [name for name, _ in owned if name.count(".") < _DEEPEST and "parametrizations" not in name]
                raise unknown("freeze", pattern, shown, value=pattern)
        self._layers = [name for name, _ in owned if self._takes(name)]
        for name, weight in named:
            if self._takes(name):
                weight.requires_grad_(False)
        for player, group in self._trainable.items():
            group[:] = [weight for weight in group if weight.requires_grad]
            if not group:
                raise ConfigError("freeze", list(self.patterns), f"leaves player {player} no weights to train")
        self.hold(module)

    def hold(self, module: nn.Module) -> None:
        """Put frozen layers with statistics in evaluation mode."""
        for name in self._layers or ():
            for layer in module.get_submodule(name).modules():
                if any(True for _ in layer.buffers(recurse=False)):
                    layer.eval()

    def averaged(self, average: nn.Module) -> Iterator[nn.Module]:
        """Yield the layers of the averaged generator that are frozen in the live one."""
        for name in self._layers or ():
            network, _, rest = name.partition(".")
            if network == "generator":
                yield from average.get_submodule(rest).modules()

    def _takes(self, name: str) -> bool:
        return any(_matches(name, pattern) for pattern in self.patterns)


def _matches(name: str, pattern: str) -> bool:
    """Return whether a pattern names a layer or weight, or a layer above it."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")

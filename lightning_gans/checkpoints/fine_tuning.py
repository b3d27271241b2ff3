"""Start a training from the networks of a checkpoint (``init``), on other data or with other ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lightning_gans.checkpoints import integrity
from lightning_gans.checkpoints.roles import short_text
from lightning_gans.config.errors import ConfigError
from lightning_gans.models.base import GenerativeModule

_AVERAGE = "generator_ema"
_FROM = {"generator": ("generator", _AVERAGE), _AVERAGE: (_AVERAGE, "generator")}  # the first that the file has


def load_networks(module: GenerativeModule, state: Mapping[str, Any], source: str) -> str:
    """Load the networks of a state dict into a new module; counters, optimisers and schedules start anew.

    A layer is loaded if all of its tensors have the names and shapes of the module's, and otherwise keeps its fresh
    initialisation. Networks of another image size number their layers otherwise: if more weights fit when layers are
    counted from the last one, they are. The averaged generator starts from the file's averaged one, or from its
    generator if that is all.

    Args:
        module: Newly built.
        state: State dict of a checkpoint, or of a generator alone, its keys beginning with ``generator.``.
        source: Value of ``init``, for messages.

    Returns:
        One line a network: how many layers were loaded, and the names of those that were not.

    Raises:
        ConfigError: No weight of the generator fits.
        ValueError: Its weights are not finite.
    """
    integrity.refuse_not_finite(state)
    if getattr(module, "marginal_bias", False):
        raise ConfigError("model.marginal_bias", True, "would replace biases that init loads; set it to false")
    trained = [name for name, child in module.named_children() if any(p.requires_grad for p in child.parameters())]
    networks = trained + ([_AVERAGE] if module.generator_ema is not None else [])
    mine = module.state_dict()
    held = {name.partition(".")[0] for name, value in state.items() if isinstance(value, Tensor)}
    taken: dict[str, Tensor] = {}
    lines, used = [], set()
    for network in networks:
        theirs = next((name for name in _FROM.get(network, (network,)) if name in held), None)
        if theirs is None:
            lines.append(f"{network}: not in the file; starts fresh")
            continue
        used.add(theirs)
        loaded, fresh, counted = _fitting(_below(mine, network), _below(state, theirs))
        taken |= {f"{network}.{name}": value for name, value in loaded.items()}
        whence = f" from {theirs}" if theirs != network else ""
        told = f"; fresh: {'; '.join(fresh)}" if fresh else ""
        how = ", counted from the last layer" if counted else ""
        lines.append(f"{network}: {len(loaded)} tensors loaded{whence}{how}{told}")
    if not any(value.ndim > 1 and name.startswith("generator.") for name, value in taken.items()):
        players = [{n: v for n, v in one.items() if n.startswith("generator.")} for one in (mine, state)]
        differing = integrity.describe_difference(*players)
        raise ConfigError("init", source, f"fits no generator of {type(module).__name__}: {differing}")
    unused = sorted(held - used - {_AVERAGE, "conditioning", "augment", "perceptual"})
    lines += [f"not used of the file: {', '.join(map(short_text, unused))}"] if unused else []
    module.load_state_dict({**mine, **taken})
    return "\n".join(f"init={source}: {line}" for line in lines)


def _below(state: Mapping[str, Any], network: str) -> dict[str, Tensor]:
    """Return the tensors of one network, their names without its own."""
    prefix = f"{network}."
    return {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix) and isinstance(v, Tensor)}


Layer = tuple[list[str], list[tuple[int, ...]]]  # names and shapes of its tensors


def _fitting(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str], bool]:
    """Find what fits: layers of the same names, or those counted from the last one if they hold more weights.

    Returns:
        Tensors to load, each layer that stays fresh with its first difference, and whether layers were counted.
    """
    by_name = {name: name for names, _ in _layers(mine) if _equal(names, mine, theirs) for name in names}
    by_order: dict[str, str] = {}
    for (names, shapes), (others, found) in zip(_layers(mine)[::-1], _layers(theirs)[::-1], strict=False):
        if shapes != found:
            break
        by_order |= dict(zip(names, others, strict=True))
    sizes = [sum(mine[name].numel() for name in pairs) for pairs in (by_name, by_order)]
    pairs = by_order if sizes[1] > sizes[0] else by_name
    fresh = []
    for names, _ in _layers(mine):
        if names[0] not in pairs:
            other = next((name for name in names if not _equal([name], mine, theirs)), names[0])
            found_there = f"{tuple(theirs[other].shape)} in the file" if other in theirs else "not in the file"
            fresh.append(f"{other} {tuple(mine[other].shape)}, {found_there}")
    return {name: theirs[other] for name, other in pairs.items()}, fresh, pairs is by_order


def _layers(network: dict[str, Tensor]) -> list[Layer]:
    """Return the names and shapes of the tensors of each layer, in order."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name in network:
        names[name.rpartition(".")[0]].append(name)
    return [(group, [tuple(network[name].shape) for name in group]) for group in names.values()]


def _equal(names: list[str], mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return all(name in theirs and theirs[name].shape == mine[name].shape for name in names)

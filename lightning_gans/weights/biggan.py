"""Import state dicts of BigGAN-PyTorch, the authors' repository, as checkpoints of this package with equal outputs.

Its files are bare state dicts; sizes and widths are inferred from shapes, and exactly the keys of that architecture are
required. Its spectral norm runs one power iteration from the stored vector in evaluation too and does not keep the
result; here it is run once, at the import.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lightning_gans.checkpoints.load import initial_checkpoint
from lightning_gans.config.command import compose
from lightning_gans.networks.biggan import DISCRIMINATOR_WIDTHS, GENERATOR_WIDTHS, SMALL, Discriminator, Generator
from lightning_gans.networks.layers import SPECTRAL_NORM
from lightning_gans.runtime.state_dicts import check_keys, check_shape, check_values
from lightning_gans.training import run as runs
from lightning_gans.weights.published import Tell, read

State = Mapping[str, Tensor]
_BLOCK = re.compile(r"blocks\.(\d+)\.0\.conv1\.weight")
_ATTENTION = re.compile(r"blocks\.(\d+)\.1\.gamma")
_ATTENDING = (("theta", "theta"), ("phi", "phi"), ("g", "g"), ("o", "o"))


def recognises(state: State) -> bool:
    """Return whether a state dict is a generator of the repository."""
    return any(_BLOCK.fullmatch(name) for name in state) and "output_layer.2.weight" in state


def from_biggan(files: Mapping[str, str], tell: Tell = rank_zero_warn) -> dict[str, Any]:
    """Convert files of the repository to a checkpoint of this package.

    Args:
        files: Paths: ``generator`` (``G.pth``, or ``G_ema.pth``), which becomes both the generator and its average, and
            ``discriminator`` (``D.pth``) if there is one.
        tell: Called with a line about weights that no file has.

    Returns:
        A checkpoint for ``lightning_gans.load``, ``sample``, ``evaluate`` and ``resume``; its data names no folder yet.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file holds something else or an incomplete network, or the networks do not fit each other.
    """
    others = sorted(set(files) - {"generator", "discriminator"})
    if others:
        raise ValueError(f"{others[0]}={files[others[0]]}: not with generator={files['generator']}, a BigGAN's")
    made: dict[str, Generator | Discriminator] = {"generator": generator(read(files["generator"]), files["generator"])}
    nodes = {"generator": _generator_options(read(files["generator"]), files["generator"])}
    if "discriminator" in files:
        nodes["discriminator"] = _discriminator_options(read(files["discriminator"]), files["discriminator"])
        made["discriminator"] = discriminator(read(files["discriminator"]), files["discriminator"])
    else:
        tell("discriminator: not given; its weights are new")
    shapes = [(node["image_size"], node["channels"], node["num_classes"]) for node in nodes.values()]
    if len(set(shapes)) > 1:
        raise ValueError(f"generator and discriminator are for other images or classes: {shapes[0]} and {shapes[1]}")
    size, channels, classes = shapes[0]
    sizes = [f"data.image_size={size}", f"data.channels={channels}", f"data.num_classes={classes}"]
    config = compose("model=biggan", "data=folder", "data.root=.", *sizes)
    for name, node in nodes.items():
        config.model[name].update({key: value for key, value in node.items() if key not in ("channels", "num_classes")})
        config.model[name].image_size = size
    run = runs.build(config, ".")
    for name, network in made.items():
        getattr(run.model, name).load_state_dict(network.state_dict())
    assert run.model.generator_ema is not None
    run.model.generator_ema.load_state_dict(made["generator"].state_dict())
    run.model._stats_step = 0  # the file's running statistics, which sampling does not measure again
    return initial_checkpoint(run.model)


def generator(state: State, where: str = "generator") -> Generator:
    """Build the generator of a state dict, in evaluation equal to the repository's.

    Args:
        state: Tensors by the repository's names.
        where: Of messages.

    Raises:
        ValueError: The architecture is not known here, a key is missing or unknown, or a weight is not finite.
    """
    options = _generator_options(state, where)
    network = Generator(**options)
    names = {"dense": "linear", "last": "output_layer.2"}
    statistics = {"norm": "output_layer.0"}
    for i in range(len(network.blocks)):
        ours, theirs = f"blocks.{i}", f"blocks.{i}.0"
        names |= {f"{ours}.conv_1": f"{theirs}.conv1", f"{ours}.conv_2": f"{theirs}.conv2"}
        names[f"{ours}.shortcut"] = f"{theirs}.conv_sc"
        for k in (1, 2):
            statistics[f"{ours}.norm_{k}.norm"] = f"{theirs}.bn{k}"
            names |= {f"{ours}.norm_{k}.{part}": f"{theirs}.bn{k}.{part}" for part in ("gain", "bias")}
    required = _attention_names(network, names)
    required += [f"{name}.{part}" for name in statistics.values() for part in ("stored_mean", "stored_var")]
    required += ["output_layer.0.gain", "output_layer.0.bias", *(["shared.weight"] if network.shared else [])]
    _check(network, state, names, required, f"{where}: as a BigGAN's generator")
    _fill(network, state, names, where)
    with torch.no_grad():
        for ours, theirs in statistics.items():
            norm: Any = network.get_submodule(ours)
            norm.running_mean.copy_(state[f"{theirs}.stored_mean"].flatten())
            norm.running_var.copy_(state[f"{theirs}.stored_var"].flatten())
        network.norm.weight.copy_(state["output_layer.0.gain"].flatten())
        network.norm.bias.copy_(state["output_layer.0.bias"].flatten())
        if network.shared is not None:
            network.shared.weight.copy_(state["shared.weight"])
    return network.eval()


def discriminator(state: State, where: str = "discriminator") -> Discriminator:
    """Build the discriminator of a state dict, in evaluation equal to the repository's; as ``generator``."""
    network = Discriminator(**_discriminator_options(state, where))
    names = {"dense": "linear", "projection.embedding": "embed"}
    for i, block in enumerate(network.blocks):
        ours, theirs = f"blocks.{i}", f"blocks.{i}.0"
        names |= {f"{ours}.conv_1": f"{theirs}.conv1", f"{ours}.conv_2": f"{theirs}.conv2"}
        if getattr(block, "shortcut", None) is not None:
            names[f"{ours}.shortcut"] = f"{theirs}.conv_sc"
    required = _attention_names(network, names)
    _check(network, state, names, required, f"{where}: as a BigGAN's discriminator")
    _fill(network, state, names, where)
    return network.eval()


# ---------------------------------------------------------------------------------- names and shapes


def _attention_names(network: Generator | Discriminator, names: dict[str, str]) -> list[str]:
    """Add the convolutions of attention to ``names``; return the keys of the gates."""
    for index in network.attention:
        names |= {f"attention.{index}.{ours}": f"blocks.{index}.1.{theirs}" for ours, theirs in _ATTENDING}
    return [f"blocks.{index}.1.gamma" for index in network.attention]


def _generator_options(state: State, where: str) -> dict[str, Any]:
    blocks = _count(state, where)
    levels = blocks
    first, last = (_shape(state, f"blocks.{i}.0.conv1.weight", 4, where) for i in (0, blocks - 1))
    multiples = GENERATOR_WIDTHS.get(levels, (SMALL,) * (levels + 1))
    shared, gain = state.get("shared.weight"), _shape(state, "blocks.0.0.bn1.gain.weight", 2, where)
    chunk = _shape(state, "linear.weight", 2, where)[1]
    class_dim = None if shared is None else _shape(state, "shared.weight", 2, where)[1]
    split = class_dim is not None and gain[1] > class_dim
    return {
        "image_size": 4 << levels,
        "channels": _shape(state, "output_layer.2.weight", 4, where)[0],
        "num_classes": gain[0] if class_dim is None else len(state["shared.weight"]),
        "latent_dim": chunk * (levels + 1) if split else chunk,
        "base_channels": max(1, last[0] // multiples[-1]) if first else 1,
        "class_dim": class_dim,
        "split_latents": split,
        "attention": [8 << int(found[1]) for found in map(_ATTENTION.fullmatch, state) if found],
    }


def _discriminator_options(state: State, where: str) -> dict[str, Any]:
    blocks = _count(state, where)
    first = _shape(state, "blocks.0.0.conv1.weight", 4, where)
    last = _shape(state, f"blocks.{blocks - 1}.0.conv1.weight", 4, where)
    is_small = first[0] == last[0]
    levels = blocks - 1
    known = DISCRIMINATOR_WIDTHS.get(levels, ()) if not is_small else (SMALL,)
    if not known:
        raise ValueError(f"{where}: a discriminator of {blocks} blocks from {first[0]} to {last[0]} maps; not known")
    halvings = [1 << (int(found[1]) + 1) for found in map(_ATTENTION.fullmatch, state) if found]
    size = 4 << levels
    return {
        "image_size": size,
        "channels": first[1],
        "num_classes": _shape(state, "embed.weight", 2, where)[0],
        "base_channels": max(1, first[0] // known[0]),
        "attention": [size // halving for halving in halvings],
    }


def _count(state: State, where: str) -> int:
    numbers = [int(found[1]) for found in map(_BLOCK.fullmatch, state) if found]
    if not 1 <= len(numbers) <= 7:
        raise ValueError(f"{where}: {len(numbers)} residual blocks; no BigGAN that is known here")
    return len(numbers)


def _shape(state: State, name: str, dimensions: int, where: str) -> tuple[int, ...]:
    if name not in state:
        raise ValueError(f"{where}: as a BigGAN's it lacks {name}")
    shape = tuple(state[name].shape)
    if len(shape) != dimensions:
        raise ValueError(f"{where}: {name} has shape {shape}; must have {dimensions} dimensions")
    return shape


def _check(network: nn.Module, state: State, names: Mapping[str, str], others: list[str], where: str) -> None:
    """Refuse missing and unexpected keys and numbers that are not finite."""
    required = list(others)
    for ours, theirs in names.items():
        layer = network.get_submodule(ours)
        required.append(f"{theirs}.weight")
        required += [f"{theirs}.bias"] if getattr(layer, "bias", None) is not None else []
        required += [f"{theirs}.u0", f"{theirs}.sv0"] if hasattr(layer, "parametrizations") else []
    check_keys(state, required, (), where)
    check_values(state, where)


@torch.no_grad()
def _fill(network: Generator | Discriminator, state: State, names: Mapping[str, str], where: str) -> None:
    """Copy weights layer by layer, and run one power iteration from the stored vector."""
    for ours, theirs in names.items():
        layer: Any = network.get_submodule(ours)
        weight = state[f"{theirs}.weight"]
        own = layer.parametrizations.weight.original if hasattr(layer, "parametrizations") else layer.weight
        check_shape(tuple(weight.shape), tuple(own.shape), f"{theirs}.weight", where)
        own.copy_(weight)
        if getattr(layer, "bias", None) is not None:
            check_shape(tuple(state[f"{theirs}.bias"].shape), tuple(layer.bias.shape), f"{theirs}.bias", where)
            layer.bias.copy_(state[f"{theirs}.bias"])
        if hasattr(layer, "parametrizations"):
            norm: Any = layer.parametrizations.weight[0]
            assert isinstance(norm, SPECTRAL_NORM)
            matrix, u = weight.flatten(1), state[f"{theirs}.u0"].flatten()
            check_shape(tuple(u.shape), (len(matrix),), f"{theirs}.u0", where)
            norm._v.copy_(F.normalize(u @ matrix, dim=0))
            norm._u.copy_(F.normalize(matrix @ norm._v, dim=0))
    for index in network.attention:
        attention: Any = network.get_submodule(f"attention.{index}")
        attention.gate.copy_(state[f"blocks.{index}.1.gamma"].reshape(()))

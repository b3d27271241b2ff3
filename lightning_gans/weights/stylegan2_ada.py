"""Import StyleGAN2 networks of NVIDIA's StyleGAN2-ADA release for PyTorch as checkpoints, with equal outputs.

Layers and run-time constants are those of ``networks/stylegan2.py``; only names differ. Clamps of half precision, at
256, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lightning_gans.checkpoints.load import initial_checkpoint
from lightning_gans.config.command import compose
from lightning_gans.networks.stylegan2 import feature_maps
from lightning_gans.runtime.state_dicts import check_keys, check_shape, check_values
from lightning_gans.training import run as runs
from lightning_gans.weights.published import Tell

LICENSE = "NVIDIA's weights may be used non-commercially only, for research or evaluation (NVIDIA Source Code License)"
_UNUSED = "resample_filter"
Names = dict[str, str]  # ours: the file's


def from_nvidia(content: Mapping[str, Mapping[str, Tensor]], tell: Tell) -> dict[str, Any]:
    """Convert the networks of a pickle to a checkpoint of this package.

    Args:
        content: From ``nvidia_pickle.read``: ``G_ema``, and ``G`` and ``D`` where they are there.
        tell: Called with lines about the licence and about networks that the file lacks.

    Raises:
        ValueError: A network has no equivalent here or is incomplete, or weights are not finite.
    """
    tell(LICENSE)
    average = _kept(content["G_ema"])
    sides = sorted(
        int(found[1]) for name in average if (found := re.fullmatch(r"synthesis\.b(\d+)\.torgb\.weight", name))
    )
    if sides != [4 << level for level in range(len(sides))] or not 2 <= len(sides) <= 9:
        raise ValueError(f"G_ema: colours at {sides}; must be at 4, 8, 16, ...: a StyleGAN2 with skips")
    widths = [average[f"synthesis.b{side}.torgb.weight"].shape[1] for side in sides]
    base, largest = _rule(widths, sides)
    layers = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in average)
    embedding = average.get("mapping.embed.weight")
    num_classes = 0 if embedding is None else embedding.shape[1]
    style_dim = average["mapping.w_avg"].numel()
    config = compose("model=stylegan2", "data=folder", "data.root=.")
    config.data.image_size, config.data.channels = sides[-1], len(average["synthesis.b4.torgb.weight"])
    first = average["mapping.fc0.weight"].shape[1]
    config.model.generator.update(
        latent_dim=first - (style_dim if num_classes else 0),
        style_dim=style_dim,
        mapping_layers=layers,
        channel_base=base,
        channel_max=largest,
    )
    if num_classes:
        config.data.num_classes, config.model.discriminator.classes = num_classes, "projection"
        given = [name for name in content.get("D", {}) if re.fullmatch(r"mapping\.fc\d+\.weight", name)]
        config.model.discriminator.class_layers = len(given) or config.model.discriminator.class_layers
    model = runs.build(config, ".").model
    generator = _generator_names(sides, layers, bool(num_classes))
    for ours, theirs in {"generator_ema": "G_ema", "generator": "G"}.items():
        if theirs not in content:
            tell(f"{theirs}: not in the file; training starts from G_ema's weights")
        _fill(getattr(model, ours), _kept(content.get(theirs, average)), generator, theirs)
    if "D" in content:
        names = _discriminator_names(sides, config.model.discriminator.class_layers if num_classes else 0)
        _fill(model.discriminator, _kept(content["D"]), names, "D")  # type: ignore[arg-type]
    else:
        tell("D: not in the file; a new one")
    return initial_checkpoint(model)


def _kept(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.endswith(_UNUSED)}


def _rule(widths: list[int], sides: list[int]) -> tuple[int, int]:
    """Infer ``channel_base`` and ``channel_max`` from the feature maps at 4x4, 8x8, ..."""
    largest = max(widths)
    base = next((width * side for width, side in zip(widths, sides, strict=True) if width < largest), 0)
    base = base or largest * sides[-1]
    if feature_maps(sides[-1], base, largest) != widths:
        raise ValueError(f"G_ema: feature maps {widths}: must halve from one resolution on, as in the paper")
    return base, largest


def _pairs(ours: str, theirs: str, *parts: str) -> Names:
    return {f"{ours}.{part}": f"{theirs}.{part}" for part in parts or ("weight", "bias")}


def _generator_names(sides: list[int], layers: int, is_conditional: bool) -> Names:
    names = {"constant": "synthesis.b4.const", "mapping.average": "mapping.w_avg"}
    if is_conditional:
        names |= _pairs("mapping.embedding", "mapping.embed")
    for layer in range(layers):
        names |= _pairs(f"mapping.layers.{2 * layer}", f"mapping.fc{layer}")
    styled = [(side, half) for side in sides for half in ((1,) if side == 4 else (0, 1))]
    for number, (side, half) in enumerate(styled):
        ours, theirs = f"layers.{number}", f"synthesis.b{side}.conv{half}"
        names |= _pairs(f"{ours}.convolution.style", f"{theirs}.affine")
        names |= {f"{ours}.convolution.weight": f"{theirs}.weight", f"{ours}.bias": f"{theirs}.bias"}
        names |= {f"{ours}.noise.{mine}": f"{theirs}.noise_{part}" for mine, part in _NOISE.items()}
    for level, side in enumerate(sides):
        ours, theirs = f"to_rgb.{level}", f"synthesis.b{side}.torgb"
        names |= _pairs(f"{ours}.convolution.style", f"{theirs}.affine")
        names |= {f"{ours}.convolution.weight": f"{theirs}.weight", f"{ours}.bias": f"{theirs}.bias"}
    return names


_NOISE = {"strength": "strength", "constant": "const"}


def _discriminator_names(sides: list[int], class_layers: int) -> Names:
    names = _pairs("from_rgb.0", f"b{sides[-1]}.fromrgb")
    for block, side in enumerate(reversed(sides[1:])):
        names |= _pairs(f"blocks.{block}.layers.0", f"b{side}.conv0")
        names |= _pairs(f"blocks.{block}.layers.3", f"b{side}.conv1")
        names |= _pairs(f"blocks.{block}.skip.1", f"b{side}.skip", "weight")
    for ours, theirs in ((1, "conv"), (4, "fc"), (6, "out")):
        names |= _pairs(f"last.{ours}", f"b4.{theirs}")
    if class_layers:
        names |= _pairs("mapping.embedding", "mapping.embed")
    for layer in range(class_layers):
        names |= _pairs(f"mapping.layers.{2 * layer}", f"mapping.fc{layer}")
    return names


@torch.no_grad()
def _fill(network: torch.nn.Module, state: Mapping[str, Tensor], names: Names, where: str) -> None:
    """Copy tensors by name into a network.

    Raises:
        ValueError: A key is missing or unknown, a shape is another, or a weight is not finite.
    """
    check_keys(state, list(names.values()), ("mapping.w_avg",), f"{where}: as a StyleGAN2")
    check_values(state, where)
    for name, value in network.state_dict().items():
        if name not in names:  # D's mapping network has an average that is never used
            continue
        given = state[names[name]]
        if name == "constant" or name.endswith("noise.constant"):
            given = given.reshape(value.shape) if given.numel() == value.numel() else given
        check_shape(tuple(given.shape), tuple(value.shape), names[name], where)
        value.copy_(given)

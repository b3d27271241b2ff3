"""Import generators of the widely used PyTorch copy of StyleGAN's first version, with equal outputs.

Its files hold ``generator``, ``g_running`` (the average) and ``discriminator`` for 1024x1024, of which a training to a
smaller size fills the inner part. The layers are the paper's but for the constants: every layer has the gain sqrt(2),
the mapping network no multiplier of its rate, and noise strengths a run-time constant too, which are folded into the
weights; biases before the smoothing and the epsilon of instance norm are options of ours. Its discriminator has other
layers than the paper's and is left out.

Names of the same layers in the authors' TensorFlow networks, in the copy, and here (R = 8, 16, ... is level 1, 2, ...):

==============================  ========================================  ===============================
TensorFlow                      copy                                      here
==============================  ========================================  ===============================
``Dense0`` ...                  ``style.1.linear`` (1, 3, 5, ...)          ``mapping.layers.0`` (0, 2, 4, ...)
``dlatent_avg``                 (measured)                                 ``mapping.average``
``4x4/Const``                   ``progression.0.conv1.input``              ``constant``
``RxR/Conv0_up``                ``progression.L.conv1.1.conv``, or ``.0``  ``layers.2L.convolution.1``
``RxR/Conv1``                   ``progression.L.conv2.conv``               ``layers.2L+1.convolution``
``.../Noise``                   ``progression.L.noise1``                   ``layers.2L.noise``
``.../StyleMod``                ``progression.L.adain1.style.linear``      ``layers.2L.style``
``ToRGB_lod``                   ``to_rgb.L.conv``                          ``to_rgb.L``
==============================  ========================================  ===============================

``.0`` names an upsampling that is fused with its convolution: a transposed convolution of the flipped kernel, averaged
over four shifts, which equals a quarter of the convolution of repeated pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_gans.checkpoints.load import initial_checkpoint
from lightning_gans.config.command import compose
from lightning_gans.networks.layers import check_image_size
from lightning_gans.networks.progan import level_of
from lightning_gans.networks.stylegan import Generator
from lightning_gans.runtime.state_dicts import check_keys, check_shape, check_values, join_names, without_wrappers
from lightning_gans.training import run as runs
from lightning_gans.weights.published import Tell

EPS = 1e-5  # of its instance norm
LATENTS = 10_240  # of which the average style is measured
State = Mapping[str, Tensor]


def read(path: str | PathLike[str]) -> dict[str, Any] | None:
    """Read a file of the copy, without running code from it; ``None`` for any other file."""
    try:
        content = torch.load(Path(path).expanduser(), map_location="cpu", weights_only=True)
    except Exception:  # told by whoever reads it otherwise
        return None
    if not isinstance(content, Mapping) or not isinstance(content.get("g_running"), Mapping):
        return None
    return dict(content) if any("progression.0.adain1" in str(name) for name in content["g_running"]) else None


def from_copy(content: Mapping[str, Any], image_size: int | None, tell: Tell) -> dict[str, Any]:
    """Convert a file of the copy to a checkpoint of this package.

    Args:
        content: From ``read``: ``g_running``, and ``generator`` and ``discriminator`` where they are there.
        image_size: Side of the images that it was trained on; ``None``: all of its blocks are used.
        tell: Called with a line about networks that the file lacks and about keys that are not used.

    Raises:
        ValueError: A network is incomplete or of other layers, the size is none of its, or weights are not finite.
    """
    average = _cleaned(content["g_running"])
    levels = sum(name.startswith("generator.to_rgb.") and name.endswith(".bias") for name in average)
    size = image_size or 4 << (levels - 1)
    check_image_size(size, 8, 4 << (levels - 1), "image_size")
    widths = [average[f"generator.to_rgb.{level}.conv.weight_orig"].shape[1] for level in range(level_of(size) + 1)]
    config = compose("model=stylegan", "model/growth=none", "data=folder", "data.root=.")
    config.data.image_size = size
    config.data.channels = len(average["generator.to_rgb.0.conv.bias"])
    sizes = {"fmap_base": widths[-1] << len(widths), "fmap_max": max(widths)}
    first = average["style.1.linear.weight_orig"]
    layers = {"latent_dim": first.shape[1], "style_dim": len(first), "mapping_layers": _mapping_layers(average)}
    config.model.generator.update(eps=EPS, bias_before_blur=True, **layers, **sizes)
    config.model.discriminator.update(**sizes)
    model = runs.build(config, ".").model
    for ours, theirs in {"generator_ema": "g_running", "generator": "generator"}.items():
        if theirs not in content:
            tell(f"{theirs}: not in the file; training starts from g_running's weights")
        network = getattr(model, ours)
        _fill_generator(network, _cleaned(content.get(theirs, average)), levels, theirs)
        _measure_average(network)
    if "discriminator" in content:
        tell("discriminator: widens in the first convolution of a block, the paper's in the second; a new one")
    else:
        tell("discriminator: not in the file; a new one")
    unused = [str(key) for key in content if key not in ("g_running", "generator", "discriminator")]
    if unused:
        tell(f"not used of the file: {join_names(unused)}")
    return initial_checkpoint(model)


def _cleaned(state: State) -> State:
    """Remove wrapper prefixes and the filters, which are constants."""
    plain = without_wrappers(state, r"^module\.", "its networks")
    turned = [name for name in plain if name.endswith(".weight_flip")]
    filters = {*turned, *(name.removesuffix("_flip") for name in turned)}
    return {name: value for name, value in plain.items() if name not in filters}


@torch.no_grad()
def _measure_average(network: Generator) -> None:
    """Set the average style to that of latents drawn from a fixed seed."""
    latents = torch.randn(LATENTS, network.latent_dim, generator=torch.Generator().manual_seed(0))
    network.mapping.average.copy_(network.mapping(latents).mean(0))


@torch.no_grad()
def _fill_generator(network: Generator, state: State, levels: int, where: str) -> None:
    """Copy the weights of the blocks up to a generator's size."""
    check_keys(state, list(_generator_keys(state, levels)), (), f"{where}: as a StyleGAN of {4 << (levels - 1)} pixels")
    check_values(state, where)
    for number, layer in enumerate(network.mapping.layers[::2]):
        _copy(layer, state, f"style.{2 * number + 1}.linear", where)
    _give(network.constant, state["generator.progression.0.conv1.input"], "progression.0.conv1.input", where)
    for number, layer in enumerate(network.layers):
        level, half = divmod(number, 2)
        block = f"generator.progression.{level}"
        strength = state[f"{block}.noise{half + 1}.weight_orig"]
        noise = strength[0] * math.sqrt(2 / strength.shape[1])
        _give(layer.noise.strength, noise, f"{block}.noise{half + 1}", where)  # type: ignore[union-attr, arg-type]
        _copy(layer.style, state, f"{block}.adain{half + 1}.style.linear", where)
        layer.style.bias[: layer.style.out_features // 2] -= 1  # type: ignore[union-attr, operator, index]
        if half:
            _copy(layer.convolution, state, f"{block}.conv2.conv", where, bias=layer.bias)  # type: ignore[arg-type]
        elif level:
            _copy_upsampling(layer.convolution[1], state, f"{block}.conv1", where)  # type: ignore[index]
    for level, layer in enumerate(network.to_rgb):
        _copy(layer, state, f"generator.to_rgb.{level}.conv", where)


def _mapping_layers(state: State) -> int:
    return sum(name.startswith("style.") and name.endswith(".bias") for name in state)


def _generator_keys(state: State, levels: int) -> Iterator[str]:
    layers = [f"style.{2 * number + 1}.linear" for number in range(_mapping_layers(state))]
    for level in range(levels):
        block = f"generator.progression.{level}"
        first = [f"{block}.conv1.1.conv"] if level and f"{block}.conv1.0.bias" not in state else []
        layers += [*first, f"{block}.conv2.conv", *(f"{block}.adain{half}.style.linear" for half in (1, 2))]
        layers.append(f"generator.to_rgb.{level}.conv")
        yield from (f"{block}.noise{half}.weight_orig" for half in (1, 2))
        yield from () if first or not level else (f"{block}.conv1.0.{part}" for part in ("weight", "bias"))
    yield "generator.progression.0.conv1.input"
    yield from (f"{layer}.{part}" for layer in layers for part in ("weight_orig", "bias"))


def _copy(layer: Any, state: State, name: str, where: str, *, bias: Tensor | None = None) -> None:
    """Copy a layer's weights, folding its run-time constant sqrt(2 / fan-in) into ours; a bias may stand elsewhere."""
    weight = state[f"{name}.weight_orig" if f"{name}.weight_orig" in state else f"{name}.weight"]
    constant = math.sqrt(2 / weight[0].numel())
    _give(layer.weight, weight * (constant / layer.scale), f"{name}.weight", where)
    given = state[f"{name}.bias"] / getattr(layer, "lr_multiplier", 1.0)
    _give(layer.bias if bias is None else bias, given, f"{name}.bias", where)


def _copy_upsampling(layer: Any, state: State, name: str, where: str) -> None:
    """Copy the convolution after an upsampling; a fused one (in, out, 3, 3) is turned around."""
    if f"{name}.1.conv.bias" in state:
        _copy(layer, state, f"{name}.1.conv", where)
        return
    weight = state[f"{name}.0.weight"].transpose(0, 1).flip(2, 3)
    constant = math.sqrt(2 / weight[0].numel()) / 4
    _give(layer.weight, weight * (constant / layer.scale), f"{name}.0.weight", where)
    _give(layer.bias, state[f"{name}.0.bias"], f"{name}.0.bias", where)


def _give(ours: Tensor, theirs: Tensor, name: str, where: str) -> None:
    check_shape(tuple(theirs.shape), tuple(ours.shape), name, where)
    ours.copy_(theirs)

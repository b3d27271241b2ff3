"""ProGANs of the public repository pytorch_GAN_zoo as checkpoints of ours, with equal outputs.

Its networks differ from the paper's in numbers only, which the weights take up: every layer has the gain sqrt(2) and
multiplies its bias by the run-time constant too; the first layer has a bias per value; the deviation over a minibatch
is that of a sample, not of a population; and its alpha is the weight of the old images.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lightning_gans.checkpoints.load import content_of
from lightning_gans.config.command import compose
from lightning_gans.networks.equalised import EqualisedConv2d, EqualisedLinear, FirstLayer
from lightning_gans.networks.layers import MinibatchStddev
from lightning_gans.networks.progan import Discriminator, Generator, feature_maps
from lightning_gans.runtime.state_dicts import check_keys, check_shape, check_values, shown, without_wrappers
from lightning_gans.training import run as runs
from lightning_gans.weights.published import Tell

State = Mapping[str, Tensor]
GROUP = 4  # samples that its discriminator compares
MOST_SCALES = 8  # doublings of 4x4
_LAYERS = re.compile(r"(module\.)?(formatLayer|toRGBLayers|groupScale0|scaleLayers)\b")  # any tells a generator


class _Config:
    """Stands where the repository's files name a class of its own: a bag of values."""


def read(path: str | PathLike[str]) -> dict[str, Any] | None:
    """What a ProGAN file of the repository holds; ``None`` of any other file. Nothing in it is run."""
    try:
        with torch.serialization.safe_globals([(_Config, "models.utils.config.BaseConfig")]):
            content = torch.load(Path(path).expanduser(), map_location="cpu", weights_only=True)
    except Exception:  # told by whoever reads it otherwise
        return None
    if not isinstance(content, Mapping) or not all(isinstance(content.get(net), Mapping) for net in ("netG", "netD")):
        return None
    return dict(content) if any(_LAYERS.match(str(name)) for name in content["netG"]) else None


def from_gan_zoo(content: Mapping[str, Any], tell: Tell = rank_zero_warn) -> dict[str, Any]:
    """The content of a checkpoint of ours.

    Args:
        content: From ``read``: ``netG``, ``netD``, ``avgG`` if there is an average, and ``config``.
        tell: Called with a line on what is not used of the file, and on what of the networks is not in it.

    Returns:
        What ``lightning_gans.load``, ``sample``, ``evaluate`` and ``resume`` read; its data names no folder yet.

    Raises:
        ValueError: Networks that have no equal here or are not whole, or weights that are not finite.
    """
    settings = content.get("config") or {}
    settings = dict(settings if isinstance(settings, Mapping) else getattr(settings, "__dict__", {}))
    if settings.get("lossCriterion", "WGANGP") != "WGANGP":
        raise ValueError(f"lossCriterion={settings['lossCriterion']}: its generator ends in a tanh; only WGANGP's fit")
    if settings.get("leakyReluLeak", 0.2) != 0.2:
        raise ValueError(f"leakyReluLeak={settings['leakyReluLeak']}: must be 0.2")
    if settings.get("alpha", 0):
        raise ValueError(f"alpha={settings['alpha']}: its training stopped inside a fade; only whole networks fit")
    equalised, pixel_norm = (bool(settings.get(key, True)) for key in ("equalizedlR", "perChannelNormalization"))
    names = {"netG": "netG", "avgG": "avgG" if content.get("avgG") else "netG"}
    live, average = (generator(content[net], equalised, pixel_norm, net) for net in names.values())
    critic = discriminator(content["netD"], equalised)
    sizes = {"netG": live.image_size, names["avgG"]: average.image_size, "netD": critic.image_size}
    if isinstance(settings.get("depthOtherScales"), list | tuple):
        sizes["config.depthOtherScales"] = 4 << len(settings["depthOtherScales"])
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{name} for {size}x{size}" for name, size in sizes.items())
        raise ValueError(f"its networks are of different sizes: {found}")
    if names["avgG"] == "netG":
        tell("avgG: not in the file; the average is netG's weights")
    unused = [str(key) for key in content if key not in ("netG", "netD", "avgG", "config")]
    if unused:
        tell(f"not used of the file: {shown(unused)}")
    config = compose("model=progan", "model/growth=none", "data=folder", "data.root=.")
    config.data.image_size, config.data.channels = live.image_size, live.to_rgb[0].out_channels
    base, largest = _rule([layer.in_channels for layer in live.to_rgb if isinstance(layer, EqualisedConv2d)])
    compares = any(isinstance(layer, MinibatchStddev) for layer in critic.modules())
    config.model.generator.update(
        latent_dim=live.latent_dim,
        fmap_base=base,
        fmap_max=largest,
        norm="pixel" if pixel_norm else None,
        normalise_latents=pixel_norm,
        position_bias=True,
    )
    config.model.discriminator.update(
        fmap_base=base, fmap_max=largest, minibatch="stddev" if compares else None, group_size=GROUP
    )
    run = runs.build(config, ".")
    networks = {"generator": live, "generator_ema": average, "discriminator": critic}
    for name, network in networks.items():
        try:
            getattr(run.model, name).load_state_dict(network.state_dict())
        except RuntimeError as error:
            raise ValueError(f"{name}: its feature maps, latents or channels are not those of netG") from error
    return content_of(run.model)


def generator(state: State, equalised: bool = True, pixel_norm: bool = True, name: str = "netG") -> Generator:
    """The generator that a ``netG`` or ``avgG`` describes.

    Its images at a fade of the repository's alpha are ours after ``grow(image_size, 1 - alpha)``.

    Args:
        state: Tensors by the repository's names.
        equalised: Whether it was trained with run-time constants; leaves no trace in the tensors.
        pixel_norm: Whether it normalises latents and pixels; likewise.
        name: In messages.

    Raises:
        ValueError: Its feature maps follow no rule of ours, a key is missing or unknown, a weight is not finite.
    """
    state, scales = _cleaned(state), _count_scales(state)
    names = ["formatLayer", "groupScale0.0", *_blocks(scales), *(f"toRGBLayers.{k}" for k in range(scales + 1))]
    _check(state, names, name)
    widths = [len(state[f"{layer}.weight"]) for layer in ("groupScale0.0", *_firsts(scales))]
    size, (base, largest) = 2 ** (len(widths) + 1), _rule(widths)
    made = Generator(
        image_size=size,
        channels=len(state["toRGBLayers.0.weight"]),
        latent_dim=state["formatLayer.weight"].shape[1],
        fmap_base=base,
        fmap_max=largest,
        norm="pixel" if pixel_norm else None,
        normalise_latents=pixel_norm,
        position_bias=True,
    )
    _fill(made, state, names, equalised, name)
    return made


def discriminator(state: State, equalised: bool = True) -> Discriminator:
    """The discriminator that a ``netD`` describes; its logits are equal in batches of four.

    In larger batches the repository gives some samples the deviation of another group.

    Args:
        state: Tensors by the repository's names.
        equalised: Whether it was trained with run-time constants.

    Raises:
        ValueError: Its feature maps follow no rule of ours, it gives more than a logit, a key is missing or unknown, or
            a weight is not finite.
    """
    state, scales = _cleaned(state), _count_scales(state)
    names = [f"fromRGBLayers.{k}" for k in range(scales + 1)]
    names += ["groupScaleZero.0", "groupScaleZero.1", "decisionLayer", *_blocks(scales)]
    _check(state, names, "netD")
    widths = [len(state[f"{layer}.weight"]) for layer in ("groupScaleZero.0", *_firsts(scales))]
    if len(state["decisionLayer.weight"]) != 1:
        raise ValueError(f"decisionLayer: gives {len(state['decisionLayer.weight'])} values; only unlabelled ones fit")
    size, (base, largest) = 2 ** (len(widths) + 1), _rule(widths)
    compares = state["groupScaleZero.0.weight"].shape[1] > widths[0]
    made = Discriminator(
        image_size=size,
        channels=state["fromRGBLayers.0.weight"].shape[1],
        fmap_base=base,
        fmap_max=largest,
        minibatch="stddev" if compares else None,
        group_size=GROUP,
    )
    if compares:  # the root of a sample's variance over a population's
        state["groupScaleZero.0.weight"] = state["groupScaleZero.0.weight"].clone()
        state["groupScaleZero.0.weight"][:, -1] *= math.sqrt(GROUP / (GROUP - 1))
    _fill(made, state, names, equalised, "netD")
    return made


@torch.no_grad()
def _fill(network: Generator | Discriminator, state: State, names: list[str], equalised: bool, where: str) -> None:
    """Copy layer by layer, both networks' layers standing in the order of ``names``."""
    layers = [m for m in network.modules() if isinstance(m, EqualisedConv2d | EqualisedLinear | FirstLayer)]
    for layer, name in zip(layers, names, strict=True):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        assert layer.bias is not None
        expected = tuple(layer.weight.shape)
        if isinstance(layer, FirstLayer):  # theirs are dense layers here and at groupScaleZero.1
            expected = (expected[1] * 16, expected[0])
        elif weight.ndim == 2:
            expected = (expected[0], layer.weight[0].numel())
        check_shape(tuple(weight.shape), expected, f"{name}.weight", where)
        check_shape(tuple(bias.shape), expected[:1], f"{name}.bias", where)
        constant = math.sqrt(2 / weight[0].numel()) if equalised else 1.0
        if isinstance(layer, FirstLayer):
            weight, bias = weight.T.reshape(layer.weight.shape), bias.view(layer.bias.shape)
        layer.weight.copy_(weight.view(layer.weight.shape) * (constant / layer.scale))
        layer.bias.copy_(bias * constant)


def _cleaned(state: State) -> dict[str, Tensor]:
    """Names without the wrapper around the network and the one around each layer."""
    return without_wrappers(state, r"^module\.|\.module(?=\.(?:weight|bias)$)", "its networks")


def _count_scales(state: Iterable[str]) -> int:
    """How often it doubles 4x4, by the highest number that any of its layers has."""
    numbers = {"scaleLayers": [-1], "RGBLayers": [0]}
    for kind, number in re.findall(r"(scaleLayers|RGBLayers)\.(\d+)\.", " ".join(map(str, state))):
        numbers[kind].append(int(number))
    scales = max(max(numbers["scaleLayers"]) + 1, max(numbers["RGBLayers"]))
    if scales > MOST_SCALES:
        raise ValueError(f"its layers count {scales} doublings of 4x4; at most {MOST_SCALES} are known here")
    return scales


def _blocks(scales: int) -> list[str]:
    """Both convolutions at 8x8, 16x16, ..."""
    return [f"scaleLayers.{scale}.{i}" for scale in range(scales) for i in (0, 1)]


def _firsts(scales: int) -> list[str]:
    """Likewise, the first ones, which give as many maps as the resolution has."""
    return [f"scaleLayers.{scale}.0" for scale in range(scales)]


def _check(state: State, names: list[str], where: str) -> None:
    """Refuse a network that is not whole, or more than that; of labelled ones ``decisionLayer`` tells."""
    keys = [f"{name}.{part}" for name in names for part in ("weight", "bias")]
    check_keys(state, keys, (), f"{where}: as a ProGAN up to {2 ** (_count_scales(state) + 2)} pixels")
    check_values(state, where)
    for name in names:
        if state[f"{name}.weight"].ndim not in (2, 4):
            raise ValueError(f"{where}: {name}.weight has shape {tuple(state[f'{name}.weight'].shape)}")


def _rule(widths: list[int]) -> tuple[int, int]:
    """``fmap_base`` and ``fmap_max`` of these feature maps at 4x4, 8x8, ..."""
    base, largest = widths[-1] << len(widths), max(widths)
    if len(widths) < 2 or feature_maps(2 ** (len(widths) + 1), base, 1.0, largest) != widths:
        raise ValueError(f"feature maps {widths}: must halve from one resolution on, as in the paper")
    return base, largest

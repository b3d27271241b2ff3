"""ProGANs of the public repository pytorch_GAN_zoo as checkpoints of ours, with equal outputs.

Its networks differ from the paper's in numbers only, which the weights take up: every layer has the gain sqrt(2) and
multiplies its bias by the run-time constant too; the first layer has a bias per value; the deviation over a minibatch
is that of a sample, not of a population; and its alpha is the weight of the old images.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_gans import run as runs
from lightning_gans.arguments import compose
from lightning_gans.checkpoint import content_of
from lightning_gans.networks.layers import MinibatchStddev
from lightning_gans.networks.progan import (
    Discriminator,
    EqualisedConv2d,
    EqualisedLinear,
    FirstLayer,
    Generator,
    feature_maps,
)

State = Mapping[str, Tensor]


class _Config:
    """Stands where the repository's files name a class of its own: a bag of values."""


def read(path: str | PathLike[str]) -> dict[str, Any] | None:
    """What a ProGAN file of the repository holds; ``None`` of any other file. Nothing in it is run."""
    try:
        with torch.serialization.safe_globals([(_Config, "models.utils.config.BaseConfig")]):
            content = torch.load(Path(path).expanduser(), map_location="cpu", weights_only=True)
    except Exception:  # told by whoever reads it otherwise
        return None
    known = isinstance(content, Mapping) and {"netG", "netD"} <= set(content)
    return dict(content) if known and any("formatLayer." in name for name in content["netG"]) else None


def from_gan_zoo(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint of ours.

    Args:
        content: From ``read``: ``netG``, ``netD``, ``avgG`` if there is an average, and ``config``.

    Returns:
        What ``lightning_gans.load``, ``sample``, ``evaluate`` and ``resume`` read; its data names no folder yet.

    Raises:
        ValueError: Networks that have no equal here.
    """
    settings = content.get("config") or {}
    settings = dict(settings if isinstance(settings, Mapping) else vars(settings))
    if settings.get("lossCriterion", "WGANGP") != "WGANGP":
        raise ValueError(f"lossCriterion={settings['lossCriterion']}: its generator ends in a tanh; only WGANGP's fit")
    if settings.get("leakyReluLeak", 0.2) != 0.2:
        raise ValueError(f"leakyReluLeak={settings['leakyReluLeak']}: must be 0.2")
    if settings.get("alpha", 0):
        raise ValueError(f"alpha={settings['alpha']}: its training stopped inside a fade; only whole networks fit")
    equalised, pixel_norm = (bool(settings.get(key, True)) for key in ("equalizedlR", "perChannelNormalization"))
    averaged = content.get("avgG") or content["netG"]
    live, average = (generator(net, equalised, pixel_norm) for net in (content["netG"], averaged))
    critic = discriminator(content["netD"], equalised)
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
    config.model.discriminator.update(fmap_base=base, fmap_max=largest, minibatch="stddev" if compares else None)
    run = runs.build(config, ".")
    networks = {"generator": live, "generator_ema": average, "discriminator": critic}
    for name, network in networks.items():
        getattr(run.model, name).load_state_dict(network.state_dict())
    return content_of(run.model)


def generator(state: State, equalised: bool = True, pixel_norm: bool = True) -> Generator:
    """The generator that a ``netG`` or ``avgG`` describes.

    Its images at a fade of the repository's alpha are ours after ``grow(image_size, 1 - alpha)``.

    Args:
        state: Tensors by the repository's names.
        equalised: Whether it was trained with run-time constants; leaves no trace in the tensors.
        pixel_norm: Whether it normalises latents and pixels; likewise.

    Raises:
        ValueError: Its feature maps follow no rule of ours.
    """
    state = _cleaned(state)
    widths = [len(state["groupScale0.0.weight"]), *_scales(state)]
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
    names = ["formatLayer", "groupScale0.0"]
    names += [f"scaleLayers.{scale}.{i}" for scale in range(len(widths) - 1) for i in (0, 1)]
    names += [f"toRGBLayers.{scale}" for scale in range(len(widths))]
    _fill(made, state, names, equalised)
    return made


def discriminator(state: State, equalised: bool = True) -> Discriminator:
    """The discriminator that a ``netD`` describes; its logits are equal in batches of four.

    In larger batches the repository gives some samples the deviation of another group.

    Args:
        state: Tensors by the repository's names.
        equalised: Whether it was trained with run-time constants.

    Raises:
        ValueError: Its feature maps follow no rule of ours, or it gives more than a logit.
    """
    state = _cleaned(state)
    widths = [len(state["groupScaleZero.0.weight"]), *_scales(state)]
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
    )
    if compares:  # the root of a sample's variance over a population's
        group = next(layer.size for layer in made.modules() if isinstance(layer, MinibatchStddev))
        state["groupScaleZero.0.weight"] = state["groupScaleZero.0.weight"].clone()
        state["groupScaleZero.0.weight"][:, -1] *= math.sqrt(group / (group - 1))
    names = [f"fromRGBLayers.{scale}" for scale in range(len(widths))]
    names += ["groupScaleZero.0", "groupScaleZero.1", "decisionLayer"]
    names += [f"scaleLayers.{scale}.{i}" for scale in range(len(widths) - 1) for i in (0, 1)]
    _fill(made, state, names, equalised)
    return made


@torch.no_grad()
def _fill(network: Generator | Discriminator, state: State, names: list[str], equalised: bool) -> None:
    """Copy layer by layer, both networks' layers standing in the order of ``names``."""
    layers = [m for m in network.modules() if isinstance(m, EqualisedConv2d | EqualisedLinear | FirstLayer)]
    for layer, name in zip(layers, names, strict=True):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        constant = math.sqrt(2 / weight[0].numel()) if equalised else 1.0
        if isinstance(layer, FirstLayer):
            weight, bias = weight.T.reshape(layer.weight.shape), bias.view(layer.bias.shape)
        layer.weight.copy_(weight.view(layer.weight.shape) * (constant / layer.scale))
        assert layer.bias is not None
        layer.bias.copy_(bias * constant)


def _cleaned(state: State) -> dict[str, Tensor]:
    """Names without the wrapper around the network and the one around each layer."""
    return {re.sub(r"\.module\.(weight|bias)$", r".\1", name).removeprefix("module."): t for name, t in state.items()}


def _scales(state: State) -> list[int]:
    """Feature maps at 8x8, 16x16, ..., which the first convolution of each scale gives."""
    weights: list[int] = []
    while f"scaleLayers.{len(weights)}.0.weight" in state:
        weights.append(len(state[f"scaleLayers.{len(weights)}.0.weight"]))
    return weights


def _rule(widths: list[int]) -> tuple[int, int]:
    """``fmap_base`` and ``fmap_max`` of these feature maps at 4x4, 8x8, ..."""
    base, largest = widths[-1] << len(widths), max(widths)
    if len(widths) < 2 or feature_maps(2 ** (len(widths) + 1), base, 1.0, largest) != widths:
        raise ValueError(f"feature maps {widths}: must halve from one resolution on, as in the paper")
    return base, largest

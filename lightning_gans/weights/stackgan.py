"""Import state dicts of the authors' PyTorch code of StackGAN as checkpoints of this package with equal outputs.

Its files are bare state dicts of one network: a generator of stage I, one of stage II with stage I's inside
(``STAGE1_G.``), or a discriminator of either. Widths and sizes are inferred from shapes, and exactly the keys of that
architecture are required. Its encoder of text is a file of another program and no part of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lightning_gans.checkpoints.load import initial_checkpoint
from lightning_gans.config.command import compose
from lightning_gans.networks.layers import BATCH_NORMS
from lightning_gans.runtime.state_dicts import check_keys, check_shape, check_values
from lightning_gans.training import run as runs
from lightning_gans.weights.published import Tell, read

State = Mapping[str, Tensor]
INNER = "STAGE1_G."
_UPSAMPLE = re.compile(r"upsample(\d+)\.1\.weight")
_RESIDUAL = re.compile(r"residual\.(\d+)\.block\.0\.weight")
_ENCODE = re.compile(r"encode_img\.(\d+)\.weight")


def recognises(state: State) -> bool:
    """Return whether a state dict is a generator of StackGAN."""
    return {"ca_net.fc.weight", "upsample1.1.weight", "img.0.weight"} <= set(state)


def from_stackgan(files: Mapping[str, str], tell: Tell = rank_zero_warn) -> dict[str, Any]:
    """Convert files of the authors' code to a checkpoint of this package.

    Args:
        files: Paths: ``generator`` (``netG_epoch_600.pth``), of stage I or of both stages, which becomes the average as
            well, and ``discriminator`` (``netD_epoch_last.pth``) of the same stage if there is one.
        tell: Called with a line about weights that no file has.

    Returns:
        A checkpoint for ``lightning_gans.load``; its data names no folder yet, and it has no encoder of text.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file holds something else or an incomplete network, or the networks do not fit each other.
    """
    others = sorted(set(files) - {"generator", "discriminator"})
    if others:
        raise ValueError(f"{others[0]}={files[others[0]]}: not with generator={files['generator']}, a StackGAN's")
    states = {name: read(path) for name, path in files.items()}
    whole = states["generator"]
    inner = {name.removeprefix(INNER): value for name, value in whole.items() if name.startswith(INNER)}
    outer = {name: value for name, value in whole.items() if not name.startswith(INNER)}
    stage1, stage2 = (inner, outer) if inner else (outer, None)
    options = generator_options(stage1, stage2)
    small, side = options.pop("small"), options.pop("side")
    cfg = compose(
        "model=stackgan", "model/text_encoder=none", "data=captions", "data.root=.", f"data.image_size={side}"
    )
    cfg.data.channels = options.pop("channels")
    cfg.model.stage1_updates = cfg.model.stage1_updates if stage2 is None else 0
    cfg.model.generator.update(stage1_size=small, **options)
    if "discriminator" in states:
        cfg.model.discriminator.base_channels = len(_needed(states["discriminator"], "encode_img.0.weight"))
    run = runs.build(cfg, ".")
    stage = "stage1" if stage2 is None else "stage2"
    parts = {"stage1": (stage1, INNER if inner else ""), "stage2": (stage2, "")}
    for network in filter(None, (run.model.generator, run.model.generator_ema)):
        for name, (state, prefix) in parts.items():
            if state is not None:
                where = f"{files['generator']}: {prefix}"
                fill(getattr(network, name), state, generator_layers(state), where)
    if stage2 is None:
        tell("stage II: not in the file; its weights are new, and samples are of stage I")
    if "discriminator" in states:
        state, judge = states["discriminator"], getattr(run.model.discriminator, stage)
        fill(judge, state, discriminator_layers(state), files["discriminator"])
    else:
        tell("discriminator: not given; its weights are new")
    tell("the encoder of text is no part of these files: train on data with vectors of captions, or with an encoder")
    run.model.set_extra_state(run.model.get_extra_state())
    return initial_checkpoint(run.model)


def generator_options(stage1: State, stage2: State | None) -> dict[str, Any]:
    """Infer the options of our generator from both stages' state dicts.

    Raises:
        ValueError: Shapes that are none of the authors' code.
    """
    times = _doublings(stage1)
    text, condition = _needed(stage1, "ca_net.fc.weight").shape[1], len(stage1["ca_net.fc.weight"]) // 2
    small = 4 << times
    found = {
        "channels": len(_needed(stage1, "img.0.weight")),
        "text_dim": text,
        "condition_dim": condition,
        "noise_dim": _needed(stage1, "fc.0.weight").shape[1] - condition,
        "base_channels": len(stage1["fc.0.weight"]) // 16 >> (times - 1),
        "small": small,
        "side": 4 * small,
        "downs": 2,
    }
    if stage2 is not None:
        blocks = [int(match[1]) for match in map(_RESIDUAL.fullmatch, stage2) if match]
        found |= {"side": (small // 4) << _doublings(stage2), "blocks": 1 + max(blocks, default=0)}
    return found


def generator_layers(state: State) -> list[str]:
    """List the layers of a generator's state dict in our order."""
    ups = [f"upsample{i}.{k}" for i in range(1, _doublings(state) + 1) for k in (1, 2)]
    if "fc.0.weight" in state:
        return ["ca_net.fc", "fc.0", "fc.1", *ups, "img.0"]
    blocks = 1 + max((int(match[1]) for match in map(_RESIDUAL.fullmatch, state) if match), default=-1)
    residual = [f"residual.{i}.block.{k}" for i in range(blocks) for k in (0, 1, 3, 4)]
    encoder = [f"encoder.{k}" for k in (0, 2, 3, 5, 6)]
    return ["ca_net.fc", *encoder, "hr_joint.0", "hr_joint.1", *residual, *ups, "img.0"]


def discriminator_layers(state: State) -> list[str]:
    """List the layers of a discriminator's state dict in our order."""
    places = sorted(int(match[1]) for match in map(_ENCODE.fullmatch, state) if match)
    heads = [f"get_cond_logits.outlogits.{k}" for k in (0, 1, 3)]
    alone = ["get_uncond_logits.outlogits.0"] if "get_uncond_logits.outlogits.0.weight" in state else []
    return [*(f"encode_img.{place}" for place in places), *heads, *alone]


def fill(network: nn.Module, state: State, names: list[str], where: str) -> None:
    """Copy the weights of a state dict, layer by layer; both have their layers in the order of ``names``.

    Raises:
        ValueError: Keys are missing or unexpected, shapes differ, or a weight is not finite.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear, *BATCH_NORMS))]
    if len(layers) != len(names):
        raise ValueError(f"{where}: has {len(names)} layers with weights; one of these sizes has {len(layers)}")
    pairs = list(zip(names, layers, strict=True))
    keys = [f"{name}.{part}" for name, layer in pairs for part in layer.state_dict() if part != "num_batches_tracked"]
    check_keys(state, keys, [f"{name}.num_batches_tracked" for name in names], f"{where}: as a StackGAN")
    check_values(state, where)
    for name, layer in pairs:
        for part, tensor in layer.state_dict().items():
            if f"{name}.{part}" in state:
                check_shape(tuple(state[f"{name}.{part}"].shape), tuple(tensor.shape), f"{name}.{part}", where)
                tensor.copy_(state[f"{name}.{part}"])


def _doublings(state: State) -> int:
    return max((int(match[1]) for match in map(_UPSAMPLE.fullmatch, state) if match), default=0)


def _needed(state: State, name: str) -> Tensor:
    if name not in state or state[name].ndim not in (2, 4):
        raise ValueError(f"StackGAN: lacks {name}, or it has another shape")
    return state[name]

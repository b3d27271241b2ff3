"""State dicts that the widely used PyTorch repository of CycleGAN and pix2pix publishes, as networks of ours.

Its files are bare: a dict of tensors, without a word about the network. Everything is read off names and shapes. Both
networks hold the same layers in the same order, so that weights go over layer by layer, in the order of the numbers in
their names (``model.10.conv_block.5.weight``).
"""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import hydra
import torch
from torch import Tensor, nn

from lightning_gans import run as runs
from lightning_gans.arguments import compose
from lightning_gans.checkpoint import content_of
from lightning_gans.networks.patchgan import STRIDED

Layer = dict[str, Tensor]  # what is saved of one layer
State = dict[str, Tensor]
_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class Published(NamedTuple):
    """A published network.

    Attributes:
        node: The config of the same network of ours, without what only its use can tell: the image size, and how the
            channels of a discriminator are shared between source and image.
        layers: Its layers with weights, in order.
    """

    node: dict[str, Any]
    layers: list[Layer]

    @property
    def is_generator(self) -> bool:
        """Whether it makes images."""
        return str(self.node["_target_"]).endswith(".Generator")

    @property
    def inputs(self) -> int:
        """Channels of its input."""
        return int(self.layers[0]["weight"].shape[1])


def read(path: str | PathLike[str]) -> State:
    """The tensors of a bare state dict by name, without the prefixes of wrappers.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or holds something else.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail anywhere in the unpickler
        raise ValueError(f"{path}: not a readable state dict; it is damaged, or holds more than data") from error
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(f"{path}: not a bare state dict, which holds tensors by name and nothing else")
    return {re.sub(r"^((module|_orig_mod)\.)+", "", str(name)): tensor for name, tensor in content.items()}


def recognise(state: State, name: str = "state dict") -> Published:
    """What network a state dict belongs to.

    Args:
        state: From ``read``.
        name: In messages.

    Raises:
        ValueError: None that is known here.
    """
    layers = _layers(state)
    convolutions = [layer["weight"] for layer in layers.values() if _is_convolution(layer)]
    if any("conv_block" in prefix for prefix in layers):
        node = _resnet(layers, name)
    elif any(prefix.startswith("model.model.") for prefix in layers) and len(convolutions) >= 4:
        node = _unet(convolutions)
    elif all(re.fullmatch(r"(model|net)\.\d+", prefix) for prefix in layers) and len(convolutions) >= 3:
        node = _patchgan(convolutions, name)
    else:
        shown = ", ".join(list(state)[:3])
        raise ValueError(f"{name}: no generator or discriminator that is known here; its names begin with {shown}")
    return Published({**node, "norm": _norm(layers)}, list(layers.values()))


def build(published: Published, node: dict[str, Any], name: str = "state dict") -> nn.Module:
    """The network that a node describes, with published weights.

    Convolutions of ours have no bias where a norm follows. Instance norm takes theirs away again and batch norm's
    running mean takes it up, so that the outputs are equal.

    Args:
        published: From ``recognise``.
        node: Its config, complete.
        name: In messages.

    Raises:
        ValueError: A layer does not fit.
    """
    network: nn.Module = hydra.utils.instantiate(node, _convert_="all")
    mine = [layer for layer in network.modules() if isinstance(layer, (*_CONVOLUTIONS, nn.BatchNorm2d))]
    if len(mine) != len(published.layers):
        raise ValueError(f"{name}: has {len(published.layers)} layers with weights; {node['_target_']} has {len(mine)}")
    bias_before: Tensor | None = None  # what the norm that follows has to take up
    for number, (layer, saved) in enumerate(zip(mine, published.layers, strict=True)):
        found, expected = tuple(saved["weight"].shape), tuple(layer.weight.shape)
        if found != expected:
            raise ValueError(f"{name}: layer {number} has weights {found}; {node['_target_']} has {expected}")
        state = dict(saved)
        if isinstance(layer, nn.BatchNorm2d):
            if not {"running_mean", "running_var"} <= set(state):
                raise ValueError(
                    f"{name}: a norm with weights and without statistics; only batch norm has weights here"
                )
            if bias_before is not None:
                state["running_mean"] = state["running_mean"] - bias_before
        else:
            bias_before = state.pop("bias", None) if layer.bias is None else None
            if layer.bias is not None and "bias" not in state:
                state["bias"] = torch.zeros_like(layer.bias)
        layer.load_state_dict(state, strict=not isinstance(layer, nn.BatchNorm2d))
    return network


def assemble(
    files: dict[str, str],
    *,
    image_size: int | None = None,
    test_statistics: str = "image",
    dropout_at_test: bool = False,
) -> dict[str, Any]:
    """The content of a checkpoint of ours, made of published files.

    Two generators make a CycleGAN, and one a pix2pix, which translates in one direction. Discriminators that are not
    given are new.

    Args:
        files: Paths by the name of the network: ``generator``, from A to B, and any of ``generator_back``,
            ``discriminator``, which judges B, and ``discriminator_back``.
        image_size: Side of the images that it was trained on; ``None``: 256, or what a U-Net halves to 1x1.
        test_statistics: What batch norm of generators normalises with at test time, ``image`` or ``running``.
        dropout_at_test: Keep a generator's dropout on at test time.

    Returns:
        What ``lightning_gans.load``, ``translate`` and ``resume`` read; its data names no folder yet.

    Raises:
        FileNotFoundError: A file is not there.
        ValueError: A file holds something else, or the networks do not fit each other.
    """
    found = {name: recognise(read(path), path) for name, path in files.items()}
    for name, published in found.items():
        if published.is_generator is not name.startswith("generator"):
            raise ValueError(f"{name}={files[name]}: is a {'generator' if published.is_generator else 'discriminator'}")
    forwards, two_ways = found["generator"].node, "generator_back" in found
    if "discriminator_back" in found and not two_ways:
        raise ValueError("discriminator_back: only with generator_back, from B to A")
    if image_size is None:
        image_size = 2 ** forwards["downs"] if "skips" in forwards else 256
    shape = {"channels": forwards["channels"], "source_channels": forwards["source_channels"]}
    family, data = ("cyclegan", "unpaired") if two_ways else ("pix2pix", "paired")
    sizes = {"image_size": image_size, **shape}
    training = ["model.batch_size=1", "model.g_scheduler=null", "model.d_scheduler=null", "max_epochs=null"]
    options = [
        f"model={family}",
        f"data={data}",
        "data.root=.",
        *training,
        *(f"data.{key}={size}" for key, size in sizes.items()),
    ]
    cfg = compose(*options, *(["model.identity_weight=0"] if len(set(shape.values())) == 2 and two_ways else []))
    nodes: dict[str, dict[str, Any]] = {}
    for name, published in found.items():
        backwards = shape["source_channels"], shape["channels"]
        made, seen = backwards if name.endswith("_back") else backwards[::-1]
        node: dict[str, Any] = {"image_size": image_size, "channels": made}
        if published.is_generator:
            maps = published.node["source_channels"], published.node["channels"]
            if maps != (seen, made):
                raise ValueError(
                    f"{name}={files[name]}: maps {maps[0]} channels to {maps[1]}; must be {seen} to {made}"
                )
            node |= {"source_channels": seen, "test_statistics": test_statistics, "dropout_at_test": dropout_at_test}
        else:
            node["source_channels"] = 0 if two_ways else seen
            if published.inputs != node["channels"] + node["source_channels"]:
                expected = f"{made}" if two_ways else f"{seen} + {made}, source and image"
                raise ValueError(f"{name}={files[name]}: takes {published.inputs} channels; must be {expected}")
        nodes[name] = cfg.model[name] = published.node | node
    run = runs.build(cfg, ".")
    for name, published in found.items():
        whole = run.model.generator if two_ways and published.is_generator else run.model
        key = {"generator": "a2b", "generator_back": "b2a"}[name] if two_ways and published.is_generator else name
        network: nn.Module = getattr(whole, key)
        network.load_state_dict(build(published, nodes[name], files[name]).state_dict())
    return content_of(run.model)


# ---------------------------------------------------------------------------------- names and shapes


def _layers(state: State) -> dict[str, Layer]:
    """What is saved of every layer, by prefix, in the order of the network; instance norm's statistics dropped."""
    layers: dict[str, Layer] = {}
    for name in sorted(state, key=_numbers):
        prefix, _, key = name.rpartition(".")
        layers.setdefault(prefix, {})[key] = state[name]
    return {prefix: layer for prefix, layer in layers.items() if not set(layer) <= set(_STATISTICS)}


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _is_convolution(layer: Layer) -> bool:
    return layer["weight"].ndim == 4


def _norm(layers: dict[str, Layer]) -> str | None:
    """Batch norm has weights; instance norm has none, but then the convolutions before it have a bias."""
    if not all(map(_is_convolution, layers.values())):
        return "batch"
    return "instance" if "bias" in list(layers.values())[1] else None


def _resnet(layers: dict[str, Layer], name: str) -> dict[str, Any]:
    inside = [prefix for prefix in layers if "conv_block" in prefix and _is_convolution(layers[prefix])]
    blocks = sorted({_numbers(prefix)[0] for prefix in inside})
    places = sorted({_numbers(prefix)[1] for prefix in inside})
    if places not in ([1, 5], [1, 6]):
        raise ValueError(f"{name}: its residual blocks have no reflection padding, which is the only one here")
    outside = [layer["weight"] for prefix, layer in layers.items() if prefix not in inside and _is_convolution(layer)]
    return {
        "_target_": "lightning_gans.networks.translation_resnet.Generator",
        "source_channels": outside[0].shape[1],
        "channels": outside[-1].shape[0],
        "base_channels": outside[0].shape[0],
        "blocks": len(blocks),
        "downs": len(outside) // 2 - 1,
        "dropout": 0.5 if places == [1, 6] else 0.0,
    }


def _unet(convolutions: list[Tensor]) -> dict[str, Any]:
    encoder = convolutions[: len(convolutions) // 2]
    return {
        "_target_": "lightning_gans.networks.unet.Generator",
        "source_channels": encoder[0].shape[1],
        "channels": convolutions[-1].shape[1],
        "downs": len(encoder),
        "base_channels": encoder[0].shape[0],
        "max_channels": max(weight.shape[0] for weight in encoder),
        "dropout": 0.5,  # leaves no trace in a file
        "skips": True,
    }


def _patchgan(convolutions: list[Tensor], name: str) -> dict[str, Any]:
    kernel, strided = convolutions[0].shape[-1], len(convolutions) - 2
    fields = {number: field for field, number in STRIDED.items()} if kernel == 4 else {1: 1}
    if strided not in fields:
        raise ValueError(f"{name}: a discriminator of {len(convolutions)} convolutions of {kernel}x{kernel}; not known")
    return {
        "_target_": "lightning_gans.networks.patchgan.Discriminator",
        "receptive_field": fields[strided],
        "base_channels": convolutions[0].shape[0],
    }

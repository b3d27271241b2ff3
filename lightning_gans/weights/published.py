"""Import state dicts of the widely used PyTorch repository of CycleGAN and pix2pix.

Its files are dicts of tensors without a description of the network. The architecture is inferred from names and shapes,
and then exactly the keys of that architecture are required: a file with a missing or unexpected key is refused. Both
networks have the same layers, in the order of the numbers in their names (``model.10.conv_block.5.weight``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lightning_gans.checkpoints.load import initial_checkpoint
from lightning_gans.config.command import compose
from lightning_gans.networks.patchgan import STRIDED
from lightning_gans.runtime.instantiation import OURS, instantiate
from lightning_gans.runtime.state_dicts import check_keys, check_shape, check_values, join_names, without_wrappers
from lightning_gans.training import run as runs

State = dict[str, Tensor]
Tell = Callable[[str], None]
_STATISTICS = ("running_mean", "running_var")
_COUNT = "num_batches_tracked"
_RESIDUAL = re.compile(r"model\.(\d+)\.conv_block\.(\d+)\.")
_NESTED = re.compile(r"model\.model\.1\.model((?:\.3\.model)*)\.\d+\.")
_FLAT = re.compile(r"(?:model|net)\.(\d+)\.\w+")


class Layer(NamedTuple):
    """Name a convolution of a published network and the norm after it.

    Attributes:
        name: Key of the convolution, before ``.weight``.
        norm: Key of the norm; ``None`` without one.
        always_biased: The convolution has a bias whatever the norm is; the other convolutions all have one, or none.
    """

    name: str
    norm: str | None = None
    always_biased: bool = False


class PublishedNetwork(NamedTuple):
    """Describe a published network.

    Attributes:
        node: Config of our equivalent network, without what the tensors do not show: the image size, and how a
            discriminator's channels are divided between source and image.
        layers: Its layers, in our order.
        state: Its tensors.
    """

    node: dict[str, Any]
    layers: list[Layer]
    state: State

    @property
    def is_generator(self) -> bool:
        """Return whether the network is a generator."""
        return str(self.node["_target_"]).endswith(".Generator")

    @property
    def inputs(self) -> int:
        """Return the number of input channels."""
        return int(self.state[f"{self.layers[0].name}.weight"].shape[1])

    @property
    def unused(self) -> list[str]:
        """Return the keys of instance norm's running statistics, which older files hold and nothing reads."""
        keys = [f"{layer.norm}.{key}" for layer in self.layers for key in (*_STATISTICS, _COUNT)]
        return [] if self.node["norm"] == "batch" else [key for key in keys if key in self.state]


def read(path: str | PathLike[str]) -> State:
    """Read a bare state dict, without the prefixes of wrappers.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, or holds something else.
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
    return without_wrappers(content, r"^((module|_orig_mod)\.)+", str(path))


def recognise(state: State, name: str = "state dict") -> PublishedNetwork:
    """Infer the architecture of a state dict from its names and shapes.

    Args:
        state: From ``read``.
        name: Name of the file, for messages.

    Raises:
        ValueError: The architecture is unknown, a key is missing or unexpected, or a weight is not finite.
    """
    if any(_RESIDUAL.match(key) for key in state):
        kind, layers, found = "residual generator", *_residual_layers(state, name)
    elif any(key.startswith("model.model.") for key in state):
        kind, layers, found = "U-Net", *_unet_layers(state)
    elif any(_FLAT.fullmatch(key) for key in state):
        kind, layers, found = "discriminator", *_patchgan_layers(state, name)
    else:
        raise ValueError(
            f"{name}: no generator or discriminator that is known here; its names begin with {join_names(state)}"
        )
    norms = [layer.norm for layer in layers if layer.norm is not None]
    shared = [layer.name for layer in layers if not layer.always_biased]
    has_batch_norm = any(f"{norm}.{key}" in state for norm in norms for key in ("weight", "bias"))
    has_statistics = any(f"{norm}.{key}" in state for norm in norms for key in _STATISTICS)
    has_bias = any(f"{layer}.bias" in state for layer in shared)
    norm = "batch" if has_batch_norm else "instance" if has_bias or has_statistics else None
    required = [f"{layer.name}.weight" for layer in layers]
    required += [f"{layer.name}.bias" for layer in layers if layer.always_biased]
    required += [f"{layer}.bias" for layer in shared if has_bias or norm == "instance"]
    optional = [f"{layer}.{_COUNT}" for layer in norms]
    if norm == "batch":
        required += [f"{layer}.{key}" for layer in norms for key in ("weight", "bias", *_STATISTICS)]
    else:
        optional += [f"{layer}.{key}" for layer in norms for key in _STATISTICS]
    with_norm = f"{norm} norm" if norm else "no norm"
    check_keys(state, required, optional, f"{name}: as a {kind} with {with_norm}")
    found |= {"norm": norm, "bias_before_norm": has_bias}
    published = PublishedNetwork({**found, **_widths(found, layers, state, name)}, layers, state)
    check_values({key: value for key, value in state.items() if key not in published.unused}, name)
    return published


def build(
    published: PublishedNetwork, node: dict[str, Any], name: str = "state dict", tell: Tell = rank_zero_warn
) -> nn.Module:
    """Build a network from its config and load published weights.

    Args:
        published: From ``recognise``.
        node: Complete config of the network.
        name: Name of the file, for messages.
        tell: Called with a line about unused keys of the state dict, and about weights that it lacks.

    Raises:
        ValueError: A layer does not fit.
    """
    network: nn.Module = instantiate(node, allowed=OURS, _convert_="all")
    theirs = [
        key for layer in published.layers for key in (layer.name, layer.norm if node["norm"] == "batch" else None)
    ]
    names = [key for key in theirs if key is not None]
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)
    mine = {key: layer for key, layer in network.named_modules() if isinstance(layer, kinds)}
    if len(mine) != len(names):
        raise ValueError(f"{name}: has {len(names)} layers with weights; {node['_target_']} has {len(mine)}")
    absent = []
    for prefix, (key, layer) in zip(names, mine.items(), strict=True):
        for part, tensor in layer.state_dict().items():
            saved = published.state.get(f"{prefix}.{part}")
            if saved is not None:
                check_shape(tuple(saved.shape), tuple(tensor.shape), f"{prefix}.{part}", name)
                tensor.copy_(saved)
            elif part == "bias":
                tensor.zero_()
                absent.append(f"{key}.{part}")
    if absent:
        tell(f"{name}: its convolutions have no bias where ours have {join_names(absent)}; they are 0")
    if published.unused:
        tell(f"{name}: not used, since instance norm reads none: {join_names(published.unused)}")
    return network


def assemble(
    files: dict[str, str],
    *,
    image_size: int | None = None,
    test_statistics: str = "image",
    dropout_at_test: bool = False,
    tell: Tell = rank_zero_warn,
) -> dict[str, Any]:
    """Assemble a checkpoint of this package from published files.

    Two generators make a CycleGAN, and one a pix2pix, which translates in one direction. Discriminators that are not
    given are new.

    Args:
        files: Paths by the name of the network: ``generator``, from A to B, and any of ``generator_back``,
            ``discriminator``, of domain B, and ``discriminator_back``.
        image_size: Size of the training images; ``None``: 256, or the size that a U-Net halves to 1x1.
        test_statistics: Statistics of the generators' batch norm at test time, ``image`` or ``running``.
        dropout_at_test: Keep a generator's dropout on at test time.
        tell: Called with a line about unused keys of a file, and about weights that no file has.

    Returns:
        A checkpoint for ``lightning_gans.load``, ``translate`` and ``resume``; its data names no folder yet.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file holds something else or an incomplete network, or the networks do not fit each other.
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
        network.load_state_dict(build(published, nodes[name], files[name], tell).state_dict())
    for name in cfg.model:
        if name in ("discriminator", "discriminator_back") and name not in files:
            tell(f"{name}: not given; its weights are new")
    return initial_checkpoint(run.model)


# ---------------------------------------------------------------------------------- names and shapes


def _residual_layers(state: State, name: str) -> tuple[list[Layer], dict[str, Any]]:
    """Return the layers of a residual generator, and the options that their indices imply."""
    places = [tuple(map(int, match.groups())) for match in map(_RESIDUAL.match, state) if match]
    blocks = sorted({block for block, _ in places})
    inside = sorted(
        {
            place
            for key, (_, place) in zip(filter(_RESIDUAL.match, state), places, strict=True)
            if key.endswith("weight") and state[key].ndim == 4
        }
    )
    if not {1, 5, 6}.issuperset(inside):
        raise ValueError(f"{name}: its residual blocks have no reflection padding, which is the only one here")
    second = 6 if 6 in inside else 5  # after a dropout
    downs, rest = divmod(blocks[0] - 4, 3)
    if rest or downs < 1 or blocks[-1] > len(state):
        raise ValueError(f"{name}: its residual blocks begin at model.{blocks[0]}; must be 10 after two halvings")
    first, after = range(1, blocks[0], 3), range(blocks[-1] + 1, blocks[-1] + 1 + 3 * downs, 3)
    layers = [Layer(f"model.{i}", f"model.{i + 1}") for i in first]
    for block in range(blocks[0], blocks[-1] + 1):
        layers += [Layer(f"model.{block}.conv_block.{i}", f"model.{block}.conv_block.{i + 1}") for i in (1, second)]
    layers += [Layer(f"model.{i}", f"model.{i + 1}") for i in after]
    layers.append(Layer(f"model.{after[-1] + 4}", always_biased=True))
    found = {"_target_": "lightning_gans.networks.translation_resnet.Generator", "downs": downs}
    return layers, {**found, "blocks": blocks[-1] - blocks[0] + 1, "dropout": 0.5 if second == 6 else 0.0}


def _unet_layers(state: State) -> tuple[list[Layer], dict[str, Any]]:
    """Return the layers of a U-Net, whose levels are nested, and the options that their names imply."""
    deepest = max((match[1].count(".3.model") for match in map(_NESTED.match, state) if match), default=0)
    levels = ["model.model.1.model" + ".3.model" * depth for depth in range(deepest + 1)]
    *middle, inner = levels
    down = [Layer("model.model.0"), *(Layer(f"{level}.1", f"{level}.2") for level in middle), Layer(f"{inner}.1")]
    up = [Layer(f"{inner}.3", f"{inner}.4"), *(Layer(f"{level}.5", f"{level}.6") for level in reversed(middle))]
    found: dict[str, Any] = {"_target_": "lightning_gans.networks.unet.Generator", "downs": len(levels) + 1}
    found |= {"skips": True, "dropout": 0.5}  # which leaves no trace in a file; where, its code says
    found["dropout_layers"] = list(range(1, len(levels) - 3))
    return [*down, *up, Layer("model.model.3", always_biased=True)], found


def _patchgan_layers(state: State, name: str) -> tuple[list[Layer], dict[str, Any]]:
    """Return the layers of a PatchGAN or pixel discriminator, and the options that their indices imply."""
    places = [int(match[1]) for match in map(_FLAT.fullmatch, state) if match]
    kernels = {tensor.shape[-1] for tensor in state.values() if tensor.ndim == 4}
    inner, rest = divmod(max(places) - 2, 3)
    fields = {number: field for field, number in STRIDED.items()} if kernels == {4} else {1: 1}
    if rest or inner not in fields or kernels not in ({1}, {4}):
        sizes = " and ".join(f"{kernel}x{kernel}" for kernel in sorted(kernels)) or "no kernels"
        raise ValueError(
            f"{name}: a discriminator of {len(state)} tensors up to place {max(places)}, {sizes}; not known"
        )
    root = next(filter(_FLAT.fullmatch, state)).partition(".")[0]
    middle = [Layer(f"{root}.{2 + 3 * i}", f"{root}.{3 + 3 * i}") for i in range(inner)]
    last = Layer(f"{root}.{2 + 3 * inner}", always_biased=kernels == {4})
    found = {"_target_": "lightning_gans.networks.patchgan.Discriminator", "receptive_field": fields[inner]}
    return [Layer(f"{root}.0", always_biased=True), *middle, last], found


def _widths(node: dict[str, Any], layers: list[Layer], state: State, name: str) -> dict[str, Any]:
    """Return the options that the shapes of a network's layers imply."""
    shapes = [tuple(state[f"{layer.name}.weight"].shape) for layer in layers]
    for layer, shape in zip(layers, shapes, strict=True):
        if len(shape) != 4:
            raise ValueError(f"{name}: {layer.name}.weight has shape {shape}; must be that of a convolution")
    first, last = shapes[0], shapes[-1]
    found = {"base_channels": first[0]}
    if "receptive_field" in node:
        return found
    is_unet = "skips" in node
    found |= {"source_channels": first[1], "channels": last[1 if is_unet else 0]}
    return found | ({"max_channels": max(shape[0] for shape in shapes[: node["downs"]])} if is_unet else {})

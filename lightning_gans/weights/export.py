"""Export generators and translators as ONNX, as PyTorch's exported programs, or as safetensors.

An exported network is what samples and scores come from, in float32. Its inputs are ``latents`` and conditions
(``label``), or ``source``; its output is ``images`` in [-1, 1]. Batches have any size, and sources any that the network
takes. ONNX needs the extra ``export``.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from lightning_gans.checkpoints.integrity import malformed
from lightning_gans.checkpoints.load import load
from lightning_gans.checkpoints.roles import short_text
from lightning_gans.config.errors import ConfigError
from lightning_gans.inference.source_images import source_shape
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.talking_heads import TalkingHeads
from lightning_gans.models.translation import TranslationModule
from lightning_gans.networks.dropout import NoiseDropout
from lightning_gans.runtime.atomic import atomic_write
from lightning_gans.sharing import pretrained
from lightning_gans.sharing.description import describe

OLDEST_TORCH = (2, 9)  # 2.6 exports some families only; 2.14 all
WORST = 1e-3  # largest difference to PyTorch's images, whose values lie in [-1, 1], that is no failure
ENDINGS = (".onnx", ".pt2", pretrained.ENDING)
NEEDED = ("onnx", "onnxruntime", "onnxscript")
METADATA = "lightning_gans"  # key of the description in the file's metadata
Inputs = tuple[Tensor, ...]


class Export(NamedTuple):
    """Describe a file that was exported.

    Attributes:
        inputs: Shapes of the inputs by name; sizes that vary are names, or texts such as ``4*height``.
        error: Largest absolute difference to PyTorch's images, which lie in [-1, 1].
        notes: What differs from the module.
    """

    inputs: dict[str, list[int | str]]
    error: float
    notes: list[str]


class Traced(NamedTuple):
    """Hold a network that can be traced.

    Attributes:
        network: Takes the inputs and returns images.
        names: Of its inputs.
        draw: Makes inputs of n images, whose sides are enlarged by so many steps.
        sizes: Dimensions of the first input that vary beside the batch, where the network allows it.
        notes: What differs from the module.
    """

    network: nn.Module
    names: list[str]
    draw: Callable[[int, int], Inputs]
    sizes: dict[int, Any]
    notes: list[str]


class Samples(nn.Module):
    """Map latents (N, latent_dim) and conditions (N, ...) to images (N, C, H, W) in [-1, 1].

    Args:
        module: Its sampling network is copied.
    """

    def __init__(self, module: GenerativeModule) -> None:
        super().__init__()
        self.network = copy.deepcopy(module.sampler).float().eval()
        self.postprocess: Callable[[Tensor], Tensor] = module.postprocess

    def forward(self, latents: Tensor, *conditions: Tensor) -> Tensor:
        """Map a batch."""
        return self.postprocess(self.network(latents, *conditions).float())


class Translations(nn.Module):
    """Map sources (N, C, H, W) to images in [-1, 1], without dropout.

    Args:
        module: The network of the direction is copied.
        direction: One of the module's.
        seed: Of what is drawn once for all translations: a cluster of features for every label.
    """

    def __init__(self, module: TranslationModule, direction: str, seed: int) -> None:
        super().__init__()
        self.network = copy.deepcopy(module.network_of(direction)).float().eval()
        self.noise = module.noise(seed)
        self.run: Callable[..., Tensor] = module.run
        self.dropout = [layer for layer in self.network.modules() if isinstance(layer, NoiseDropout) and layer.at_test]
        for layer in self.dropout:
            layer.at_test = False

    def forward(self, source: Tensor) -> Tensor:
        """Map a batch."""
        return self.run(self.network, source, self.noise)


def export_file(
    module: GenerativeModule,
    out: Path,
    *,
    direction: str = "a2b",
    seed: int = 0,
    trust: tuple[str, ...] = (),
    part: str | None = None,
) -> Export:
    """Write a module's generator as a file, whole or not at all, and compare what it makes with the module's images.

    Args:
        module: On the CPU.
        out: Ends in ``.onnx``, ``.pt2`` or ``.safetensors``.
        direction: Of a translation module.
        seed: See ``Translations``.
        trust: Packages of your own that the module's config names.
        part: ``generator`` or ``encoder`` of talking heads alone; ``None``: what the module translates or samples by.

    Raises:
        ConfigError: An unknown ending, a package that is missing, a torch that is too old, a direction that was not
            learnt, or a network that cannot be exported.
        OSError: The file cannot be written.
    """
    check(out)
    module.prepare_sampling()
    if part is not None and (out.suffix == pretrained.ENDING or not isinstance(module, TalkingHeads)):
        raise ConfigError("part", part, "is of programs (.onnx, .pt2) of model=talking_heads; leave it out")
    if out.suffix == pretrained.ENDING:
        return _export_weights(module, out, trust)
    if part is not None:
        assert isinstance(module, TalkingHeads)
        traced = _part(module, part)
    else:
        traced = _translations(module, direction, seed) if isinstance(module, TranslationModule) else _samples(module)
    with torch.no_grad(), _quiet(), atomic_write(out) as temporary:
        try:
            made = _write_program(module, traced, temporary, is_onnx=out.suffix == ".onnx")
        except OSError:
            raise
        except Exception as error:  # a network of anybody's can fail anywhere in the exporters
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            rule = f"{type(module).__name__} cannot be exported by torch {torch.__version__} ({short_text(reason)})"
            raise ConfigError("out", str(out), rule) from error
        if not made.error <= WORST:
            raise ConfigError(
                "out", str(out), f"the exported network's images differ by {made.error:.2g}; it is not kept"
            )
    return made


def is_able() -> bool:
    """Return whether this torch is new enough to export programs."""
    return tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) >= OLDEST_TORCH


def check(out: Path) -> None:
    """Refuse a file that cannot be exported here, before anything is read.

    Raises:
        ConfigError: Another ending, a torch that is too old, or a package that is missing.
    """
    if out.suffix not in ENDINGS:
        raise ConfigError("out", str(out), f"must end in {', '.join(ENDINGS)}")
    if out.suffix != pretrained.ENDING and not is_able():
        oldest = ".".join(map(str, OLDEST_TORCH))
        raise ConfigError("out", str(out), f"needs torch >= {oldest}, and this is torch {torch.__version__}")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if out.suffix == ".onnx" and missing:
        raise ConfigError("out", str(out), f'needs {", ".join(missing)}; pip install "lightning_gans[export]"')


# ------------------------------------------------------------------------------ what is traced


def _samples(module: GenerativeModule) -> Traced:
    def draw(n: int, _: int) -> Inputs:
        return tuple(x.float() if x.is_floating_point() else x for x in module.sampling_inputs(range(n), n))

    return Traced(Samples(module), ["latents", *module.conditions], draw, {}, [])


def _translations(module: TranslationModule, direction: str, seed: int) -> Traced:
    module.check_direction(direction)
    network, step = Translations(module, direction, seed), module.size_divisor
    channels, *trained = source_shape(module, direction)

    def draw(n: int, steps: int) -> Inputs:
        height, width = trained[0] + steps * step, trained[1] + 2 * steps * step
        rng = torch.Generator().manual_seed(n)
        return (torch.rand(n, channels, height, width, generator=rng) * 2 - 1,)

    notes = ["dropout, which is noise at test time, is off"] if network.dropout else []
    notes += [f"the clusters of features are those of seed={seed}"] if network.noise is not None else []
    sizes = {axis: step * Dim(name) if step > 1 else Dim(name) for axis, name in ((2, "height"), (3, "width"))}
    return Traced(network, ["source"], draw, sizes if min(trained) >= 2 * step else {}, notes)


class Part(nn.Module):
    """Map a batch by one network of talking heads, in float32: frames (N, C, H, W), or embeddings (N, D).

    Args:
        network: It is copied.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).float().eval()

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        """Map a batch."""
        made: Tensor = self.network(first, *others)
        return made


def _part(module: TalkingHeads, part: str) -> Traced:
    """Return the generator, of drawings and embeddings, or the encoder, of frames and drawings; sides are fixed."""
    with malformed("the checkpoint"):
        channels = int((module.config or {})["resolved"]["data"]["channels"])
    drawing = source_shape(module)
    shapes: dict[str, tuple[int, ...]] = {"frames": (channels, *drawing[1:]), "drawings": drawing}
    if part == "generator":
        shapes = {"source": drawing, "embedding": (int(module.encoder.embedding_dim),)}  # type: ignore[arg-type]

    def draw(n: int, _: int) -> Inputs:
        rng = torch.Generator().manual_seed(n)
        return tuple(torch.rand(n, *shape, generator=rng) * 2 - 1 for shape in shapes.values())

    return Traced(Part(module.sampler if part == "generator" else module.encoder), list(shapes), draw, {}, [])


def _trace(traced: Traced) -> tuple[ExportedProgram, bool]:
    """Trace a network with free sides, or with fixed ones if it takes no others; return which of the two."""
    inputs = traced.draw(2, 0)
    batch = Dim("batch")
    others = tuple({0: batch} for _ in inputs[1:])
    for sizes in [traced.sizes, {}] if traced.sizes else [{}]:
        first = {0: batch, **sizes}
        shapes: tuple[Any, ...] = (first, others) if isinstance(traced.network, Samples | Part) and others else (first,)
        try:
            return torch.export.export(traced.network, inputs, dynamic_shapes=shapes, strict=False), bool(sizes)
        except Exception:
            if not sizes:
                raise
    raise AssertionError


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporters warn and log about their own insides."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# ------------------------------------------------------------------------------ formats


def _write_program(module: GenerativeModule, traced: Traced, file: Path, *, is_onnx: bool) -> Export:
    """Trace, write and run a network, and compare it on batches of one and of three and on another size."""
    program, free = _trace(traced)
    fixed = "height and width are fixed at those of the training"
    notes = [*traced.notes, *([fixed] if isinstance(module, TranslationModule) and not free else [])]
    first, *others = traced.draw(2, 0)
    shape: list[int | str] = ["batch", *first.shape[1:]]
    for axis, size in (traced.sizes if free else {}).items():
        shape[axis] = size.__name__
    shapes = dict(zip(traced.names, [shape, *(["batch", *one.shape[1:]] for one in others)], strict=True))
    told = json.dumps({"family": type(module).__name__, "step": module.iteration, "inputs": shapes, "notes": notes})
    file.write_bytes(_onnx(program, traced.names, told) if is_onnx else _program(program, told))
    run = _run_onnx(file, traced.names) if is_onnx else _run_program(file)
    batches = [traced.draw(1, 0), traced.draw(3, 1 if free else 0)]  # others than were traced
    error = max(float((run(inputs) - traced.network(*inputs)).abs().max()) for inputs in batches)
    return Export(shapes, error, notes)


def _onnx(program: ExportedProgram, names: list[str], told: str) -> bytes:
    made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=names, output_names=["images"])
    assert made is not None
    made.model.metadata_props[METADATA] = told
    content: bytes = made.model_proto.SerializeToString()
    return content


def _run_onnx(file: Path, names: list[str]) -> Callable[[Inputs], Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, torch.get_num_threads()
    session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])

    def run(inputs: Inputs) -> Tensor:
        return torch.from_numpy(session.run(None, dict(zip(names, map(Tensor.numpy, inputs), strict=True)))[0])

    return run


def _program(program: ExportedProgram, told: str) -> bytes:
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={METADATA: told})
    return content.getvalue()


def _run_program(file: Path) -> Callable[[Inputs], Tensor]:
    network = torch.export.load(io.BytesIO(file.read_bytes())).module()
    return lambda inputs: network(*inputs)


def _export_weights(module: GenerativeModule, out: Path, trust: tuple[str, ...]) -> Export:
    """Write a shared generator in one file, which ``load`` reads."""
    description = describe(module.config, module.get_extra_state(), module.score_card, "unknown")
    pretrained.write_file(out, module.shared_state(), description)
    loaded = load(out, trust=trust)
    if isinstance(module, TranslationModule) and isinstance(loaded, TranslationModule):
        source = torch.rand(2, *source_shape(module)) * 2 - 1
        error = (loaded.translate(source) - module.translate(source)).abs().max()
    else:
        error = (loaded.sample(2) - module.sample(2)).abs().max()
    if not float(error) <= WORST:
        raise ConfigError("out", str(out), f"images of what is read back differ by {float(error):.2g}")
    return Export({}, float(error), ["the generator's weights and config, which lightning_gans.load reads"])

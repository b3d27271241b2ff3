"""Exports: every family as ONNX and as an exported program, compared with PyTorch by other runtimes; refusals."""

import re

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from omegaconf import OmegaConf

import lightning_gans
from conftest import MODELS, command_here, tiny
from lightning_gans import compose
from lightning_gans.models.translation import TranslationModule
from lightning_gans.networks.dropout import NoiseDropout
from lightning_gans.runtime.instantiation import instantiate
from lightning_gans.weights import export

able = pytest.mark.skipif(not export.is_able(), reason=f"torch {torch.__version__} is too old, and is refused below")
CLOSE = 1e-4  # of images in [-1, 1]; other runtimes round differently
FIXED = ("pix2pix",)  # halves its sources to one pixel


def made(model, *options):
    """A family in its last phase, with the config that checkpoints carry, untrained."""
    cfg = compose(*tiny(model), *options)
    module = instantiate(cfg.model, _convert_="all").eval()
    module.config = {"resolved": OmegaConf.to_container(cfg, resolve=True)}
    module.iteration = 100
    module.set_extra_state(module.get_extra_state())  # a family that grows has grown
    return module


@able
@pytest.mark.parametrize("model", MODELS)
def test_every_family_exports_to_onnx_with_a_free_batch_and_free_sides(model, tmp_path):
    """Run here by onnxruntime on a batch of five, and on another size where the network allows it."""
    module = made(model)
    file = tmp_path / "g.onnx"
    told = export.export_file(module, file)
    assert told.error <= CLOSE
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_outputs()] == ["images"]
    if isinstance(module, TranslationModule):
        channels, height, width = module.config["resolved"]["data"]["source_channels"], *told.inputs["source"][2:]
        free = isinstance(height, str)
        assert free is (model not in FIXED)
        side = module.config["resolved"]["data"]["image_size"] // module.scale
        sides = (side + module.size_divisor, side + 3 * module.size_divisor) if free else (height, width)
        inputs = (torch.rand(5, channels, *sides, generator=torch.Generator().manual_seed(1)) * 2 - 1,)
        for layer in module.modules():
            if isinstance(layer, NoiseDropout):
                layer.at_test = False
        expected = module.translate(*inputs)
    else:
        inputs = module.sampling_inputs(range(5), 1)
        (expected,) = module.generate([inputs])
    assert [one.name for one in session.get_inputs()] == list(told.inputs)
    found = session.run(None, {name: x.numpy() for name, x in zip(told.inputs, inputs, strict=True)})[0]
    assert np.abs(found - expected.numpy()).max() <= CLOSE


@able
@pytest.mark.parametrize("model", ["cgan", "cyclegan"])
def test_an_exported_program_is_the_network(model, tmp_path):
    """To the bit; of both directions."""
    module = made(model)
    directions = getattr(module, "directions", ("a2b",))
    for direction in directions:
        assert export.export_file(module, tmp_path / f"{direction}.pt2", direction=direction).error <= 1e-6
    content = {export.METADATA: ""}
    network = torch.export.load(tmp_path / f"{directions[-1]}.pt2", extra_files=content).module()
    if model == "cyclegan":
        source = torch.rand(3, 3, 20, 16) * 2 - 1
        assert torch.allclose(network(source), module.translate(source, direction="b2a"), atol=1e-5)
    assert type(module).__name__ in content[export.METADATA]


@able
def test_dropout_at_test_time_is_off_and_said_so(tmp_path):
    module = made("pix2pix")
    told = export.export_file(module, tmp_path / "g.onnx")
    note = "dropout, which is noise at test time, is off"
    assert note in told.notes
    metadata = {one.key: one.value for one in onnx.load(tmp_path / "g.onnx").metadata_props}
    assert note in metadata[export.METADATA]
    assert any(layer.at_test for layer in module.modules() if isinstance(layer, NoiseDropout))  # the module's stays on


def test_weights_in_one_file_are_read_back(tmp_path):
    module = made("progan")
    assert export.export_file(module, tmp_path / "g.safetensors").error == 0
    loaded = lightning_gans.load(tmp_path / "g.safetensors")
    assert torch.equal(loaded.sample(2), module.sample(2))
    assert [path.name for path in tmp_path.iterdir()] == ["g.safetensors"]


def test_what_cannot_be_exported_is_refused_and_leaves_no_file(tmp_path, monkeypatch):
    module = made("dcgan")
    with pytest.raises(ValueError, match=r"g.bin: must end in .onnx, .pt2, .safetensors"):
        export.export_file(module, tmp_path / "g.bin")
    monkeypatch.setattr(torch, "__version__", "2.14.1+cpu")  # whatever this one is
    with pytest.raises(ValueError, match="direction=b2a: Pix2Pix translates a2b only"):
        export.export_file(made("pix2pix"), tmp_path / "g.pt2", direction="b2a")
    monkeypatch.setattr(torch, "__version__", "2.4.1+cpu")
    with pytest.raises(ValueError, match=r"needs torch >= [\d.]+, and this is torch 2.4.1\+cpu"):
        export.export_file(module, tmp_path / "g.onnx")
    monkeypatch.setattr(torch, "__version__", "2.14.1+cpu")
    monkeypatch.setattr(export, "NEEDED", ("onnx", "no_such_package"))
    with pytest.raises(ValueError, match=r'needs no_such_package; pip install "lightning_gans\[export\]"'):
        export.export_file(module, tmp_path / "g.onnx")
    module.prepare_sampling()
    module.generator_ema.forward = lambda z: z.item()  # which no exporter follows
    with pytest.raises(ValueError, match="DCGAN cannot be exported by torch") as refused:
        export.export_file(module, tmp_path / "g.pt2")
    assert len(str(refused.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@able
def test_the_command_prints_inputs_parity_and_notes(tmp_path, monkeypatch, capsys):
    options = ("checkpoint=dcgan_digits", "out=g.pt2")
    assert command_here("lightning_gans.export", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert "latents: (batch, 32)" in said
    difference = re.search(r"largest difference to PyTorch's images in \[-1, 1\]: (\S+)\n", said)
    assert float(difference[1]) < 1e-6  # an export is PyTorch's convolutions, the network has ways of its own
    assert "DCGAN of generator update 1,700 in g.pt2" in said
    assert command_here("lightning_gans.export", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert "is there already" in capsys.readouterr().err

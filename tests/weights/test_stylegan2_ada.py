"""Pickles of NVIDIA's StyleGAN2-ADA: read without running their code, and equal outputs."""

import io
import os
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest
import torch

import lightning_gans
from conftest import command_here
from lightning_gans.networks.stylegan2 import Discriminator, Generator
from lightning_gans.weights import nvidia_pickle

SIZES = {"channel_base": 64, "channel_max": 8}


class Persistent:
    """As the authors' helper pickles a module: a function's name, and source and state as its argument."""

    def __init__(self, state, source="raise SystemExit('code of the file ran')"):
        self.meta = {"type": "class", "version": 6, "module_src": source, "class_name": "Network", "state": state}

    def __reduce__(self):
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,), None


@pytest.fixture(autouse=True)
def _names(monkeypatch):
    """Their modules, for writing only."""
    for name in ("torch_utils", "torch_utils.persistence"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    persistence = sys.modules["torch_utils.persistence"]
    exec("def _reconstruct_persistent_obj(meta): raise SystemExit('ran')", persistence.__dict__)


def tree(state):
    """Nested modules of a flat state dict."""
    made = {"_parameters": OrderedDict(), "_buffers": OrderedDict(), "_modules": OrderedDict(), "training": False}
    made |= {"_non_persistent_buffers_set": {"x"}, "weight_gain": np.float64(0.1)}
    below = {}
    for name, value in state.items():
        head, _, rest = name.partition(".")
        if rest:
            below.setdefault(head, {})[rest] = value
        elif head in ("w_avg", "noise_const", "resample_filter"):
            made["_buffers"][head] = value
        else:
            made["_parameters"][head] = torch.nn.Parameter(value)
    for head, part in below.items():
        made["_modules"][head] = Persistent(tree(part))
    return made


def styled(state, ours, theirs):
    table = {"convolution.style.weight": "affine.weight", "convolution.style.bias": "affine.bias"}
    table |= {"convolution.weight": "weight", "bias": "bias"}
    table |= {"noise.strength": "noise_strength", "noise.constant": "noise_const"}
    return {f"{theirs}.{new}": state[f"{ours}.{old}"].clone() for old, new in table.items() if f"{ours}.{old}" in state}


def as_theirs(generator, judge):
    g, d = generator.state_dict(), judge.state_dict()
    made = {"mapping.w_avg": g["mapping.average"], "synthesis.b4.const": g["constant"][0]}
    made["synthesis.b8.conv0.resample_filter"] = torch.ones(4, 4)
    for network, state in ((made, g), (other := {}, d)):
        for part, name in (
            ("mapping.embedding", "mapping.embed"),
            *((f"mapping.layers.{2 * i}", f"mapping.fc{i}") for i in range(2)),
        ):
            for kind in ("weight", "bias"):
                if f"{part}.{kind}" in state:
                    network[f"{name}.{kind}"] = state[f"{part}.{kind}"]
    for number, name in enumerate(["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"]):
        made |= styled(g, f"layers.{number}", f"synthesis.{name}")
    for level, side in enumerate((4, 8, 16)):
        made |= styled(g, f"to_rgb.{level}", f"synthesis.b{side}.torgb")
    for name, value in made.items():
        if name.endswith("noise_const"):
            made[name] = value[0, 0]
    layers = {"from_rgb.0": "b16.fromrgb", "last.1": "b4.conv", "last.4": "b4.fc", "last.6": "b4.out"}
    for block, side in enumerate((16, 8)):
        layers |= {f"blocks.{block}.layers.0": f"b{side}.conv0", f"blocks.{block}.layers.3": f"b{side}.conv1"}
        layers |= {f"blocks.{block}.skip.1": f"b{side}.skip"}
    for ours, theirs in layers.items():
        other |= {f"{theirs}.{k}": d[f"{ours}.{k}"] for k in ("weight", "bias") if f"{ours}.{k}" in d}
    return made, other


@pytest.mark.parametrize("classes", [None, 3])
def test_equal_outputs(tmp_path, monkeypatch, capsys, classes):
    torch.manual_seed(0)
    how = {"image_size": 16, "channels": 3, **SIZES}
    if classes:
        how |= {"classes": "projection", "num_classes": classes}
    generator = Generator(latent_dim=6, style_dim=5, mapping_layers=2, **how)
    judge = Discriminator(class_layers=2, **how)
    for network in (generator, judge):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter)
    generator.mapping.average.normal_()
    g, d = as_theirs(generator, judge)
    average = {name: value * 0.5 for name, value in g.items()}
    content = {"G": Persistent(tree(g)), "D": Persistent(tree(d)), "G_ema": Persistent(tree(average))}
    (tmp_path / "net.pkl").write_bytes(pickle.dumps({**content, "training_set_kwargs": {"path": "x"}}))
    given = ["lightning_gans.import_weights", "generator=net.pkl", "out=made.ckpt"]
    assert command_here(*given, cwd=tmp_path, monkeypatch=monkeypatch) == 0, capsys.readouterr().err
    assert "non-commercially only" in capsys.readouterr().out
    module = lightning_gans.load(tmp_path / "made.ckpt")
    z, y = torch.randn(4, 6), [torch.tensor([0, 2, 1, 1])] if classes else []
    torch.testing.assert_close(module.generator.eval()(z, *y), generator.eval()(z, *y))
    images = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(module.discriminator(images, *y), judge(images, *y))
    torch.testing.assert_close(module.generator_ema.constant[0], average["synthesis.b4.const"])
    torch.testing.assert_close(module.generator_ema.mapping.average, average["mapping.w_avg"])
    assert module.sample(2, psi=0.7, **({"classes": [1]} if classes else {})).shape == (2, 3, 16, 16)


class Payload:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch ran",)


def hidden(level):
    """A pickle with a payload at one of its levels."""
    weight = torch.ones(2, 2)
    state = tree({"weight": weight})
    content = {"G_ema": Persistent(state)}
    if level == "top":
        content["more"] = Payload()
    elif level == "state":
        state["more"] = Payload()
    elif level == "child":
        state["_modules"]["child"] = Persistent({"_parameters": {"weight": Payload()}})
    elif level == "source":
        content["G_ema"] = Persistent(state, "import os; os.system('touch ran')")
    else:  # in the bytes of a storage
        stream = io.BytesIO()
        torch.save(Payload(), stream, _use_new_zipfile_serialization=level == "new storage")
        inner = stream.getvalue()

        class Storage:
            def __reduce__(self):
                return torch.storage._load_from_bytes, (inner,)

        state["_parameters"]["weight"] = Storage()
    return pickle.dumps(content)


@pytest.mark.parametrize("level", ["top", "state", "child", "old storage", "new storage"])
def test_a_hidden_payload_ends_the_reading_and_never_runs(tmp_path, monkeypatch, level):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pkl").write_bytes(hidden(level))
    with pytest.raises(ValueError, match="not a pickle of NVIDIA's networks"):
        nvidia_pickle.read("net.pkl")
    assert not (tmp_path / "ran").exists()


def test_source_in_the_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pkl").write_bytes(hidden("source"))
    found = nvidia_pickle.read("net.pkl")
    assert torch.equal(found["G_ema"]["weight"], torch.ones(2, 2))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "named", ["os.system", "builtins.eval", "builtins.getattr", "torch.load", "torch._utils._rebuild_wrapper_subclass"]
)
def test_only_what_networks_need_may_be_named(tmp_path, named):
    module, _, name = named.rpartition(".")
    (tmp_path / "net.pkl").write_bytes(b"\x80\x02c" + f"{module}\n{name}\n".encode() + b".")
    with pytest.raises(ValueError, match="which is no part of a network"):
        nvidia_pickle.read(tmp_path / "net.pkl")


def test_other_files_are_left_to_others(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "net.pth")
    assert nvidia_pickle.read(tmp_path / "net.pth") is None
    assert nvidia_pickle.read(tmp_path / "none.pkl") is None
    (tmp_path / "other.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="holds no G_ema"):
        nvidia_pickle.read(tmp_path / "other.pkl")

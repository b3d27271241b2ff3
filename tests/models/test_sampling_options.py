"""Options of sampling: what families declare, their commands, and truncation by resampling."""

import importlib
import json
import re

import numpy as np
import pytest
import torch
import yaml
from torch import nn

import lightning_gans
from conftest import command_here, run, tiny_model
from lightning_gans.config.families import list_models, target_of
from lightning_gans.config.schemas import CONF_DIR, StyleSchema
from lightning_gans.config.types import describe
from lightning_gans.evaluation.sources import GeneratedImages
from lightning_gans.images.pixels import to_uint8
from lightning_gans.inference.latents import Walker
from lightning_gans.models import SNGAN
from lightning_gans.models.sampling_options import TRUNCATION, families_with


@pytest.fixture(scope="module", autouse=True)
def _truncating():
    """SNGAN, whose latents are normal and whose generator has batch norm, with the option."""
    before, SNGAN.sampling_options = SNGAN.sampling_options, {"truncation": TRUNCATION}
    yield
    SNGAN.sampling_options = before


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("options")
    run(made, "trainer.max_steps=2", model="sngan")
    return made


def declared():
    """The options of every family: (family, name, option)."""
    for family in list_models():
        home, _, name = target_of(family).rpartition(".")
        yield from ((family, *pair) for pair in getattr(importlib.import_module(home), name).sampling_options.items())


def test_every_option_of_a_family_is_one_of_the_commands():
    found = list(declared())
    assert {name for _, name, _ in found} == set(StyleSchema.__annotations__)
    for command in ("sample", "evaluate", "interpolate", "demo"):
        assert set(StyleSchema.__annotations__) <= set(yaml.safe_load((CONF_DIR / f"{command}.yaml").read_text()))
    for family, name, option in found:
        assert len(option.meaning.splitlines()) == 1, (family, name)
        assert describe(option.type).startswith(("a number", "an integer")), (family, name)


def test_truncated_latents_are_those_of_a_truncated_normal():
    module = tiny_model("sngan", **{"generator.latent_dim": 100})
    whole, cut = module.sampling_inputs(range(200), 3)[0], module.sampling_inputs(range(200), 3, truncation=0.5)[0]
    within = whole.abs() <= 0.5
    assert torch.equal(cut[within], whole[within])  # only what is beyond is drawn again
    assert cut.abs().max() <= 0.5
    assert not torch.isin(cut[~within], whole).any()
    n, threshold = cut.numel(), 0.5
    density = np.exp(-(threshold**2) / 2) / np.sqrt(2 * np.pi)
    mass = torch.special.erf(torch.tensor(threshold / np.sqrt(2))).item()
    variance = 1 - 2 * threshold * density / mass  # of a normal distribution cut off at +- threshold
    assert abs(cut.var() - variance) < 5 * np.sqrt(2 / n) * variance
    assert abs(cut.mean()) < 5 * np.sqrt(variance / n)


def test_a_sample_is_a_function_of_seed_index_and_option(folder):
    module = lightning_gans.load(folder)
    before = module.sample(6, seed=2)
    made = module.sample(6, seed=2, truncation=0.3)
    assert not torch.allclose(made, before, atol=1e-3)
    (alone,) = module.samples([4], seed=2, truncation=0.3)
    torch.testing.assert_close(made[4:5], alone, rtol=0, atol=1e-5)  # convolutions round by their batch
    assert torch.equal(module.sample(6, seed=2), before)  # nothing of it stays in the module
    assert torch.equal(lightning_gans.load(folder).sample(6, seed=2, truncation=0.3), made)


def test_truncation_has_standing_statistics_of_its_own(folder):
    module = lightning_gans.load(folder)
    module.prepare_sampling()
    network = module.sampling_network({"truncation": 0.3})
    pairs = list(zip(network.parameters(), module.sampler.parameters(), strict=True))
    assert all(mine is theirs for mine, theirs in pairs)
    seen = []
    first = next(layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))
    hook = first.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    module._measure(network, {"truncation": 0.3})
    hook.remove()
    assert len(seen) == module.standing_batches
    torch.testing.assert_close(first.running_mean, torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0))
    torch.testing.assert_close(first.running_var, torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0))
    own = next(layer for layer in module.sampler.modules() if isinstance(layer, nn.BatchNorm2d))
    assert (first.running_var < own.running_var).all()  # a dense layer of shorter latents
    assert module.sampling_network({}) is module.sampler


@pytest.mark.parametrize(
    ("family", "given", "sentence"),
    [
        ("wgan_gp", {"truncation": 0.5}, "truncation=0.5: WGANGP has no such option of sampling; model="),
        ("wgan_gp", {"brightness": 0.5}, "brightness=0.5: WGANGP has no such option of sampling; no family has"),
        ("sngan", {"truncation": 0.01}, "truncation=0.01: must be >= 0.02"),
        ("sngan", {"truncation": "much"}, "truncation=much: must be a number >= 0.02"),
        ("sngan", {"classes": [1]}, "classes=[1]: the model takes no conditions; leave it out"),
    ],
)
def test_what_a_family_does_not_have_is_refused(family, given, sentence):
    module = tiny_model(family)
    for sampled in (lambda: module.sample(1, **given), lambda: Walker(module, **given)):
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
            sampled()
    assert "sngan" in families_with("truncation")


def test_truncation_needs_normal_latents():
    module = tiny_model("sngan", latent="uniform")
    with pytest.raises(ValueError, match="truncation=0.5: needs latent=normal, not uniform"):
        module.sample(1, truncation=0.5)


def test_commands_pass_options_on(folder, tmp_path, monkeypatch, capsys):
    module = lightning_gans.load(folder)
    expected = to_uint8(module.sample(3, truncation=0.3)).permute(0, 2, 3, 1).numpy()
    how = {"cwd": tmp_path, "monkeypatch": monkeypatch}
    where = [f"checkpoint={folder}", "truncation=0.3", "device=cpu"]
    assert command_here("lightning_gans.sample", *where, "out=s", "n=3", "format=npz", **how) == 0
    assert np.array_equal(np.load(tmp_path / "s" / "samples.npz")["images"], expected)

    written = []
    monkeypatch.setattr(Walker, "loop", lambda walker, *_: written.append(walker.options) or torch.zeros(1, 1, 1, 4, 4))
    monkeypatch.setattr("lightning_gans.inference.latents.write", lambda *_: [])
    assert command_here("lightning_gans.interpolate", *where, "out=i", "mode=loop", **how) == 0
    assert written == [{"truncation": 0.3}]

    arguments = ["out=e", "n=60", "metrics=[frechet]", "cache=null"]
    assert command_here("lightning_gans.evaluate", *where, *arguments, **how) == 0
    (card,) = (json.loads(path.read_text()) for path in (tmp_path / "e").glob("*.scores.json"))
    assert card["truncation"] == 0.3
    assert command_here("lightning_gans.evaluate", *where, "truncation=null", *arguments, **how) == 0
    (other,) = (json.loads(path.read_text()) for path in (tmp_path / "e").glob("*.scores.json"))
    assert "truncation" not in other
    assert card["scores"] != other["scores"]
    capsys.readouterr()
    both = [f"candidate={tmp_path / 's'}", f"reference={tmp_path / 's'}", "truncation=0.3"]
    assert command_here("lightning_gans.evaluate", *both, **how) == 1
    assert "truncation=0.3: " in capsys.readouterr().err


def test_scored_images_are_the_samples(folder):
    module = lightning_gans.load(folder)
    source = GeneratedImages(module, 5, 7, truncation=0.3)
    batches = [batch["image"] for batch in source.batches(range(5), 2)]
    difference = torch.cat(batches).int() - to_uint8(module.sample(5, seed=7, truncation=0.3)).int()
    assert difference.abs().max() <= 1

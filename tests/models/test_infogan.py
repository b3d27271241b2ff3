"""InfoGAN: who learns from the information, codes as conditions, sheets of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch.utils.data import DataLoader

import lightning_gans
from conftest import assert_same_training, command_here, newest, refusal, run, samples, tiny
from lightning_gans import build, compose
from lightning_gans.images.pixels import to_uint8
from lightning_gans.inference.codes import traverse_codes
from lightning_gans.networks.infogan import CodeParameters

PAPER = "model.information_trains_trunk=false"


def made(folder, *options):
    return build(compose(*tiny("infogan"), *options), folder).model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("infogan")
    run(path, samples(every_n_train_steps=4, n="null"), model="infogan")
    return path


@pytest.fixture(scope="module")
def module(folder):
    return lightning_gans.load(folder)


def gradients_of_information(module, player):
    """By the part of the discriminator: whether the information alone moves it in an update of the player."""
    terms = module.loss(player, {"image": torch.rand(8, 1, 16, 16) * 2 - 1})
    information = [terms[kind] for kind in ("categorical", "continuous") if kind in terms]
    if not information:
        return set()
    named = dict(module.discriminator.named_parameters())
    found = torch.autograd.grad(sum(information), list(named.values()), allow_unused=True)
    return {name.split(".")[0] for name, g in zip(named, found, strict=True) if g is not None and g.any()}


def test_the_trunk_learns_from_the_information_in_the_codes_way_only(tmp_path):
    ours, paper = made(tmp_path), made(tmp_path, PAPER)
    assert gradients_of_information(ours, "d") == {"trunk", "code_head"}
    assert gradients_of_information(paper, "d") == set()
    own = {id(p) for p in paper.discriminator.code_head.parameters()}
    assert own.isdisjoint(map(id, paper._trainable["d"]))
    assert own <= set(map(id, paper._trainable["g"]))  # G's optimiser moves Q
    assert set(map(id, ours._trainable["d"])) == set(map(id, ours.discriminator.parameters()))


def test_in_the_papers_way_g_moves_q_and_d_the_trunk(tmp_path):
    """One step each; resume as if unbroken, with Q among the generator's weights."""
    start = made(tmp_path, PAPER).state_dict()
    run(tmp_path / "part", PAPER, "trainer.max_steps=1", model="infogan")
    after = newest(tmp_path / "part")
    names = [name for name in start if name.startswith("discriminator.")]
    moved = {name.split(".")[1] for name in names if not torch.equal(start[name], after["state_dict"][name])}
    assert moved == {"trunk", "head", "code_head"}
    run(tmp_path / "part", PAPER, "trainer.max_steps=2", model="infogan", resume=str(tmp_path / "part"))
    run(tmp_path / "whole", PAPER, "trainer.max_steps=2", model="infogan")
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "part"))


def test_information_is_the_weighted_terms_in_nats(tmp_path):
    model = made(tmp_path, "model.categorical_weight=2", "model.continuous_weight=0.5", "model.fixed_std=0.5")
    c, k = torch.arange(10)[:, None], torch.rand(10, 2) * 2 - 1
    found = CodeParameters((torch.eye(10) * 1e4,), k + 0.25, torch.full((10, 2), 9.0))
    nats = model.information(found, c, k)
    assert nats["categorical"].item() == pytest.approx(np.log(10), abs=1e-6)
    gauss = torch.distributions.Normal(k + 0.25, 0.5).log_prob(k).sum(1).mean() + 2 * np.log(2)
    assert nats["continuous"].item() == pytest.approx(gauss.item(), abs=1e-5)  # its own deviation does not count
    model._information = nats
    terms = model.information_terms()
    assert terms["categorical"].item() == pytest.approx(-2 * np.log(10), abs=1e-5)
    assert terms["continuous"].item() == pytest.approx(-0.5 * gauss.item(), abs=1e-5)
    assert model.extra_logs()["information_categorical"].item() == pytest.approx(2.302585, abs=1e-5)


def test_codes_are_drawn_evenly_and_are_functions_of_seed_and_number(module):
    latents, c, k = module.sampling_inputs(range(1000), 3)
    assert c.shape == (1000, 1)
    assert k.shape == (1000, 2)
    assert (torch.bincount(c[:, 0], minlength=10) / 1000 - 0.1).abs().max() < 0.05  # five standard deviations
    assert k.min() >= -1
    assert k.max() < 1
    assert abs(torch.corrcoef(torch.cat([k, c], 1).T)[0, 1]) < 0.16
    again = module.sampling_inputs([7, 2], 3)
    assert all(torch.equal(x, y[[7, 2]]) for x, y in zip(again, (latents, c, k), strict=True))
    given = module.sampling_inputs([7, 2], 3, code=[4], continuous=[[0.5, -2]])
    assert torch.equal(given[0], again[0])
    assert given[1].tolist() == [[4], [4]]
    assert given[2].tolist() == [[0.5, -2], [0.5, -2]]


def test_a_plain_trainer_draws_codes_itself_and_labels_are_no_error(tmp_path):
    model = made(tmp_path)
    data = [{"image": torch.rand(1, 16, 16) * 2 - 1, "label": torch.tensor(i % 10)} for i in range(16)]
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    Trainer(max_steps=2, accelerator="cpu", **quiet).fit(model, DataLoader(data, batch_size=8))
    assert model.iteration == 2


def test_recognise_gives_codes_of_any_images(module):
    categories, means = module.recognise(module.sample(5))
    assert categories.shape == (5, 1)
    assert means.shape == (5, 2)
    assert categories.min() >= 0
    assert categories.max() < 10


def test_a_traversal_changes_one_code_and_nothing_else(module):
    sheet = traverse_codes(module, rows=3, steps=4, seed=5)
    assert sheet.shape == (3 + 1 + 10 + 1 + 10, 10, 1, 16, 16)
    _, c, k = module.sampling_inputs(range(10), 5)
    expected = to_uint8(next(module.samples([2], seed=5, code=[0, 0, 6])))[0]
    assert (sheet[2, 6].int() - expected.int()).abs().max() <= 1
    wide = [[2.0, k[7, 1].item()]] * 10
    expected = to_uint8(next(module.samples([7], seed=5, code=range(10), continuous=wide)))[0]
    assert (sheet[4 + 7, 3].int() - expected.int()).abs().max() <= 1
    assert not sheet[3].any()
    assert not sheet[4:14, 4:].any()


def test_several_codes_or_none_of_a_kind(tmp_path):
    several = made(tmp_path, "model.generator.categorical=[3,2]", "model.generator.continuous=0")
    assert several.sample(2, code=[[2, 1], [0, 0]]).shape == (2, 1, 16, 16)
    assert traverse_codes(several, rows=2).shape[:2] == (2 + 1 + 2, 3)
    with pytest.raises(ValueError, match=r"code=\[3, 0\]: must be a list of 2 categories, up to 2, 1"):
        several.sample(1, code=[[3, 0]])
    with pytest.raises(ValueError, match="the model has none"):
        several.sample(1, continuous=[0.5])
    numbers = made(tmp_path, "model.generator.categorical=[]", "model.generator.continuous=1")
    assert traverse_codes(numbers, rows=2, steps=3).shape[:2] == (2, 3)
    assert numbers.sample(2, continuous=[0.5, -1]).shape == (2, 1, 16, 16)


def test_commands_and_grids_show_codes(folder, module, tmp_path, monkeypatch, capsys):
    assert Image.open(folder / "samples" / "codes-000004.png").size == (2 + 10 * 18, 2 + 30 * 18)
    given = [f"checkpoint={folder}", f"out={tmp_path / 'out'}"]

    def call(name, *options):
        return command_here(f"lightning_gans.{name}", *given, *options, cwd=Path.cwd(), monkeypatch=monkeypatch)

    assert call("sample", "code=[3,7]", "continuous=[[0,1]]", "n=4", "format=npz") == 0
    found = np.load(tmp_path / "out" / "samples.npz")["images"][..., 0]
    expected = to_uint8(module.sample(4, code=[3, 7], continuous=[[0, 1]]))[:, 0].numpy()
    assert abs(found.astype(int) - expected.astype(int)).max() <= 1
    assert call("interpolate", "mode=codes", "rows=2") == 0
    assert Image.open(tmp_path / "out" / "codes.png").size == (2 + 10 * 18, 2 + 24 * 18)
    capsys.readouterr()
    assert call("sample", "code=[10]", "overwrite=true") == 1
    assert "code=10: must be from 0 to 9" in capsys.readouterr().err
    assert call("sample", "classes=[1]", "overwrite=true") == 1
    assert "the model takes code, continuous" in capsys.readouterr().err


def test_networks_without_codes_and_families_without_codes_are_refused(tmp_path):
    assert "takes no codes; use model/network=infogan" in refusal(tmp_path, "model=infogan", "model/network=dcgan")
    assert "choose another model/network" in refusal(tmp_path, "model=dcgan", "model/network=infogan")
    with pytest.raises(ValueError, match="mode=codes: DCGAN has none; train model=infogan"):
        traverse_codes(build(compose(*tiny("dcgan")), tmp_path).model)

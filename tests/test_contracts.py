"""What every family keeps, found by its config."""

import json

import pytest
import torch

import lightning_gans
from conftest import MODELS, assert_same_training, command, newest, run, tiny
from lightning_gans import build, compose
from lightning_gans.losses import Wasserstein


@pytest.fixture(scope="module", params=MODELS)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def trained(family, tmp_path_factory):
    """A short training of the family and its folder."""
    folder = tmp_path_factory.mktemp(family)
    return run(folder, model=family), folder


def test_samples_have_the_declared_shape_and_range(family, tmp_path):
    made = build(compose(*tiny(family)), tmp_path)
    images = made.model.sample(3)
    assert images.shape == (3, *made.data.shape)
    assert images.abs().max() <= 1


def test_every_parameter_gets_a_gradient_and_moves(family, tmp_path):
    made = build(compose(*tiny(family), "trainer.max_steps=3"), tmp_path)
    before = {name: p.detach().clone() for name, p in made.model.named_parameters()}
    made.fit()
    still = [name for name, p in made.model.named_parameters() if torch.equal(before[name], p.detach())]
    objective = getattr(made.model, "objective", None)
    if isinstance(objective, Wasserstein) and not objective.drift:  # does not change with a constant in D
        still.remove([name for name in before if name.startswith("discriminator")][-1])
    assert still == []


def test_checkpoint_gives_the_same_samples(trained):
    made, folder = trained
    loaded = lightning_gans.load(folder)
    assert not loaded.training
    assert loaded.iteration == made.model.iteration == 4
    assert torch.equal(loaded.sample(5, seed=3), made.model.sample(5, seed=3))


def test_checkpoint_is_plain_data(trained):
    content = newest(trained[1])  # with weights_only=True
    assert content["config"]["resolved"]["model"]["_target_"].startswith("lightning_gans.models.")
    assert content["config"]["resolved"]["model"]["seed"] == 0


def test_resume_equals_unbroken(family, tmp_path):
    run(tmp_path / "whole", "trainer.max_steps=5", model=family)
    run(tmp_path / "part", "trainer.max_steps=2", model=family)
    run(tmp_path / "part", "trainer.max_steps=5", model=family, resume=str(tmp_path / "part"))
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "part"))


def test_same_seed_same_images_whatever_the_batch_size(trained):
    module = trained[0].model
    whole = module.sample(40, seed=7, batch_size=40)
    for size in (1, 7, 64):
        pieces = module.sample(40, seed=7, batch_size=size)
        assert torch.equal(lightning_gans_uint8(pieces), lightning_gans_uint8(whole))
    assert torch.equal(lightning_gans_uint8(module.sample(10, seed=7)), lightning_gans_uint8(whole[:10]))
    assert not torch.equal(module.sample(10, seed=8), whole[:10])


def lightning_gans_uint8(images):
    from lightning_gans.images import to_uint8

    return to_uint8(images)


@pytest.mark.slow
def test_sample_and_evaluate_from_the_file_alone(trained, tmp_path):
    """In a folder of their own; nothing is left behind but what was asked for."""
    checkpoint = tmp_path / "only this.ckpt"
    checkpoint.write_bytes((trained[1] / "checkpoints" / "last.ckpt").read_bytes())
    work = tmp_path / "work"
    work.mkdir()
    made = command("lightning_gans.sample", f"checkpoint={checkpoint}", "n=5", "out=my samples", cwd=work)
    assert made.returncode == 0, made.stderr
    names = sorted(path.name for path in (work / "my samples").iterdir())
    assert names == [*(f"{i:06d}.png" for i in range(5)), "grid.png"]
    made = command("lightning_gans.evaluate", f"checkpoint={checkpoint}", "n=20", "out=scores", cwd=work)
    assert made.returncode == 0, made.stderr
    card = json.loads((work / "scores" / "only this.scores.json").read_text())
    assert card["n"] == 20
    assert {"fd_digits", "is_digits", "kd_digits"} <= set(card["scores"])
    assert sorted(path.name for path in work.iterdir()) == ["my samples", "scores"]

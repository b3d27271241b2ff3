"""Fine-tuning: networks of a checkpoint start another training, and frozen layers stay as they are."""

import sys
from fnmatch import fnmatch

import hydra
import pytest
import torch

from conftest import assert_same_training, differences, newest, refusal, run, tiny
from lightning_gans import build, compose, train
from lightning_gans.checkpoints.files import AtomicCheckpointIO
from lightning_gans.checkpoints.fine_tuning import load_networks

FROZEN = 'model.freeze=["discriminator.layers.[0-4]",generator.layers.0,generator.layers.1]'


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    run(folder)
    return folder


def networks(state, *names):
    return {name: value for name, value in state.items() if name.partition(".")[0] in names}


def started(folder, *options, model="dcgan"):
    return build(compose(*tiny(model), *options), folder).model


def test_all_networks_are_taken_and_nothing_else(trained, tmp_path, capsys):
    model = started(tmp_path, f"init={trained}", "data.limit=40")
    state = newest(trained)["state_dict"]
    assert (
        differences(
            networks(state, "generator", "generator_ema", "discriminator"),
            networks(model.state_dict(), "generator", "generator_ema", "discriminator"),
        )
        == []
    )
    assert differences(networks(state, "generator"), networks(state, "generator_ema"))  # which are two
    assert (model.iteration, model.images_seen) == (0, 0)
    told = capsys.readouterr().err
    assert f"init={trained}: generator: 14 tensors loaded\n" in told
    assert "fresh" not in told


def test_other_channels_start_the_ends_afresh_by_name(trained, tmp_path, capsys):
    model = started(tmp_path, f"init={trained}", "data.channels=3")
    told = capsys.readouterr().err
    assert "generator: 12 tensors loaded; fresh: layers.6.weight (4, 3, 4, 4), (4, 1, 4, 4) in the file" in told
    assert "discriminator: 8 tensors loaded; fresh: layers.0.weight (4, 3, 4, 4), (4, 1, 4, 4) in the file" in told
    state, mine = newest(trained)["state_dict"], model.state_dict()
    assert torch.equal(mine["generator.layers.3.weight"], state["generator.layers.3.weight"])
    fresh = started(tmp_path, "data.channels=3").state_dict()
    for name in ("generator.layers.6.weight", "discriminator.layers.0.weight"):
        assert torch.equal(mine[name], fresh[name])


def test_a_larger_image_counts_layers_from_the_last(trained, tmp_path, capsys):
    mine = started(tmp_path, f"init={trained}", "data.image_size=32").state_dict()
    state = newest(trained)["state_dict"]
    assert torch.equal(mine["generator.layers.9.weight"], state["generator.layers.6.weight"])
    assert torch.equal(mine["generator_ema.layers.6.weight"], state["generator_ema.layers.3.weight"])
    assert torch.equal(mine["discriminator.layers.2.weight"], state["discriminator.layers.2.weight"])
    told = capsys.readouterr().err
    assert "generator: 13 tensors loaded, counted from the last layer; fresh: layers.0.weight (8, 16, 4, 4)" in told
    assert "discriminator: 8 tensors loaded; fresh: layers.5.weight" in told


def test_a_generator_alone_gives_the_average_too(trained, tmp_path):
    state = networks(newest(trained)["state_dict"], "generator_ema")
    model = started(tmp_path)
    told = load_networks(model, {k.replace("_ema", ""): v.half() for k, v in state.items()}, "g")
    assert "init=g: discriminator: not in the file; starts fresh" in told
    assert "init=g: generator_ema: 14 tensors loaded from generator" in told
    for network in (model.generator, model.generator_ema):
        assert torch.equal(network.layers[3].weight, state["generator_ema.layers.3.weight"].half().float())


def test_what_fits_nothing_is_refused(trained, tmp_path):
    said = refusal(tmp_path, *tiny("cyclegan"), f"init={trained}")
    assert said.startswith(f"init={trained}: fits no generator of CycleGAN: generator.layers.0.weight is (8, 8, 4, 4)")
    assert "\n" not in said
    assert "no checkpoint there" in refusal(tmp_path, *tiny(), f"init={tmp_path}")
    content = newest(trained)
    content["state_dict"]["discriminator.layers.0.bias"][0] = torch.nan
    AtomicCheckpointIO().save_checkpoint(content, tmp_path / "nan.ckpt")
    assert "not finite" in refusal(tmp_path, *tiny(), f"init={tmp_path / 'nan.ckpt'}")
    options = ["model.marginal_bias=true", f"init={trained}"]
    assert "marginal_bias=true: would replace" in refusal(tmp_path, *tiny("gan"), *options)


def test_not_with_resume(trained, tmp_path):
    assert "not with resume" in refusal(tmp_path, *tiny(), f"init={trained}", f"resume={trained}")
    with pytest.raises(ValueError, match="init: not with resume"):
        train.from_checkpoint(["init=a", f"resume={trained}"])


def test_a_resumed_run_does_not_start_anew(trained, tmp_path, monkeypatch):
    """Its config still says what it began with, though that is gone."""
    gone = tmp_path / "gone.ckpt"
    gone.write_bytes((trained / "checkpoints" / "last.ckpt").read_bytes())
    options = [*tiny(), FROZEN, "callbacks.checkpoint.every_n_train_steps=2", "data.flip=true"]
    build(compose(*options, f"init={gone}", "trainer.max_steps=4"), tmp_path / "whole").fit()
    build(compose(*options, f"init={gone}", "trainer.max_steps=2"), tmp_path / "half").fit()
    gone.unlink()
    monkeypatch.setattr(sys, "argv", ["train", f"resume={tmp_path / 'half'}", "trainer.max_steps=4"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    train.main()
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "half"))
    assert newest(tmp_path / "half")["config"]["resolved"]["init"] == str(gone)


def test_frozen_layers_do_not_move(tmp_path):
    """Neither by gradients, weight decay, nor their batch norm's statistics, the average's included."""
    options = ["+model.g_optimizer.weight_decay=0.1", "+model.d_optimizer.weight_decay=0.1", "model.clip_grad=0.5"]
    made = build(compose(*tiny(), FROZEN, *options), tmp_path)
    kept = [f"discriminator.layers.{i}." for i in (0, 2, 3)] + [f"generator.layers.{i}." for i in (0, 1)]
    kept += ["generator_ema.layers.0.", "generator_ema.layers.1."]
    before = {name: value.clone() for name, value in made.model.state_dict().items() if name != "_extra_state"}
    made.fit()
    made.model.sample(2)
    after = made.model.state_dict()
    still = {name for name, value in before.items() if torch.equal(value, after[name])}
    assert still - {name for name in before if name.startswith(tuple(kept))} <= {
        "generator_ema.layers.4.num_batches_tracked"  # of a network that is in evaluation mode
    }
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith(tuple(kept)))
    frozen = [p for name, p in made.model.named_parameters() if name.startswith(tuple(kept[:5]))]
    assert len(frozen) == 8
    assert all(p.grad is None and not p.requires_grad for p in frozen)
    optimised = {id(p) for o in made.trainer.optimizers for group in o.param_groups for p in group["params"]}
    assert not optimised & {id(p) for p in frozen}


@pytest.mark.parametrize(
    ("model", "frozen", "option"),
    [
        ("sngan", "discriminator.blocks.0", "model.clip_grad=null"),
        ("gan", "discriminator.layers.[01]", "model.max_norm=0.01"),
        ("wgan", "discriminator.layers.0", "model.clip_weights=0.001"),
    ],
)
def test_frozen_layers_keep_what_no_optimiser_writes(tmp_path, model, frozen, option):
    """The vectors of a spectral norm, and weights under a bound."""
    made = build(compose(*tiny(model), f'model.freeze=["{frozen}"]', option), tmp_path)
    names = [name for name in made.model.state_dict() if fnmatch(name, f"{frozen}.*")]
    before = {name: made.model.state_dict()[name].clone() for name in names}
    made.fit()
    assert before
    assert differences(before, {name: made.model.state_dict()[name] for name in names}) == []


def test_a_plain_trainer_freezes_too(tmp_path):
    module = hydra.utils.instantiate(compose(*tiny(), "model.freeze=[discriminator.layers.0]").model, _convert_="all")
    for _ in range(2):
        optimizers, _ = module.configure_optimizers()
        assert [len(o.param_groups[0]["params"]) for o in optimizers] == [8, 5]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("discriminator.layer.0", "unknown. Did you mean 'discriminator.layers.0'? Allowed: discriminator, "),
        ("generator_ema.layers.0", "unknown. Did you mean 'generator.layers.0'? Allowed: "),
        ("discriminator", "leaves player d no weights to train"),
    ],
)
def test_names_that_do_not_exist(tmp_path, value, message):
    said = refusal(tmp_path, *tiny(), f"model.freeze=[{value}]")
    assert said.startswith("model.freeze=")
    assert message in said


def test_a_resumed_run_keeps_its_frozen_layers(tmp_path):
    run(tmp_path, "trainer.max_steps=1", "model.freeze=[discriminator.layers.0]")
    with pytest.raises(ValueError, match=r"model\.freeze=\[\]: a resumed run keeps its frozen layers, \['discrim"):
        run(tmp_path, resume=str(tmp_path))

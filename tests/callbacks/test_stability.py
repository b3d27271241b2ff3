"""The stability guard: what ends a training by name, what does not, and which checkpoint is kept."""

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins.precision import MixedPrecision

import lightning_gans
from conftest import MODELS, command, command_here, newest, refusal, run, tiny
from lightning_gans import build, compose
from lightning_gans.callbacks.stability import DivergedError

EVERY_STEP = ["callbacks.checkpoint.every_n_train_steps=1", "callbacks.checkpoint.keep=1"]
RARE = "callbacks.stability.every_n_train_steps=50"  # so that no look but the first step's comes in time


def largest(module):
    """The largest weight of any player."""
    return max(p.abs().max().item() for weights in module._trainable.values() for p in weights)


@pytest.mark.parametrize("player", ["g", "d"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_rate_of_a_million_ends_by_name_and_the_run_goes_on_with_a_smaller_one(
    tmp_path, monkeypatch, capsys, player, precision
):
    folder = tmp_path / "run"
    run(folder, *EVERY_STEP, f"trainer.precision={precision}")
    good = folder / "checkpoints" / "last.ckpt"
    options = [f"resume={good}", f"hydra.run.dir={folder}", RARE]
    rate = [f"model.{player}_optimizer.lr=1e6", "trainer.max_steps=300"]
    assert command_here("lightning_gans.train", *options, *rate, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    network = {"g": "generator", "d": "discriminator"}[player]
    for part in (
        f"at generator update 5 player {player} moved by ",
        f"times its weights, most in {network}.layers.",
        "more than callbacks.stability.max_update=100;",
        f"the last good checkpoint is {good}. Lower model.{player}_optimizer.lr (1e+06 now)",
    ):
        assert part in message
    loaded = lightning_gans.load(good)
    assert loaded.iteration == 4
    assert largest(loaded) < 2

    again = [*options, f"model.{player}_optimizer.lr=1e-4", "trainer.max_steps=7"]
    assert command_here("lightning_gans.train", *again, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    loaded = lightning_gans.load(folder)
    assert loaded.iteration == 7
    assert largest(loaded) < 2


def test_updates_are_measured_under_the_scaler(tmp_path):
    """Of gradients without the scale, and not of a step that an overflow skips."""
    made = build(compose(*tiny(), "trainer.max_steps=8", "model.g_optimizer.lr=1e6", RARE), tmp_path)
    made.trainer.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    with pytest.raises(DivergedError, match=r"at generator update 1 player g moved by .*max_update=100; there is no"):
        made.fit()

    made = build(compose(*tiny(), "callbacks.stability.max_update=1"), tmp_path / "overflow")
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    made.trainer.strategy.precision_plugin = plugin
    backward, steps = made.model.manual_backward, iter(range(100))
    made.model.manual_backward = lambda loss: backward(loss * (float("inf") if next(steps) == 0 else 1.0))
    made.fit()
    assert made.model.iteration == 4
    assert plugin.scaler.get_scale() == 2**15  # one overflow


class Scale(Callback):
    """Multiply a layer's weights so that they have this root mean square after these steps, before the guard looks."""

    def __init__(self, sizes):
        self.sizes = sizes

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step in self.sizes:
            with torch.no_grad():
                weight = pl_module.discriminator.layers[0].weight
                weight *= self.sizes[trainer.global_step] / weight.square().mean().sqrt()


def scaled(folder, sizes, *options):
    made = build(compose(*tiny(), *EVERY_STEP, "trainer.max_steps=8", *options), folder)
    made.trainer.callbacks.insert(0, Scale(sizes))
    return made


def names(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_the_checkpoint_from_before_the_weights_ran_away_outlives_the_rotation(tmp_path):
    """Steps 4 to 6 come near the limit of 100 and are saved as well; step 7 exceeds it."""
    with pytest.raises(DivergedError) as caught:
        scaled(tmp_path, {4: 15.0, 5: 20.0, 6: 40.0, 7: 1000.0}).fit()
    good = tmp_path / "checkpoints" / "good.ckpt"
    message = str(caught.value)
    assert "at generator update 7 the root mean square of discriminator.layers.0.weight (player d) is 1e+03" in message
    assert f"more than callbacks.stability.max_weight=100; the last good checkpoint is {good}." in message
    assert "Lower model.d_optimizer.lr (0.0002 now)" in message
    assert names(tmp_path) == ["good.ckpt", "last.ckpt", "step-000006.ckpt"]
    assert lightning_gans.load(good).iteration == 3
    assert largest(lightning_gans.load(good)) < 2

    run(tmp_path, *EVERY_STEP, "trainer.max_steps=5", resume=str(good))  # its own next checkpoint is good again
    assert "good.ckpt" not in names(tmp_path)
    assert newest(tmp_path)["global_step"] == 5


def test_a_good_checkpoint_is_kept_only_as_long_as_it_is_needed(tmp_path):
    scaled(tmp_path, {4: 20.0, 6: 0.1}).fit()
    assert names(tmp_path) == ["last.ckpt", "step-000008.ckpt"]


def test_a_resumed_run_in_another_folder_keeps_what_it_went_on_from(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    run(first, *EVERY_STEP, "trainer.max_steps=3")
    made = scaled(second, {4: 20.0, 6: 1000.0})
    with pytest.raises(DivergedError, match=r"good\.ckpt"):
        made.fit(str(first))
    assert lightning_gans.load(second / "checkpoints" / "good.ckpt").iteration == 3

    made = scaled(tmp_path / "third", {4: 1000.0})
    with pytest.raises(DivergedError) as caught:
        made.fit(str(first))
    assert f"the last good checkpoint is {first / 'checkpoints' / 'last.ckpt'}" in str(caught.value)


def test_limits_may_be_off_and_infinite_weights_still_end_the_training(tmp_path):
    off = ["callbacks.stability.max_weight=null", "callbacks.stability.max_update=null"]
    scaled(tmp_path / "large", {4: 1e4}, *off, "trainer.max_steps=4").fit()
    assert largest(lightning_gans.load(tmp_path / "large")) > 1e3
    with pytest.raises(DivergedError, match=r"discriminator\.layers\.0\.weight \(player d\) is inf"):
        scaled(tmp_path / "infinite", {4: float("inf")}, *off).fit()


@pytest.mark.parametrize("limit", ["max_weight", "max_update"])
@pytest.mark.parametrize("value", ["0", "-1"])
def test_limits_out_of_range_are_refused(tmp_path, limit, value):
    said = refusal(tmp_path, *tiny(), f"callbacks.stability.{limit}={value}")
    assert f"callbacks.stability.{limit}=" in said
    assert "must be > 0, or null" in said


@pytest.mark.parametrize("family", MODELS)
def test_a_healthy_training_stays_at_a_tenth_of_the_limits(family, tmp_path):
    """Its first updates included, where weights are smallest and optimisers know least."""
    looks = ["callbacks.stability.every_n_train_steps=1", "callbacks.stability.max_weight=10.0"]
    run(tmp_path, *looks, "callbacks.stability.max_update=1.0", "trainer.max_steps=12", model=family)
    assert newest(tmp_path)["global_step"] == 12


def test_two_processes_end_by_the_same_name(tmp_path):
    options = [*tiny(), "trainer.max_steps=300", "trainer.devices=2", "model.d_optimizer.lr=1e6", RARE]
    made = command("lightning_gans.train", *options, f"hydra.run.dir={tmp_path / 'two'}")
    assert made.returncode == 1
    assert "at generator update 1 player d moved by" in made.stderr
    assert "more than callbacks.stability.max_update=100; there is no earlier checkpoint" in made.stderr
    assert not list((tmp_path / "two" / "checkpoints").glob("*.ckpt"))

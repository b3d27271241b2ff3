"""The stability guard's readings and alarms: closed forms, and runs that are made to go wrong."""

import copy
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

import lightning_gans
from conftest import command_here, newest, tiny
from lightning_gans import build, compose
from lightning_gans.callbacks import DivergedError, StabilityGuard
from lightning_gans.callbacks.alarms import Alarms, Limits
from lightning_gans.callbacks.readings import judging, overfitting, sample_readings
from lightning_gans.loggers.dashboards import MLflowDashboard, TensorBoardDashboard, WandbDashboard

LIMITS = Limits(0.5, 0.5, 0.5, 1e-6, 100.0)


# ------------------------------------------------------------------------------ readings


def test_samples_are_compared_with_images_by_distances():
    """Against distances by numpy: between samples, and to the nearest training image, its own excluded."""
    rng = np.random.default_rng(0)
    train, samples, held_out = (rng.normal(size=(n, 5)) * scale for n, scale in ((40, 1.0), (30, 0.3), (20, 1.0)))

    def distances(a, b):
        return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))

    def pairs(a):
        return distances(a, a)[np.triu_indices(len(a), 1)].mean()

    def median(values):
        return np.sort(values)[(len(values) - 1) // 2]  # the lower one of an even number, as torch has it

    found = sample_readings(*map(torch.tensor, (samples, train)))
    among = distances(train, train) + np.diag([np.inf] * len(train))
    novelty = median(distances(samples, train).min(1)) / median(among.min(1))
    assert found["diversity"] == pytest.approx(pairs(samples) / pairs(train))
    assert found["novelty"] == pytest.approx(novelty)
    found = sample_readings(*map(torch.tensor, (samples, train, held_out)))
    novelty = median(distances(samples, train).min(1)) / median(distances(held_out, train).min(1))
    assert found["novelty"] == pytest.approx(novelty)
    assert sample_readings(torch.tensor(train[:9]), torch.tensor(train))["novelty"] == pytest.approx(0, abs=1e-6)


def test_overfitting_is_the_share_of_the_way_from_training_images_to_samples():
    noise = torch.linspace(-1, 1, 101)
    assert overfitting(3 + noise, 1 + noise, gap=4.0) == pytest.approx(0.5)
    assert overfitting(1 + noise, 3 + noise, gap=4.0) == 0  # held-out images are judged to be more real
    assert overfitting(3 + 10 * noise, 2.5 + 10 * noise, gap=4.0) == 0  # chance
    assert overfitting(3 + noise, 1 + noise, gap=-1.0) == 0


def test_judging_changes_nothing_of_a_network():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    network(torch.randn(8, 3))
    before, x = copy.deepcopy(network.state_dict()), torch.randn(8, 3)
    with judging(network):
        seen = network(x)
        assert torch.equal(seen, network(x))  # no dropout
    assert torch.allclose(seen.mean(0), torch.zeros(4), atol=1e-6)  # the batch's own statistics
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(layer.training for layer in network.modules())


# ------------------------------------------------------------------------------ alarms


@pytest.mark.parametrize(
    ("kind", "reading", "bad", "good", "words"),
    [
        ("collapse", "diversity", 0.4, 0.6, "0.4 times as much"),
        ("overfitting", "overfitting", 0.6, 0.4, "60% of the way"),
        ("memorisation", "novelty", 0.4, 0.6, "0.4 times as far"),
        ("vanishing", "g_gradient", 1e-7, 1e-3, "does not learn"),
    ],
)
def test_an_alarm_comes_at_the_second_bad_reading_once_until_it_ends(kind, reading, bad, good, words):
    alarms = Alarms(LIMITS)
    values = [bad, good, bad, bad, bad, good, bad, bad]
    raised = [alarms.judge(1000 + i, {reading: value}) for i, value in enumerate(values)]
    assert [len(found) for found in raised] == [0, 0, 0, 1, 0, 0, 0, 1]
    assert raised[3][0].kind == kind
    assert raised[3][0].step == 1003
    assert words in raised[3][0].text
    assert ". Try " in raised[3][0].text
    off = Alarms(Limits(None, None, None, None, None))
    assert not any(off.judge(1000 + i, {reading: value}) for i, value in enumerate(values))


def test_samples_may_be_alike_at_first():
    """Until update 500, and until half of a run in which they have never varied."""
    early = [Alarms(LIMITS).judge(step, {"diversity": 0.1}) for step in (400, 450)]
    assert early == [[], []]
    never, once = Alarms(LIMITS), Alarms(LIMITS)
    once.judge(600, {"diversity": 0.9})
    found = [[len(a.judge(step, {"diversity": 0.1}, 4000)) for step in (1000, 1250, 2000, 2250)] for a in (never, once)]
    assert found == [[0, 0, 0, 1], [0, 1, 0, 0]]


def test_a_gradient_explodes_by_the_median_so_far():
    alarms = Alarms(LIMITS)
    values = [0.01, 0.02, 0.01, 0.04, 0.01, 0.9, 2.1, 2.2]  # the median of the first six is 0.015
    found = [alarms.judge(i, {"d_gradient": value}) for i, value in enumerate(values)]
    assert [len(some) for some in found] == [0] * 7 + [1]
    assert found[-1][0].kind == "exploding d"
    assert "model.d_optimizer.lr" in found[-1][0].text


def test_a_resumed_run_goes_on_with_its_readings():
    whole, first, second = Alarms(LIMITS), Alarms(LIMITS), Alarms(LIMITS)
    for step in range(6):
        for alarms in (whole, first):
            alarms.judge(step, {"d_gradient": 0.01, "diversity": 1.0})
    whole.judge(1000, {"diversity": 0.1})
    first.judge(1000, {"diversity": 0.1})
    second.load_state_dict(first.state_dict())
    for step, readings in ((1001, {"diversity": 0.1}), (1002, {"d_gradient": 5.0}), (1003, {"d_gradient": 6.0})):
        assert second.judge(step, readings) == whole.judge(step, readings)
    assert [alarm.kind for alarm in second.raised] == ["collapse", "exploding d"]


# ------------------------------------------------------------------------------ runs


SHORT = [
    *("tuned=none", "trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.max_steps=600"),
    *("trainer.log_every_n_steps=50", "trainer.enable_progress_bar=false", "+trainer.enable_model_summary=false"),
    *("callbacks.samples=null", "callbacks.evaluation=null", "callbacks.progress=null", "logger=csv"),
    *("callbacks.checkpoint=null", "callbacks.stability.samples_every_n_train_steps=50", "data.image_size=8"),
]
DENSE = [
    *("model=gan", "model.generator.hidden=[32]", "model.discriminator.hidden=[32]", "model.generator.latent_dim=8"),
    *("model.generator.init=he", "model.discriminator.init=he", "model.discriminator.maxout=1", "model.batch_size=32"),
    *("model.discriminator.dropout=0.0", "model.discriminator.input_dropout=0.0", "model.max_norm=null"),
    *[f"model.{p}_optimizer._target_=torch.optim.RMSprop" for p in "gd"],
    *[f"model.{p}_optimizer.{option}" for p in "gd" for option in ("lr=1e-3", "momentum=0.0")],
    *("model.g_scheduler=null", "model.d_scheduler=null"),
]
WRONG = {  # what makes a training go wrong: G alone against a D that does not move; far too few images
    "collapse": [*DENSE, "data.limit=100", "model.d_optimizer.lr=0.0"],
    "overfitting": [
        *(*DENSE, "data.limit=40", "data.val_fraction=0.5", "model.discriminator.hidden=[256]"),
        *("model.d_optimizer.lr=3e-3", "model.n_critic=2"),
    ],
    "memorisation": [
        *("model=vae", "data.limit=5", "data.image_size=16", "model.batch_size=16", "model.generator.latent_dim=4"),
        *("model.generator.base_channels=8", "model.encoder.base_channels=8"),
    ],
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_run_that_goes_wrong_raises_its_alarm(tmp_path, kind):
    """In the log, in the summary and on the guard; and no other alarm."""
    made = build(compose("data=digits", *SHORT, *WRONG[kind]), tmp_path)
    with pytest.warns(UserWarning, match="stability: at generator update") as warned:
        made.fit()
    alarms = StabilityGuard.of(made.trainer).alarms
    assert [alarm.kind for alarm in alarms] == [kind]
    assert any(alarms[0].text in str(warning.message) for warning in warned)
    assert f"alarm              at update {alarms[0].step}: {alarms[0].text}"[6:] in made.summary()
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0]
    assert "stability/diversity" in header


def test_a_healthy_run_raises_none(tmp_path):
    made = build(compose("data=digits", *SHORT, *DENSE, "data.val_fraction=0.2", "model/penalty=r1"), tmp_path)
    made.fit()
    assert StabilityGuard.of(made.trainer).alarms == []
    assert "alarm" not in made.summary()


class Faster(Callback):
    """Multiply the discriminator's rate after so many updates."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step == 20:
            for group in pl_module.player_optimizers()["d"].param_groups:
                group["lr"] *= 1e4


def test_gradients_that_explode_raise_an_alarm_or_end_the_training(tmp_path):
    off = ["callbacks.stability.max_weight=null", "callbacks.stability.max_update=null"]
    looks = ["callbacks.stability.every_n_train_steps=2", "trainer.max_steps=60"]
    made = build(compose("data=digits", *SHORT, *DENSE, *off, *looks), tmp_path / "warned")
    made.trainer.callbacks.append(Faster())
    with pytest.warns(UserWarning, match="it explodes"):
        made.fit()
    assert {alarm.kind for alarm in StabilityGuard.of(made.trainer).alarms} & {"exploding g", "exploding d"}
    assert made.model.iteration == 60

    made = build(compose("data=digits", *SHORT, *DENSE, *off, *looks, "callbacks.stability.on_alarm=stop"), tmp_path)
    made.trainer.callbacks.append(Faster())
    with pytest.raises(DivergedError, match=r"at generator update \d+ the gradient of player .*explodes; there is no"):
        made.fit()
    assert made.model.iteration < 60


def test_readings_change_nothing_of_a_training(tmp_path):
    """Batch norm and dropout in both players, and an average of G whose batch norm is measured."""
    ends = []
    for number, stability in enumerate(["callbacks.stability=null", "callbacks.stability.every_n_train_steps=1"]):
        options = [stability, *([] if number == 0 else ["callbacks.stability.samples_every_n_train_steps=2"])]
        made = build(compose(*tiny(), "data.val_fraction=0.4", *options), tmp_path / str(number))
        made.fit()
        ends.append(made.model.state_dict())
    assert all(torch.equal(ends[0][key], value) for key, value in ends[1].items() if isinstance(value, torch.Tensor))


# ------------------------------------------------------------------------------ roll-back


def test_a_run_that_diverges_goes_on_from_its_last_good_checkpoint(tmp_path, monkeypatch, capsys):
    """At a thousandth of the rates; without a roll-back left it ends as ever."""
    options = [*tiny(), "trainer.max_steps=6", "callbacks.checkpoint.every_n_train_steps=1"]
    first = [*options, f"hydra.run.dir={tmp_path / 'run'}"]
    assert command_here("lightning_gans.train", *first, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    again = [f"resume={tmp_path / 'run'}", "trainer.max_steps=12", "model.g_optimizer.lr=1e3"]
    again += ["callbacks.stability.max_update=10", "callbacks.stability.rollback_rate=1e-7"]
    again += [f"hydra.run.dir={tmp_path / 'run'}"]
    left = [*again, "callbacks.stability.rollbacks=1"]
    assert command_here("lightning_gans.train", *left, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    told = capsys.readouterr().err
    assert "rolled back, 0 times left, with model.g_optimizer.lr=0.0001, model.d_optimizer.lr=2e-11" in told
    assert "player g moved by" in told
    assert newest(tmp_path / "run")["global_step"] == 12
    assert newest(tmp_path / "run")["config"]["resolved"]["model"]["g_optimizer"]["lr"] == pytest.approx(1e-4)
    assert lightning_gans.load(tmp_path / "run").iteration == 12

    more = [*again, "trainer.max_steps=15"]
    assert command_here("lightning_gans.train", *more, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert "rolled back" not in capsys.readouterr().err


# ------------------------------------------------------------------------------ dashboards


@pytest.mark.parametrize("kind", [TensorBoardDashboard, WandbDashboard, MLflowDashboard])
def test_dashboards_show_an_alarm(kind):
    """By each one's own means: text, an alert and an entry of the summary, a tag."""
    logger = MagicMock(run_id="r1")
    logger.experiment.summary = {}
    kind(logger).log_alarm("collapse", "samples are alike", 300)
    told = "at generator update 300 samples are alike"
    if kind is TensorBoardDashboard:
        logger.experiment.add_text.assert_called_once_with("alarm/collapse", "samples are alike", 300)
    elif kind is WandbDashboard:
        logger.experiment.alert.assert_called_once_with(title="alarm: collapse", text=told)
        assert logger.experiment.summary == {"alarm/collapse": told}
    else:
        logger.experiment.set_tag.assert_called_once_with("r1", "alarm collapse", told)

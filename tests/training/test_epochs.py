"""Budgets and schedules in passes over the training images."""

import pytest
import torch

from conftest import assert_same_training, newest, refusal, run, tiny
from lightning_gans import build, compose
from lightning_gans.schedules.learning_rate import EpochDecay

DECAY = [
    f"+model.{player}_scheduler={{_target_: lightning_gans.schedules.learning_rate.EpochDecay, _partial_: true, "
    "batch_size: 8, constant: 1, decay: 2}"
    for player in "gd"
]


def test_a_budget_in_epochs_shows_every_image_so_often(tmp_path):
    """Fifty digits, eight a step."""
    options = [option for option in tiny() if "max_steps" not in option]
    made = run(tmp_path, *options, "max_epochs=2", tiny_options=False)
    assert made.model.iteration == 13
    assert made.model.images_seen == 104


def test_a_schedule_in_epochs_learns_the_number_of_images(tmp_path):
    options = [option.replace("+", "") for option in DECAY]
    made = run(tmp_path / "whole", *options, "trainer.max_steps=17")
    schedule = made.trainer.strategy.lr_scheduler_configs[0].scheduler
    assert isinstance(schedule, EpochDecay)
    assert (schedule.constant, schedule.updates) == (50 // 8, 2 * 50 // 8)
    base = made.cfg.model.g_optimizer.lr
    assert schedule.get_last_lr() == [pytest.approx(base * (1 - 11 / 12))]
    run(tmp_path / "part", *options, "trainer.max_steps=9")
    run(tmp_path / "part", *options, "trainer.max_steps=17", resume=str(tmp_path / "part"))
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "part"))


def test_a_given_number_of_images_stays():
    schedule = EpochDecay(torch.optim.SGD([torch.zeros(1)], lr=1.0), batch_size=4, images=40, constant=1, decay=1)
    schedule.learn(1000)
    assert (schedule.constant, schedule.updates) == (10, 10)


def test_an_epoch_is_a_pass_over_the_larger_set():
    data = build(compose(*tiny("cyclegan"), "data.limit=null"), "unused").data
    assert data.images_per_epoch == max(len(data.train_images), data.n_partners)


@pytest.mark.parametrize(
    ("value", "rule"), [("0", "must be > 0"), ("-1", "must be > 0"), ("inf", "must be a finite number")]
)
def test_budgets_out_of_range_are_named(tmp_path, value, rule):
    options = [option for option in tiny() if "max_steps" not in option]
    assert f"max_epochs={value}: {rule}, or null" in refusal(tmp_path, *options, f"max_epochs={value}")


def test_a_batch_that_is_not_said_is_one_for_each_process(tmp_path):
    options = [*tiny("pix2pix"), "model.batch_size=null", "trainer.devices=2"]
    assert build(compose(*options), tmp_path).model.batch_size == 2
    assert build(compose(*options, "model.accumulate=3"), tmp_path).model.batch_size == 6

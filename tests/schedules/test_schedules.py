"""Learning-rate schedules as closed forms."""

import math

import pytest
import torch

from conftest import run
from lightning_gans.schedules.learning_rate import (
    CosineDecay,
    EpochDecay,
    ExponentialDecay,
    LinearDecay,
    RepeatedLinearDecay,
)
from lightning_gans.schedules.values import CosineValue, value_at


def rates(make, steps, lr=1.0, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.5)
    schedule = make(optimizer, **options)
    found = []
    for _ in range(steps):
        found.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        schedule.step()
    return found


def test_linear():
    found = [rate for rate, _ in rates(LinearDecay, 9, updates=4, constant=2)]
    assert found == pytest.approx([1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0])


def test_passes_over_a_set_at_any_batch_size():
    """Two passes of 6 images at the base rate, four down to 0."""
    options = {"images": 6, "constant": 2, "decay": 4}
    one = [rate for rate, _ in rates(EpochDecay, 37, batch_size=1, **options)]
    three = [rate for rate, _ in rates(EpochDecay, 13, batch_size=3, **options)]
    assert one[12] == three[4] == 1
    assert one[24] == three[8] == pytest.approx(0.5)
    assert one[36] == three[12] == 0
    assert three == pytest.approx(one[::3])


def test_cosine_stays_at_its_end():
    found = [rate for rate, _ in rates(CosineDecay, 8, updates=4, final=0.25)]
    expected = [0.25 + 0.75 * (1 + math.cos(math.pi * min(t, 4) / 4)) / 2 for t in range(8)]
    assert found == pytest.approx(expected)
    assert found[-1] == 0.25


def test_cosine_over_images_is_the_same_at_any_batch_size():
    one = [rate for rate, _ in rates(CosineDecay, 41, kimg=0.04, batch_size=1, final=0.25)]
    four = [rate for rate, _ in rates(CosineDecay, 11, kimg=0.04, batch_size=4, final=0.25)]
    assert four == pytest.approx(one[::4])
    assert four == pytest.approx([rate for rate, _ in rates(CosineDecay, 11, updates=10, final=0.25)])


def test_beta2_follows_the_cosine_of_the_rate():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0, betas=(0.1, 0.9))
    schedule = CosineDecay(optimizer, updates=4, beta2=0.99)
    for step in range(7):
        expected = 0.99 - 0.09 * (1 + math.cos(math.pi * min(step, 4) / 4)) / 2
        assert optimizer.param_groups[0]["betas"] == (0.1, pytest.approx(expected))
        optimizer.step()
        schedule.step()


def test_a_number_over_images_is_a_function_of_them():
    value = CosineValue(2.0, 0.5, kimg=10)
    assert [value.at(images) for images in (0, 5000, 10_000, 10**9)] == pytest.approx([2.0, 1.25, 0.5, 0.5])
    assert value.at(2500) == pytest.approx(0.5 + 1.5 * (1 + math.sqrt(0.5)) / 2)
    assert [value_at(given, 5000) for given in (value, 3.0)] == pytest.approx([1.25, 3.0])


def test_halving_with_a_floor_and_rising_momentum():
    found = rates(ExponentialDecay, 7, gamma=0.5, every=2, floor=0.2, momentum=0.7, momentum_updates=4)
    assert [rate for rate, _ in found] == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.25, 0.2])
    assert [momentum for _, momentum in found] == pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7, 0.7, 0.7])


def test_decay_after_an_earlier_phase():
    found = [rate for rate, _ in rates(ExponentialDecay, 8, gamma=0.5, every=2, after=3)]
    assert found == pytest.approx([1, 1, 1, 1, 1, 0.5, 0.5, 0.25])


def test_each_training_has_a_schedule_of_its_own():
    found = [rate for rate, _ in rates(RepeatedLinearDecay, 12, trainings=[[4], [0], [1, 3], [2]])]
    assert found == pytest.approx([1, 1, 1, 0.5, 1, 1, 1, 0.5, 1, 1, 0, 0])


def test_state_is_where_it_stands_and_not_what_it_does():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    first = LinearDecay(optimizer, updates=10)
    for _ in range(5):
        optimizer.step()
        first.step()
    again = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    second = LinearDecay(again, updates=20)
    second.load_state_dict(first.state_dict())
    again.step()
    second.step()
    assert again.param_groups[0]["lr"] == pytest.approx(1 - 6 / 20)
    assert set(map(type, first.state_dict().values())) <= {int, list}


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (LinearDecay, {"updates": 0}, "updates=0"),
        (CosineDecay, {"updates": 5, "floor": -1}, "floor=-1"),
        (CosineDecay, {}, "updates=null: beside kimg=null; say one of the two"),
        (CosineDecay, {"updates": 0}, "updates=0: must be >= 1"),
        (CosineDecay, {"kimg": 1.0}, "kimg=1.0: needs batch_size"),
        (CosineDecay, {"updates": 5, "beta2": 0.9}, r"beta2=0\.9: SGD has none"),
        (RepeatedLinearDecay, {"trainings": [[0], [0, 0]]}, r"trainings=\[\[0\], \[0, 0\]\]"),
        (RepeatedLinearDecay, {"trainings": [[5], [-1, 2]]}, "trainings="),
        (ExponentialDecay, {"gamma": 0.5, "after": -1}, "after=-1"),
        (ExponentialDecay, {"gamma": 1.5}, r"gamma=1\.5"),
    ],
)
def test_out_of_range(make, options, message):
    with pytest.raises(ValueError, match=message):
        rates(make, 1, **options)


def test_a_floor_does_not_raise_the_rate():
    assert [rate for rate, _ in rates(LinearDecay, 3, lr=0.1, updates=2, floor=0.2)] == [0.1, 0.1, 0.1]


LINEAR = "{_target_: lightning_gans.schedules.learning_rate.LinearDecay, _partial_: true, updates: 10}"


def test_schedules_are_resumed_by_player(tmp_path):
    """Taken away from one player and given to the other: each counts all generator updates from its own rate."""
    first = ["model.g_optimizer.lr=1e-4", "model.d_optimizer.lr=4e-4", f"model.g_scheduler={LINEAR}"]
    run(tmp_path, *first)
    changed = ["model.g_scheduler=null", f"model.d_scheduler={LINEAR}", "trainer.max_steps=6"]
    model = run(tmp_path, *first[:2], *changed, resume=str(tmp_path)).model
    found = {player: optimizer.param_groups[0]["lr"] for player, optimizer in model.player_optimizers().items()}
    assert found == {"g": pytest.approx(1e-4), "d": pytest.approx(4e-4 * (1 - 6 / 10))}


def test_no_momentum_to_raise():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    with pytest.raises(ValueError, match=r"momentum=0\.7: Adam has none"):
        ExponentialDecay(optimizer, gamma=0.9, momentum=0.7)

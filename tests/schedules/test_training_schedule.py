"""Phases as functions of the step: their bounds, what repeats, what is told of a budget, what a resumed run keeps."""

import warnings

import pytest

from lightning_gans.schedules.growth import Growth, growing_schedule
from lightning_gans.schedules.training_schedule import Phase, TrainingSchedule

ALONE, BOTH = Phase("alone", 3, 4, players=("g",)), Phase("both", None, 4, n_critic=2)


def by_hand(schedule, steps):
    """The phase of every step, counted one after the other."""
    found, turn = [], list(schedule.phases)
    while len(found) < steps:
        phase = turn.pop(0)
        found += [phase.name] * (steps if phase.steps is None else phase.steps)
        turn += [] if turn else schedule.cycle
    return found[:steps]


@pytest.mark.parametrize(
    "schedule",
    [
        TrainingSchedule([BOTH]),
        TrainingSchedule([ALONE, BOTH]),
        TrainingSchedule([ALONE._replace(steps=0), BOTH]),
        TrainingSchedule([ALONE, ALONE._replace(name="b", steps=2), BOTH]),
        TrainingSchedule([ALONE], cycle=[BOTH._replace(steps=1), ALONE._replace(name="c", steps=4)]),
        growing_schedule(Growth(fade_kimg=0.02, stabilise_kimg={4: 0.03, 8: 0.0}), 16, 4, 2),
    ],
    ids=["one", "two", "an empty one", "three", "cycle", "growing"],
)
def test_every_step_lies_in_its_phase(schedule):
    names = by_hand(schedule, 40)
    assert [schedule.phase(step).name for step in range(40)] == names
    for step in range(40):
        phase, plan = schedule.phase(step), schedule.plan(step)
        assert plan[:3] == (phase.n_critic, phase.batch_size, phase.resolution)
        assert plan.players == phase.players
        ahead = 5 if plan.steps is None else plan.steps
        assert ahead >= 1
        assert {schedule.phase(step + i) for i in range(ahead)} == {phase}
        if plan.steps is not None:
            assert schedule.phase(step + ahead) != phase


def test_ends_are_those_of_phases_that_do_not_come_again():
    assert TrainingSchedule([ALONE, BOTH]).ends == (3,)
    assert TrainingSchedule([BOTH]).ends == ()
    assert TrainingSchedule([ALONE], cycle=[BOTH._replace(steps=2)]).ends == ()
    assert TrainingSchedule([ALONE, BOTH]).batch_sizes == {"batch_size": 4}


def test_sides_of_the_images_still_to_come():
    schedule = growing_schedule(Growth(fade_kimg=0.008, stabilise_kimg=0.008), 16, 4, 1)
    assert [phase.first for phase in schedule.phases] == [0, 2, 4, 6, 8]
    assert [schedule.resolutions(step) for step in (0, 1, 2, 5, 6, 99)] == [[4, 8, 16]] * 2 + [[8, 16]] * 2 + [[16]] * 2
    assert TrainingSchedule([ALONE], cycle=[BOTH._replace(steps=2)]).resolutions(50) == [None]


@pytest.mark.parametrize(("complete_after", "told"), [(None, [1, 2, 3]), (3, [1, 2])])
def test_a_budget_that_ends_before_the_last_phase_is_told(complete_after, told):
    schedule = TrainingSchedule([ALONE, BOTH], complete_after=complete_after, advice="say more")
    found = []
    for updates in range(1, 6):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            schedule.check_budget(updates)
        found += [updates] * len(caught)
    assert found == told
    with pytest.warns(UserWarning, match=r"max_steps=2: ends in the phase 'alone'; 'both' .* update 3, .*; say more"):
        schedule.check_budget(2)


def test_a_schedule_that_may_change_on_resume_is_not_compared():
    TrainingSchedule([ALONE, BOTH]).check_resumed(2, {}, {})


def test_a_growing_one_keeps_what_was():
    options = {"batch_size": 4, "n_critic": 1, "growth": {"fade_kimg": 0.008, "stabilise_kimg": 0.008}}
    now = {**options, "growth": {"fade_kimg": 0.012, "stabilise_kimg": 0.008}}
    schedule = growing_schedule(Growth(**now["growth"]), 16, 4, 1)
    schedule.check_resumed(2, options, now)  # the fade is still to come
    with pytest.raises(ValueError, match=r"model.growth=.*: up to .* update 3 .* 2 for 2 updates.* for 3 updates"):
        schedule.check_resumed(3, options, now)

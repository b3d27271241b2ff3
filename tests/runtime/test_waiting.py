"""How long threads spin is chosen by what else runs, before torch is loaded."""

import os
import subprocess
import sys

import pytest

from lightning_gans.runtime.waiting import SPINS, choose_waiting


def chosen(tmp_path, running, environment=(), modules=()):
    (tmp_path / "proc").mkdir(exist_ok=True)
    (tmp_path / "proc" / "loadavg").write_text(f"0.00 0.01 0.05 {running}/115 19642\n")
    found = dict(environment)
    choose_waiting(found, dict.fromkeys(modules), str(tmp_path))
    return found


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)


def test_only_a_machine_that_others_use_is_changed(tmp_path):
    assert chosen(tmp_path, 1) == {}  # this process alone
    assert chosen(tmp_path, 2) == {"GOMP_SPINCOUNT": SPINS}


def test_processors_that_are_left_over_are_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert chosen(tmp_path, 63) == {}
    assert chosen(tmp_path, 64) == {"GOMP_SPINCOUNT": SPINS}


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS"])
def test_what_the_user_says_holds(tmp_path, name):
    assert chosen(tmp_path, 9, {name: "1"}) == {name: "1"}


def test_too_late_with_torch(tmp_path):
    assert chosen(tmp_path, 9, modules=["torch"]) == {}


def test_other_systems_are_left_alone(tmp_path):
    found = {}
    choose_waiting(found, {}, str(tmp_path / "none"))
    assert found == {}


def test_every_command_chooses_before_torch(tmp_path):
    code = (
        "import sys, lightning_gans.config.command as c\n"
        "c.choose_waiting = lambda: print('torch' in sys.modules)\n"
        "c.run(lambda: print('runs'))\n"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.split() == ["False", "runs"]

"""Benchmarks: what they choose to run. Their figures are no tests."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def families():
    spec = importlib.util.spec_from_file_location("families", ROOT / "benchmarks" / "families.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_families_are_those_that_take_the_data(families, monkeypatch, capsys):
    """On the digits they are the rows of the table; the others are named."""
    trained = []
    monkeypatch.setattr(families, "train", lambda model, *_: trained.append(model) or {"family": model})
    monkeypatch.setattr(sys, "argv", ["families.py"])
    families.main()
    table = (ROOT / "benchmarks" / "README.md").read_text().partition("## Families")[2].partition("## ")[0]
    assert set(trained) == set(re.findall(r"`model=(\w+)`", table))
    told = capsys.readouterr()
    assert told.err.strip().endswith("ctgan, cyclegan, pix2pix, pix2pix_hd, srgan, tvae")
    assert len(told.out.splitlines()) == 2 + len(trained)
    monkeypatch.setattr(sys, "argv", ["families.py", "--data", "digit_edges", "data.limit=10"])
    trained.clear()
    families.main()
    assert trained == ["pix2pix", "pix2pix_hd"]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_stability_is_the_share_of_scores_near_the_median(monkeypatch, capsys):
    """And a table of it, of tiny trainings."""
    stability = load("stability")
    assert stability.near([10.0, 11.0, 9.1, 12.0, float("inf")]) == 3 / 5  # of 11
    assert stability.near([float("inf")] * 2 + [1.0]) == 0
    options = ["trainer.max_steps=2", "data.limit=40", "callbacks.evaluation.n=16", "model.batch_size=4"]
    monkeypatch.setattr(sys, "argv", ["stability.py", "--models", "vae", "gan", "--seeds", "2", "--", *options])
    stability.main()
    head, _, *rows = map(cells, capsys.readouterr().out.splitlines())
    assert [row[0] for row in rows] == ["`vae`", "`gan`"]
    for row in rows:
        found = dict(zip(head, row, strict=True))
        assert found["runs"] == "2"
        assert float(found["lowest"]) <= float(found["median"]) <= float(found["highest"])
        assert found["diverged"] == found["alarms"] == "0"


def test_rings_are_scored_once_a_seed(monkeypatch, capsys):
    rings = load("rings")
    options = ["trainer.max_steps=2", "callbacks.evaluation.n=64", "callbacks.evaluation.n_real=500"]
    arguments = ["--experiments", "ring_nonsaturating", "--seeds", "0", "1", "--", *options]
    monkeypatch.setattr(sys, "argv", ["rings.py", *arguments])
    rings.main()
    head, _, *rows = map(cells, capsys.readouterr().out.splitlines())
    assert [row[0] for row in rows] == [f"`ring_nonsaturating`, {seed}" for seed in (0, 1, "median")]
    for row in rows:
        found = dict(zip(head, row, strict=True))
        assert 0 <= float(found["modes"]) <= 8
        assert 0 <= float(found["high quality"]) <= 1

"""Benchmarks: what they choose to run. Their figures are no tests."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def families():
    return script("families")


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


def test_penalties_are_timed_against_the_step_without(capsys):
    penalties = script("penalties")
    options = [*penalties.NETWORKS["DCGAN, 32x32x1, batch 64"], "model.batch_size=2", "data.image_size=8"]
    options += ["model.generator.base_channels=4", "model.discriminator.base_channels=4"]
    penalties.times("tiny", options, ["r1_r2", "lazy_r1", "approximate_r1_r2"], 1, 1, "cpu")
    _, title, base, *ratios, _ = capsys.readouterr().out.split("|")
    assert title.strip() == "tiny"
    assert float(base) > 0
    assert len(ratios) == 3
    assert all(float(ratio) > 0 for ratio in ratios)
    chosen = {path.stem for path in (ROOT / "conf" / "model" / "penalty").glob("*.yaml")}
    assert chosen - set(penalties.PENALTIES) == {"r2"}  # as r1


def test_settings_of_threads_take_turns(monkeypatch, capsys):
    threads = script("threads")
    asked = []

    class Fake:
        def __init__(self, settings, threads):
            self.settings, self.threads = settings, threads

        kill = wait = lambda self: None

    monkeypatch.setattr(threads, "worker", Fake)
    monkeypatch.setattr(threads, "ask", lambda process, steps: asked.append(process.settings) or (0.5, 0.25))
    threads.compare(0, ["as it is", "GOMP_SPINCOUNT=1000"], 2, turns=2, steps=4)
    assert asked == [{}, {"GOMP_SPINCOUNT": "1000"}] * 3
    assert capsys.readouterr().out.splitlines() == [
        "| 0 | as it is | 256 | 1.00 | 62 |",
        "| 0 | GOMP_SPINCOUNT=1000 | 256 | 1.00 | 62 |",
    ]

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
    assert told.err.strip().endswith("ctgan, cyclegan, pix2pix, pix2pix_hd, srgan, talking_heads, tvae")
    assert len(told.out.splitlines()) == 2 + len(trained)
    monkeypatch.setattr(sys, "argv", ["families.py", "--data", "digit_edges", "data.limit=10"])
    trained.clear()
    families.main()
    assert trained == ["pix2pix", "pix2pix_hd"]

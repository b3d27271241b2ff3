"""Checkpoints of older formats: class paths that have moved, versions that are not known."""

import importlib
from contextlib import nullcontext

import pytest
import torch

import lightning_gans
from conftest import newest, run
from lightning_gans.checkpoints.integrity import CHECKSUM, FORMAT, FORMAT_VERSION
from lightning_gans.checkpoints.moved import rename_targets
from lightning_gans.runtime.aliases import MOVED


@pytest.mark.parametrize("old", sorted(MOVED))
def test_every_moved_path_is_a_class(old):
    module, _, name = MOVED[old].rpartition(".")
    assert isinstance(getattr(importlib.import_module(f"lightning_gans.{module}"), name), type)
    assert MOVED[old] not in MOVED  # one step leads to today's


@pytest.mark.parametrize("old", sorted(MOVED))
def test_python_finds_moved_classes_by_their_old_paths_with_a_warning(old):
    """In modules that are no more, and in those that are still there for other things."""
    path, _, name = old.rpartition(".")
    module = importlib.import_module(f"lightning_gans.{path}")
    said = f"lightning_gans.{old} has moved to lightning_gans.{MOVED[old]};"
    is_used_there = name in {*vars(module), *getattr(module, "__all__", ())}  # imported from its new place, or exported
    with nullcontext() if is_used_there else pytest.warns(FutureWarning, match=said):
        found = getattr(module, name)
    owner, _, new = MOVED[old].rpartition(".")
    assert found is getattr(importlib.import_module(f"lightning_gans.{owner}"), new)


def test_old_modules_have_nothing_else():
    with pytest.raises(ImportError, match="cannot import name 'R3'"):
        exec("from lightning_gans.penalties import R3")  # noqa: S102
    with pytest.raises(ModuleNotFoundError, match="lightning_gans.penalty"):
        importlib.import_module("lightning_gans.penalty")


def test_targets_are_renamed_wherever_they_stand():
    node = {"a": [{"_target_": "lightning_gans.losses.Hinge", "x": 1}], "b": {"_target_": "torch.optim.Adam"}}
    assert rename_targets(node) == {
        "a": [{"_target_": "lightning_gans.losses.objectives.Hinge", "x": 1}],
        "b": {"_target_": "torch.optim.Adam"},
    }


def test_a_checkpoint_of_the_first_format_loads_and_resumes(tmp_path):
    run(tmp_path / "run", "trainer.max_steps=2", "model/penalty=r1", *["model.discriminator.norm=null"])
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = newest(tmp_path / "run")
    assert content.pop(FORMAT) == FORMAT_VERSION == 2
    del content[CHECKSUM]
    old = {f"lightning_gans.{new}": f"lightning_gans.{old}" for old, new in MOVED.items()}
    config = repr(content["config"])
    for new in sorted(old, key=len, reverse=True):
        config = config.replace(f"'{new}'", f"'{old[new]}'")
    assert "lightning_gans.penalties.R1'" in config
    assert "lightning_gans.losses.NonSaturating'" in config
    expected = lightning_gans.load(path).sample(2)
    torch.save({**content, "config": eval(config)}, path)  # noqa: S307
    assert torch.equal(lightning_gans.load(path).sample(2), expected)
    made = run(
        tmp_path / "run", "trainer.max_steps=3", "model/penalty=r1", "model.discriminator.norm=null", resume=path
    )
    assert made.model.iteration == 3

"""What commands import."""

import sys
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

import pytest
import torch

from conftest import command
from lightning_gans import compose
from lightning_gans.runtime import light_imports
from lightning_gans.runtime.light_imports import COMPILER, EXTRAS, import_lightning
from lightning_gans.train import needs_no_extras

SCRIPT = """
import sys
from pathlib import Path

from lightning_gans import sample
from lightning_gans.runtime.light_imports import COMPILER, EXTRAS

sys.argv = ["sample", "checkpoint=dcgan_digits", "out=seen", "n=2"]
sample.main()
assert Path("seen/grid.png").is_file()
assert "lightning.pytorch" in sys.modules
assert not [name for name in sorted(EXTRAS) + [COMPILER] if name in sys.modules]

import torch
import torchvision
from lightning_utilities.core.imports import package_available

assert package_available("scipy"), "hidden for longer than the import"
doubled = torch.compile(lambda x: 2 * x, backend="eager")
assert doubled(torch.ones(2)).tolist() == [2.0, 2.0]
assert torch._dynamo.OptimizedModule.__module__.startswith(COMPILER)
"""


def test_sampling_imports_no_extras_and_leaves_them_usable(tmp_path):
    """Fewer imports are half of the processor time of ``sample``; the rest of the process finds all packages."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = command(str(script), cwd=tmp_path, real=True)  # a fork has them imported already
    assert done.returncode == 0, done.stderr


TRAINING = """
import sys
from pathlib import Path

from lightning_gans import train
from lightning_gans.runtime.light_imports import EXTRAS

options = ["trainer.max_steps=2", "model.batch_size=4", "callbacks.evaluation.n=4", "data.limit=20"]
options += ["trainer.accelerator=cpu", "hydra.run.dir=run", "callbacks.evaluation.every_n_train_steps=2"]
sys.argv = ["train", *options]
train.main()
assert Path("run/checkpoints/last.ckpt").is_file()
assert list(Path("run/scores").iterdir())
assert not [name for name in sorted(EXTRAS | {"pandas", "sklearn"}) if name in sys.modules]

import torchvision
"""


def test_training_imports_no_extras_either_where_nothing_can_need_them(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(TRAINING)
    done = command(str(script), cwd=tmp_path, real=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], True),
        (["logger=wandb", "extractor=inception", "data=folder", "data.root=here"], True),
        (["model=pix2pix", "data=digit_edges"], True),
        (["model=pix2pix", "data=digit_edges", "callbacks.evaluation.metrics=[l1,lpips]"], False),
        (["callbacks.evaluation.metrics=[{_target_: lightning_gans.metrics.lpips.LPIPS}]"], False),
        (["callbacks=none"], True),
        (["+callbacks.own._target_=somebody.elses.Callback"], False),
        (["model.g_optimizer._target_=torch_optimizer.Lamb"], False),
    ],
)
def test_whoever_may_need_extras_gets_them(options, expected):
    assert needs_no_extras(compose(*options)) is expected


def test_a_process_that_has_lightning_keeps_it():
    before = dict(sys.modules)
    import_lightning()
    assert before.keys() <= sys.modules.keys()
    assert sys.modules["lightning"] is before["lightning"]


def test_hidden_packages_are_not_installed_for_a_while(monkeypatch):
    monkeypatch.delitem(sys.modules, "annotated_types", raising=False)
    with light_imports.hidden({"annotated_types"}):
        with pytest.raises(ModuleNotFoundError, match="annotated_types"):
            find_spec("annotated_types")
        with pytest.raises(PackageNotFoundError):
            version("annotated-types")
        assert version("numpy")
    assert find_spec("annotated_types")
    assert version("annotated-types")


def test_what_the_stand_in_lacks_comes_from_the_compiler(monkeypatch):
    """So a Lightning that names more of it at its import still works."""
    __import__(COMPILER)
    monkeypatch.setitem(sys.modules, COMPILER, sys.modules[COMPILER])
    monkeypatch.setattr(torch, "_dynamo", sys.modules[COMPILER])  # which the stand-in imports anew
    later = light_imports._Later(COMPILER)
    assert later.disable(len) is len
    assert later.disable()(len) is len
    assert later.is_compiling is sys.modules[COMPILER].is_compiling
    assert not hasattr(later, "__path__")


def test_extras_are_no_dependencies_of_torchmetrics():
    """An installation without them is one that torchmetrics supports."""
    needed = {line.split()[0].partition(">")[0] for line in requires("torchmetrics") if "extra ==" not in line}
    assert "torch" in {name.partition("<")[0] for name in needed}
    assert not {name.replace("-", "_") for name in needed} & EXTRAS

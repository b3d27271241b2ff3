"""A CUDA device that torch cannot use is told, with stand-ins for driver, torch and devices."""

import os
import subprocess

import pytest
import torch
from lightning.pytorch import LightningModule

from conftest import tiny
from lightning_gans import build, compose
from lightning_gans.models.updates import make_optimizer
from lightning_gans.runtime import device

NVRM = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: 12\n"


@pytest.fixture
def unusable(monkeypatch):
    """A driver that the system has and torch cannot use."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "driver_version", lambda: "550.54.15")
    return monkeypatch


@pytest.mark.parametrize(
    ("built", "words"),
    [
        (None, ["is built without CUDA", "install a build of torch with CUDA"]),
        ("13.0", ["is built for CUDA 13.0, which needs driver 580", "update the driver, or pip install 'torch<2.11'"]),
        ("12.4", ["is built for CUDA 12.4;", "torch.cuda.init()"]),
    ],
)
def test_the_line_says_what_torch_was_built_for_and_what_to_do(unusable, built, words):
    unusable.setattr(torch.version, "cuda", built)
    line = device.unusable_cuda()
    for word in ("driver 550.54.15", torch.__version__, "training goes on on the CPU", *words):
        assert word in line
    assert "\n" not in line


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_nothing_is_said_where_nothing_is_lost(unusable, hidden):
    unusable.setattr(torch.cuda, "is_available", lambda: True)
    assert device.unusable_cuda() is None
    unusable.setattr(torch.cuda, "is_available", lambda: False)
    unusable.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert device.unusable_cuda() is None
    unusable.delenv("CUDA_VISIBLE_DEVICES")
    unusable.setattr(device, "driver_version", lambda: None)
    assert device.unusable_cuda() is None


def test_the_driver_is_read_where_a_device_is_visible(tmp_path, monkeypatch):
    monkeypatch.setattr(device.shutil, "which", lambda name: None)
    assert device.driver_version(tmp_path) is None
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    assert device.driver_version(tmp_path) == "unknown"
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text(NVRM)
    assert device.driver_version(tmp_path) == "550.54.15"
    (tmp_path / "dev" / "nvidia0").unlink()
    monkeypatch.setattr(device.shutil, "which", lambda name: f"/bin/{name}")
    asked = lambda *_, **__: subprocess.CompletedProcess([], 0, "535.1\n535.1\n")  # noqa: E731
    monkeypatch.setattr(device.subprocess, "run", asked)
    assert device.driver_version(tmp_path) == "535.1"

    def fails(*_, **__):
        raise subprocess.CalledProcessError(9, "nvidia-smi")

    monkeypatch.setattr(device.subprocess, "run", fails)
    assert device.driver_version(tmp_path) is None


def test_a_run_says_it_before_it_trains_on_the_cpu(unusable, tmp_path):
    unusable.setattr("lightning_gans.training.trainer.available_accelerators", lambda: {"cpu"})
    auto = [option for option in tiny() if not option.startswith("trainer.accelerator")]
    with pytest.warns(UserWarning, match="a CUDA device .driver 550.54.15. that torch .* cannot use"):
        build(compose(*auto, "trainer.accelerator=auto"), tmp_path)


@pytest.mark.parametrize(("there", "left"), [(False, "0"), (True, "1")])
def test_adam_searches_for_no_library_where_there_is_no_cuda(there, left, monkeypatch):
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # as Lightning leaves it
    monkeypatch.setattr(device.torch.cuda, "is_available", lambda: there)
    make_optimizer(LightningModule(), torch.optim.Adam, [torch.nn.Parameter(torch.zeros(2))])
    assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == left

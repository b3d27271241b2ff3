"""What a CPU cannot show: mixed precision, resuming and two processes on GPUs."""

import pytest
import torch

from conftest import EXACT, assert_equal_weights, assert_same_training, command, newest, run, tiny
from lightning_gans import load

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
GPU = ["trainer.accelerator=gpu", "trainer.deterministic=true"]


@pytest.fixture(autouse=True)
def _deterministic(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("model", ["dcgan", "wgan_gp"])
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_a_step_in_mixed_precision(tmp_path, precision, model):
    """Finite losses, weights that stay in full precision, and samples from the file on a CPU."""
    made = run(tmp_path, *GPU, f"trainer.precision={precision}", "trainer.max_steps=1", model=model)
    assert made.trainer.strategy.root_device.type == "cuda"
    assert made.trainer.global_step == made.model.iteration == 1
    assert all(torch.isfinite(term) for term in made.model.terms.values())
    assert {p.dtype for p in made.model.parameters()} == {torch.float32}
    assert load(tmp_path).sample(3).isfinite().all()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_resume_equals_unbroken(tmp_path, precision):
    """The scaler's state included."""
    options = [*GPU, f"trainer.precision={precision}"]
    run(tmp_path / "whole", *options, "trainer.max_steps=6")
    run(tmp_path / "part", *options, "trainer.max_steps=3")
    run(tmp_path / "part", *options, "trainer.max_steps=6", resume=str(tmp_path / "part"))
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "part"))


def test_images_that_live_on_the_device_train_the_same(tmp_path):
    for device in ("cpu", "auto"):
        run(tmp_path / device, *GPU, f"data.device={device}", "data.flip=true", "trainer.max_steps=3")
    assert_same_training(newest(tmp_path / "cpu"), newest(tmp_path / "auto"))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_over_nccl_hold_the_weights_of_one(tmp_path):
    options = [*tiny(), *EXACT, *GPU]
    for name, devices in (("one", 1), ("two", 2)):
        place = [f"trainer.devices={devices}", f"hydra.run.dir={tmp_path / name}"]
        made = command("lightning_gans.train", *options, *place)
        assert made.returncode == 0, made.stderr
    one, two = (newest(tmp_path / name)["state_dict"] for name in ("one", "two"))
    assert_equal_weights(one, two)

"""Options of Lightning's Trainer that the config hands on."""

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.profilers import AdvancedProfiler, PassThroughProfiler, SimpleProfiler

from conftest import newest, run, tiny
from lightning_gans import build, compose


@pytest.fixture
def _flags():
    """What these options change in torch, for the whole process."""
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False


SEEN = {
    "deterministic": lambda trainer: torch.are_deterministic_algorithms_enabled(),
    "benchmark": lambda trainer: torch.backends.cudnn.benchmark,
    "detect_anomaly": lambda trainer: torch.is_anomaly_enabled(),
    "profiler": lambda trainer: {SimpleProfiler: "simple", AdvancedProfiler: "advanced"}.get(type(trainer.profiler)),
}
PLAIN = dict.fromkeys(SEEN, False) | {"profiler": None}


@pytest.mark.usefixtures("_flags")
@pytest.mark.parametrize(
    ("option", "value"),
    [("deterministic", True), ("benchmark", True), ("detect_anomaly", True), ("profiler", "simple"), (None, None)],
)
def test_an_option_holds_during_the_step_and_alone(tmp_path, option, value):
    class Look(Callback):
        def on_train_batch_end(self, trainer, *_):
            self.seen = {name: look(trainer) for name, look in SEEN.items()}

    made = build(compose(*tiny(), "trainer.max_steps=1", *([f"trainer.{option}={value}"] if option else [])), tmp_path)
    look = Look()
    made.trainer.callbacks.append(look)
    made.fit()
    assert look.seen == PLAIN | ({option: value} if option else {})
    if option == "profiler":
        assert len(made.trainer.profiler.recorded_durations["run_training_batch"]) == 1
    else:
        assert isinstance(made.trainer.profiler, PassThroughProfiler)


@pytest.mark.parametrize(("time", "steps"), [("00:00:00:00", 0), ("01:00:00:00", 4)])
def test_max_time_ends_a_training(tmp_path, time, steps):
    made = build(compose(*tiny(), f"trainer.max_time={time}"), tmp_path)
    made.fit()
    assert made.trainer.global_step == made.model.iteration == steps


def test_max_time_counts_what_passed_before_a_resume(tmp_path):
    options = ["trainer.max_time=00:01:00:00", "callbacks.checkpoint.every_n_train_steps=1"]
    run(tmp_path, *options, "trainer.max_steps=1")
    content = newest(tmp_path)
    content["callbacks"]["Timer"]["time_elapsed"]["train"] += 3600.0
    torch.save(content, tmp_path / "checkpoints" / "last.ckpt")
    made = run(tmp_path, *options, "trainer.max_steps=4", resume=str(tmp_path / "checkpoints" / "last.ckpt"))
    assert made.model.iteration < 4

"""MLflow's logger against a stand-in of its client, which records what it is asked; CI runs the real one too."""

import importlib.machinery
import sys
import types

import numpy as np
import pytest
import yaml

from conftest import evaluation, run, samples
from lightning_gans import build, compose
from lightning_gans.loggers.mlflow import MLflow


class Client:
    """Runs by id, each with what was logged; shared as a server's are."""

    runs: dict = {}

    def __init__(self, uri):
        self.uri = uri

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name, artifact_location=None):
        self.place = (name, artifact_location)
        return "e1"

    def create_run(self, experiment_id, tags):
        made = types.SimpleNamespace(
            info=types.SimpleNamespace(run_id=f"r{len(self.runs)}", experiment_id=experiment_id),
            data=types.SimpleNamespace(params={}),
        )
        self.runs[made.info.run_id] = made
        made.tags, made.uri, made.place = tags, self.uri, self.place
        made.metrics, made.images, made.texts, made.files, made.ends = [], [], {}, [], []
        return made

    def get_run(self, run_id):
        return self.runs[run_id]

    def log_batch(self, run_id, metrics=(), params=()):
        self.runs[run_id].metrics += metrics
        self.runs[run_id].data.params.update({param.key: param.value for param in params})

    def log_image(self, run_id, image, key, step):
        self.runs[run_id].images.append((key, step, image))

    def log_text(self, run_id, text, file):
        self.runs[run_id].texts[file] = text

    def log_artifact(self, run_id, path, folder):
        self.runs[run_id].files.append((path.rpartition("/")[2], folder))

    def set_terminated(self, run_id, status):
        self.runs[run_id].ends.append(status)


@pytest.fixture
def runs(monkeypatch):
    """The stand-in in MLflow's place; what it recorded."""
    entity = lambda **values: types.SimpleNamespace(**values)  # noqa: E731
    resolve = {"resolve_tags": lambda tags: tags}
    parts = {
        "mlflow": {"set_tracking_uri": lambda uri: None},
        "mlflow.tracking": {"MlflowClient": Client},
        "mlflow.tracking.context": {"registry": types.SimpleNamespace(**resolve)},
        "mlflow.tracking.context.registry": resolve,
        "mlflow.entities": {"Metric": entity, "Param": entity},
        "mlflow.utils": {},
        "mlflow.utils.mlflow_tags": {"MLFLOW_RUN_NAME": "mlflow.runName"},
    }
    for name, content in parts.items():
        module = types.ModuleType(name)
        module.__spec__, module.__path__ = importlib.machinery.ModuleSpec(name, None), []
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("lightning.pytorch.loggers.mlflow._MLFLOW_AVAILABLE", True)
    monkeypatch.setattr(Client, "runs", {})
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Client.runs


def test_curves_grids_config_and_checkpoints_go_to_one_run_that_a_resumed_one_continues(tmp_path, runs):
    folder = tmp_path / "mine"
    options = ["logger=mlflow", "logger.mlflow.log_model=true", "logger.mlflow.tags={a: b}"]
    watched = [samples(every_n_train_steps=2), evaluation(every_n_train_steps=4)]
    run(folder, *options, *watched)
    ((run_id, made),) = runs.items()
    assert made.uri == f"sqlite:///{folder / 'mlflow.db'}"
    assert made.place == ("lightning_gans", (folder / "mlflow").as_uri())
    assert made.tags == {"a": "b", "mlflow.runName": "mine"}
    assert [metric.step for metric in made.metrics if metric.key == "train/d_real"] == [1, 2, 3, 4]
    assert [metric.step for metric in made.metrics if metric.key == "fd_digits"] == [4]
    assert [(key, step) for key, step, _ in made.images] == [("samples", 2), ("samples", 4)]
    assert made.images[0][2].dtype == np.uint8
    assert made.images[0][2].ndim == 3  # (H, W, C)
    assert yaml.safe_load(made.texts["config.yaml"]) == yaml.safe_load((folder / "config.yaml").read_text())
    assert made.data.params["model/batch_size"] == "8"
    assert made.files == [("last.ckpt", "checkpoints"), ("best.ckpt", "checkpoints")]
    assert made.ends[-1] == "FINISHED"
    assert (folder / "mlflow_id.txt").read_text() == run_id
    run(folder, *options, *watched, "trainer.max_steps=5", resume=str(folder))
    assert list(runs) == [run_id]
    assert [metric.step for metric in made.metrics if metric.key == "train/d_real"] == [1, 2, 3, 4, 5]
    assert yaml.safe_load(made.texts["config.yaml"])["trainer"]["max_steps"] == 5
    assert made.data.params["trainer/max_steps"] == "4"  # MLflow refuses another value


def test_a_failed_training_is_shown_as_failed_and_a_server_is_asked_where_one_is_named(tmp_path, runs):
    options = [
        "logger=mlflow",
        "logger.mlflow.tracking_uri=http://there",
        "logger.mlflow.name=n",
        "trainer.max_steps=50",
    ]
    with pytest.raises(FloatingPointError):
        run(tmp_path / "bad", *options, "model.g_optimizer.lr=1e30", "trainer.max_steps=50")
    (made,) = runs.values()
    assert made.uri == "http://there"
    assert made.place == ("lightning_gans", None)
    assert made.tags == {"mlflow.runName": "n"}
    assert made.ends[-1] == "FAILED"
    assert not made.files


def test_nothing_is_opened_before_the_training(tmp_path, runs):
    logger = MLflow(save_dir=str(tmp_path / "run"))
    assert logger.save_dir == str(tmp_path / "run")
    build(compose("logger=mlflow", "trainer.accelerator=cpu"), tmp_path / "run")
    assert not runs
    assert not (tmp_path / "run").exists()

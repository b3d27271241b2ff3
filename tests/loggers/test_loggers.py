"""What dashboards are given: losses, scores, grids and the config, over generator updates, in the run's folder."""

import json
import struct
import sys
import time
from pathlib import Path

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto import wandb_internal_pb2

from conftest import LIMIT, command, evaluation, refusal, run, samples, tiny
from lightning_gans import compose

WATCHED = [samples(every_n_train_steps=2), evaluation(every_n_train_steps=2)]
OFFLINE = ["logger=wandb", "logger.wandb.mode=offline"]


def records(folder):
    """The records of each offline run of W&B under a folder, the oldest first.

    W&B's service writes the end of the file after it has let go of the run, hence the wait.
    """
    paths = sorted(Path(folder).glob("wandb/offline-run-*/*.wandb"))  # named by their time
    deadline = time.monotonic() + LIMIT
    while True:
        found = [parsed(path.read_bytes()) for path in paths]
        if all(any(record.HasField("exit") for record in run_records) for run_records in found):
            return found
        assert time.monotonic() < deadline
        time.sleep(0.1)


def parsed(data):
    """The records of a ``.wandb`` file.

    It is a log of LevelDB's kind after 7 bytes of its own: blocks of 32 KiB, in them pieces with a checksum (4 bytes),
    a length (2), and a kind (1): 1 whole, 2 first, 3 middle, 4 last.
    """
    found, position, piece = [], 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack_from("<HB", data, position + 4)
        if position + 7 + length > len(data):
            break
        piece += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            found.append(wandb_internal_pb2.Record.FromString(piece))
            piece = b""
    return found


def opened(run_records):
    """The run as it was opened."""
    return next(record.run for record in run_records if record.WhichOneof("record_type") == "run")


def history(run_records):
    """Rows of the curves as dicts; the keys of nested values are joined by dots."""
    rows = [record.history for record in run_records if record.WhichOneof("record_type") == "history"]
    return [{".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in row.item} for row in rows]


def config(run_records):
    """What was last said of each root key of the config."""
    updates = [u for r in run_records if r.WhichOneof("record_type") == "config" for u in r.config.update]
    return {update.key: json.loads(update.value_json) for update in updates}


def steps_of(rows, key):
    return [row["trainer/global_step"] for row in rows if key in row]


def test_a_multirun_is_one_group_of_offline_runs_with_all_that_a_dashboard_shows(tmp_path, monkeypatch):
    """Two jobs in one process, with nothing written to the home."""
    options = [*tiny(), *WATCHED, *OFFLINE, "model.n_critic=2", "seed=1,2", "hydra.sweep.dir=lr_study"]
    for name in ("WANDB_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    made = command("lightning_gans.train", "-m", *options, cwd=tmp_path, env={"HOME": str(tmp_path / "home")})
    assert made.returncode == 0, made.stderr
    assert not list((tmp_path / "home").rglob("*wandb*"))
    ids = set()
    for job, seed in enumerate([1, 2]):
        folder = tmp_path / "lr_study" / f"dcgan_digits_{job}"
        (found,) = records(folder)
        about = opened(found)
        assert (about.run_group, about.display_name) == ("lr_study", folder.name)
        assert about.project == "lightning_gans"
        ids.add(about.run_id)
        rows = history(found)
        for term in ("d_real", "d_fake", "g_adversarial"):
            assert steps_of(rows, f"train/{term}") == [1, 2, 3, 4]
        assert steps_of(rows, "fd_digits") == steps_of(rows, "samples.filenames") == [2, 4]
        cards = [json.loads((folder / "scores" / f"step-00000{step}.json").read_text()) for step in (2, 4)]
        scores = [row["fd_digits"] for row in rows if "fd_digits" in row]
        assert scores == pytest.approx([card["scores"]["fd_digits"] for card in cards])
        for name in sum((row.get("samples.filenames", []) for row in rows), []):
            (picture,) = folder.glob(f"wandb/offline-run-*/files/{name}")
            assert picture.stat().st_size > 100
        written = yaml.safe_load((folder / "config.yaml").read_text())
        kept = config(found)
        assert {key: kept.get(key) for key in written} == written
        assert kept["model"]["seed"] == kept["seed"] == seed
    assert len(ids) == 2


def test_a_resumed_run_goes_on_under_its_id_and_a_new_one_has_its_own(tmp_path):
    run(tmp_path / "one", *OFFLINE, "logger.wandb.group=mine", "logger.wandb.name=first")
    run(tmp_path / "two", *OFFLINE)
    second = int(time.time())
    while int(time.time()) == second:  # W&B names folders by the second and the id
        time.sleep(0.01)
    run(tmp_path / "one", *OFFLINE, "trainer.max_steps=6", resume=str(tmp_path / "one"))
    first, resumed = records(tmp_path / "one")
    (other,) = records(tmp_path / "two")
    assert opened(first).run_group == "mine"
    assert opened(first).display_name == "first"
    assert opened(first).run_id == opened(resumed).run_id != opened(other).run_id
    assert steps_of(history(first), "train/d_real") == [1, 2, 3, 4]
    assert steps_of(history(resumed), "train/d_real") == [5, 6]
    assert config(resumed)["trainer"]["max_steps"] == 6
    assert opened(other).display_name == "two"


def test_a_training_that_fails_is_shown_as_failed(tmp_path):
    with pytest.raises(FloatingPointError):
        run(tmp_path / "bad", *OFFLINE, "model.g_optimizer.lr=1e30", "trainer.max_steps=50")
    run(tmp_path / "good", *OFFLINE)
    codes = [[r.exit.exit_code for r in records(tmp_path / n)[0] if r.HasField("exit")] for n in ("bad", "good")]
    assert codes == [[1], [0]]


def test_online_without_a_login_is_one_line(tmp_path):
    bare = {"HOME": str(tmp_path), "WANDB_API_KEY": "", "WANDB_MODE": "online"}
    made = command("lightning_gans.train", *tiny(), "logger=wandb", "hydra.run.dir=run", cwd=tmp_path, env=bare)
    assert made.returncode == 1
    assert made.stderr.splitlines()[-1].startswith("error: logger.wandb.mode=online: ")
    assert "logger.wandb.mode=offline" in made.stderr
    assert "Traceback" not in made.stderr
    assert not list(tmp_path.rglob("*.ckpt"))


def test_disabled_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    run(tmp_path, *WATCHED, "logger=wandb")
    assert not list(tmp_path.glob("wandb*"))
    assert "logger.wandb.mode=of: must be online, offline or disabled" in refusal(
        tmp_path, *tiny(), "logger=wandb", "logger.wandb.mode=of"
    )


def test_several_loggers_at_once(tmp_path):
    """And TensorBoard holds the curves, the grid and the config."""
    run(tmp_path, *WATCHED, "logger=[csv,tensorboard]")
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) > 4
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in events.Scalars("train/d_real")] == [1, 2, 3, 4]
    assert [event.step for event in events.Scalars("fd_digits")] == [2, 4]
    assert events.Images("samples")[0].step == 2
    (text,) = events.Tensors("config/text_summary")
    shown = text.tensor_proto.string_val[0].decode().removeprefix("```yaml\n").removesuffix("```")
    assert yaml.safe_load(shown) == yaml.safe_load((tmp_path / "config.yaml").read_text())


def test_a_list_of_loggers_may_be_typed_on_resume(tmp_path):
    run(tmp_path)
    options = [f"resume={tmp_path}", "trainer.max_steps=5", "logger=[csv,tensorboard]"]
    made = command("lightning_gans.train", *options)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 1 + 5
    assert list(tmp_path.glob("tensorboard/events*"))


def test_a_wrong_logger_in_a_list_is_named():
    made = command("lightning_gans.train", "logger=[csv,wandbb]")
    assert made.returncode == 1
    told = "error: logger=wandbb: unknown. Did you mean 'wandb'? Allowed: csv, mlflow, none, tensorboard, wandb\n"
    assert made.stderr == told


def test_wandb_has_entity_tags_and_the_checkpoints_that_are_asked_for(tmp_path):
    options = ["logger.wandb.entity=team", "logger.wandb.tags=[a,b]", "logger.wandb.log_model=true"]
    run(tmp_path, *OFFLINE, *options, "trainer.max_steps=2")
    (found,) = records(tmp_path)
    assert opened(found).entity == "team"
    assert sorted(opened(found).tags) == ["a", "b"]
    (artifact,) = [record.artifact for record in found if record.HasField("artifact")]
    assert artifact.type == "model"
    assert [entry.path for entry in artifact.manifest.contents] == ["last.ckpt"]


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_logger_whose_library_is_not_there_says_how_to_install_it(tmp_path, name, monkeypatch):
    """Before anything is written."""
    for module in ("tensorboard", "torch.utils.tensorboard", "mlflow"):
        monkeypatch.setitem(sys.modules, module, None)
    said = refusal(tmp_path, *tiny(), f"logger={name}")
    assert said == f"logger={name}: is not installed; pip install 'lightning_gans[{name}]'"
    assert not list(tmp_path.iterdir())


def test_no_logger():
    assert compose("logger=[]").logger == compose("logger=none").logger == {}


def test_lightnings_own_loggers_show_grids_and_the_config(tmp_path):
    """Chosen by their class: a config may name them, and no logger of this package is involved."""
    theirs = "{_target_: lightning.pytorch.loggers.%s, _partial_: true, %s}"
    board = theirs % ("TensorBoardLogger", "name: null, version: board")
    wandb = theirs % ("WandbLogger", "mode: offline, project: mine")
    run(tmp_path, samples(every_n_train_steps=2), "logger=none", f"+logger.board={board}", f"+logger.wandb={wandb}")
    events = EventAccumulator(str(tmp_path / "board")).Reload()
    assert [image.step for image in events.Images("samples")] == [2, 4]
    assert events.Tensors("config/text_summary")
    (found,) = records(tmp_path)
    assert steps_of(history(found), "samples.filenames") == [2, 4]
    assert config(found)["trainer"]["max_steps"] == 4
    assert [record.exit.exit_code for record in found if record.HasField("exit")] == [0]

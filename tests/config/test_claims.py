"""A run claims its folder before anything is written; what is not ours, or older, is never lost."""

import csv
import errno
import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import (
    ENDLESS,
    LIMIT,
    TORCHRUN,
    assert_same_training,
    command,
    command_here,
    evaluation,
    newest,
    run,
    started,
    tiny,
)
from lightning_gans import build, compose
from lightning_gans.config import claims
from lightning_gans.evaluation.score_history import write_card
from lightning_gans.images import files
from lightning_gans.inference import outputs, samples
from lightning_gans.loggers.csv import CSV
from lightning_gans.runtime import atomic

HOLDER = """
import os, sys, time
from pathlib import Path
from lightning_gans.config import claims
claims.claim(Path(sys.argv[1]))
child = os.fork()  # as a data worker, which may outlive a run that is killed
if child == 0:
    time.sleep(600)
print(child, flush=True)
sys.stdin.read()
"""
SHORT = "trainer.max_steps=1"
ONE = [*tiny(), SHORT]


@pytest.fixture
def holder(tmp_path):
    """Another process that writes into ``run``, and a child of it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child = int(process.stdout.readline())
    yield process
    os.kill(child, signal.SIGKILL)
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def _steps(path):
    with path.open() as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def broken(folder):
    return sorted(path.name for path in Path(folder).rglob("*.broken*"))


# ------------------------------------------------------------------------------ claims


def test_a_claim_holds_as_long_as_its_process_lives(tmp_path, holder):
    """Not longer: a child that is left over of a killed run does not keep it from being resumed."""
    with pytest.raises(ValueError, match=rf"another run is writing there \(process {holder.pid} on .*choose another"):
        claims.claim(tmp_path / "run")
    holder.kill()
    holder.wait()
    assert claims.claim(tmp_path / "run")
    assert not claims.claim(tmp_path / "run")  # it is this process's already
    claims.release(tmp_path / "run")


def test_two_resumes_of_one_run_at_once(tmp_path, holder):
    """The second is refused, and has changed nothing."""
    run(tmp_path / "other", SHORT)
    for path in (tmp_path / "other").iterdir():
        if path.name != claims.CLAIM:
            path.rename(tmp_path / "run" / path.name)
    before = files_of(tmp_path / "run")
    with pytest.raises(ValueError, match="another run is writing there"):
        run(tmp_path / "run", "trainer.max_steps=3", resume=str(tmp_path / "run"))
    assert files_of(tmp_path / "run") == before
    holder.kill()
    holder.wait()
    run(tmp_path / "run", "trainer.max_steps=3", resume=str(tmp_path / "run"))
    assert newest(tmp_path / "run")["global_step"] == 3


def test_names_by_the_time_are_claimed_by_one_each(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: claims.make_new(tmp_path / "2026"), range(8)))
    assert sorted(path.name for path in made) == ["2026", *(f"2026-{i}" for i in range(2, 9))]
    for path in made:
        claims.release(path)


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"RANK": "1"}, True),  # left over in a shell: no number of processes beside it
        ({"RANK": "0", "WORLD_SIZE": "2"}, True),
        ({"RANK": "1", "WORLD_SIZE": "2"}, False),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, False),
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "4", "NODE_RANK": "1"}, False),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, False),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, True),
    ],
)
def test_one_process_of_a_training_claims(tmp_path, monkeypatch, environment, first):
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert claims.is_first_process() == first
    assert claims.claim(tmp_path) == first
    claims.release(tmp_path)


def test_a_name_by_the_time_that_is_taken_gets_a_number(tmp_path, monkeypatch):
    """A run's and a sweep's, Hydra's own files too."""
    folder = "outputs/${now:%Y}"
    for _ in range(2):
        options = [*ONE, f"hydra.run.dir={folder}", "hydra.output_subdir=.hydra"]
        assert command_here("lightning_gans.train", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    first, second = sorted((tmp_path / "outputs").iterdir())
    assert second.name == f"{first.name}-2"
    assert_same_training(newest(first), newest(second))
    assert all((place / ".hydra" / "config.yaml").is_file() for place in (first, second))
    for _ in range(2):
        options = [*ONE, "-m", "hydra.sweep.dir=sweeps/${now:%Y}", "hydra.sweep.subdir=job"]
        assert command_here("lightning_gans.train", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    for place in (tmp_path / "sweeps" / first.name, tmp_path / "sweeps" / second.name):
        assert newest(place / "job")["global_step"] == 1
        assert json.loads((place / "job" / "job.json").read_text())["error"] is None
        assert (place / "multirun.yaml").is_file()


@pytest.mark.parametrize("file", ["config.yaml", "metrics.csv", ".hydra", "checkpoints/step-000003.ckpt"])
def test_a_typed_folder_that_is_taken_is_refused(tmp_path, monkeypatch, capsys, file):
    """With files of another origin, or of a training that lacks its last.ckpt; a link's target stays as it is."""
    place, target = tmp_path / "mine" / file, tmp_path / "target"
    place.parent.mkdir(parents=True)
    target.write_text("mine")
    place.symlink_to(target)
    options = [*ONE, "hydra.run.dir=mine", "hydra.output_subdir=.hydra"]
    assert command_here("lightning_gans.train", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    told = capsys.readouterr().err
    said = "resume=mine" if file.endswith("ckpt") else f"holds {file}"
    assert told.startswith("error: hydra.run.dir=mine: holds")
    assert said in told
    assert "choose another folder" in told
    assert target.read_text() == "mine"
    assert [path for path in (tmp_path / "mine").rglob("*") if not path.is_dir()] == [place]
    if file != ".hydra":  # from Python no file of Hydra's is written
        with pytest.raises(ValueError, match="choose another folder"):
            run(tmp_path / "mine", SHORT)


def test_a_run_that_saved_nothing_does_not_stand_in_the_way(tmp_path, capsys):
    """The same command again: what it left is set aside by name."""
    for _ in range(2):
        run(tmp_path, SHORT, "callbacks.checkpoint=null")
    config, metrics = (
        f"{tmp_path / name}: of a run that saved no checkpoint" for name in ("config.yaml", "metrics.csv")
    )
    told = capsys.readouterr().err
    assert config in told
    assert metrics in told
    assert (tmp_path / "metrics.csv").read_text() == (tmp_path / "metrics.csv.old").read_text()
    assert (tmp_path / "config.yaml.old").is_file()


def test_a_trainer_of_ones_own_replaces_no_training_either(tmp_path):
    run(tmp_path, SHORT)
    before = files_of(tmp_path)
    made = build(compose(*ONE), tmp_path)
    with pytest.raises(ValueError, match="default_root_dir=.*: holds a training already"):
        made.trainer.fit(made.model, datamodule=made.data)
    assert files_of(tmp_path) == before


def test_a_sweep_takes_no_folder_of_another(tmp_path, monkeypatch, capsys):
    """Not even one that was killed before its first job ended."""
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "multirun.yaml").write_text("mine")
    options = [*ONE, "-m", "hydra.sweep.dir=sweep"]
    assert command_here("lightning_gans.train", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert "error: hydra.sweep.dir=sweep: holds a sweep already" in capsys.readouterr().err
    assert files_of(tmp_path) == {"sweep/multirun.yaml": b"mine"}


@pytest.mark.slow
def test_processes_of_torchrun_share_a_folder(tmp_path):
    """One that the first of them has numbered; started as torchrun starts them, and once as tests do."""
    options = [*tiny(), "trainer.max_steps=2", "trainer.devices=2", "hydra.run.dir=outputs/${now:%Y}"]
    for real in (True, False):
        made = command(*TORCHRUN, "-m", "lightning_gans.train", *options, cwd=tmp_path, real=real)
        assert made.returncode == 0, made.stdout + made.stderr
    first, second = sorted((tmp_path / "outputs").iterdir())
    assert second.name == f"{first.name}-2"
    assert_same_training(newest(first), newest(second))


# ------------------------------------------------------------------------------ processes that end, broken files


def test_a_killed_process_ends_the_others_in_one_sentence(tmp_path, capfd):
    """And the run goes on with another number of processes, which is told."""
    process = started(tmp_path / "run", "callbacks.checkpoint.every_n_train_steps=1", "trainer.devices=2", ENDLESS)
    (second,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(second), signal.SIGKILL)
    output = process.communicate(timeout=LIMIT)[0]
    assert (
        f"another process of this training was lost, so this one ends; go on with: resume={tmp_path / 'run'}" in output
    )
    assert "Traceback" not in output
    assert "gloo" not in output
    budget = f"trainer.max_steps={newest(tmp_path / 'run')['global_step'] + 1}"
    capfd.readouterr()
    run(tmp_path / "run", budget, resume=str(tmp_path / "run"))
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("trainer.devices: ")]
    assert len(told) == 1
    assert "was saved by 2 processes, and 1 go on" in told[0]


def test_broken_side_files_are_set_aside_by_name(tmp_path, capsys):
    """And the resumed run ends as if they had not been there."""
    scored = evaluation(every_n_train_steps=2)
    run(tmp_path / "run", scored, "trainer.max_steps=2")
    spoiled = ("checkpoints/best.ckpt", "metrics.csv", "config.yaml")
    for name in spoiled:
        (tmp_path / "run" / name).write_bytes(b"\xff\xfe no such file")
    run(tmp_path / "run", scored, "trainer.max_steps=4", resume=str(tmp_path / "run"))
    told = capsys.readouterr().err
    assert broken(tmp_path / "run") == ["best.ckpt.broken", "config.yaml.broken", "metrics.csv.broken"]
    for name in spoiled:
        assert f"{tmp_path / 'run' / name}: " in told
        assert (tmp_path / "run" / f"{name}.broken").read_bytes() == b"\xff\xfe no such file"
    run(tmp_path / "whole", scored, "trainer.max_steps=4")
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "run"))
    made, whole = (_steps(tmp_path / name / "metrics.csv") for name in ("run", "whole"))
    assert made == [step for step in whole if step > 2]
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()


def test_a_metrics_file_of_other_columns_is_set_aside(tmp_path, capsys):
    (tmp_path / "metrics.csv").write_text("epoch,accuracy\n1,0.5\n")
    logger = CSV(save_dir=str(tmp_path))
    logger.log_metrics({"loss": 1.0}, step=3)
    logger.save()
    assert (tmp_path / "metrics.csv.broken").read_text() == "epoch,accuracy\n1,0.5\n"
    assert (tmp_path / "metrics.csv").read_text().split() == ["loss,step", "1.0,3"]
    assert "metrics.csv: not the metrics of a run" in capsys.readouterr().err


# ------------------------------------------------------------------------------ whole or not at all


@contextmanager
def full_disk():
    """Let no file become larger than 1000 bytes within the block (not around a test: pytest writes its own output)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.filterwarnings("ignore:could not write")
def test_rows_that_find_no_room_are_written_later(tmp_path):
    """None of them half, and those before stay."""
    logger = CSV(save_dir=str(tmp_path))
    with full_disk():
        for step in range(300):
            logger.log_metrics({"loss": 0.5}, step=step)
            logger.save()
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert 50 < len(rows) < 300
    assert rows == ["loss,step", *(f"0.5,{step}" for step in range(len(rows) - 1))]
    logger.log_metrics({"loss": 0.5, "other": 1.0}, step=300)  # a new column rewrites the file
    logger.save()
    whole = (tmp_path / "metrics.csv").read_text().splitlines()
    assert whole == ["loss,other,step", *(f"0.5,,{step}" for step in range(300)), "0.5,1.0,300"]


def _picture(path):
    files.save(torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8)), path)


def _frames(path):
    files.animate(list(torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64), np.uint8))), path)


def _tensors(path):
    with atomic.atomic_write(path) as temporary, temporary.open("wb") as file:
        torch.save({"weights": torch.zeros(100_000)}, file)


WRITERS = {
    "card": lambda path: write_card({"scores": {f"score_{i}": 1.0 for i in range(999)}}, path),
    "picture": _picture,
    "frames": _frames,
    "tensors": _tensors,
    "text": lambda path: atomic.write_text(path, "x" * 2000),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_names_the_path_and_leaves_the_older_file(tmp_path, writer):
    path = tmp_path / "file"
    path.write_text("older")
    with pytest.raises(OSError, match="File too large") as error, full_disk():
        WRITERS[writer](path)
    assert (error.value.errno, error.value.filename) == (errno.EFBIG, str(path))
    assert files_of(tmp_path) == {"file": b"older"}


def test_a_symbolic_link_is_replaced_and_not_its_target(tmp_path):
    (tmp_path / "target").write_text("mine")
    (tmp_path / "link").symlink_to("target")
    atomic.write_text(tmp_path / "link", "new")
    assert files_of(tmp_path) == {"target": b"mine", "link": b"new"}


@pytest.mark.parametrize("kind", ["png", "npz"])
def test_samples_are_written_all_or_none(tmp_path, kind):
    """Older ones stay until the last of the new ones is there."""
    samples.write_samples([torch.zeros(4, 1, 8, 8)], 4, tmp_path, kind)
    before = files_of(tmp_path)

    def batches(stops):
        yield torch.ones(2, 1, 8, 8)
        if stops:
            raise OSError(errno.ENOSPC, "No space left on device")

    older = outputs.older_samples(tmp_path, overwrite=True)
    with pytest.raises(OSError, match="No space"):
        samples.write_samples(batches(True), 2, tmp_path, kind, older=older)
    assert files_of(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(before)
    samples.write_samples(batches(False), 2, tmp_path, kind, older=older)
    after = files_of(tmp_path)
    assert sorted(after) == (["000000.png", "000001.png", "grid.png"] if kind == "png" else ["grid.png", "samples.npz"])
    assert all(after[name] != before[name] for name in after)


def test_files_that_are_there_are_not_replaced_unless_asked(tmp_path, monkeypatch, capsys):
    """By what takes long, before it begins."""
    (tmp_path / "mine").write_text("mine")
    weights = tmp_path / "weights.pth"
    torch.save({}, weights)
    for name, options in {
        "train_extractor": ["data=digits", "out=mine"],
        "import_weights": [f"generator={weights}", "out=mine"],
    }.items():
        assert command_here(f"lightning_gans.{name}", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 1
        assert (
            capsys.readouterr().err == "error: out=mine: is there already; choose another file, or say overwrite=true\n"
        )
    assert (tmp_path / "mine").read_text() == "mine"
    options = ["data=digits", "data.limit=40", "epochs=1", "width=4", "out=mine", "overwrite=true"]
    assert command_here("lightning_gans.train_extractor", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    assert torch.load(tmp_path / "mine", weights_only=True)["name"] == "digits"


def test_what_another_wrote_is_not_replaced(tmp_path):
    """By a command that would replace its own, again and again."""
    files.save(torch.zeros(1, 8, 8, dtype=torch.uint8), tmp_path / "ours.png", "overview")
    files.animate([torch.zeros(1, 8, 8, dtype=torch.uint8)] * 2, tmp_path / "ours.gif")
    atomic.write_text(tmp_path / "ours.md", "| run | model | data | updates |")
    outputs.refuse_foreign(tmp_path, ("ours.png", "ours.gif", "ours.md", "none.png"), ("| run | model",))
    files.save(torch.zeros(1, 8, 8, dtype=torch.uint8), tmp_path / "mine.png")
    atomic.write_text(tmp_path / "mine.md", "# My own notes")
    (tmp_path / "link.png").symlink_to("ours.png")
    for name in ("mine.png", "mine.md", "link.png"):
        with pytest.raises(ValueError, match=rf"out=.*: has {name}, which is not of this command"):
            outputs.refuse_foreign(tmp_path, ("ours.png", name), ("| run | model",))


# ------------------------------------------------------------------------------ the script of many kills


def test_the_script_of_many_kills_counts_every_difference():
    place = Path(__file__).parent.parent.parent / "benchmarks" / "kills.py"
    spec = importlib.util.spec_from_file_location("kills", place)
    kills = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kills)
    one = {"a": torch.zeros(2), "b": [1, {"c": torch.ones(1)}], "d": 0.5}
    assert kills.differing(one, {"a": torch.zeros(2), "b": [1, {"c": torch.ones(1)}], "d": 0.5}) == 0
    assert kills.differing(one, {"a": torch.zeros(2).double(), "b": [2, {"c": torch.zeros(1)}]}) == 4
    assert kills.differing(one, {**one, "b": [1]}) == 1
    assert [compose(*kills.COMMON, *options).model.batch_size for options in kills.TRAININGS.values()] == [8, 2, 4]

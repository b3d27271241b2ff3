"""Multiruns: jobs keep apart, a failed one is told and the others go on, plugins do what their configs say."""

import json

import pytest
import yaml

from conftest import LIMIT, command, differences, evaluation, newest, refusal, tiny
from lightning_gans.training.sweep import table

SCORED = [*tiny(), evaluation(), "hydra.sweep.dir=sweep"]


def folders(tmp_path):
    return sorted(path for path in (tmp_path / "sweep").iterdir() if path.is_dir() and path.name != ".submitit")


def resolved(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())


def best_scores(folders):
    return [min(json.loads(p.read_text())["scores"]["fd_digits"] for p in f.glob("scores/*")) for f in folders]


def test_a_grid_keeps_its_jobs_apart_and_ends_with_a_table(tmp_path):
    options = ["-m", *SCORED, "logger=[csv,tensorboard]", "model.g_optimizer.lr=1e-4,2e-4", "seed=1,2"]
    made = command("lightning_gans.train", *options, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    jobs = folders(tmp_path)
    assert [job.name for job in jobs] == [f"dcgan_digits_{i}" for i in range(4)]
    asked = [(1e-4, 1), (1e-4, 2), (2e-4, 1), (2e-4, 2)]
    assert [(resolved(job)["model"]["g_optimizer"]["lr"], resolved(job)["seed"]) for job in jobs] == asked
    contents = [newest(job) for job in jobs]
    for job, content in zip(jobs, contents, strict=True):
        assert content["global_step"] == 4
        assert (job / "metrics.csv").read_text().count("\n") == 1 + 4 + 1  # header, losses, scores
        assert len(list(job.glob("tensorboard/events*"))) == 1
    assert all(differences(contents[0]["state_dict"], other["state_dict"]) for other in contents[1:])
    scores = best_scores(jobs)
    end = made.stdout.partition("sweep of 4 jobs in sweep\n")[2].splitlines()
    for row, job, score, (rate, seed) in zip(end[1:5], jobs, scores, asked, strict=True):
        assert row.split() == [
            f"sweep/{job.name}",
            f"{score:.4g}",
            f"model.g_optimizer.lr={rate}",
            f"seed={seed}",
        ]
    assert end[5] == f"  lowest: sweep/{jobs[scores.index(min(scores))].name}"


def test_a_typed_part_takes_the_place_of_what_is_tuned_for_each_pair(tmp_path):
    small = ["trainer.max_steps=1", "data.limit=64", "callbacks.evaluation=null", "callbacks.samples=null"]
    options = ["-m", "model=dcgan,infogan", "model/augment=none", *small, "hydra.sweep.dir=sweep"]
    made = command("lightning_gans.train", *options, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    one, other = (resolved(tmp_path / "sweep" / f"{name}_digits_{i}") for i, name in enumerate(("dcgan", "infogan")))
    assert one["model"]["augment"] is other["model"]["augment"] is None
    assert (one["model"]["batch_size"], other["model"]["generator"]["latent_dim"]) == (32, 30)  # tuned
    rows = made.stdout.partition("sweep of 2 jobs in sweep\n")[2].splitlines()
    assert [row.split()[-1] for row in rows[1:3]] == ["model=dcgan", "model=infogan"]


def test_a_failed_job_is_told_and_the_others_go_on(tmp_path):
    made = command("lightning_gans.train", "-m", *SCORED, "model.g_optimizer.lr=-1,1e-4", cwd=tmp_path)
    assert made.returncode == 1
    assert "error in job 0: model.g_optimizer.lr=-1: must be >= 0" in made.stderr
    assert "Traceback" not in made.stderr
    assert "sweep/dcgan_digits_0  failed" in made.stdout
    assert newest(tmp_path / "sweep" / "dcgan_digits_1")["global_step"] == 4


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "module"), [("joblib", "joblib"), ("submitit_local", "submitit")])
def test_launchers_run_the_jobs_in_processes_of_their_own(tmp_path, launcher, module):
    pytest.importorskip(f"hydra_plugins.hydra_{module}_launcher")
    options = ["-m", *SCORED, f"hydra/launcher={launcher}", "model.g_optimizer.lr=1e-4,-1,2e-4"]
    made = command("lightning_gans.train", *options, cwd=tmp_path, timeout=3 * LIMIT)
    assert made.returncode == 1, made.stderr
    jobs = folders(tmp_path)
    assert [job.name for job in jobs] == [f"dcgan_digits_{i}" for i in range(3)]
    outcomes = [json.loads((job / "job.json").read_text()) for job in jobs]
    assert "model.g_optimizer.lr=-1: must be >= 0" in outcomes[1]["error"]
    done = jobs[::2]
    assert [resolved(job)["model"]["g_optimizer"]["lr"] for job in done] == [1e-4, 2e-4]
    scores = best_scores(done)
    assert [outcome["score"] for outcome in outcomes[::2]] == pytest.approx(scores)
    assert f"lowest: sweep/{done[scores.index(min(scores))].name}" in made.stdout


def test_optuna_minimises_the_score_that_picks_the_best_checkpoint(tmp_path):
    """A trial that cannot train is one of those drawn, and does not end the search."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    options = [*SCORED, "hydra.sweeper.n_trials=5", "model.d_optimizer.lr=choice(-1,1e-4)"]
    made = command("lightning_gans.train", "sweep=optuna", *options, cwd=tmp_path, timeout=3 * LIMIT)
    jobs = folders(tmp_path)
    outcomes = [json.loads((job / "job.json").read_text()) for job in jobs]
    assert len(jobs) == 5, made.stderr
    failed = [bool(outcome["error"]) for outcome in outcomes]
    assert 0 < sum(failed) < 5
    assert made.returncode == 1  # a job failed
    found = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
    assert found["best_value"] == pytest.approx(min(o["score"] for o in outcomes if o["score"] is not None))
    assert found["best_value"] == pytest.approx(min(best_scores(j for j, f in zip(jobs, failed, strict=True) if not f)))
    rates = {resolved(job)["model"]["g_optimizer"]["lr"] for job, f in zip(jobs, failed, strict=True) if not f}
    assert len(rates) == 5 - sum(failed)
    assert all(5e-5 <= rate <= 1e-3 for rate in rates)


def test_optuna_without_scores_is_refused_before_any_job(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    made = command("lightning_gans.train", "sweep=optuna", *tiny(), "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert made.returncode == 1
    assert "hydra/sweeper=optuna: searches by the best score; it needs callbacks.evaluation" in made.stderr
    assert not (tmp_path / "sweep").exists()


def test_a_plugin_that_is_not_there_is_named(tmp_path):
    message = refusal(tmp_path, "hydra/launcher=joblob")
    assert message.startswith("hydra/launcher=joblob: unknown.")
    assert "pip install 'lightning_gans[sweep]'" in message


def test_the_table_tells_what_varied(tmp_path):
    said = {"score": 2.0, "error": None}
    records = {
        tmp_path / "b": {"job": 1, "overrides": ["x=1", "seed=2"], **said, "score": 1.25},
        tmp_path / "a": {"job": 0, "overrides": ["x=1", "seed=1"], **said},
        tmp_path / "c": {"job": 2, "overrides": ["x=1", "seed=3"], "score": None, "error": None},
    }
    lines = table(tmp_path, records).splitlines()
    assert [line.split()[1:] for line in lines[2:5]] == [["2", "seed=1"], ["1.25", "seed=2"], ["none", "seed=3"]]
    assert lines[-1] == f"  lowest: {tmp_path / 'b'}"


def test_a_folder_with_a_sweep_takes_no_other(tmp_path):
    """Whose scores and folders would be taken for the new ones."""
    record = tmp_path / "sweep" / "job" / "job.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"job": 0, "overrides": [], "score": 1.0, "error": null}')
    made = command("lightning_gans.train", "-m", *SCORED, "seed=1,2", cwd=tmp_path)
    assert made.returncode == 1
    assert "hydra.sweep.dir=sweep: holds a sweep already" in made.stderr
    assert "sweep of" not in made.stdout
    assert [path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()] == ["job"]

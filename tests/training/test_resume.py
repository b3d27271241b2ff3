"""A run that stops at any step and is resumed ends bit-identical to one that never stopped."""

import shutil
import signal
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from conftest import ENDLESS, LIMIT, assert_same_training, command, evaluation, newest, run, samples, sgd, started, tiny
from lightning_gans import build, compose
from lightning_gans.checkpoints.files import find
from lightning_gans.config import command as config_command

LINEAR = "{_target_: torch.optim.lr_scheduler.LinearLR, _partial_: true, end_factor: 0.1, total_iters: 9}"
FULL = [
    "trainer.max_steps=9",
    "callbacks.checkpoint.every_n_train_steps=1",
    "callbacks.checkpoint.keep=null",
    f"model.g_scheduler={LINEAR}",
    f"model.d_scheduler={LINEAR}",
    "data.flip=true",
]


@pytest.mark.parametrize("n_critic", [1, 5])
@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_in_a_new_process_state_equals_unbroken(tmp_path, n_critic, workers):
    """Steps 3 and 7 lie inside and beyond the first pass over 50 images; the resumed run makes its own checkpoints."""
    options = [*FULL, f"model.n_critic={n_critic}", f"data.num_workers={workers}"]
    whole = run(tmp_path / "whole", *options)
    for stop in (3, 7):
        folder = tmp_path / f"resumed-{stop}"
        (folder / "checkpoints").mkdir(parents=True)
        shutil.copy(tmp_path / "whole" / "checkpoints" / f"step-{stop:06d}.ckpt", folder / "checkpoints")
        torch.manual_seed(stop)  # whatever state the process is in
        again = run(folder, *options, resume=str(folder))
        assert again.model.iteration == 9
        assert_same_training(newest(tmp_path / "whole"), newest(folder))
    assert whole.model.images_seen == 9 * 8 * n_critic


def test_watching_does_not_disturb_training(tmp_path):
    """Grids, scores, logs and checkpoints at every step leave the weights as they are."""
    run(tmp_path / "quiet", "trainer.max_steps=6", "callbacks.stability=null", "logger=none")
    run(
        tmp_path / "watched",
        "trainer.max_steps=6",
        samples(every_n_train_steps=1),
        evaluation(every_n_train_steps=2),
        "callbacks.checkpoint.every_n_train_steps=1",
    )
    assert_same_training(newest(tmp_path / "quiet"), newest(tmp_path / "watched"))


def test_budget_may_change(tmp_path):
    run(tmp_path / "whole", "trainer.max_steps=6")
    run(tmp_path / "short", "trainer.max_steps=4")
    run(tmp_path / "short", "trainer.max_steps=6", resume=str(tmp_path / "short"))
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "short"))


def test_csv_continues(tmp_path):
    run(tmp_path, "trainer.max_steps=4")
    run(tmp_path, "trainer.max_steps=6", resume=str(tmp_path))
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + 6
    step = rows[0].split(",").index("step")
    assert [int(float(row.split(",")[step])) for row in rows[1:]] == [1, 2, 3, 4, 5, 6]


def test_csv_of_a_finished_run_stays(tmp_path):
    run(tmp_path, "trainer.max_steps=4")
    before = (tmp_path / "metrics.csv").read_text()
    run(tmp_path, "trainer.max_steps=4", resume=str(tmp_path))
    assert (tmp_path / "metrics.csv").read_text() == before
    (tmp_path / "metrics.csv").write_text(before + "0.1,0.2")  # a row cut short by a kill
    run(tmp_path, "trainer.max_steps=5", resume=str(tmp_path))
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 1 + 5


def test_learning_rates_typed_on_resume_hold(tmp_path):
    run(tmp_path, f"model.d_scheduler={LINEAR}")
    resumed = run(
        tmp_path,
        "trainer.max_steps=6",
        "model.g_optimizer.lr=0.5",
        "model.d_optimizer.lr=4e-4",
        "model.g_optimizer.betas=[0.1,0.2]",
        f"model.d_scheduler={LINEAR}",
        resume=str(tmp_path),
    )
    groups = {player: o.param_groups[0] for player, o in resumed.model.player_optimizers().items()}
    assert groups["g"]["lr"] == 0.5
    assert groups["g"]["betas"] == (0.1, 0.2)
    start, end = 1 / 3, 0.1  # LinearLR's factors
    assert groups["d"]["lr"] == pytest.approx(4e-4 * (start + (end - start) * 6 / 9))


def test_another_optimiser_is_refused_by_name(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match=r"model\.g_optimizer\._target_=torch\.optim\.SGD: a resumed run keeps"):
        run(tmp_path, *sgd(0.1), resume=str(tmp_path))


def test_other_shapes_are_refused_by_name(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match=r"model\.generator\.layers\.0\.weight is .* in the checkpoint"):
        run(tmp_path, "model.generator.base_channels=8", resume=str(tmp_path))


def compose_resumed(folder, *typed):
    """The config that a resumed command composes."""
    made = command("lightning_gans.train", "--cfg", "job", *typed, f"resume={folder}")
    assert made.returncode == 0, made.stderr
    return OmegaConf.create(made.stdout)


def test_parts_of_the_model_can_be_changed_by_name(tmp_path):
    """But not its networks."""
    first = [*tiny(), "model.discriminator.norm=null", "model/penalty=r1", f"hydra.run.dir={tmp_path / 'run'}"]
    assert command("lightning_gans.train", *first).returncode == 0
    resume = ["lightning_gans.train", f"resume={tmp_path / 'run'}", "trainer.max_steps=6"]
    made = command(*resume, "model/objective=least_squares", "model/penalty=none")
    assert made.returncode == 0, made.stderr
    config = newest(tmp_path / "run")["config"]["resolved"]["model"]
    values = {"a": 0.0, "b": 1.0, "c": 1.0, "scale": 0.5}
    assert config["objective"] == {"_target_": "lightning_gans.losses.objectives.LeastSquares", **values}
    assert config["penalty"] is None
    assert config["discriminator"]["norm"] is None
    other = compose_resumed(tmp_path / "run", "model=wgan_gp", "model/penalty=dragan").model
    assert other.penalty._target_.endswith("Dragan")
    assert other._target_.endswith("WGANGP")
    refused = command(*resume, "model/penalty=null")
    assert "to have none of it say model/penalty=none" in refused.stderr
    refused = command(*resume, "model/network=mlp")
    assert refused.returncode == 1
    assert "model/network=mlp: a resumed run keeps its networks" in refused.stderr


def test_newest_of_a_folder(tmp_path):
    run(tmp_path, "trainer.max_steps=3")
    assert find(tmp_path) == tmp_path / "checkpoints" / "last.ckpt"
    (tmp_path / "checkpoints" / "last.ckpt").unlink()
    assert find(tmp_path).name == "step-000003.ckpt"
    with pytest.raises(FileNotFoundError, match="no checkpoint there"):
        find(tmp_path / "nowhere")


MANY = [
    "callbacks.checkpoint.every_n_train_steps=7",
    "callbacks.checkpoint.keep=null",
    "logger=none",
]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=lambda x: str(x)
)
def test_stopped_by_a_signal_and_resumed_from_the_command_line(tmp_path, number, code):
    folder = tmp_path / "my run (1)"  # as people name folders
    process = started(folder, *MANY, ENDLESS)
    process.send_signal(number)
    output = process.communicate(timeout=LIMIT)[0]
    assert process.returncode == code, output
    budget = f"trainer.max_steps={newest(folder)['global_step'] + 10}"
    if number != signal.SIGKILL:
        assert "resume=" in output
    resumed = command("lightning_gans.train", f"resume={folder}", budget)
    assert resumed.returncode == 0, resumed.stderr
    run(tmp_path / "unbroken", *MANY, budget)
    assert_same_training(newest(tmp_path / "unbroken"), newest(folder))
    assert not list(Path(folder).glob("checkpoints/*.tmp")) or number == signal.SIGKILL


def test_resume_takes_only_what_was_typed(tmp_path):
    """The checkpoint's config holds, its interpolations live on, and mistakes are refused."""
    budget = [option for option in tiny() if "max_steps" not in option] + ["max_kimg=0.04"]
    first = command("lightning_gans.train", *budget, f"hydra.run.dir={tmp_path / 'run'}", "model.batch_size=10")
    assert first.returncode == 0, first.stderr
    again = command(
        "lightning_gans.train", f"resume={tmp_path / 'run'}", "trainer.max_steps=6", "seed=3", "logger=tensorboard"
    )
    assert again.returncode == 0, again.stderr
    config = newest(tmp_path / "run")["config"]["resolved"]
    assert config["model"]["batch_size"] == 10
    assert config["trainer"]["max_steps"] == 6
    assert config["model"]["seed"] == config["data"]["seed"] == 3
    assert list(config["logger"]) == ["tensorboard"]
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))
    for typed, message in [
        ("trainer.max_stepss=6", "Did you mean 'max_steps'"),
        ("experiment=dcgan_lsun64", "cannot be combined with resume"),
    ]:
        wrong = command("lightning_gans.train", f"resume={tmp_path / 'run'}", typed)
        assert wrong.returncode == 1
        assert message in wrong.stderr
        assert "Traceback" not in wrong.stderr
    content = newest(tmp_path / "run")
    content["config"]["source"]["callbacks"]["evil"] = {"_target_": "os.system", "command": f"touch {tmp_path / 'ran'}"}
    content["config"]["source"]["trust"] = ["os", "posix"]
    torch.save(content, tmp_path / "evil.ckpt")
    evil = command("lightning_gans.train", f"resume={tmp_path / 'evil.ckpt'}", cwd=tmp_path)
    assert evil.returncode == 1
    assert "os.system, which is not trusted" in evil.stderr
    assert not (tmp_path / "ran").exists()
    missing = command("lightning_gans.train", f"resume={tmp_path / 'nothing here'}")
    assert missing.returncode == 1
    assert "no checkpoint there" in missing.stderr


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_an_older_training_is_never_replaced(tmp_path):
    """Neither by a new one, nor by one that is resumed from elsewhere."""
    scored = [evaluation(), samples(), "trainer.max_steps=2"]
    run(tmp_path / "old", *scored)
    run(tmp_path / "other", *scored)
    before = files_of(tmp_path / "old")
    for resume in (None, str(tmp_path / "other")):
        with pytest.raises(ValueError, match=r"hydra\.run\.dir=.*old: holds a training already.*resume=.*old"):
            run(tmp_path / "old", *scored, "seed=7", "trainer.max_steps=3", resume=resume)
    assert files_of(tmp_path / "old") == before


def test_what_fails_before_the_training_writes_no_config(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no images"):
        run(tmp_path / "run", "data=folder", "data.num_workers=0", f"data.root={tmp_path / 'empty'}", "data.limit=null")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_the_config_says_what_to_resume(tmp_path):
    run(tmp_path / "one", "trainer.max_steps=2")
    made = build(compose(*tiny(), "trainer.max_steps=4", f"resume={tmp_path / 'one'}"), tmp_path / "two")
    made.fit()
    run(tmp_path / "unbroken", "trainer.max_steps=4")
    assert_same_training(newest(tmp_path / "unbroken"), newest(tmp_path / "two"))
    assert newest(tmp_path / "two")["state_dict"]["_extra_state"]["iteration"] == 4


def test_a_budget_below_the_checkpoint_is_refused(tmp_path):
    run(tmp_path, "trainer.max_steps=3")
    with pytest.raises(ValueError, match=r"trainer\.max_steps=2: .* stands at generator update 3 already"):
        run(tmp_path, "trainer.max_steps=2", resume=str(tmp_path))


@pytest.mark.parametrize(("steps", "told"), [(0, "nothing was saved"), (2, "go on with: resume=")])
def test_ctrl_c_that_ends_at_once_is_told(tmp_path, capsys, steps, told):
    """While the data are read, or a second one in a step; the signal works as before afterwards."""
    made = build(compose(*tiny(), "callbacks.checkpoint.every_n_train_steps=1"), tmp_path)

    def stop(*_, **__):
        raise KeyboardInterrupt

    if steps:
        turns = made.model.update_order
        made.model.update_order = lambda batch, plan: stop() if made.model.iteration == steps else turns(batch, plan)
    else:
        made.data.setup = stop
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as end:
        config_command.handle_errors(made.fit)()
    assert end.value.code == 130
    assert told in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) == before

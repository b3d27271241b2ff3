"""Several processes in place of one, over gloo."""

import json
import os
import signal
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch import nn

from conftest import (
    ENDLESS,
    EXACT,
    LIMIT,
    MODELS,
    NO_BATCH_NORM,
    TORCHRUN,
    assert_equal_weights,
    assert_same_training,
    command,
    evaluation,
    exact,
    newest,
    run,
    sgd,
    started,
    tiny,
)
from lightning_gans import build, compose, load
from lightning_gans.config.explain import format_error
from lightning_gans.networks.layers import set_test_statistics
from lightning_gans.runtime.distributed import rank_and_world, sum_over_processes
from lightning_gans.training.strategy import AlternatingDDP

TWO = ["trainer.devices=2", "trainer.max_steps=10"]
PENALTY = "model.penalty={_target_: lightning_gans.losses.penalties.GradientPenalty}"
EVALUATION = evaluation(every_n_train_steps=5, n=37, metrics="[frechet]")


def train_two(folder, *options):
    made = command("lightning_gans.train", *tiny(), *TWO, *options, f"hydra.run.dir={folder}")
    assert made.returncode == 0, made.stdout + made.stderr
    return newest(folder)


@pytest.mark.parametrize(
    "options", [["model.n_critic=2"], [PENALTY, "model.clip_grad=0.5"]], ids=["plain", "penalty_and_clipping"]
)
def test_two_processes_hold_the_weights_of_one(tmp_path, options):
    """Ten steps on the joint batch, noise included; FID over two ranks equals FID over one."""
    options = [*EXACT, *options, EVALUATION]
    two = train_two(tmp_path / "two", *options)
    run(tmp_path / "one", *options, "trainer.max_steps=10")
    one = newest(tmp_path / "one")
    assert one["global_step"] == two["global_step"] == 10
    assert_equal_weights(one["state_dict"], two["state_dict"])
    cards = [json.loads((tmp_path / k / "scores" / "step-000010.json").read_text()) for k in ("one", "two")]
    assert cards[0]["n"] == cards[1]["n"] == 37
    assert cards[0]["n_real"] == cards[1]["n_real"] == 50
    assert cards[0]["scores"]["fd_digits"] == pytest.approx(cards[1]["scores"]["fd_digits"], rel=1e-3)


FAMILIES = """
import sys
from conftest import MODELS, exact, run
for model in MODELS:
    run(f"{sys.argv[1]}/{model}", *exact(model), "trainer.devices=2", model=model)
run(f"{sys.argv[1]}/adaptive", *exact("dcgan"), *sys.argv[2:], "trainer.devices=2")
for model in ("sngan", "r3gan"):
    run(f"{sys.argv[1]}/{model}_projection", *exact(model), "model.discriminator.classes=projection",
        "trainer.devices=2", model=model)
"""
PROJECTION = ["model.discriminator.classes=projection"]
ADAPTIVE = ["model/augment=adaptive", "model.augment.p=0.3", "model.augment.interval=3", "model.augment.kimg=0.1"]


FOR_ALL = LIMIT * len(MODELS)


@pytest.mark.timeout(2 * FOR_ALL)
def test_two_processes_equal_one_for_every_family(tmp_path):
    """All in one process group."""
    (tmp_path / "families.py").write_text(FAMILIES)
    launcher = [*TORCHRUN, str(tmp_path / "families.py")]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    made = command(*launcher, str(tmp_path / "two"), *ADAPTIVE, env=paths, timeout=FOR_ALL)
    assert made.returncode == 0, made.stdout + made.stderr
    runs = {model: (model, exact(model)) for model in MODELS}
    runs["adaptive"] = ("dcgan", [*exact("dcgan"), *ADAPTIVE])
    runs |= {f"{model}_projection": (model, [*exact(model), *PROJECTION]) for model in ("sngan", "r3gan")}
    for model, (family, options) in runs.items():
        run(tmp_path / "one" / model, *options, model=family)
        one, two = newest(tmp_path / "one" / model), newest(tmp_path / "two" / model)
        assert one["global_step"] == two["global_step"] == 4
        assert_equal_weights(one["state_dict"], two["state_dict"])


RANKS = """
import sys, torch
import torch.distributed as dist
from conftest import tiny
from lightning.pytorch import Callback
from lightning_gans import build, compose

class Compare(Callback):
    def on_train_batch_end(self, trainer, pl_module, *_):
        weights = torch.cat([p.detach().flatten() for p in pl_module.parameters()])
        both = [torch.empty_like(weights) for _ in range(2)]
        dist.all_gather(both, weights)
        assert torch.equal(*both), f"ranks differ after step {trainer.global_step}"
        pl_module._shared_rng.manual_seed(5)
        mine = pl_module.normal(4, 3).contiguous()
        slices = [torch.empty_like(mine) for _ in range(2)]
        dist.all_gather(slices, mine)
        whole = torch.randn(8, 3, generator=torch.Generator().manual_seed(5))
        assert torch.equal(slices[0], whole[0::2]) and torch.equal(slices[1], whole[1::2])
        local = torch.rand(3)
        own = [torch.empty_like(local) for _ in range(2)]
        dist.all_gather(own, local)
        assert not torch.equal(*own)  # dropout and the like differ between processes
        print(f"rank {trainer.global_rank} step {trainer.global_step} agrees", flush=True)

made = build(compose(*tiny(), *sys.argv[2:]), sys.argv[1])
made.trainer.callbacks.append(Compare())
made.fit()
"""


def test_ranks_agree_bit_for_bit_and_share_the_global_noise(tmp_path):
    (tmp_path / "ranks.py").write_text(RANKS)
    options = [str(tmp_path / "run"), "trainer.max_steps=3", "trainer.devices=2"]
    made = command(str(tmp_path / "ranks.py"), *options, env={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stdout.count("agrees") == 6


def test_two_processes_that_train_one_by_one_translate_so(tmp_path):
    """Batch norm uses each image's own statistics, and the checkpoint says so wherever it is loaded."""
    two = ["trainer.devices=2", "trainer.max_steps=1", "model.batch_size=2"]
    made = command("lightning_gans.train", *tiny("pix2pix"), *two, f"hydra.run.dir={tmp_path / 'two'}")
    assert made.returncode == 0, made.stdout + made.stderr
    run(tmp_path / "one", "trainer.max_steps=1", "model.batch_size=2", model="pix2pix")
    one, two = load(tmp_path / "one"), load(tmp_path / "two")
    assert (one.test_statistics, two.test_statistics) == ("running", "image")
    source = torch.rand(2, 3, 16, 16) * 2 - 1
    for model in (one, two):
        left = model.translate(source)
        set_test_statistics(model, "image")
        assert torch.equal(left, model.translate(source)) == (model is two)


def test_shared_batch_norm_counts_the_images_of_all_processes(tmp_path):
    made = build(compose(*tiny("pix2pix"), "trainer.devices=2", "model.batch_size=2"), tmp_path)
    made.model.trainer = made.trainer
    found = []
    for sync in (None, object()):
        made.trainer.strategy._layer_sync = sync
        made.model.on_fit_start()
        found.append(made.model.test_statistics)
    assert found == ["image", "running"]


@pytest.mark.slow
def test_resume_on_two_processes_is_exact_under_torchrun_too(tmp_path):
    """With batch norm; half by our launcher and half by torchrun."""
    whole = train_two(tmp_path / "whole")
    half = train_two(tmp_path / "half", "trainer.max_steps=5")
    assert half["global_step"] == 5
    launcher = [*TORCHRUN, "-m", "lightning_gans.train"]
    made = command(*launcher, f"resume={tmp_path / 'half'}", "trainer.max_steps=10")
    assert made.returncode == 0, made.stdout + made.stderr
    assert_same_training(whole, newest(tmp_path / "half"))


def test_early_stop_and_best_checkpoint_on_two_processes_do_not_hang(tmp_path):
    """No learning: the second evaluation brings no gain and ends the training on both."""
    patient = evaluation(every_n_train_steps=2, n=37, metrics="[frechet]", patience=1)
    content = train_two(tmp_path, *NO_BATCH_NORM, *sgd(0.0), patient)
    assert content["global_step"] == 4
    assert (tmp_path / "checkpoints" / "best.ckpt").is_file()


def test_batch_must_divide_by_the_processes(tmp_path):
    with pytest.raises(ValueError, match=r"model\.batch_size=8: must divide by 3 processes"):
        build(compose(*tiny(), "trainer.devices=3"), tmp_path)


def test_multirun_with_several_processes_is_refused(tmp_path):
    made = command("lightning_gans.train", "sweep=seeds", *tiny(), *TWO, cwd=tmp_path)
    assert made.returncode == 1
    assert "a multirun cannot start 2 processes a job" in made.stderr
    assert "Traceback" not in made.stderr


@pytest.mark.parametrize("other", [{"seed": 1}, {"seed": 2}])
def test_processes_of_different_configurations_are_refused(other, monkeypatch):
    """As jobs of a multirun that share a launcher would be."""
    given = {}

    def gathered(digests, mine):
        given.setdefault("first", mine)
        digests[:] = [given["first"], mine]

    sent = []
    monkeypatch.setattr(dist, "all_gather_object", gathered)
    monkeypatch.setattr(dist, "broadcast", lambda tensor, source: sent.append(tensor))
    module = nn.Linear(2, 2)
    processes = SimpleNamespace(lightning_module=module, world_size=2)
    module.config = {"seed": 1}
    AlternatingDDP.configure_ddp(processes)
    assert len(sent) == 2
    module.config = other
    if other != {"seed": 1}:
        with pytest.raises(ValueError, match="different configurations; in a multirun give every job its own"):
            AlternatingDDP.configure_ddp(processes)
    else:
        AlternatingDDP.configure_ddp(processes)


def test_alone_there_is_one_process_and_nothing_to_add():
    assert rank_and_world() == (0, 1)
    values = torch.tensor([1.0, 2.0])
    assert sum_over_processes(values) is values
    assert values.tolist() == [1.0, 2.0]


def test_explain_is_one_line():
    assert "\n" not in format_error(ValueError("two\nlines"))


def test_sigterm_to_one_process_stops_both_at_the_same_step(tmp_path):
    """They agree, save once, and the resumed run ends like an unbroken one."""
    options = ["callbacks.checkpoint.every_n_train_steps=7", "logger=none"]
    process = started(tmp_path / "run", *options, *TWO, ENDLESS)
    process.send_signal(signal.SIGTERM)  # process 0 alone
    output = process.communicate(timeout=LIMIT)[0]
    assert process.returncode == 143, output
    stopped = newest(tmp_path / "run")["global_step"]
    assert stopped % 8 == 0
    budget = f"trainer.max_steps={stopped + 10}"
    assert f"resume={tmp_path / 'run'}" in output
    resumed = command("lightning_gans.train", f"resume={tmp_path / 'run'}", "trainer.devices=2", budget)
    assert resumed.returncode == 0, resumed.stderr
    train_two(tmp_path / "whole", *options, budget)
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "run"))

"""What people type and call beside the shortest way: whole numbers, other Hydra apps, second trainings, notebooks."""

import math
import sys
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from conftest import MODELS, NO_BATCH_NORM, command, command_here, evaluation, refusal, run, samples, tiny
from lightning_gans import build, compose
from lightning_gans.callbacks.epoch_budget import steps_for
from lightning_gans.callbacks.evaluation import Evaluation
from lightning_gans.checkpoints.integrity import describe_difference
from lightning_gans.checkpoints.load import load
from lightning_gans.config.overrides import write_integers
from lightning_gans.evaluation.score_history import ScoredRun, caveat
from lightning_gans.runtime.instantiation import VERSION

UNTIL = [option for option in tiny() if "max_steps" not in option]


def test_whole_numbers_may_be_typed_with_an_exponent(tmp_path):
    typed = ["a=1e5", "b=2.5e3", "c=[1e2,3]", "d=1e4,2E+4", "e=1e-4", "f=1.5e0", 'g="1e5"', "h=1e30", "i=x1e5", "-m"]
    assert write_integers(typed) == ["a=100000", "b=2500", "c=[100,3]", "d=10000,20000", *typed[4:]]
    assert build(compose(*tiny(), "trainer.max_steps=1e5"), tmp_path).trainer.max_steps == 100_000
    assert compose("n=1e3", "checkpoint=x", "out=y", config="sample").n == 1000
    assert "trainer.max_steps=1.5: " in refusal(tmp_path, *tiny(), "trainer.max_steps=15e-1")


@pytest.mark.parametrize("model", MODELS)
def test_a_plan_says_how_long_it_holds(tmp_path, model):
    """And budgets in images are counted by it, as step by step."""
    module = build(compose(*tiny(model)), tmp_path).model
    for step in range(12):
        plan = module.plan(step)
        ahead = 40 if plan.steps is None else plan.steps
        assert {module.plan(step + i)[:3] for i in range(ahead)} == {plan[:3]}
    shown = np.cumsum([module.plan(step).images for step in range(60)])
    for images in (0.5, 1, shown[0], shown[0] + 0.1, shown[7] - 1, shown[7], shown[50] + 1):
        assert steps_for(module, images) == np.searchsorted(shown, images) + 1


def test_a_warm_up_is_counted_exactly(tmp_path):
    module = build(compose(*tiny("wgan"), "model.warm_up_critic=7", "model.n_critic=2"), tmp_path).model
    shown = np.cumsum([module.plan(step).images for step in range(1600)])
    for images in (1, *shown[[24, 25, 499, 500, 501, 1000]], shown[1500] + 1):
        assert steps_for(module, images) == np.searchsorted(shown, images) + 1


def test_a_large_budget_at_batch_one_asks_for_few_plans(tmp_path, monkeypatch):
    module = build(compose(*tiny(), "model.batch_size=1"), tmp_path).model
    asked, plan = [], module.plan
    monkeypatch.setattr(module, "plan", lambda step: asked.append(step) or plan(step))
    assert steps_for(module, 25_000_000) == 25_000_000
    assert len(asked) == 1


def test_compose_leaves_a_callers_hydra_as_it_was(tmp_path):
    (tmp_path / "mine.yaml").write_text("a: 1\n", encoding="utf-8")
    GlobalHydra.instance().clear()
    compose("model=gan")
    assert not GlobalHydra.instance().is_initialized()
    with initialize_config_dir(str(tmp_path), **VERSION):
        own = GlobalHydra.instance().hydra
        compose("model=gan")
        assert GlobalHydra.instance().hydra is own
        with pytest.raises(ValueError, match="model=nix: unknown"):
            compose("model=nix")
        assert GlobalHydra.instance().hydra is own
        assert hydra_compose("mine").a == 1


@pytest.mark.parametrize("logger", ["csv", "tensorboard", "wandb"])
def test_a_run_may_be_fitted_twice(tmp_path, logger):
    more = ["logger.wandb.mode=offline"] if logger == "wandb" else []
    made = run(tmp_path, f"logger={logger}", *more, "trainer.max_steps=2")
    second = int(time.time())
    while logger == "wandb" and int(time.time()) == second:  # W&B names folders by the second and the id
        time.sleep(0.01)
    made.trainer.fit_loop.epoch_loop.max_steps = 4
    made.fit()
    assert made.model.iteration == 4
    if logger == "csv":
        rows = (tmp_path / "metrics.csv").read_text(encoding="utf-8").splitlines()
        at = rows[0].split(",").index("step")
        assert [row.split(",")[at] for row in rows[1:]] == ["1", "2", "3", "4"]
    elif logger == "wandb":
        assert len({path.name.rpartition("-")[2] for path in tmp_path.glob("wandb/offline-run-*")}) == 1
        assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 2


def one_batch(made):
    """Some training images as a step has them, at the first step's resolution."""
    made.data.setup("fit")
    if made.data.translates:
        return made.data.training_examples([0, 1])
    made.model.conditioning.fit(made.data.train_images, seed=made.model.seed)
    batch = made.data.train_images.fetch(torch.arange(8))
    images = batch["image"].float() / 127.5 - 1
    side = made.model.plan(0).resolution
    return {**batch, "image": images if side is None else F.interpolate(images, side)}


@pytest.mark.parametrize("model", MODELS)
def test_losses_can_be_asked_for_without_a_trainer(tmp_path, model):
    made = build(compose(*tiny(model)), tmp_path)
    made.model._trainer = None
    batch = one_batch(made)
    for name in ("discriminator_loss", "generator_loss"):
        if hasattr(made.model, name):  # a VAE has no discriminator
            terms = getattr(made.model, name)(batch)
            assert terms
            assert all(torch.isfinite(term) for term in terms.values())


def test_fp16_on_a_cpu_says_what_it_trains_in(tmp_path):
    with pytest.warns(UserWarning, match=r"trainer\.precision=16-mixed: a CPU cannot .* trains in bf16-mixed"):
        made = build(compose(*tiny(), "trainer.precision=16-mixed"), tmp_path)
    assert made.cfg.trainer.precision == made.trainer.precision == "bf16-mixed"
    assert "precision          bf16-mixed" in made.summary()


def test_an_inception_score_of_single_images_is_told(tmp_path):
    with pytest.warns(UserWarning, match="the inception score of 8 images means nothing"):
        made = run(tmp_path, evaluation(n=8, metrics="[inception_score]"))
    (card,) = [callback.card for callback in made.trainer.callbacks if isinstance(callback, Evaluation)]
    assert card["scores"]["is_digits"] == pytest.approx(1.0)
    assert caveat({"n": 20, "inception_score_splits": 10}) == caveat({"n": 8}) == ""


def test_samples_in_one_array_are_scored_as_the_same_samples_in_files(tmp_path, monkeypatch, capsys):
    run(tmp_path / "run")
    found = {}
    for kind in ("npz", "png"):
        options = [f"checkpoint={tmp_path / 'run'}", "n=12", f"format={kind}", f"out={kind}"]
        assert command_here("lightning_gans.sample", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    for kind, candidate in (("npz", "npz/samples.npz"), ("png", "png")):
        options = [f"candidate={candidate}", "reference=png", "channels=1", "metrics=[swd]"]
        capsys.readouterr()
        assert command_here("lightning_gans.evaluate", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 0
        found[kind] = capsys.readouterr().out
    assert found["npz"] == found["png"]
    assert "12 images against 12 real images" in found["npz"]
    np.savez(tmp_path / "points.npz", points=np.zeros((4, 2)))
    (tmp_path / "broken.npz").write_bytes(b"PK\3\4")
    for name, told in {"points": "holds points; needs an array images", "broken": "cannot be read as an .npz"}.items():
        options = [f"candidate={name}.npz", "reference=png", "channels=1", "metrics=[swd]"]
        assert command_here("lightning_gans.evaluate", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 1
        assert f"error: candidate={name}.npz: {told}" in capsys.readouterr().err


def rows_of(folder):
    """The steps of a run's losses, and of its scores."""
    head, *rows = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()
    rows = [dict(zip(head.split(","), row.split(","), strict=True)) for row in rows]
    return tuple([int(row["step"]) for row in rows if row[key]] for key in ("train/d_real", "swd"))


def test_a_resumed_run_keeps_the_losses_of_a_scored_step_and_drops_what_lay_ahead(tmp_path):
    watched = [evaluation(every_n_train_steps=2, metrics="[swd]"), samples(every_n_train_steps=2)]
    watched.append("callbacks.checkpoint.every_n_train_steps=2")
    run(tmp_path, *watched)
    run(tmp_path, *watched, "trainer.max_steps=6", resume=str(tmp_path))
    assert rows_of(tmp_path) == ([1, 2, 3, 4, 5, 6], [2, 4, 6])
    step = tmp_path / "checkpoints" / "step-000004.ckpt"
    run(tmp_path, *watched, "trainer.max_steps=5", "trainer.log_every_n_steps=5", resume=str(step))
    assert rows_of(tmp_path) == ([1, 2, 3, 4, 5], [2, 4, 5])
    assert sorted(path.stem for path in (tmp_path / "samples").iterdir()) == [f"step-00000{i}" for i in (2, 4, 5)]
    assert sorted(path.stem for path in (tmp_path / "scores").iterdir()) == [f"step-00000{i}" for i in (2, 4, 5)]


@pytest.mark.parametrize("content", ["a,b\r\n1,2\r\n", "step,a\r\nx,2\r\n", "\xff\xfe"])
def test_a_file_of_other_metrics_is_set_aside_by_name(tmp_path, content, capsys):
    run(tmp_path, "logger=none")
    (tmp_path / "metrics.csv").write_bytes(content.encode("latin-1"))
    run(tmp_path, "trainer.max_steps=5", resume=str(tmp_path))
    assert "metrics.csv: not the metrics of a run; set aside as metrics.csv.broken" in capsys.readouterr().err
    assert (tmp_path / "metrics.csv.broken").read_bytes() == content.encode("latin-1")
    assert (tmp_path / "metrics.csv").read_text(encoding="utf-8").count("\n") == 2


def test_nan_is_never_the_best(tmp_path, monkeypatch):
    values = iter([math.nan, 3.0, math.nan, 2.0])
    monkeypatch.setattr(
        "lightning_gans.evaluation.evaluator.Evaluator._compute", lambda self: {"fd_digits": next(values)}
    )
    made = run(tmp_path, evaluation(every_n_train_steps=1, metrics="[frechet]", patience=9))
    assert made.score == 2.0
    assert torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["global_step"] == 4
    cards = [{"step": i, "scores": {"fd": value}} for i, value in enumerate([math.nan, 3.0, math.nan])]
    scored = ScoredRun("a", tmp_path, cards, "m", "d")
    assert scored.best("fd")["step"] == 1
    assert ScoredRun("a", tmp_path, cards[:1], "m", "d").best("fd") is None


def test_several_devices_in_a_notebook_and_what_the_message_advises(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)
    told = refusal(tmp_path, *tiny(), "trainer.devices=2")
    assert told.startswith("trainer.devices=2: a notebook cannot start 2 processes; say trainer.devices=1, or run")
    assert "!python -m lightning_gans.train ... trainer.devices=2 hydra.run.dir=FOLDER" in told
    build(compose(*tiny(), "trainer.devices=1"), tmp_path / "unused")
    options = [*tiny("gan"), "trainer.max_steps=2", "trainer.devices=2", f"hydra.run.dir={tmp_path / 'FOLDER'}"]
    made = command("lightning_gans.train", *options)
    assert made.returncode == 0, made.stderr
    assert load(tmp_path / "FOLDER").iteration == 2


def test_a_rank_that_the_shell_has_of_another_launch_does_not_silence_a_run(tmp_path):
    left = {"LOCAL_RANK": "1"}
    made = command("lightning_gans.train", "nix=1", cwd=tmp_path, env=left)
    assert made.returncode == 1
    first, second = made.stderr.splitlines()
    assert first.startswith("LOCAL_RANK=1: ignored")
    assert second.startswith("error: nix: unknown")
    all_of_it = {**left, "RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "1"}
    made = command("lightning_gans.train", *tiny("gan"), cwd=tmp_path, env=all_of_it)
    assert made.returncode == 1
    assert "2 processes were started" in made.stderr
    assert "unset WORLD_SIZE, RANK and LOCAL_RANK" in made.stderr
    made = command("lightning_gans.train", *tiny("gan"), "hydra.run.dir=run", cwd=tmp_path, env=left)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "run" / "metrics.csv").is_file()


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (
            "model.n_critic=1000000000",
            "model.n_critic=1000000000, model.batch_size=8: a step takes 8,000,000,000",
        ),
        ("data.num_workers=1000000", "data.num_workers=1000000: must be from 0 to 256"),
        ("trainer.devices=1000000", "trainer.devices=1000000: must be <= 1024"),
        (samples(n=10**10), "callbacks.samples.n=10000000000: must be from 1 to 10000"),
    ],
)
def test_absurd_counts_are_refused_by_name(tmp_path, option, told):
    assert refusal(tmp_path, *tiny(), option).startswith(told)


def test_weights_that_do_not_fit_are_told_in_a_line(tmp_path):
    run(tmp_path)
    path = tmp_path / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    content["config"]["resolved"]["model"]["generator"]["base_channels"] = 8
    torch.save(content, path)
    with pytest.raises(
        ValueError, match=r"weights do not fit its config: generator\.\S+ is \(.*\) and should"
    ) as caught:
        load(path)
    assert len(str(caught.value)) < 400
    assert describe_difference({"a": torch.zeros(1)}, {"a": torch.zeros(1)}) == ""
    assert describe_difference({"a": torch.zeros(1)}, {"b": torch.zeros(2)}) == (
        "b is (2,) and should be absent; a is absent and should be (1,)"
    )


@pytest.mark.parametrize("cached", [True, False])
def test_a_cache_of_cast_weights_never_outlives_a_step(tmp_path, monkeypatch, cached):
    """Every look of the critic is by its weights as they are, though autocast may keep casts of older ones."""
    from lightning.pytorch.plugins.precision import MixedPrecision

    def autocast(self):
        return torch.autocast(self.device, dtype=torch.bfloat16, cache_enabled=cached)

    monkeypatch.setattr(MixedPrecision, "autocast_context_manager", autocast)
    options = ["trainer.precision=bf16-mixed", "model.n_critic=5", "model.d_optimizer.lr=0.05", *NO_BATCH_NORM]
    made = build(compose(*tiny(), *options), tmp_path)
    critic, stale, looks = made.model.discriminator, [], []

    def look(module, inputs, output):
        assert torch.is_autocast_cache_enabled() is cached
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
            fresh = module.forward(*inputs)
        looks.append(1)
        stale.append(not torch.equal(fresh, output.detach()))

    critic.register_forward_hook(look)
    made.fit()
    assert len(looks) > 4 * 5
    assert not any(stale)

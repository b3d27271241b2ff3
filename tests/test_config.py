"""Mistakes end in one clear message before any data is touched; what is right is shown whole."""

import inspect
import json
import re

import hydra
import pytest
import yaml
from hydra.types import RunMode
from omegaconf import OmegaConf

from conftest import MODELS, command, command_here, evaluation, needs, refusal, samples, tiny
from lightning_gans import build, compose
from lightning_gans.checks import _read_signature, _targets, check
from lightning_gans.config import CONF_DIR

CHOICES = [
    f"{group.name}={path.stem}"
    for group in CONF_DIR.iterdir()
    if group.is_dir() and group.name not in ("common", "experiment", "sweep")
    for path in sorted(group.glob("*.yaml"))
]
DATA = [choice for choice in CHOICES if choice.startswith("data=")]
EXPERIMENTS = sorted(path.stem for path in (CONF_DIR / "experiment").glob("*.yaml"))
TUNED = sorted(path.stem for path in (CONF_DIR / "tuned").glob("*_*.yaml"))
SWEEPS = sorted(path.stem for path in (CONF_DIR / "sweep").glob("*.yaml"))


@pytest.fixture
def own_configs(tmp_path):
    """A user's own folder of configs, with a mistake of each kind."""
    files = {
        "experiment/root.yaml": {"modell": 1},
        "experiment/key.yaml": {"model": {"n_critics": 2}},
        "experiment/foreign.yaml": {"model": {"g_optimizer": {"learning_rate": 2}}},
        "experiment/kind.yaml": {"seed": "abc"},
        "model/mine.yaml": {"defaults": ["dcgan", "_self_"], "batch_size": 16},
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        header = "# @package _global_\n" if name.startswith("experiment") else ""
        path.write_text(header + yaml.safe_dump(content))
    return tmp_path


# What is typed, and what the one message must name.
FAST = [
    (["model=wgn"], ["model=wgn", "Allowed:"]),
    (["data=digitz"], ["data=digitz", "Did you mean 'digits'", "mnist"]),
    (["tuned=nothing"], ["tuned=nothing", "dcgan_digits", "none"]),
    (["experiment=nothing"], ["experiment=nothing", "dcgan_celeba64"]),
    (["modle=dcgan"], ["modle", "Did you mean 'model'", "Allowed:"]),
    (["+modle=dcgan"], ["modle", "Did you mean 'model'"]),
    (["model.n_critics=2"], ["model.n_critics", "Did you mean 'n_critic'", "batch_size"]),
    (["+model.n_critics=2"], ["model.n_critics", "Did you mean 'n_critic'"]),
    (["model.generator.depth=2"], ["model.generator.depth", "base_channels"]),
    (["trainer.max_step=2"], ["trainer.max_step", "Did you mean 'max_steps'"]),
    (["trainer.gradient_clip_val=1"], ["trainer.gradient_clip_val", "model.clip_grad"]),
    (["+trainer.accumulate_grad_batches=2"], ["trainer.accumulate_grad_batches", "model.accumulate"]),
    (["seed=abc"], ["seed", "abc", "Integer"]),
    (["seed=[1"], ["[1"]),
    (["data=folder"], ["data.root", "missing"]),
    (["data=folder", "data.root="], ["data.root=", "empty"]),
    (["logger=null"], ["logger=null", "logger=none"]),
    (["model.g_optimizer.weight_decay=0.1"], ["model.g_optimizer.weight_decay", "+model.g_optimizer.weight_decay=..."]),
    (["max_kimg=1", "trainer.max_steps=2"], ["max_kimg=1", "trainer.max_steps=2", "one of them"]),
    (["-m", "resume=x"], ["-m", "cannot be combined with resume"]),
]


@pytest.mark.parametrize(("arguments", "named"), FAST, ids=lambda x: " ".join(x)[:40])
def test_wrong_choices_and_keys_answer_before_torch(tmp_path, arguments, named):
    poison = tmp_path / "torch"  # importing torch would end in another message
    poison.mkdir()
    (poison / "__init__.py").write_text("raise RuntimeError('torch was imported')")
    made = command("lightning_gans.train", *arguments, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    check_message(made, named)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != poison]


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        ("root", ["modell", "Did you mean 'model'"]),
        ("key", ["model.n_critics", "Did you mean 'n_critic'"]),
        ("kind", ["seed", "abc"]),
    ],
)
def test_mistakes_in_an_experiment_file(own_configs, choice, named):
    made = command("lightning_gans.train", f"--config-dir={own_configs}", f"experiment={choice}", cwd=own_configs)
    check_message(made, named)
    assert not (own_configs / "outputs").exists() or not list((own_configs / "outputs").rglob("*.yaml"))


def check_message(made, named):
    assert made.returncode == 1, made.stdout + made.stderr
    assert "Traceback" not in made.stderr
    lines = [line for line in made.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, made.stderr
    for words in named:
        assert words in lines[0], lines[0]


def test_mistakes_that_need_torch_are_told_the_same_way(own_configs):
    made = command("lightning_gans.train", f"--config-dir={own_configs}", "experiment=foreign", cwd=own_configs)
    check_message(made, ["model.g_optimizer.learning_rate", "Allowed:", "lr"])


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("data.image_size=33", ["data.image_size=33", "nearest is 32"]),
        ("data.image_size=big", ["data.image_size=big", "valid integer"]),
        ("data.channels=0", ["channels=0", ">= 1"]),
        ("model.n_critic=two", ["model.n_critic=two", "valid integer"]),
        ("model.clip_grad=yes please", ["model.clip_grad=yes please", "valid number"]),
        (
            "model.discriminator.norm=batsch",
            ["model.discriminator.norm=batsch", "'instance', 'layer' or 'spectral'"],
        ),
        ("model.compile=maybe", ["model.compile=maybe", "valid boolean"]),
        ("trainer.max_steps=many", ["trainer.max_steps=many", "valid integer"]),
        ("callbacks.checkpoint.keep=0", ["callbacks.checkpoint.keep=0", ">= 1, or null"]),
        ("callbacks.checkpoint.every_n_train_steps=0", ["every_n_train_steps=0"]),
        ("data.num_workers=-1", ["data.num_workers=-1", ">= 0"]),
        ("data.limit=0", ["data.limit=0"]),
        ("model._target_=lightning_gans.models.dcgan.DCGANN", ["DCGANN"]),
        ("model._target_=lightning_gans.models.nothing.X", ["lightning_gans.models.nothing"]),
        ("model.g_optimizer._target_=torch.optim.Adamm", ["torch.optim.Adamm"]),
        ("seed=-1", ["seed=-1", "from 0"]),
        ("trainer.precision=fp8", ["trainer.precision=fp8", "bf16-mixed"]),
        ("trainer.devices=0", ["trainer.devices=0", "must be a number >= 1"]),
        ("trainer.devices=abc", ["trainer.devices=abc", "must be a number >= 1"]),
        ("trainer.num_nodes=0", ["trainer.num_nodes=0", ">= 1"]),
        ("trainer.max_steps=-3", ["trainer.max_steps=-3", ">= 1"]),
        ("trainer.log_every_n_steps=0", ["trainer.log_every_n_steps=0"]),
        ("trainer.accelerator=gpu", ["trainer:", "gpu"]),
        ("trainer.strategy=ddp", ["trainer.strategy=ddp", "auto", "ddp_find_unused_parameters_true"]),
        ("model.batch_size=8.0", ["model.batch_size=8.0", "valid integer"]),
        ("model.n_critic=true", ["model.n_critic=True", "valid integer"]),
        ("model.clip_grad=nan", ["model.clip_grad=nan", "finite"]),
        ("model.g_optimizer.lr=-1", ["model.g_optimizer", "learning rate"]),
        ("model.d_optimizer.betas=[2,0.9]", ["model.d_optimizer", "beta"]),
        ("model.g_optimizer._partial_=false", ["model.g_optimizer"]),
        ("model.generator.max_channels=0", ["max_channels=0", ">= 1"]),
        ("model.generator.image_size=32", ["model.generator makes images (1, 32, 32)", "(1, 16, 16)"]),
        ("model.discriminator.channels=3", ["model.discriminator", "(1, 16, 16)"]),
        ("max_kimg=-1", ["max_kimg=-1", "> 0"]),
        ("max_kimg=inf", ["max_kimg=inf", "finite"]),
        ("callbacks.evaluation={_target_: torch.nn.ReLU}", ["callbacks.evaluation", "Callback"]),
        ("model._target_=torch.nn.ReLU", ["model."]),
        (
            "model.g_scheduler={_target_: torch.optim.lr_scheduler.ReduceLROnPlateau, _partial_: true}",
            ["model.g_scheduler", "ReduceLROnPlateau"],
        ),
    ],
)
def test_types_and_ranges(tmp_path, override, named, monkeypatch):
    from lightning_gans.data.digits import Digits

    monkeypatch.setattr(Digits, "load", lambda self: pytest.fail("data was touched"))
    message = refusal(tmp_path, *tiny(), override)
    for words in named:
        assert words in message, message
    assert not list(tmp_path.iterdir())


def test_wrong_kind_of_data_is_refused_by_name(tmp_path, monkeypatch):
    from lightning_gans.models.dcgan import DCGAN

    monkeypatch.setattr(DCGAN, "accepts", ("paired",))
    with pytest.raises(ValueError, match="data=.igits is of kind labelled; DCGAN takes paired: data=digit_edges"):
        build(compose(*tiny()), tmp_path)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes(choice):
    cfg = compose(choice, *needs(choice))
    assert OmegaConf.to_container(cfg, resolve=True)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_instantiates(tmp_path, experiment):
    made = build(compose(f"experiment={experiment}", f"data.root={tmp_path}", "trainer.accelerator=cpu"), tmp_path)
    assert made.model.plan(0).images > 0


@pytest.mark.parametrize("pair", TUNED)
def test_what_is_tuned_for_a_pair_applies_to_that_pair_alone(pair, tmp_path):
    model = next(name for name in sorted(MODELS, key=len, reverse=True) if pair.startswith(f"{name}_"))
    data = pair.removeprefix(f"{model}_")
    tuned = compose(f"model={model}", f"data={data}")
    assert OmegaConf.to_container(tuned) != OmegaConf.to_container(
        compose(f"model={model}", f"data={data}", "tuned=none")
    )
    other = (needs(f"model={model}") or ["data=mnist"])[0]
    assert compose(f"model={model}", other, "tuned=none").trainer.max_steps == 100000
    build(tuned, tmp_path)


RATE = "tag(log, interval(5e-5, 1e-3))"
VARIED = {
    "learning_rates": {"model.g_optimizer.lr": "1e-4,2e-4,4e-4", "model.d_optimizer.lr": "1e-4,2e-4,4e-4"},
    "optuna": {"model.g_optimizer.lr": RATE, "model.d_optimizer.lr": RATE},
    "seeds": {"seed": "0,1,2,3,4"},
}


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_varies_what_the_config_has(sweep):
    if sweep == "optuna":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg = hydra.compose("train", overrides=[f"sweep={sweep}"], return_hydra_config=True)
    assert cfg.hydra.mode == RunMode.MULTIRUN
    assert cfg.hydra.sweeper.params == VARIED[sweep]
    for key in cfg.hydra.sweeper.params:
        assert isinstance(OmegaConf.select(cfg, key), int | float), key


@pytest.mark.parametrize("choice", [*(f"model={model}" for model in MODELS), *DATA])
def test_every_argument_of_our_classes_stands_in_the_config(choice):
    """So that it can be set without a plus, is shown by --cfg job, and is checked before torch is imported."""
    cfg = compose(choice, *needs(choice))
    for path, node in _targets(cfg, ""):
        target = node["_target_"]
        if target.startswith("lightning_gans.") and not path.startswith("logger"):
            arguments = _read_signature(target)
            imported = list(inspect.signature(hydra.utils.get_object(target)).parameters)
            assert set(imported) - {"options"} <= set(arguments), target
            given_later = {"optimizer"} if node.get("_partial_") else set()
            missing = set(arguments) - set(node) - given_later
            assert not missing, f"{path}: {missing}"


def test_cfg_job_shows_the_whole_run():
    made = command("lightning_gans.train", "--cfg", "job", "--resolve", "model.batch_size=7")
    assert made.returncode == 0, made.stderr
    shown = yaml.safe_load(made.stdout)
    assert shown["model"]["batch_size"] == 7
    assert shown["model"]["generator"]["image_size"] == shown["data"]["image_size"] == 32
    assert set(shown) >= {"data", "model", "trainer", "callbacks", "logger", "seed"}


def test_own_configs(own_configs):
    made = command("lightning_gans.train", "seed=3", "--config-dir", str(own_configs), "model=mine", "--cfg", "job")
    assert made.returncode == 0, made.stderr
    assert yaml.safe_load(made.stdout)["model"]["batch_size"] == 16


def test_fast_dev_run(tmp_path, monkeypatch, capsys):
    """One update, with scores and a grid; no checkpoint stays."""
    options = [*tiny(), evaluation(n=5000), samples(), "trainer.fast_dev_run=true", "hydra.run.dir=run"]
    assert command_here("lightning_gans.train", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    summary = capsys.readouterr().out
    assert re.search(r"generator updates +1$", summary, re.MULTILINE), summary
    card = json.loads((tmp_path / "run" / "scores" / "step-000001.json").read_text())
    assert (card["n"], card["n_real"]) == (16, 16)
    assert "fd_digits" in summary
    assert (tmp_path / "run" / "samples" / "step-000001.png").stat().st_size > 100
    assert not list(tmp_path.rglob("*.ckpt"))


def test_callbacks_can_be_switched_off(tmp_path):
    made = build(compose(*tiny(), "callbacks.checkpoint=null", "logger=none"), tmp_path)
    made.fit()
    assert made.trainer.global_step == 4
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_typed_number_of_steps_takes_the_place_of_a_budget_in_images(own_configs):
    (own_configs / "experiment" / "kimg.yaml").write_text("# @package _global_\nmax_kimg: 3.0\n")
    for typed_too, budget in ([], 3.0), (["trainer.max_steps=5"], None), (["max_kimg=2"], 2.0):
        options = [f"--config-dir={own_configs}", "experiment=kimg", *typed_too, "--cfg", "job"]
        made = command("lightning_gans.train", *options, cwd=own_configs)
        assert yaml.safe_load(made.stdout)["max_kimg"] == budget, made.stderr


def test_check_is_part_of_building():
    cfg = compose(*tiny())
    OmegaConf.set_struct(cfg, False)
    cfg.model.n_critics = 3
    with pytest.raises(ValueError, match="n_critics"):
        check(cfg)


@pytest.mark.parametrize(
    ("model", "option", "words"),
    [
        (
            "pix2pix",
            "model.discriminator.channels=1",
            "model.discriminator does not take what it is given, (6, 16, 16)",
        ),
        ("cyclegan", "model.discriminator_back.channels=1", "model.discriminator_back does not take"),
        ("pix2pix_hd", "model.encoder.channels=1", "model.encoder does not take"),
        ("srgan", "model.discriminator.image_size=32", "model.discriminator does not take"),
        ("pix2pix", "data=digits", "has no source_channels"),
        ("srgan", "data=digit_edges", "SRGAN takes super_resolution: data=photo_patches"),
        ("cyclegan", "data=digit_edges", "is of kind paired; CycleGAN takes unpaired: data=digit_domains"),
        ("dcgan", "data=digit_domains", "is of kind unpaired; DCGAN takes image"),
    ],
)
def test_what_does_not_fit_together_is_told_before_training(tmp_path, model, option, words):
    assert words in refusal(tmp_path, *tiny(model), option)

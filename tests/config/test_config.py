"""Mistakes end in one clear message before any data is touched; what is right is shown whole."""

import json
import os
import re

import hydra
import pytest
import torch
import yaml
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import OmegaConf

from conftest import MODELS, command, command_here, evaluation, needs, refusal, samples, tiny
from lightning_gans import build, compose
from lightning_gans.config.command import refuse_dashes
from lightning_gans.config.errors import ConfigError
from lightning_gans.config.help import help_of
from lightning_gans.config.schemas import CONF_DIR, SCHEMAS
from lightning_gans.config.signatures import read_names, types_of
from lightning_gans.config.types import describe
from lightning_gans.config.validation import check_names, check_types, target_nodes
from lightning_gans.evaluation.selection import DEFAULT, may_be_score
from lightning_gans.metrics.library import as_metrics
from lightning_gans.runtime.instantiation import VERSION, instantiate

CHOICES = [
    f"{group.name}={path.stem}"
    for group in CONF_DIR.iterdir()
    if group.is_dir() and group.name not in ("common", "experiment", "metric", "sweep")
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
    (["tuned=dcgan_digits_without_noise"], ["tuned=dcgan_digits_without_noise", "dcgan_digits", "none"]),
    (["tuned=mine_without_augment"], ["tuned=mine_without_augment", "dcgan_digits", "none"]),
    (["experiment=nothing"], ["experiment=nothing", "dcgan_celeba64"]),
    (["modle=dcgan"], ["modle", "Did you mean 'model'", "Allowed:"]),
    (["+modle=dcgan"], ["modle", "Did you mean 'model'"]),
    (["model.n_critics=2"], ["model.n_critics", "Did you mean 'n_critic'", "batch_size"]),
    (["+model.n_critics=2"], ["model.n_critics", "Did you mean 'n_critic'"]),
    (["model.generator.depth=2"], ["model.generator.depth", "base_channels"]),
    (["trainer.max_step=2"], ["trainer.max_step", "Did you mean 'max_steps'"]),
    (["trainer.gradient_clip_val=1"], ["trainer.gradient_clip_val", "model.clip_grad"]),
    (["+trainer.accumulate_grad_batches=2"], ["trainer.accumulate_grad_batches", "model.accumulate"]),
    (["seed=abc"], ["seed=abc: must be an integer"]),
    (["seed=[1"], ["seed=[1: cannot be understood as key=value"]),
    (["resume", "o/ow"], ["resume: cannot be understood as key=value", "missing EQUAL"]),
    (["--resume", "o/ow"], ["--resume: unknown", "say resume=o/ow"]),
    (["seed=-1"], ["seed=-1: must be from 0"]),
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
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    made = command("lightning_gans.train", *arguments, cwd=tmp_path, env={"PYTHONPATH": path})
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
        ("data.image_size=big", ["data.image_size=big", "must be an integer"]),
        ("data.channels=0", ["data.channels=0", ">= 1"]),
        ("model.n_critic=two", ["model.n_critic=two", "must be an integer"]),
        ("model.clip_grad=yes please", ["model.clip_grad=yes please", "must be a number"]),
        (
            "model.discriminator.norm=batsch",
            ["model.discriminator.norm=batsch", "instance, layer or spectral, or null"],
        ),
        ("model.compile=maybe", ["model.compile=maybe", "must be true or false"]),
        ("trainer.max_steps=many", ["trainer.max_steps=many", "must be an integer"]),
        ("callbacks.checkpoint.keep=0", ["callbacks.checkpoint.keep=0", ">= 1, or null"]),
        ("callbacks.checkpoint.every_n_train_steps=0", ["every_n_train_steps=0"]),
        ("data.num_workers=-1", ["data.num_workers=-1", "from 0 to"]),
        ("data.limit=0", ["data.limit=0"]),
        ("model._target_=lightning_gans.models.dcgan.DCGANN", ["DCGANN"]),
        ("model._target_=lightning_gans.models.nothing.X", ["lightning_gans.models.nothing"]),
        ("model.g_optimizer._target_=torch.optim.Adamm", ["torch.optim.Adamm"]),
        ("seed=-1", ["seed=-1", "from 0"]),
        ("trainer.precision=fp8", ["trainer.precision=fp8", "bf16-mixed"]),
        ("trainer.devices=0", ["trainer.devices=0", "must be a number >= 1"]),
        ("trainer.devices=abc", ["trainer.devices=abc", "must be a number >= 1"]),
        ("trainer.num_nodes=0", ["trainer.num_nodes=0", ">= 1"]),
        ("trainer.max_steps=-3", ["trainer.max_steps=-3", ">= 1, or -1 to train until it is stopped"]),
        ("trainer.log_every_n_steps=0", ["trainer.log_every_n_steps=0"]),
        ("trainer.accelerator=nothing", ["trainer.accelerator=nothing: not here; must be auto or", "cpu"]),
        ("trainer.max_time=5", ["trainer.max_time=5: must be DD:HH:MM:SS"]),
        ("trainer.max_time=abc", ["trainer.max_time=abc: must be DD:HH:MM:SS", "or null"]),
        ("data.num_classes=-2", ["data.num_classes=-2: must be >= 1, or null"]),
        ("trainer.strategy=ddp", ["trainer.strategy=ddp", "auto", "ddp_find_unused_parameters_true"]),
        ("model.batch_size=8.0", ["model.batch_size=8.0", "must be an integer"]),
        ("model.n_critic=true", ["model.n_critic=true", "must be an integer"]),
        ("model.clip_grad=nan", ["model.clip_grad=nan", "finite"]),
        ("model.g_optimizer.lr=-1", ["model.g_optimizer.lr=-1: must be >= 0"]),
        (
            "model.d_optimizer.betas=[2,0.9]",
            ["model.d_optimizer.betas=[2, 0.9]: must be a list of 2 numbers from 0 to"],
        ),
        ("model.g_optimizer.betas=[0.5]", ["model.g_optimizer.betas=[0.5]: must be a list of 2 numbers"]),
        ("model.g_scheduler=foo", ["model.g_scheduler=foo: must be a node {_target_:", "or null"]),
        ("model.generator._target_=mynet.G", ["model.generator._target_=mynet.G: cannot be imported (No module named"]),
        (
            "model.generator={_target_: torch.nn.Identity2}",
            ["model.generator._target_=torch.nn.Identity2: cannot be imported"],
        ),
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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            [evaluation(), "callbacks.checkpoint.monitor=foo"],
            "callbacks.checkpoint.monitor=foo: must be among fd_digits, is_digits, kd_digits, or null",
        ),
        ([evaluation(metrics="[psnr]")], "callbacks.evaluation.metrics=psnr: compares translations"),
        ([evaluation(metrics="swd")], "callbacks.evaluation.metrics=swd: must be a list, e.g. [swd], or null"),
        (["weights"], "extractor.weights=notweights.pth: not made by"),
    ],
)
def test_scores_that_cannot_be_are_told_before_data_are_read(tmp_path, options, said, monkeypatch):
    from lightning_gans.data.digits import Digits

    monkeypatch.setattr(Digits, "load", lambda self: pytest.fail("data was touched"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notweights.pth").write_text("text")
    if options == ["weights"]:
        kind = "lightning_gans.extractors.classifier.ClassifierExtractor"
        options = [evaluation(extractor=f"{{_target_: {kind}, _partial_: true, weights: notweights.pth}}")]
    assert said in refusal(tmp_path / "run", *tiny(), *options)


def test_scores_are_known_by_their_form_before_there_is_an_extractor():
    for name in ("fid", "kid", "fd_digits", "fd_inception_0123abcd", "is_classifier_mnist"):
        assert may_be_score(name, as_metrics(DEFAULT))
    for name in ("foo", "psnr", "fid_digits", "precision_digits"):
        assert not may_be_score(name, as_metrics(DEFAULT))
    assert may_be_score("psnr", as_metrics(["psnr"]))
    assert may_be_score("precision_digits", as_metrics(["prdc"]))


@pytest.mark.parametrize("mistake", ["modle=3", "model.lr=3", "data=foo", "seed=abc", "seed=[1", "logger=null"])
def test_python_is_told_in_the_words_of_the_command_line(tmp_path, mistake, monkeypatch, capsys):
    with pytest.raises(ValueError, match=mistake.partition("=")[0]) as told:
        compose(mistake)
    assert "\n" not in str(told.value)
    assert command_here("lightning_gans.train", mistake, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert capsys.readouterr().err == f"error: {told.value}\n"


def test_building_tells_one_sentence_too(tmp_path):
    with pytest.raises(ValueError, match="^model.batch_size=-1: must be >= 1$"):
        build(compose(*tiny(), "model.batch_size=-1"), tmp_path)


@pytest.mark.parametrize("config", [name for name, schema in SCHEMAS.items() if "seed" in schema.__annotations__])
def test_no_command_takes_a_negative_seed(config):
    for seed in (-1, 2**32):
        with pytest.raises(ValueError, match=f"seed={seed}: must be from 0 to 4294967295"):
            compose(f"seed={seed}", config=config)
    compose("seed=0", config=config)


@pytest.mark.parametrize("config", SCHEMAS)
def test_schemas_and_files_have_the_same_keys(config):
    """And every default is allowed by the schema, which ``compose`` checks."""
    assert set(compose(config=config)) == set(SCHEMAS[config].__annotations__)


def test_a_training_without_an_end(tmp_path):
    made = build(compose(*tiny(), "trainer.max_steps=-1", "trainer.max_time=00:00:00:01"), tmp_path)
    assert made.trainer.max_steps == -1
    assert "-1: until it is stopped" in (CONF_DIR / "trainer" / "default.yaml").read_text()


def test_options_with_dashes_are_hydras_alone():
    refuse_dashes([])
    refuse_dashes(["--cfg", "job", "-m", "--multi", "--config-dir=x", "-cd", "y", "seed=-1", "~model.clip_grad"])
    mistakes = {"--data=folder": "say data=folder", "-n": "say n=...", "--batch-size=3": "say batch_size=3"}
    for argument, said in mistakes.items():
        with pytest.raises(ValueError, match=f"{argument}: unknown; .*{said}"):
            refuse_dashes(["seed=1", argument, "a=1"])


@pytest.mark.parametrize(("value", "reason"), [("file", "File exists"), ("file/run", "Not a directory")])
def test_a_folder_that_cannot_be_made_is_told_by_its_key(tmp_path, value, reason, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    arguments = [*tiny(), f"hydra.run.dir={value}"]
    assert command_here("lightning_gans.train", *arguments, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    said = f"error: hydra.run.dir={value}: cannot be made a folder ({reason}); say another\n"
    assert capsys.readouterr().err == said


def test_what_cannot_be_imported_is_said_once(tmp_path):
    options = ["tuned=none", "model.generator._target_=mynet.G", "~model.generator.base_channels"]
    made = command("lightning_gans.train", *options, cwd=tmp_path)
    check_message(made, ["model.generator._target_=mynet.G: cannot be imported", "mynet", "PYTHONPATH"])


def test_what_is_left_of_another_network_is_told_with_the_way_out(tmp_path, monkeypatch):
    (tmp_path / "mynets.py").write_text("class G:\n    def __init__(self, latent_dim: int) -> None: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = refusal(tmp_path, *tiny(), "model.generator={_target_: mynets.G, latent_dim: 8}")
    for words in ("unknown. Allowed: latent_dim", "laid over", "~model.generator.", "model/network"):
        assert words in message


def test_wrong_kind_of_data_is_refused_by_name(tmp_path, monkeypatch):
    from lightning_gans.models.dcgan import DCGAN

    monkeypatch.setattr(DCGAN, "data_kinds", ("paired",))
    with pytest.raises(ValueError, match="data=.igits: is of kind labelled; DCGAN takes paired: data=digit_edges"):
        build(compose(*tiny()), tmp_path)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes(choice):
    cfg = compose(choice, *needs(choice))
    assert OmegaConf.to_container(cfg, resolve=True)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_instantiates(tmp_path, experiment):
    """On the meta device, where networks have shapes and no values: the largest take seconds to be initialised."""
    drawn = experiment.startswith(("ring_", "lucic_"))  # points and digits, not read from anywhere
    device = "cpu" if drawn or experiment == "progan_ablation_e_star" else "meta"  # its distances have no kernel there
    root = ["data=digits"] if "lucic" in experiment else [] if drawn else [f"data.root={tmp_path}"]
    with torch.device(device):
        made = build(compose(f"experiment={experiment}", *root, "trainer.accelerator=cpu"), tmp_path)
    assert made.model.plan(0).images > 0


@pytest.mark.parametrize("pair", TUNED)
def test_what_is_tuned_for_a_pair_applies_to_that_pair_alone(pair, tmp_path):
    model = next(name for name in sorted(MODELS, key=len, reverse=True) if pair.startswith(f"{name}_"))
    networks = {path.stem for path in (CONF_DIR / "model" / "network").glob(f"{model}_*.yaml")}
    network = next((name for name in networks if pair.startswith(f"{name}_")), None)  # the file is for this one
    data = pair.removeprefix(f"{network or model}_")
    choices = [f"model={model}", f"data={data}", *([f"model/network={network}"] if network else [])]
    if data == "table":
        (tmp_path / "t.csv").write_text("a,b\n" + "1,x\n2,y\n" * 5)
        choices.append(f"data.root={tmp_path / 't.csv'}")
    tuned = compose(*choices)
    assert OmegaConf.to_container(tuned) != OmegaConf.to_container(compose(*choices, "tuned=none"))
    other = (needs(f"model={model}") or ["data=mnist"])[0]
    assert compose(f"model={model}", other, "tuned=none").trainer.max_steps == 100000
    build(tuned, tmp_path / "run")


RATE = "tag(log, interval(5e-5, 1e-3))"
VARIED = {
    "learning_rates": {"model.g_optimizer.lr": "1e-4,2e-4,4e-4", "model.d_optimizer.lr": "1e-4,2e-4,4e-4"},
    "optuna": {"model.g_optimizer.lr": RATE, "model.d_optimizer.lr": RATE},
    "seeds": {"seed": "0,1,2,3,4"},
    "lucic": {
        "experiment": ",".join(name for name in EXPERIMENTS if name.startswith("lucic_")),
        "study.trial": "range(4)",
    },
}


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_varies_what_the_config_has(sweep):
    if sweep == "optuna":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    trial = ["experiment=lucic_vae"] if sweep == "lucic" else []
    with hydra.initialize_config_dir(str(CONF_DIR), **VERSION):
        cfg = hydra.compose("train", overrides=[f"sweep={sweep}", *trial], return_hydra_config=True)
    assert cfg.hydra.mode == RunMode.MULTIRUN
    assert cfg.hydra.sweeper.params == VARIED[sweep]
    for key in cfg.hydra.sweeper.params.keys() - {"experiment"}:
        assert isinstance(OmegaConf.select(cfg, key), int | float), key


@pytest.mark.parametrize("model", MODELS)
def test_families_declare_the_options_that_they_pass_on(model):
    """The same by their source and at run time, and no other key; from Python too."""
    cfg = compose(*tiny(model))
    types, is_open = types_of(hydra.utils.get_object(cfg.model._target_))
    assert not is_open
    assert sorted(read_names(cfg.model._target_)) == sorted(types)
    assert {"g_optimizer", "batch_size", "clip_grad"} <= types.keys()
    assert "null" in describe(types["clip_grad"])
    OmegaConf.set_struct(cfg, False)
    cfg.model.clip_grads = 1.0
    for check in (check_names, check_types):
        with pytest.raises(ConfigError, match="^model.clip_grads: unknown. Did you mean 'clip_grad'"):
            check(cfg)
    with pytest.raises(InstantiationException, match="unexpected keyword argument 'clip_grads'"):
        instantiate(cfg.model, _convert_="all")


@pytest.mark.parametrize("choice", [*(f"model={model}" for model in MODELS), *DATA])
def test_every_argument_of_our_classes_stands_in_the_config(choice):
    """So that it can be set without a plus, is shown by --cfg job, and is checked before torch is imported."""
    cfg = compose(choice, *needs(choice))
    for path, node in target_nodes(cfg, ""):
        target = node["_target_"]
        if target.startswith("lightning_gans.") and not path.startswith("logger"):
            arguments = read_names(target)
            assert sorted(types_of(hydra.utils.get_object(target))[0]) == sorted(arguments), target
            given_later = {"optimizer", "params"} if node.get("_partial_") else set()
            missing = set(arguments) - set(node) - given_later
            assert not missing, f"{path}: {missing}"


def test_cfg_job_shows_the_whole_run():
    made = command("lightning_gans.train", "--cfg", "job", "--resolve", "model.batch_size=7")
    assert made.returncode == 0, made.stderr
    shown = yaml.safe_load(made.stdout)
    assert shown["model"]["batch_size"] == 7
    assert shown["model"]["generator"]["image_size"] == shown["data"]["image_size"] == 32
    assert set(shown) >= {"data", "model", "trainer", "callbacks", "logger", "seed"}


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["model=cyclegan", "data=horse2zebra", "--info", "defaults"], "model/cyclegan"),
        (["model=wgan", "--info", "defaults-tree"], "model: wgan"),
        (["--info"], "Config search path"),
        (["seed=3", "--info", "config"], "seed: 3"),
        (["--info", "plugins"], "Installed Hydra Plugins"),
        (["--info=searchpath"], "Config search path"),
        (["model=wgan", "--cfg", "job", "--package", "model", "--resolve"], "warm_up_critic"),
        (["-c", "hydra"], "outputs/${hydra:runtime.choices.model}"),
        (["--hydra-help"], "Hydra (1."),
        (["-cn", "sample", "checkpoint=x", "out=y", "-c", "job"], "checkpoint: x"),
        (["--version"], "hydra-core 1."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_hydras_options_work_wherever_they_stand(tmp_path, options, shown, monkeypatch, capsys):
    assert command_here("lightning_gans.train", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    told = capsys.readouterr()
    assert shown in told.out
    assert not told.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", SCHEMAS)
def test_help_shows_every_key_with_its_default_and_comment(name, tmp_path, monkeypatch, capsys):
    """And the groups that the command takes, and no other."""
    assert command_here(f"lightning_gans.{name}", "--help", cwd=tmp_path, monkeypatch=monkeypatch) == 0
    told = capsys.readouterr().out
    assert f"python -m lightning_gans.{name}" in told
    rows = dict(re.findall(r"^  ([\w./]+) +(\S+|\[.*?\]) *(?:#|$)", told, re.MULTILINE))
    entries = [entry for entry in yaml.safe_load((CONF_DIR / f"{name}.yaml").read_text())["defaults"]]
    groups = [key.removeprefix("optional ") for entry in entries if isinstance(entry, dict) for key in entry]
    groups = [group for group in groups if not group.startswith("override") and "/" not in group]
    keys = set(SCHEMAS[name].__annotations__) - set(groups) - {"data", "encoder"}
    assert keys <= rows.keys()
    assert {key for key in rows if "/" not in key and "." not in key} == keys | set(groups)
    assert told == help_of(name, told.splitlines()[0]) + "\n"


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
        build(cfg)


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


def test_a_class_is_found_by_the_name_that_its_package_offers():
    whole = read_names("lightning_gans.metrics.attribute_accuracy.AttributeAccuracy")
    assert "weights" in whole
    assert read_names("lightning_gans.metrics.AttributeAccuracy") == whole
    with pytest.raises(ConfigError, match="there is no module lightning_gans.metrics"):
        read_names("lightning_gans.metrics.NoSuchMetric")
    with pytest.raises(ConfigError, match="there is no module lightning_gans.no_such"):
        read_names("lightning_gans.no_such.Thing")

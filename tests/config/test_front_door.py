"""What a newcomer types first: no command, a wrong one, other libraries' words, less than a command needs."""

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import lightning_gans
from conftest import command_here, tiny
from lightning_gans import build, compose
from lightning_gans.config.commands import commands, overview
from lightning_gans.config.schemas import CONF_DIR, SCHEMAS
from lightning_gans.config.signatures import may_take
from lightning_gans.config.validation import check_names

PACKAGE = Path(lightning_gans.__file__).parent


def typed(*arguments, cwd, monkeypatch):
    """``lightning-gans ARGUMENTS`` in this process; returns the exit code."""
    monkeypatch.chdir(cwd)
    monkeypatch.setattr(sys, "argv", ["lightning-gans", *arguments])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    try:
        sys.modules.get("lightning_gans.__main__", __import__("lightning_gans.__main__").__main__).main()
    except SystemExit as end:
        return end.code or 0
    return 0


def test_without_an_argument_every_command_is_listed_with_an_example(tmp_path, monkeypatch, capsys):
    flat = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert set(commands()) == flat == set(SCHEMAS)
    assert typed(cwd=tmp_path, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert shown == overview() + "\n"
    for name in flat:
        assert f"  lightning-gans {name.replace('_', '-')} " in shown
    assert max(map(len, shown.splitlines())) < 120


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian", "seed=1"], "error: trian: unknown command. Did you mean 'train'? Allowed: animate, data-check, "),
        (["data=mnist"], "error: data=mnist: unknown command. Did you mean 'train data=mnist'?"),
        (["sample"], "error: checkpoint, out: missing; say checkpoint=... out=...\n"),
        (["train-extractor", "epochs=0"], "error: "),
    ],
)
def test_a_command_is_run_by_its_name(words, said, tmp_path, monkeypatch, capsys):
    for name in ("sample", "train_extractor"):
        sys.modules.pop(f"lightning_gans.{name}", None)  # or runpy warns
    assert typed(*words, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert capsys.readouterr().err.startswith(said)


def test_the_version_is_ours(tmp_path, monkeypatch, capsys):
    assert typed("--version", cwd=tmp_path, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"lightning_gans {lightning_gans.__version__} (torch ")
    assert command_here("lightning_gans.sample", "--version", cwd=tmp_path, monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("lightning-gans t", ["train", "train-encoder", "train-extractor", "translate"]),
        (
            "lightning-gans train data=digit",
            ["data=digit_captions", "data=digit_domains", "data=digit_edges", "data=digits"],
        ),
        ("lightning-gans sample form", ["format="]),
        ("lightning-gans nonsense ", []),
    ],
)
def test_tab_completes_commands_and_their_options(line, offered, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMP_LINE", line)
    assert typed("-sc", "query=bash", cwd=tmp_path, monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.split() == offered


def test_completion_is_installed_for_the_program_that_was_typed(tmp_path, monkeypatch, capsys):
    assert typed("-sc", "install=bash", cwd=tmp_path, monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.rstrip().endswith("-F hydra_bash_completion lightning-gans")


@pytest.mark.parametrize(
    ("config", "word", "meant"),
    [
        ("train", "batch_size=64", "'model.batch_size'"),
        ("train", "data.batch_size=64", "'model.batch_size'"),
        ("train", "lr=1e-3", "'model.g_optimizer.lr' or 'model.d_optimizer.lr'"),
        ("train", "model.lr=1e-3", "'model.g_optimizer.lr' or 'model.d_optimizer.lr'"),
        ("train", "epochs=3", "'max_epochs'"),
        ("train", "gpus=2", "'trainer.devices'"),
        ("train", "n_steps=9", "'trainer.max_steps'"),
        ("train", "device=cuda", "'trainer.accelerator'"),
        ("train", "workers=2", "'data.num_workers'"),
        ("train", "image_size=64", "'data.image_size'"),
        ("train", "precission=32-true", "'trainer.precision'"),
        ("train", "data_dir=x", "'data=folder data.root'"),
        ("train", "wandb=true", "'logger=wandb'"),
        ("train", "model/objectives=hinge", "'model/objective'"),
        ("train", "modle=dcgan", "'model'"),
        ("train", "output=x", "'hydra.run.dir'"),
        ("sample", "ckpt=x", "'checkpoint'"),
        ("sample", "num_samples=9", "'n'"),
        ("sample", "gpus=1", "'device'"),
        ("evaluate", "data.batch_size=9", "'batch_size'"),
    ],
)
def test_other_libraries_words_are_answered_with_ours(config, word, meant):
    key = word.partition("=")[0]
    with pytest.raises(ValueError, match=rf"^{key}: unknown\. Did you mean {meant}\? Allowed: "):
        compose(word, config=config)


@pytest.mark.parametrize("config", SCHEMAS)
def test_all_that_is_missing_is_named_at_once(config):
    cfg = compose(config=config)
    lacking = sorted(key for key in OmegaConf.missing_keys(cfg))
    if lacking:
        with pytest.raises(ValueError, match="^" + ", ".join(lacking) + ": missing; say .*" + lacking[-1]):
            check_names(cfg, SCHEMAS[config])
    else:
        check_names(cfg, SCHEMAS[config])


def test_a_plus_is_recommended_only_where_it_is_taken(tmp_path):
    """Where the class of the node has the key; a group that a command does not choose from is no matter of a plus."""
    for word in ("model.g_optimizer.weight_decay=0.1", "trainer.enable_model_summary=false"):
        with pytest.raises(ValueError, match=rf"\(anything else that its class takes: \+{word.partition('=')[0]}="):
            compose(word)
        build(compose(*[one for one in tiny() if "model_summary" not in one], f"+{word}"), tmp_path)
    for word in ("model.g_optimizer.foo=1", "data.batch_size=1", "model.generator.depth=2", "trainer.foo=1"):
        with pytest.raises(ValueError, match="unknown") as told:
            compose(word)
        assert "+" not in str(told.value)
    for config, group in {"train": "metric=swd", "sample": "model=dcgan", "evaluate": "data=digits"}.items():
        with pytest.raises(ValueError, match="no group of this command; --help lists what it takes") as told:
            compose(group, config=config)
        assert "+" not in str(told.value)
    assert not may_take("torch.optim.Nothing", "model.g_optimizer.lr")
    assert not may_take("nowhere.Nothing", "x")


def test_nothing_may_be_chosen_for_callbacks(tmp_path):
    """And what an experiment or a tuned file says of callbacks is dropped, one of another name is not."""
    made = build(compose("callbacks=none", "trainer.accelerator=cpu", "logger=none"), tmp_path)
    assert made.cfg.callbacks == {}
    kinds = {type(callback).__module__.partition(".")[0] for callback in made.trainer.callbacks}
    assert kinds <= {"lightning_gans", "lightning"}
    assert not made.trainer.checkpoint_callback
    assert (CONF_DIR / "callbacks" / "none.yaml").is_file()
    with pytest.raises(ValueError, match="callbacks.mine: names no class; its _target_ must name"):
        build(compose(*tiny(), "+callbacks.mine={every: 3}"), tmp_path)

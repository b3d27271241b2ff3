"""The package as strangers meet it: the wheel, the README's commands, CI's script."""

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from conftest import TINY, TINY_FAMILY, command_here, evaluation
from lightning_gans import compose, config
from lightning_gans.checks import check_keys
from lightning_gans.config import CONF_DIR
from lightning_gans.images import save

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PROSE, BLOCKS = re.sub(r"```.*?```", "", README, flags=re.DOTALL), re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
SPANS = re.findall(r"`([^`]+)`", PROSE)  # the tables' too
LINES = [line.split("  #")[0].strip() for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
COMMANDS = [line for line in [*LINES, *SPANS] if "-m lightning_gans." in line and "&&" not in line]
PLACEHOLDERS = ("key", "weights_only", "callbacks.NAME")  # what stands for an option, or is none


def words_of(command, *, optional=True):
    """Name and overrides of a command of the README; what stands in [brackets] may be left out."""
    command = re.sub(r" \[([^]]*)\]", r" \1" if optional else "", command)
    name, *words = shlex.split(re.sub(r"^.*?-m lightning_gans\.", "", command))
    return name, [word for word in words if not word.startswith("-")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        check=True,
        capture_output=True,
        text=True,
    )
    return next(out.glob("*.whl"))


def test_the_wheel_holds_every_config_and_the_weights(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for path in CONF_DIR.rglob("*.yaml"):
        assert f"lightning_gans/conf/{path.relative_to(CONF_DIR).as_posix()}" in names
    assert "lightning_gans/metrics/digits.pt" in names
    assert "lightning_gans/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "conf/"))]


def test_the_wheel_works_from_any_folder(wheel, tmp_path):
    """Installed without dependencies over this environment's: trains, samples, and has its console scripts."""
    site, work = tmp_path / "site", tmp_path / "somewhere else"
    work.mkdir()
    install = ["pip", "install", "-q", "--no-deps", "--no-compile", "--target", str(site), str(wheel)]
    subprocess.run([sys.executable, "-m", *install], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def called(*command):
        made = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=120)
        assert made.returncode == 0, made.stderr
        return made.stdout

    where = called(sys.executable, "-c", "from lightning_gans.config import CONF_DIR; print(CONF_DIR)")
    assert where.strip() == str(site / "lightning_gans" / "conf")
    trained = called(
        sys.executable,
        str(site / "bin" / "lightning-gans-train"),
        "tuned=none",
        "trainer.max_steps=2",
        "model.generator.base_channels=4",
        "model.discriminator.base_channels=4",
        "callbacks.evaluation.n=16",
        "hydra.run.dir=run",
    )
    for row in ("generator updates", "images/s", "fd_digits", "last.ckpt", "sample grid", "config"):
        assert row in trained
    sampled = called(str(site / "bin" / "lightning-gans-sample"), "checkpoint=run", "out=out", "n=3", "format=npz")
    assert "3 samples" in sampled
    assert sorted(path.name for path in (work / "out").iterdir()) == ["grid.png", "samples.npz"]
    assert "checkpoint" in called(str(site / "bin" / "lightning-gans-evaluate"), "--cfg", "job", "checkpoint=x")


def test_the_readme_has_the_two_commands():
    assert "pip install -e . && python -m lightning_gans.train" in README.splitlines()
    assert 'pip install -e ".[test]" && pytest' in README.splitlines()
    assert COMMANDS


def test_all_commands_are_found():
    """In blocks and in the table."""
    scripts = re.findall(r"^lightning-gans-([\w-]+) = ", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert {words_of(command)[0] for command in COMMANDS} == {name.replace("-", "_") for name in scripts}


@pytest.mark.parametrize("command", [command for command in COMMANDS if "--config-dir" not in command])
def test_every_command_of_the_readme_composes(command):
    module, overrides = words_of(command)
    single = [re.sub(r"=([^=,\[{]+),.*$", r"=\1", override) for override in overrides]  # of a sweep the first
    cfg = compose(*[o for o in single if not o.startswith(("resume=", "sweep="))], config=module)
    check_keys(cfg, getattr(config, f"{module.title().replace('_', '')}Schema"))


def keys_of(node, prefix=""):
    """Every dotted key of a config."""
    for key, value in node.items():
        yield prefix + str(key)
        if isinstance(value, dict):
            yield from keys_of(value, f"{prefix}{key}.")


HAVE_MORE = [  # options that the README names, beside those of the commands as they are
    ("model=lsgan", "model/augment=instance_noise", "logger=wandb", "extractor=classifier"),
    *((f"model={name}",) for name in ("pix2pix", "cyclegan", "srgan")),
    *(
        (f"data={name}",)
        for name in ("digit_domains", "horse2zebra", "lsun", "next_frame", "paired", "super_resolution")
    ),
]


def test_every_option_that_the_readme_names_exists():
    """Of some command, family, set, logger or extractor."""
    options = [word for span in SPANS if "-m lightning_gans." not in span for word in span.split() if "=" in word]
    options = {word.strip("'").partition("=")[::2] for word in options if re.match(r"'?[\w./]+=", word)}
    assert ("data.category", "church_outdoor") in options
    assert ("model/augment", "diffaugment") in options
    choices = {path.relative_to(CONF_DIR).with_suffix("").as_posix() for path in CONF_DIR.rglob("*.yaml")}
    groups = {choice.rpartition("/")[0] for choice in choices} - {""}
    configs = [compose(*context) for context in HAVE_MORE] + [
        compose(config=path.stem) for path in CONF_DIR.glob("*.yaml")
    ]
    known = {key for cfg in configs for key in keys_of(OmegaConf.to_container(cfg))}
    for key, value in options:
        if key in groups and value:
            named = re.sub(r"[\[\]]", "", value).split(",")
            assert {f"{key}/{choice}" for choice in named} <= choices, f"{key}={value}"
        elif key not in PLACEHOLDERS and not key.startswith(("hydra.", "hydra/")):
            assert key in known | groups, f"{key}={value}"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Where the table's first command has run, with some pictures beside."""
    folder = tmp_path_factory.mktemp("readme")
    first, words = words_of(COMMANDS_OF_TABLE[0])
    tiny = [*TINY, *TINY_FAMILY["wgan_gp"], evaluation(), "hydra.run.dir=run"]
    with pytest.MonkeyPatch.context() as patch:
        given = [word for word in tiny if word not in words]
        assert command_here(f"lightning_gans.{first}", *words, *given, cwd=folder, monkeypatch=patch) == 0
    pixels = torch.randint(256, (20, 1, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for i, image in enumerate(pixels):
        save(image, folder / "pictures" / f"{i}.png")
    return folder


COMMANDS_OF_TABLE = [command for command in SPANS if command.startswith("python -m lightning_gans.")]
TAKEN = {"checkpoint": "run", "run": "run", "out": "out", "n": "8"}  # by key; pictures where another folder is read
SMALL = {"evaluate": ["extractor=digits", "channels=1", "n=8"], "interpolate": ["rows=2", "steps=2"]}
RUN = ("sample", "evaluate", "report", "interpolate", "data_check")


@pytest.mark.parametrize("line", [line for line in COMMANDS_OF_TABLE if words_of(line)[0] in RUN])
def test_commands_of_the_table_run(line, ran, monkeypatch, capsys):
    module, words = words_of(line, optional=False)
    typed = dict(word.split("=") for word in words)
    typed = {k: TAKEN.get(k, "pictures") if k in TAKEN or v.startswith("DIR") else v for k, v in typed.items()}
    monkeypatch.setenv("LOCAL_RANK", "0")
    words = [f"{key}={value}" for key, value in typed.items()] + SMALL.get(module, [])
    assert command_here(f"lightning_gans.{module}", *words, cwd=ran, monkeypatch=monkeypatch) == 0, words
    said = capsys.readouterr().out
    assert {"sample": "8 samples", "evaluate": "fd_digits", "report": "run", "data_check": "20"}.get(module, "") in said


def test_ci_runs_the_readmes_command():
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()

"""The package as strangers meet it: the wheel, the README's commands, CI's script."""

import ast
import os
import re
import shlex
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from conftest import LIMIT, TINY, TINY_FAMILY, command_here, evaluation, newest, run, tiny
from lightning_gans import build, compose
from lightning_gans.config import schemas
from lightning_gans.config.schemas import CONF_DIR
from lightning_gans.config.validation import check_names
from lightning_gans.images.files import save

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


OWN = re.search(r"## Your own network, data and code\n(.*?)\n## ", README, re.DOTALL)[1]


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--sdist", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        check=True,
        capture_output=True,
        text=True,
    )
    return out


@pytest.fixture(scope="module")
def wheel(dist):
    return next(dist.glob("*.whl"))


def test_the_wheel_holds_every_config_and_the_weights(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for path in CONF_DIR.rglob("*.yaml"):
        assert f"lightning_gans/conf/{path.relative_to(CONF_DIR).as_posix()}" in names
    assert "lightning_gans/extractors/digits.pt" in names
    assert "lightning_gans/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "conf/"))]


def test_the_source_distribution_holds_what_its_tests_read(dist):
    """And what the README shows; CI's script can be run there."""
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        members = {member.name.partition("/")[2]: member for member in archive.getmembers()}
    for pattern in ("tests/*.py", "benchmarks/*", "notebooks/*.ipynb", ".ci/*", ".github/*.png", ".github/workflows/*"):
        paths = [path for path in ROOT.glob(pattern) if path.is_file()]
        assert paths
        assert {path.relative_to(ROOT).as_posix() for path in paths} <= members.keys(), pattern
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "pyproject.toml"} <= members.keys()
    assert members[".ci/run"].mode & 0o111


def test_what_is_imported_is_declared():
    """By its distribution's name, among the dependencies or those of an extra."""
    text = (ROOT / "pyproject.toml").read_text()
    plain = lambda name: re.sub("[-_.]+", "-", name).lower()  # noqa: E731
    declared = {plain(name) for name in re.findall(r'"([\w-]+)[<>=][^"]*"', text)}
    imported = set()
    for path in (ROOT / "lightning_gans").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(node.module.partition(".")[0])
    owners = packages_distributions()
    foreign = imported - sys.stdlib_module_names - {"lightning_gans"}
    assert not {name for name in foreign if not {plain(owner) for owner in owners.get(name, [name])} & declared}


def test_the_wheel_works_from_any_folder(wheel, tmp_path):
    """Installed without dependencies over this environment's: trains, samples, and has its console scripts."""
    site, work = tmp_path / "site", tmp_path / "somewhere else"
    work.mkdir()
    install = ["pip", "install", "-q", "--no-deps", "--no-compile", "--target", str(site), str(wheel)]
    subprocess.run([sys.executable, "-m", *install], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def called(*command):
        made = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=LIMIT)
        assert made.returncode == 0, made.stderr
        return made.stdout

    where = called(sys.executable, "-c", "from lightning_gans.config.schemas import CONF_DIR; print(CONF_DIR)")
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


def test_the_readme_names_every_choice():
    """Of every group, in backticks; the rows of the ablation from a to h by the first and the last."""
    named = set(re.findall(r"`([\w=/]+)`", README)) | {f"progan_ablation_{row}" for row in "bcdefgh"}
    groups = [path for path in CONF_DIR.rglob("*") if path.is_dir() and path.name not in ("common", "tuned")]
    for group in groups:
        lacking = {path.stem for path in group.glob("*.yaml")} - {name.rpartition("=")[2] for name in named}
        assert not lacking, group.name


def test_all_commands_are_found():
    """In blocks and in the table."""
    scripts = re.findall(r"^lightning-gans-([\w-]+) = ", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert {words_of(command)[0] for command in COMMANDS} == {name.replace("-", "_") for name in scripts}


@pytest.mark.parametrize("command", [command for command in COMMANDS if "--config-dir" not in command])
def test_every_command_of_the_readme_composes(command):
    module, overrides = words_of(command)
    single = [re.sub(r"=([^=,\[{]+),.*$", r"=\1", override) for override in overrides]  # of a sweep the first
    cfg = compose(*[o for o in single if not o.startswith(("resume=", "sweep="))], config=module)
    check_names(cfg, schemas.SCHEMAS[module])


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


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's folder with every file of the README's section."""
    for path, content in re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", OWN, re.DOTALL):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_gan"]:
        del sys.modules[name]


def test_a_network_and_data_of_ones_own_work_as_the_readme_says(own, monkeypatch, capsys):
    small = ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "callbacks.evaluation=null"]
    commands = re.search(r"```bash\n(.*?)```", OWN, re.DOTALL)[1].splitlines()
    assert len(commands) == 4
    for steps, line in enumerate(commands, 2):
        words = shlex.split(line.removeprefix("python -m "))
        options = [*small, f"trainer.max_steps={steps}"] if words[0].endswith("train") else ["n=3"]
        assert command_here(*words, *options, cwd=own, monkeypatch=monkeypatch) == 0, capsys.readouterr().err
    assert len(list((own / "seen").glob("0*.png"))) == 3
    assert "generator updates  5" in capsys.readouterr().out
    cfg = compose("hydra.searchpath=[my_conf]", "model=mine", "data=squares")
    assert (cfg.model.batch_size, cfg.model.generator._target_) == (32, "my_gan.networks.Generator")


def test_what_the_readme_says_of_others_holds(own, monkeypatch):
    """A dict is laid over the family's, and a plain data set is refused by the base that it lacks."""
    monkeypatch.chdir(own)
    path = "hydra.searchpath=[my_conf]"
    with pytest.raises(ValueError, match=r"model\.generator\.\w+: unknown\. .* is laid over"):
        build(compose(path, "model.generator={_target_: my_gan.networks.Generator}"), own)
    (own / "my_gan" / "plain.py").write_text("from torch.utils.data import Dataset\nclass Pics(Dataset): ...\n")
    with pytest.raises(
        ValueError, match=r"data: is a Pics; its _target_ must name a lightning_gans\.data\.base\.ImageDataModule"
    ):
        build(compose(path, "model=mine", "data=squares", "data._target_=my_gan.plain.Pics"), own)


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    block = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "run.fit()" in block)
    monkeypatch.chdir(tmp_path)
    run(re.search(r'load\("(.*?)"\)', block)[1])
    scope = {}
    exec(block.replace('"data=digits"', ", ".join(map(repr, tiny()))), scope)
    assert scope["images"].shape == (16, 1, 16, 16)
    assert newest("outputs/mine")["global_step"] == 200


def test_ci_runs_the_readmes_command():
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_ci_tests_the_oldest_versions_and_every_job_ends():
    """Of the packages whose versions matter most to each other, as they are declared."""
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    assert all("timeout-minutes" in job for job in jobs.values())
    pinned = jobs["test"]["strategy"]["matrix"]["include"][0]["constraints"].split()
    declared = (ROOT / "pyproject.toml").read_text()
    for name in ("torch", "torchvision", "torchmetrics", "lightning"):
        lowest = re.search(rf'"{name}>=([\d.]+)"', declared)[1]
        assert f"{name}=={lowest}.*" in pinned

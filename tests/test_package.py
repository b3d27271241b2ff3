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
import yaml

from conftest import command_here, newest, run, tiny
from lightning_gans import build, compose
from lightning_gans.checks import check_keys
from lightning_gans.config import CONF_DIR

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split("  #")[0].strip()
    for block in re.findall(r"```(?:bash|sh)\n(.*?)```", README, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if "lightning_gans." in line and "&&" not in line
]
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
    assert "lightning_gans/metrics/digits.pt" in names
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


def test_the_readme_names_every_choice():
    """Of every group, in backticks; the rows of the ablation from a to h by the first and the last."""
    named = set(re.findall(r"`([\w=/]+)`", README)) | {f"progan_ablation_{row}" for row in "bcdefgh"}
    groups = [path for path in CONF_DIR.rglob("*") if path.is_dir() and path.name not in ("common", "tuned")]
    for group in groups:
        lacking = {path.stem for path in group.glob("*.yaml")} - {name.rpartition("=")[2] for name in named}
        assert not lacking, group.name


@pytest.mark.parametrize("command", [command for command in COMMANDS if "--config-dir" not in command])
def test_every_command_of_the_readme_composes(command):
    words = shlex.split(re.sub(r"^.*?-m lightning_gans\.", "lightning_gans.", command))
    module, overrides = words[0].rpartition(".")[2], [word for word in words[1:] if not word.startswith("-")]
    if "=" not in command and module == "train_digits":
        return
    assert (ROOT / "lightning_gans" / f"{module}.py").is_file()
    single = [re.sub(r"=([^=,\[{]+),.*$", r"=\1", override) for override in overrides]  # of a sweep the first
    cfg = compose(*[o for o in single if not o.startswith(("resume=", "sweep="))], config=module)
    if module == "train":
        check_keys(cfg)


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
        ValueError, match=r"data: is a Pics; its _target_ must name a lightning_gans\.data\.base\.ImageData"
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

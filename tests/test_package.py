"""The package as strangers meet it: the wheel, the source distribution, CI's script."""

import ast
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from conftest import LIMIT
from lightning_gans.config.schemas import CONF_DIR

ROOT = Path(__file__).parent.parent


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


def test_the_wheel_holds_every_config_the_weights_and_folder_readmes(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for path in CONF_DIR.rglob("*.yaml"):
        assert f"lightning_gans/conf/{path.relative_to(CONF_DIR).as_posix()}" in names
    assert {f"lightning_gans/extractors/{name}.pt" for name in ("digits", "avatars", "avatar_attributes")} <= set(names)
    assert "lightning_gans/py.typed" in names
    shipped = [path for path in ROOT.glob("lightning_gans/pretrained/**/*") if path.is_file()]
    assert {path.relative_to(ROOT).as_posix() for path in shipped} <= set(names)
    assert "lightning_gans/conf/README.md" in names
    assert {path.relative_to(ROOT).as_posix() for path in ROOT.glob("lightning_gans/*/README.md")} <= set(names)
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
    assert "2 samples" in called(
        str(site / "bin" / "lightning-gans-sample"), "checkpoint=dcgan_digits", "out=seen", "n=2"
    )
    assert "checkpoint" in called(str(site / "bin" / "lightning-gans-evaluate"), "--cfg", "job", "checkpoint=x")


def test_ci_runs_the_readmes_command():
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_ci_tests_the_oldest_versions_and_every_job_ends():
    """Of the packages whose versions matter most to each other, as they are declared."""
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    assert all("timeout-minutes" in job for job in jobs.values())
    named = [one["constraints"] for one in jobs["test"]["strategy"]["matrix"]["include"]]
    assert named[:2] == [".ci/floor.txt", ".ci/constraints.txt"]
    floor, tested = (
        dict(re.findall(r"^([\w-]+)==([\d.]+\d)", (ROOT / name).read_text(), re.MULTILINE)) for name in named[:2]
    )
    declared = (ROOT / "pyproject.toml").read_text()
    for name in ("torch", "torchvision", "torchmetrics", "lightning", "hydra-core", "omegaconf", "pydantic"):
        assert floor[name] == re.search(rf'"{name}>=([\d.]+)', declared)[1]
        assert name in tested

"""The package as strangers meet it: the wheel, the README's commands, CI's script."""

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lightning_gans import compose
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


@pytest.mark.parametrize("command", COMMANDS)
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


def test_ci_runs_the_readmes_command():
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()

"""Encodings and standard streams: what a terminal cannot show or take never ends a command."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lightning_gans
from conftest import LIMIT, TINY
from lightning_gans.config.explain import format_error
from lightning_gans.runtime.streams import ForgivingStream, forgiving_streams

PACKAGE = Path(lightning_gans.__file__).parent
NARROW = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}  # ASCII for streams and for files


def without_encoding(tree):
    """Lines of a module that open a text file and do not say its encoding."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        said = {keyword.arg for keyword in node.keywords}
        mode = next((k.value for k in node.keywords if k.arg == "mode"), None)
        texts = [argument.value for argument in [*node.args, mode] if isinstance(argument, ast.Constant)]
        is_path = name == "open" and (not owner or "encoding" in said or not node.args or "w" in texts or "a" in texts)
        is_binary = any(isinstance(text, str) and "b" in text and len(text) <= 3 for text in texts)
        foreign = (
            owner in ("Image", "av", "gzip", "tarfile", "zipfile", "lmdb", "os", "self", "source") or "_zip" in owner
        )
        is_text = (name in ("read_text", "write_text") and bool(owner)) or (is_path and not is_binary and not foreign)
        if is_text and "encoding" not in said:
            yield node.lineno


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_text_file_is_opened_with_an_encoding(path):
    assert list(without_encoding(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "line", ["path.read_text()", "p.write_text('x')", "open(p)", "open(p, 'w')", "p.open('a', newline='')", "p.open()"]
)
def test_what_lacks_an_encoding_is_found(line):
    assert list(without_encoding(ast.parse(line))) == [1]
    said = line[:-1] + ("" if line.endswith("()") else ", ") + "encoding='utf-8')"
    assert list(without_encoding(ast.parse(said))) == []


@pytest.fixture
def run_folder(tmp_path):
    (tmp_path / "größe" / "scores").mkdir(parents=True)
    card = {"scores": {"fd_digits": 3.0}, "step": 10, "n": 500, "n_real": 100}
    (tmp_path / "größe" / "scores" / "step-000010.json").write_text(json.dumps(card), encoding="utf-8")
    return tmp_path


def shell(line, cwd, **env):
    """A line of shell with ``$PY`` as the interpreter; bytes, since what is written need not be UTF-8."""
    own = {**os.environ, "OMP_NUM_THREADS": "1", "PY": sys.executable, **env}
    return subprocess.run(["bash", "-c", line], cwd=cwd, env=own, capture_output=True, timeout=LIMIT)


@pytest.mark.parametrize("env", [NARROW, {"PYTHONIOENCODING": "cp1252"}], ids=["C", "cp1252"])
def test_a_narrow_terminal_gets_a_replacement_and_files_are_utf8(run_folder, env):
    made = shell("$PY -m lightning_gans.report run=. out=report", run_folder, **env)
    assert (made.returncode, made.stderr) == (0, b"")
    assert b"fd_digits ?" in made.stdout
    assert "fd_digits ↓" in (run_folder / "report" / "report.md").read_text(encoding="utf-8")
    if env is not NARROW:  # where file names are bytes that no one can read
        assert "größe" in (run_folder / "report" / "report.md").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are UTF-8 there")
def test_a_reader_that_goes_leaves_no_traceback_and_a_name_that_is_no_utf8_is_replaced(run_folder):
    os.rename(run_folder / "größe", os.fsencode(run_folder) + b"/gr\xf6\xdfe")
    made = shell("($PY -m lightning_gans.report run=. out=report; echo code $? >&2) | true", run_folder)
    assert made.stderr == b"code 0\n"
    assert "| gr??e |" in (run_folder / "report" / "report.md").read_text(encoding="utf-8")


def test_text_that_a_library_cannot_write_is_one_sentence():
    with pytest.raises(UnicodeEncodeError) as caught:
        "a\udcff".encode()
    assert format_error(caught.value, []).startswith("a\\udcff: a library cannot write this text")


@pytest.mark.parametrize("end", ["> /dev/full", "2> /dev/full", ">&-", "2>&-"])
def test_a_mistake_ends_with_its_code_whatever_the_streams(tmp_path, end):
    if "/dev/full" in end and not Path("/dev/full").exists():
        pytest.skip("no full device here")
    assert shell(f"$PY -m lightning_gans.train nix=1 {end}", tmp_path).returncode == 1


@pytest.mark.parametrize("end", ["> /dev/full 2>&1", "<&- >&- 2>&-"])
def test_a_training_outlives_closed_and_full_streams(tmp_path, end):
    if "/dev/full" in end and not Path("/dev/full").exists():
        pytest.skip("no full device here")
    options = " ".join([*TINY, "model=gan", "trainer.max_steps=2", "trainer.enable_progress_bar=true"])
    made = shell(f"$PY -m lightning_gans.train {options} hydra.run.dir=run {end}", tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()
    assert b"Traceback" not in made.stderr


def test_streams_are_given_back_and_pass_everything_on(capsys):
    out = sys.stdout
    with forgiving_streams():
        assert isinstance(sys.stdout, ForgivingStream)
        print("shown")
        assert sys.stdout.isatty() is out.isatty()
    assert sys.stdout is out
    assert capsys.readouterr().out == "shown\n"

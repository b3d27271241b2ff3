"""The report: which runs it finds, what it compares, and what it refuses to compare."""

import base64
import csv
import io
import json
import sys
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from conftest import command
from lightning_gans.evaluation.report_page import write_page
from lightning_gans.evaluation.score_history import compare, draw, find_runs
from lightning_gans.images.files import save


def write_run(folder, scores, *, key="fd_digits", **card):
    """A run's folder with a card for each step."""
    (folder / "scores").mkdir(parents=True)
    (folder / "config.yaml").write_text("model: {_target_: a.b.DCGAN}\ndata: {_target_: a.b.Digits}\n")
    for step, score in scores.items():
        about = {"step": step, "images_seen": step * 64, "train_seconds": step * 36.0, "n": 500, "n_real": 1797}
        content = {"scores": {key: score, f"{key}_std": 0.1}, "weights": "abc", **about, **card}
        (folder / "scores" / f"step-{step:06d}.json").write_text(json.dumps(content))


@pytest.fixture
def runs(tmp_path):
    write_run(tmp_path / "runs" / "one", {100: 9.0, 200: 3.0, 300: 5.0})
    write_run(tmp_path / "runs" / "two", {100: 8.0, 200: 2.5})
    return tmp_path


def test_a_table_with_last_and_best_scores(runs):
    found = find_runs([str(runs / "runs")])
    assert [run.name for run in found] == ["one", "two"]
    table = compare(found).splitlines()
    assert table[0] == "| run | model | data | updates | kimg | hours | fd_digits ↓ |"
    assert table[2] == "| one | DCGAN | Digits | 300 | 19.2 | 3.00 | 5 (best 3 at 200) |"
    assert table[3] == "| two | DCGAN | Digits | 200 | 12.8 | 2.00 | 2.5 |"
    assert len(table) == 4


def test_the_best_inception_score_is_the_highest(tmp_path):
    write_run(tmp_path / "one", {100: 9.0, 200: 3.0}, key="is_digits")
    (run,) = find_runs([str(tmp_path / "one")])
    assert run.best("is_digits")["step"] == 100
    assert "is_digits ↑" in compare([run])


def test_scores_under_other_conditions_are_not_comparable(runs):
    write_run(runs / "three", {100: 1.0}, n=50)
    text = compare(find_runs([str(runs / "runs"), str(runs / "three")]))
    assert "Not comparable as they stand: `n` differs: 500 (runs/one, runs/two); 50 (three)." in text


def test_runs_are_found_by_pattern_and_once(runs):
    assert len(find_runs([str(runs / "runs" / "*"), str(runs / "runs" / "one")])) == 2
    with pytest.raises(FileNotFoundError, match="run=nowhere: no scores there"):
        find_runs(["nowhere"])
    (runs / "runs" / "one" / "scores" / "step-000100.json").write_text("{")
    with pytest.raises(ValueError, match=r"step-000100\.json: not a score card"):
        find_runs([str(runs / "runs" / "one")])


def test_the_command_writes_table_and_picture(runs):
    made = command("lightning_gans.report", "run=runs/one", "runs/two", "out=report", "axis=kimg", cwd=runs)
    assert made.returncode == 0, made.stderr
    assert "| two | DCGAN |" in made.stdout
    files = ["index.html", "report.csv", "report.md", "report.png"]
    assert sorted(path.name for path in (runs / "report").iterdir()) == files
    rows = list(csv.DictReader((runs / "report" / "report.csv").open()))
    assert [(row["run"], row["updates"], row["seconds"], row["fd_digits"]) for row in rows][1] == (
        *("one", "200", "7200.0", "3.0"),
    )
    assert Image.open(runs / "report" / "report.png").width > 300
    made = command("lightning_gans.report", "run=runs/one", "axis=hours", cwd=runs)
    assert made.returncode == 1
    assert "axis=hours: must be updates, kimg or seconds" in made.stderr


class Page(HTMLParser):
    """What a page holds: its tags with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open += [] if tag in ("meta", "img") else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_stands_alone_and_escapes_what_runs_say(runs):
    """Names and cards are text; pictures are in the page; nothing is loaded from elsewhere."""
    write_run(runs / "<script>alert(1)</script>", {100: 1.0}, weights="</pre><script>x</script>")
    (runs / "runs" / "one" / "samples").mkdir()
    for step in (100, 200):
        save(torch.full((1, 4, 4), step, dtype=torch.uint8), runs / "runs" / "one" / "samples" / f"step-{step:06d}.png")
    found = find_runs([str(runs / "*")])
    curves = draw(found, runs / "report.png")
    page = Page(write_page(found, compare(found), runs / "index.html", curves).read_text())
    assert page.open == []
    assert {tag for tag, _ in page.tags} == {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "table", "tr", "th", "td", "p"),
        *("figure", "img", "figcaption", "details", "summary", "pre"),
    }
    assert "<script>alert(1)</script>" in page.text
    assert "</pre><script>x</script>" in page.text
    assert "Not comparable as they stand: `weights` differs" in page.text
    assert "one, step-000200" in page.text
    assert "step-000100" not in page.text
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert all(source.startswith("data:image/png;base64,") for source in pictures)
    sizes = [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).size for source in pictures]
    assert sizes[1] == (4, 4)
    assert sizes[0][0] > 300
    assert not any({"href", "onload", "onerror"} & attributes.keys() for _, attributes in page.tags)
    rows = [attributes for tag, attributes in page.tags if tag == "tr"]
    assert len(rows) == 4


def test_without_matplotlib_there_is_the_table(runs, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert draw(find_runs([str(runs / "runs")]), runs / "x.png") == []
    assert "lightning_gans[report]" in capsys.readouterr().err

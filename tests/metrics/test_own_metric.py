"""A metric of a user's own, as the README of the metrics has it; and what every metric declares."""

import json
import re
import sys
import typing
from pathlib import Path

import pytest

from conftest import command_here, evaluation, newest, refusal, tiny
from lightning_gans.config.schemas import CONF_DIR
from lightning_gans.data.digits import Digits
from lightning_gans.evaluation.evaluator import Evaluator
from lightning_gans.evaluation.score_history import compare, find_runs
from lightning_gans.metrics import base
from lightning_gans.metrics.library import as_metrics, make_metric, package_metrics
from lightning_gans.metrics.swd import SlicedWasserstein

README = Path(base.__file__).with_name("README.md").read_text(encoding="utf-8")
TYPED = "{_target_: my_gan.metrics.Brightness}"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The README's class and file, in the current folder."""
    (code,), (node,) = (re.findall(rf"```{kind}\n# my_.*?\n(.*?)```", README, re.DOTALL) for kind in ("python", "yaml"))
    for path, text in {
        "my_gan/__init__.py": "",
        "my_gan/metrics.py": code,
        "my_conf/metric/brightness.yaml": node,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_gan"]:
        del sys.modules[name]


def test_the_readmes_metric_trains_resumes_and_evaluates(own, monkeypatch, capsys):
    def start(name, *options):
        return command_here(f"lightning_gans.{name}", *options, cwd=own, monkeypatch=monkeypatch)

    scored = evaluation(metrics="[ms_ssim,brightness]", n=8, n_real=50)
    options = [*tiny(), scored, "callbacks.checkpoint.monitor=brightness", "hydra.run.dir=run"]
    assert start("train", *options, "hydra.searchpath=[my_conf]") == 0, capsys.readouterr().err
    card = json.loads((own / "run" / "scores" / "step-000004.json").read_text())
    assert set(card["scores"]) == {"ms_ssim", "ms_ssim_real", "brightness"}
    assert card["higher_is_better"] == {"brightness": False}
    assert (own / "run" / "checkpoints" / "best.ckpt").is_file()
    named = newest(own / "run")["config"]["source"]["callbacks"]["evaluation"]["metrics"]
    assert named == ["ms_ssim", {"_target_": "my_gan.metrics.Brightness"}]

    more = ["resume=run", "trainer.max_steps=6"]
    assert start("train", *more) == 1
    said = capsys.readouterr().err
    assert "callbacks.evaluation.metrics[1]: the checkpoint names my_gan.metrics.Brightness" in said
    assert "trust=[...]" in said
    assert start("train", *more, "trust=[my_gan]") == 0, capsys.readouterr().err
    assert "brightness" in json.loads((own / "run" / "scores" / "step-000006.json").read_text())["scores"]
    assert "| brightness ↓ |" in compare(find_runs(["run"]))

    whole = json.loads((own / "run" / "scores" / "step-000006.json").read_text())["scores"]["brightness"]
    for metrics in (["hydra.searchpath=[my_conf]", "metrics=[brightness]"], [f"metrics=[{TYPED}]", "trust=[my_gan]"]):
        assert start("evaluate", "checkpoint=run", "n=8", "n_real=50", "out=out", *metrics) == 0
        found = json.loads((own / "out" / "last.scores.json").read_text())["scores"]
        assert found == {"brightness": pytest.approx(whole, rel=1e-6)}


def test_the_readmes_metric_agrees_with_its_definition(own):
    data = Digits(image_size=16, channels=1, limit=40)
    dark = Digits(image_size=16, channels=1, limit=20)
    from my_gan.metrics import Brightness

    evaluator = Evaluator(None, n=None, metrics=[Brightness()], cache=None)
    means = [side.train_images.images.double().mean() for side in (dark, data)]
    for _ in range(2):  # the real images are read once
        found = evaluator(dark, data)["scores"]["brightness"]
        assert found == pytest.approx(float((means[0] - means[1]).abs()))


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (
            "[brightnes]",
            "callbacks.evaluation.metrics=brightnes: must be among accuracy, attribute_accuracy, class_accuracy,",
        ),
        (f"[swd,{TYPED[:-1]}, dark: 1}}]", "callbacks.evaluation.metrics[1].dark: unknown"),
        ("[{_target_: lightning_gans.metrics.prdc.PRDC, kk: 3}]", "callbacks.evaluation.metrics[0].kk: unknown"),
        ("[{_target_: torch.nn.ReLU}]", "metrics: holds a ReLU; its _target_ must name a lightning_gans.metrics.base"),
        ("[swd,{_target_: lightning_gans.metrics.swd.SlicedWasserstein}]", "metrics=swd: must be named once"),
        ("[swd,3]", "callbacks.evaluation.metrics="),
    ],
)
def test_mistakes_in_a_list_of_metrics_are_told_by_key(own, metrics, message):
    said = refusal(own / "run", *tiny(), evaluation(metrics=metrics))
    assert message in said
    assert "\n" not in said


def test_every_file_names_a_metric_that_declares_itself():
    for metric in package_metrics():
        assert (CONF_DIR / "metric" / f"{metric.name}.yaml").is_file()
        assert metric.feed in typing.get_args(base.Feed)
        assert metric.scores or metric.refines
        if isinstance(metric.higher_is_better, dict):
            assert set(metric.higher_is_better) == set(metric.scores)
    scores = [score for metric in package_metrics() for score in metric.scores]
    assert len(scores) == len(set(scores))
    assert len(package_metrics()) == len(list((CONF_DIR / "metric").glob("*.yaml")))


def test_names_and_metrics_may_stand_side_by_side():
    made = as_metrics(["swd", "frechet", "swd", make_metric("l1")])
    assert [metric.name for metric in made] == ["swd", "frechet", "l1"]
    with pytest.raises(ValueError, match="here.metrics=swd: must be named once"):
        as_metrics(["swd", SlicedWasserstein(limit=3)], "here")


def test_keys_belong_to_the_metric_of_the_longest_name():
    found = {key: base.find_score(key, package_metrics()) for key in ("fid", "modes_kl_digits", "psnr_y", "other")}
    assert found.pop("other") is None
    assert {key: (metric.name, score) for key, (metric, score) in found.items()} == {
        "fid": ("frechet", "fd"),
        "modes_kl_digits": ("modes", "modes_kl"),
        "psnr_y": ("psnr_y", "psnr_y"),
    }

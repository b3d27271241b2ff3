"""Studies: draws of hyper-parameters, and the comparison of families over their trials."""

import copy
import functools
import itertools
import json
import statistics

import pytest
import yaml

from conftest import command_here, tiny
from lightning_gans import compose
from lightning_gans.evaluation.study import Study, compare_families, expected_best

FAMILIES = ("mm_gan", "ns_gan", "lsgan", "wgan", "wgan_gp", "dragan", "began", "vae")


@functools.cache
def composed(family):
    return compose(f"experiment=lucic_{family}", "data=digits")


def drawn(family="wgan_gp", trial=0, seed=0):
    cfg = copy.deepcopy(composed(family))
    cfg.study.trial, cfg.seed = trial, seed
    return cfg.model


def test_a_draw_is_a_function_of_seed_family_and_trial():
    rates = {
        (family, trial, seed): drawn(family, trial, seed).g_optimizer.lr
        for family, trial, seed in itertools.product(("wgan_gp", "dragan"), range(2), range(2))
    }
    assert len(set(rates.values())) == 8
    assert rates["dragan", 1, 0] == drawn("dragan", 1, 0).g_optimizer.lr


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_fill_their_ranges(family):
    """Every family has a rate, and what else it has; both players learn at one rate."""
    trials = [drawn(family, trial) for trial in range(24)]
    rates = [model.g_optimizer.lr for model in trials]
    assert 1e-5 <= min(rates) < 1e-4
    assert 1e-3 < max(rates) <= 1e-2
    assert all(model.d_optimizer.lr == model.g_optimizer.lr for model in trials if family != "vae")
    if family != "wgan":
        betas = [model.g_optimizer.betas[0] for model in trials]
        assert 0 <= min(betas) < 0.25
        assert 0.75 < max(betas) < 1
    if family in ("wgan_gp", "dragan"):
        weights = [model.penalty.weight for model in trials]
        assert 0.1 <= min(weights) < 1
        assert 10 < max(weights) <= 100
    if family not in ("began", "vae"):
        assert {model.n_critic for model in trials} == {1, 5}
    if family in ("mm_gan", "ns_gan", "lsgan", "wgan"):
        assert {model.discriminator.norm for model in trials} == {"batch", None}


def test_what_is_not_there_is_not_drawn():
    with pytest.raises(ValueError, match="has no 'rate' to draw, only lr, beta1"):
        compose("experiment=lucic_vae", "data=digits", "model.g_optimizer.lr='${draw:rate}'").model.g_optimizer.lr  # noqa: B018


def test_the_expected_best_is_the_mean_over_all_choices():
    scores = [5.0, 1.0, 4.0, 2.5, 9.0]
    for k in range(1, 6):
        choices = list(itertools.combinations(scores, k))
        assert expected_best(scores, k) == pytest.approx(statistics.mean(map(min, choices)))


def test_families_are_compared_from_the_best_down():
    table = compare_families(Study("fd", {"a": [4.0, 6.0], "b": [3.0], "c": []}, {"a": 0, "b": 1, "c": 2}))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert rows[0] == ["b", "2", "1", "3", "3 ± 0", "3", "3"]
    assert rows[1] == ["a", "2", "0", "4", "5 ± 1.41", "5", "5"]
    assert rows[2] == ["c", "2", "2", "", "", "", ""]


def test_a_report_compares_the_trials_of_a_study(tmp_path, monkeypatch, capsys):
    scores = {("wgan", 0): 4.0, ("wgan", 1): 8.0, ("vae", 0): 5.0, ("vae", 1): None}
    for (family, trial), score in scores.items():
        folder = tmp_path / "study" / f"{family}_{trial}"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump({"study": {"family": family, "trial": trial}}))
        if score is not None:
            (folder / "scores").mkdir()
            cards = {100: score + 3, 200: score}
            for step, value in cards.items():
                card = {"scores": {"fd_digits": value}, "step": step, "n": 9, "n_real": 9}
                (folder / "scores" / f"step-{step:06d}.json").write_text(json.dumps(card))
    arguments = [f"run={tmp_path / 'study'}", f"out={tmp_path / 'out'}"]
    assert command_here("lightning_gans.report", *arguments, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    told = capsys.readouterr().out
    assert "| wgan | 2 | 0 | 4 | 6 ± 2.83 | 6 | 6 |" in told
    assert "| vae | 2 | 1 | 5 | 5 ± 0 | 5 | 5 |" in told
    assert "6 ± 2.83" in (tmp_path / "out" / "report.md").read_text()
    pytest.importorskip("matplotlib")
    assert (tmp_path / "out" / "study.png").stat().st_size > 1000
    assert (tmp_path / "out" / "index.html").read_text().count("<img") == 2


def test_a_sweep_trains_the_trials(tmp_path, monkeypatch, capsys):
    """Two families, two trials each, tiny."""
    options = [option for option in tiny() if not option.startswith(("model=", "data=", "model.", "tuned"))]
    options += ["trainer.max_steps=1", "model.batch_size=4", "data.limit=20", "hydra.sweep.dir=sweep", "tuned=none"]
    options += ["experiment=lucic_ns_gan,lucic_vae", "study.trial=range(2)", "model.generator.base_channels=4"]
    made = command_here(
        "lightning_gans.train", "-m", "sweep=lucic", "data=digits", *options, cwd=tmp_path, monkeypatch=monkeypatch
    )
    assert made == 0, capsys.readouterr()
    told = capsys.readouterr().out
    assert "sweep of 4 jobs" in told
    configs = [yaml.safe_load(path.read_text()) for path in sorted(tmp_path.glob("sweep/*/config.yaml"))]
    trials = sorted((cfg["study"]["family"], cfg["study"]["trial"]) for cfg in configs)
    assert trials == [(family, trial) for family in ("ns_gan", "vae") for trial in (0, 1)]
    rates = {cfg["model"]["g_optimizer"]["lr"] for cfg in configs}
    assert rates == {drawn(family, trial).g_optimizer.lr for family, trial in trials}

"""Scores of tables: SDMetrics' figures, closed forms, and what a perfect and a useless generator get."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from lightning_gans.tables import models, scores
from lightning_gans.tables.embedded import census
from lightning_gans.tables.fitting import fit_table

STORED = json.loads((Path(__file__).parent / "sdmetrics.json").read_text())


def sides(pair):
    kinds = {"x": float, "y": float, "a": object, "b": object}
    return [{name: np.array(pair[side][name], dtype=kind) for name, kind in kinds.items()} for side in ("real", "fake")]


def pair_of(side, *names):
    return np.stack([side[name] if side[name].dtype == object else scores.binned(side[name]) for name in names], 1)


@pytest.mark.parametrize("pair", STORED["pairs"])
def test_figures_are_those_of_sdmetrics(pair):
    """Of single columns, of pairs with and without thresholds, and of its report; to 1e-9."""
    real, fake = sides(pair)
    numbers = [np.stack([side["x"], side["y"]], 1) for side in (real, fake)]
    levels = [pair_of(side, "a", "b") for side in (real, fake)]
    found = {f"ks_{name}": scores.ks_similarity(real[name], fake[name]) for name in "xy"}
    found |= {f"tv_{name}": scores.tv_similarity(real[name], fake[name]) for name in "ab"}
    found["Column Shapes"] = np.mean(list(found.values()))
    found["pair_x_y"] = found["correlation"] = scores.correlation_similarity(*numbers)
    found["pair_a_b"] = found["contingency"] = scores.contingency_similarity(*levels)
    for x in "xy":
        for a in "ab":
            found[f"pair_{x}_{a}"] = scores.contingency_similarity(pair_of(real, x, a), pair_of(fake, x, a))
    found["Column Pair Trends"] = np.mean([value for key, value in found.items() if key.startswith("pair_")])
    found["correlation_above_0.9"] = scores.correlation_similarity(*numbers, threshold=0.9)
    for threshold in (0.3, 0.8):
        found[f"contingency_above_{threshold}"] = scores.contingency_similarity(*levels, threshold=threshold)
    assert found.keys() == pair["scores"].keys()
    for key, value in pair["scores"].items():
        assert found[key] == pytest.approx(math.nan if value is None else value, abs=1e-9, nan_ok=True), key
    assert STORED["sdmetrics"] == "0.32.0"


def test_closed_forms():
    nan = math.nan
    assert scores.ks_similarity(np.array([0.0, 1, 2, 3]), np.array([2.0, 3, 4, nan])) == pytest.approx(0.5)
    assert math.isnan(scores.ks_similarity(np.array([nan]), np.array([1.0])))
    assert scores.tv_similarity(np.array(["a", "b", None, None]), np.array(["a", "a"])) == pytest.approx(0.25)
    square = np.array([[0, 0], [1, 1], [0, 0], [1, 1]])
    assert scores.cramers_v(square) == pytest.approx(1)
    assert scores.cramers_v(np.array([[0, 0], [0, 1], [1, 0], [1, 1]])) == 0
    assert scores.cramers_v(np.array([[0, 0], [0, 1]])) == 0
    line = np.array([[0.0, 0], [1, 1], [2, 2]])
    assert scores.correlation_similarity(line, line * [1, -1]) == pytest.approx(0)
    assert math.isnan(scores.correlation_similarity(line, np.ones((3, 2))))
    assert scores.quantile_variation(np.arange(100.0), np.arange(100.0)) == 0
    assert scores.quantile_variation(np.arange(100.0), np.full(100, 200.0)) == pytest.approx(0.95)
    assert scores.mean_of([1.0, nan, 0.0]) == 0.5
    assert math.isnan(scores.mean_of([nan]))


@pytest.fixture(scope="module")
def people():
    """A table and its rows, those of another draw, and both with columns shuffled apart."""
    raw = census(1500)
    table = fit_table(raw, max_modes=3, types={"employed_since": "date"})
    other = census(1500, seed=1)
    values = [table.values(table.encode(one.take(range(1200)))) for one in (raw,)]
    clipped = other.take([i for i in range(1500) if float(other.column("income")[i]) < 1e9])
    known = [
        i for i in range(len(clipped)) if all(clipped.column(c.name)[i] in c.levels for c in table.encoded if c.levels)
    ]
    values.append(table.values(table.encode(clipped.take(known[:1200]))))
    return table, *values


def test_another_draw_is_not_told_from_the_first_and_shuffled_columns_are(people):
    table, real, other = people
    for learner in ("linear", "boosting"):
        assert abs(models.detection_auc(table, real, other, learner=learner) - 0.5) < 0.06
    shuffled = models.independent(real)
    assert models.detection_auc(table, real, shuffled, learner="boosting") > 0.75
    assert np.allclose(np.nanmean(shuffled, 0), np.nanmean(real, 0))


def test_a_column_is_predicted_by_real_rows_and_not_by_shuffled_ones(people):
    table, real, other = people
    names = [column.name for column in table.encoded]
    for target in ("job", "income"):
        place = names.index(target)
        good = models.predicted(table, real, other, place, learner="boosting")
        bad = models.predicted(table, models.independent(real), other, place, learner="boosting")
        assert good > bad + 0.2, target
    constant = real.copy()
    constant[:, names.index("sex")] = 0
    assert models.predicted(table, constant, other, names.index("sex"), learner="linear") == 0


def test_copies_are_closer_to_what_they_copy(people):
    table, real, other = people
    assert models.closest(table, real[:50], real).max() < 1e-9
    assert models.closest(table, other[:50], real).min() > 0
    one, two = real[:1].copy(), real[:1].copy()
    sex = [column.name for column in table.encoded].index("sex")
    two[0, sex] = 1 - two[0, sex]
    assert models.closest(table, one, two)[0] == pytest.approx(1)

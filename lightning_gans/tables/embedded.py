"""Provide tables that need no file: those that scikit-learn embeds, and a made one with known dependencies."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lightning_gans.runtime.seeding import derive_seed
from lightning_gans.tables.reading import Cell, RawTable

Embedded = Literal["census", "iris", "wine", "breast_cancer", "diabetes"]
_REGIONS, _SCHOOLING = ("north", "east", "south", "west"), ("none", "school", "college", "university")
_JOBS = ("farm", "office", "trade", "lab")


def embedded_table(name: Embedded, *, n: int = 5000, seed: int = 0) -> RawTable:
    """Return a table by its name.

    Args:
        name: ``census`` (see ``census``), or one of scikit-learn's, whose last column is the target.
        n: Rows of the made one.
        seed: Of the made one.
    """
    if name == "census":
        return census(n, seed)
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    classes = getattr(found, "target_names", None)
    target: list[Cell] = (
        [repr(y.item()) for y in found.target] if classes is None else [str(classes[y]) for y in found.target]
    )
    columns: list[list[Cell]] = [[repr(value) for value in column.tolist()] for column in np.asarray(found.data).T]
    return RawTable((*map(str, found.feature_names), "target"), (*columns, target))


def census(n: int = 5000, seed: int = 0) -> RawTable:
    """Make a table like a census, of every type of column.

    Schooling depends on the region, the job and the income on schooling, marriage and the number of children on age;
    four of five people have no capital, and an age in ten is missing, more often in the south. Drawn by the seed.

    Args:
        n: Rows.
        seed: Of the draw.
    """
    rng = np.random.default_rng(derive_seed("census", seed))
    age = np.clip(rng.gamma(9.0, 4.7, n).round(), 17, 90).astype(int)
    female = rng.random(n) < 0.52
    region = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    schooling = np.clip(rng.binomial(3, np.array([0.35, 0.5, 0.3, 0.7])[region]), 0, 3)
    job = np.where(rng.random(n) < 0.7, schooling, rng.choice(4, n))
    married = rng.random(n) < 1 / (1 + np.exp(-(age - 30) / 6))
    children = rng.poisson(np.where(married, 1.6, 0.2))
    income = np.exp(rng.normal(9.6 + 0.35 * schooling + 0.008 * age - 0.1 * female, 0.35))
    capital = np.where(rng.random(n) < 0.8, 0, np.exp(rng.normal(8, 1.2, n)).round()).astype(int)
    days = np.datetime64("2024-12-31") - (rng.random(n) * 365 * np.minimum(age - 16, 30)).astype(int)
    lacking = rng.random(n) < np.array([0.05, 0.1, 0.25, 0.1])[region]
    text: dict[str, list[Cell]] = {
        "person_id": [f"P{i:06d}" for i in range(n)],
        "age": [None if gone else str(one) for one, gone in zip(age, lacking, strict=True)],
        "sex": [("M", "F")[one] for one in female.astype(int)],
        "region": [_REGIONS[one] for one in region],
        "schooling": [_SCHOOLING[one] for one in schooling],
        "job": [_JOBS[one] for one in job],
        "married": [("no", "yes")[one] for one in married.astype(int)],
        "children": [str(one) for one in children],
        "income": [f"{one:.2f}" for one in income],
        "capital": [str(one) for one in capital],
        "employed_since": [str(one) for one in days],
        "country": ["Erewhon"] * n,
    }
    return RawTable(tuple(text), tuple(text.values()))

"""Write SDMetrics' figures of small pairs of tables to tests/tables/sdmetrics.json.

Run in an environment of its own: python -m venv ENV && ENV/bin/pip install sdmetrics && ENV/bin/python
benchmarks/sdmetrics_parity.py. It needs nothing of this package.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import sdmetrics
from sdmetrics.column_pairs import ContingencySimilarity, CorrelationSimilarity
from sdmetrics.reports.single_table import QualityReport
from sdmetrics.single_column import KSComplement, TVComplement

warnings.simplefilter("ignore")


def table(rng, n, shift):
    """Two numbers that depend on each other, one with gaps, and two columns of levels."""
    x = rng.normal(shift, 1, n).round(3)
    y = (0.8 * x + rng.normal(0, 0.5 + shift, n)).round(3)
    y[rng.random(n) < 0.1] = np.nan
    a = rng.choice(["p", "q", "r"], n, p=[0.6 - shift / 4, 0.3, 0.1 + shift / 4])
    b = np.where(rng.random(n) < 0.7 - shift / 2, a, rng.choice(["p", "q", "s"], n))
    return pd.DataFrame({"x": x, "y": y, "a": a, "b": b})


def plain(values):
    """JSON without NaN."""
    return [None if value != value else value for value in values]


def figures(real, fake):
    """Scores of single columns, of pairs, and of the report."""
    found = {f"ks_{name}": KSComplement.compute(real[name], fake[name]) for name in ("x", "y")}
    found |= {f"tv_{name}": TVComplement.compute(real[name], fake[name]) for name in ("a", "b")}
    numbers, levels = ["x", "y"], ["a", "b"]
    found["correlation"] = CorrelationSimilarity.compute(real[numbers], fake[numbers])
    found["contingency"] = ContingencySimilarity.compute(real[levels], fake[levels])
    found["correlation_above_0.9"] = CorrelationSimilarity.compute(
        real[numbers], fake[numbers], real_correlation_threshold=0.9
    )
    for threshold in (0.3, 0.8):
        found[f"contingency_above_{threshold}"] = ContingencySimilarity.compute(
            real[levels], fake[levels], real_association_threshold=threshold
        )
    kinds = {"x": "numerical", "y": "numerical", "a": "categorical", "b": "categorical"}
    report = QualityReport()
    metadata = {"columns": {name: {"sdtype": kind} for name, kind in kinds.items()}}
    report.generate(real, fake, metadata, verbose=False)
    for row in report.get_details("Column Pair Trends").to_dict("records"):
        found[f"pair_{row['Column 1']}_{row['Column 2']}"] = row["Score"]
    scores = dict(report.get_properties().values)
    return {key: float(value) for key, value in {**found, **scores}.items()}


def main():
    """Write three pairs with their figures."""
    pairs = []
    for seed, shift in enumerate((0.0, 0.2, 0.6)):
        rng = np.random.default_rng(seed)
        real, fake = table(rng, 60, 0.0), table(rng, 45, shift)
        sides = [{name: plain(side[name].tolist()) for name in side} for side in (real, fake)]
        scores = {key: None if value != value else value for key, value in figures(real, fake).items()}
        pairs.append({"real": sides[0], "fake": sides[1], "scores": scores})
    content = {"sdmetrics": sdmetrics.__version__, "pandas": pd.__version__, "pairs": pairs}
    path = Path(__file__).resolve().parent.parent / "tests" / "tables" / "sdmetrics.json"
    path.write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()

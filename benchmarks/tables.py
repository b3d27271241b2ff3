"""Train CTGAN on tables and print how near its rows are to real ones, by seed.

python benchmarks/tables.py OUT churn.csv:churn diamonds.csv:cut iris:target [key=value ...] [--seeds 0 1 2]

A table is a file, or the name of an embedded one, and the column that boosted trees predict. A fifth of the rows is
held out. Lines of OUT/results.jsonl are kept, and runs that stand there are not repeated.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from lightning_gans import build, compose
from lightning_gans.evaluation.evaluator import Evaluator
from lightning_gans.images.files import save
from lightning_gans.metrics.table import ClosestRecord, ColumnShapes, Detection, PairTrends, TrainTest

MOST = 10_000  # rows generated and compared
SCORES = (
    *("column_tv", "column_shapes", "pair_trends", "tstr", "trtr", "tstr_floor", "tstr_share"),
    *("detection", "detection_linear", "detection_real", "closer_to_train", "copies", "copies_real"),
)


def options_of(root):
    """Return the options of a table: a file's, or an embedded one's."""
    return ["data=table", f"data.root={root}"] if Path(root).is_file() else ["data=embedded_table", f"data.name={root}"]


def result(out, root, target, seed, options):
    """Train and score once."""
    torch.set_num_threads(1)
    given = [*options_of(root), "data.val_fraction=0.2", f"seed={seed}", "trainer.accelerator=cpu", "callbacks=none"]
    family = [] if any(option.startswith("model=") for option in options) else ["model=ctgan"]
    cfg = compose(*family, *given, "trainer.enable_progress_bar=false", *options)
    started, clock = time.process_time(), time.perf_counter()
    run = build(cfg, out / f"{Path(root).stem}_{seed}")
    run.data.setup("fit")
    fitted = time.process_time()
    run.fit()
    trained = time.process_time()
    metrics = [ColumnShapes(), PairTrends(), Detection(), TrainTest(target=target), ClosestRecord()]
    n = min(MOST, len(run.data.train_images))
    run.model.eval()
    made = Evaluator(None, n=MOST, n_real=n, metrics=metrics, seed=seed, batch_size=1000, cache=None)
    card = made(run.model, run.data)
    about = {"table": Path(root).stem, "target": target, "seed": seed, "rows": len(run.data.train_images)}
    about |= {"model": type(run.model).__name__, "options": options, "steps": run.model.iteration, "n": MOST}
    about |= {"fit_s": round(fitted - started, 1), "train_s": round(trained - fitted, 1)}
    about |= {"wall_s": round(time.perf_counter() - clock, 1), **{key: card["scores"][key] for key in SCORES}}
    path = out / "marginals" / f"{Path(root).stem}_{seed}.png"
    save(run.model.preview(run.data), path, "overview")
    return about


def main():
    """Run what is missing and print a line for every table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments, options = parser.parse_known_args()
    tables = [table for table in arguments.tables if "=" not in table]
    options += [table for table in arguments.tables if "=" in table]
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "results.jsonl"
    known = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    for seed in arguments.seeds:
        for table in tables:
            root, _, target = table.rpartition(":")
            same = {"table": Path(root).stem, "target": target, "seed": seed, "options": options}
            if any(all(one[key] == value for key, value in same.items()) for one in known):
                continue
            known.append(result(arguments.out, root, target, seed, options))
            with path.open("a") as file:
                file.write(json.dumps(known[-1]) + "\n")
            print(json.dumps(known[-1]), flush=True)
    for table in tables:
        runs = [
            one for one in known if one["table"] == Path(table.rpartition(":")[0]).stem and one["options"] == options
        ]
        means = {key: sum(one[key] for one in runs) / len(runs) for key in (*SCORES, "fit_s", "train_s")}
        print(f"| {table} | {len(runs)} seeds | " + " | ".join(f"{key} {value:.3f}" for key, value in means.items()))


if __name__ == "__main__":
    main()

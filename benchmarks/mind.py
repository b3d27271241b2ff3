"""Whether MIND at few samples orders a run's checkpoints as the Frechet distance at many does.

    python benchmarks/mind.py RUN [--few 2000] [--many 10000] [--seed 0]

RUN is the folder of a training that kept its checkpoints (``callbacks.checkpoint.keep=null``). Prints a row a
checkpoint: MIND and the Frechet distance of ``few`` samples, the Frechet distance of ``many``, all in the features that
the training's scores have, against all training images; then Spearman's rank correlation of either with the last.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torchmetrics.functional.regression import spearman_corrcoef

from lightning_gans.checkpoints import files, load
from lightning_gans.evaluation.evaluator import Evaluator


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--few", type=int, default=2000)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    paths = sorted((given.run / "checkpoints").glob("step-*.ckpt"))
    if len(paths) < 2:
        raise SystemExit(f"{given.run}: {len(paths)} checkpoints; train with callbacks.checkpoint.keep=null")
    content = files.read(paths[0])
    data = load.real_data(content)
    extractor = load.extractor_of(content, data)()
    rows = []
    print("| checkpoint | MIND, few | Frechet, few | Frechet, many |\n|---|---|---|---|", flush=True)
    for path in paths:
        module = load.rebuild(files.read(path))
        module.prepare_sampling()
        found = []
        for metrics, n in ((["mind", "frechet"], given.few), (["frechet"], given.many)):
            scores = Evaluator(extractor, n=n, metrics=metrics, seed=given.seed)(module, data)["scores"]
            mind = [value for key, value in scores.items() if key.startswith("mind")]
            found += [*mind, *(value for key, value in scores.items() if not key.startswith("mind"))]
        rows.append(found)
        print(f"| {path.stem} | " + " | ".join(f"{value:.2f}" for value in found) + " |", flush=True)
    mind, few, many = torch.tensor(rows, dtype=torch.float64).unbind(1)
    print(f"rank correlation with Frechet, many: MIND {spearman_corrcoef(mind, many):.3f}, ", end="")
    print(f"Frechet, few {spearman_corrcoef(few, many):.3f}")


if __name__ == "__main__":
    main()

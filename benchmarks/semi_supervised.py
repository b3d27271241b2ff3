"""The accuracy of a classifier of a hundred labelled digits, with a GAN on the unlabelled ones and without.

    python benchmarks/semi_supervised.py [--seeds 5] [option ...]

Both columns train ``model=semi_supervised data=digits``: for a seed the same network, labelled digits, held-out fifth
and updates. ``alone`` leaves out all but the cross entropy (``model.unsupervised_weight=0``). The accuracy is that at
the end, on the held-out digits.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import torch

from lightning_gans import build, compose


def accuracy(*options: str) -> float:
    """Train once; return the accuracy at the end."""
    fixed = ["model=semi_supervised", "data=digits", "logger=none", "callbacks.samples=null"]
    fixed += ["callbacks.evaluation=null", "trainer.enable_progress_bar=false"]
    with tempfile.TemporaryDirectory() as folder:
        run = build(compose(*fixed, *options), folder)
        run.fit()
        return run.model.test.history[run.model.iteration]


def main() -> None:
    """Print a row a seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("options", nargs="*", help="as of train")
    given = parser.parse_args()
    print("| seed | alone | with the GAN | minutes |\n|---|---|---|---|", flush=True)
    rows = []
    for seed in range(given.seeds):
        started = time.process_time()
        both = [accuracy(f"seed={seed}", *extra, *given.options) for extra in (["model.unsupervised_weight=0"], [])]
        rows.append(torch.tensor(both))
        minutes = (time.process_time() - started) / 60
        print(f"| {seed} | {both[0]:.3f} | {both[1]:.3f} | {minutes:.1f} |", flush=True)
    print("| mean | " + " | ".join(f"{value:.3f}" for value in torch.stack(rows).mean(0)) + " | |")


if __name__ == "__main__":
    main()

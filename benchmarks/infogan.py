"""How well InfoGAN's categories, learnt without labels, agree with the digits' classes.

    python benchmarks/infogan.py [--seeds 5] [option ...]

Trains ``model=infogan data=digits`` for each seed, a fifth of the digits held out. ``held out`` is the share of these
digits whose likeliest category under Q is assigned to their class; ``samples`` the share of 2,000 samples that the
shipped digits network puts into the class which their code is assigned to; ``I`` the bound of I(c; x) in nats, ln 10 =
2.303 at most. The assignment is the best one of categories to classes, one to one, made for each column. Minutes are
of processor time, start and scores included.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import torch

from lightning_gans import build, compose
from lightning_gans.evaluation.codes import best_assignment
from lightning_gans.extractors.digits import DigitsExtractor
from lightning_gans.images.pixels import to_uint8

SAMPLES = 2000


def measure(seed: int, options: list[str]) -> tuple[float, float, float, float]:
    """Train once; return the two shares, the information and the minutes."""
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = build(compose("model=infogan", "data=digits", "data.val_fraction=0.2", f"seed={seed}", *options), folder)
        run.fit()
        module, data = run.model, run.data
        batch = data.examples(range(data.n_examples))
        held_out = best_assignment(module.recognise(batch["image"])[0][:, 0], batch["label"])
        codes = module.sampling_inputs(range(SAMPLES), 0)[1][:, 0]
        judged = DigitsExtractor()(to_uint8(module.sample(SAMPLES))).logits.argmax(1)
        nats = float(module.extra_logs()["information_categorical"])
    minutes = (time.process_time() - started) / 60
    return held_out.accuracy, best_assignment(codes, judged).accuracy, nats, minutes


def main() -> None:
    """Print a row a seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("options", nargs="*", help="as of train")
    given = parser.parse_args()
    quiet = ["logger=none", "callbacks.samples=null", "callbacks.evaluation=null", "trainer.enable_progress_bar=false"]
    print("| seed | held out | samples | I | minutes |\n|---|---|---|---|---|", flush=True)
    rows = []
    for seed in range(given.seeds):
        rows.append(torch.tensor(measure(seed, [*quiet, *given.options])))
        print(
            f"| {seed} | " + " | ".join(f"{value:.3f}" for value in rows[-1][:3]) + f" | {rows[-1][3]:.1f} |",
            flush=True,
        )
    print("| mean | " + " | ".join(f"{value:.3f}" for value in torch.stack(rows).mean(0)[:3]) + " | |")


if __name__ == "__main__":
    main()

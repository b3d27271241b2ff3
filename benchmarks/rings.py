"""How many of the ring's eight modes an objective covers, over seeds.

    python benchmarks/rings.py [--experiments ring_nonsaturating ...] [--seeds 0 1 2 3 4] [-- option ...]

Trains ``experiment=...`` for each seed, without pictures, and scores its 2,500 samples once, at the end: the modes
covered, the share of samples of high quality, KL(samples || real) over the modes, the exact Wasserstein distance. Then
the last losses: where the discriminator wins the minimax game, the generator's is log(1 - s(D)), close to 0. Seconds
are of processor time in one thread, the score included.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

from lightning_gans import build, compose
from lightning_gans.callbacks.evaluation import Evaluation

RINGS = [f"ring_{name}" for name in ("nonsaturating", "r3gan", "wgan_gp", "dragan", "saturating", "unstable")]
SCORES = ("covered_modes", "high_quality", "mixture_kl", "wasserstein")
QUIET = [
    *("logger=none", "callbacks.plane=null", "callbacks.checkpoint=null", "callbacks.progress=null"),
    *("trainer.enable_progress_bar=false", "callbacks.evaluation.every_n_train_steps=1000000"),
]


def measure(experiment: str, seed: int, options: list[str]) -> list[float]:
    """Train once; return the scores, the generator's and the discriminator's last loss, and processor seconds."""
    with tempfile.TemporaryDirectory() as folder:
        run = build(compose(f"experiment={experiment}", f"seed={seed}", *QUIET, *options), folder)
        started = time.process_time()
        run.fit()
        seconds = time.process_time() - started
    scores = next(callback.card for callback in run.trainer.callbacks if isinstance(callback, Evaluation))["scores"]
    losses = [sum(float(v) for k, v in run.model.terms.items() if k.startswith(player)) for player in ("g_", "d_")]
    return [*(scores[f"{score}_points"] for score in SCORES), *losses, seconds]


def row(name: str, values: list[float]) -> str:
    """Write a row of the table."""
    modes, quality, kl, distance, g_loss, d_loss, seconds = values
    return (
        f"| {name} | {modes:g} | {quality:.3f} | {kl:.3f} | {distance:.3f} | {g_loss:.3g} | {d_loss:.3g} "
        f"| {seconds:.0f} |"
    )


def main() -> None:
    """Print a row a seed, and the medians of each experiment."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--experiments", nargs="+", default=RINGS)
    parser.add_argument("--seeds", type=int, nargs="+", default=range(5))
    parser.add_argument("options", nargs="*", help="as of train")
    given = parser.parse_args()
    columns = ("experiment, seed", "modes", "high quality", "KL", "Wasserstein", "loss of G", "of D", "seconds")
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)
    for experiment in given.experiments:
        rows = []
        for seed in given.seeds:
            rows.append(measure(experiment, seed, given.options))
            print(row(f"`{experiment}`, {seed}", rows[-1]), flush=True)
        medians = [statistics.median(column) for column in zip(*rows, strict=True)]
        print(row(f"`{experiment}`, median", medians), flush=True)


if __name__ == "__main__":
    main()

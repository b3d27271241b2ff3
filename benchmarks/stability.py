"""How stable a family is: the share of seeds that end near the median score, and the alarms of the stability guard.

    python benchmarks/stability.py [--models lsgan wgan ...] [--seeds 20] [--first 0] [-- option ...]

Trains each family on ``data=digits`` as its config has it, once for each seed, and scores it at the end. ``near`` is
the share of runs whose score is within 10 % of the median of all; a run that diverges is not. ``alarms`` counts runs in
which the guard raised any: where the runs are healthy these are false ones. Minutes are of processor time, all seeds.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence

from lightning_gans import build, compose
from lightning_gans.callbacks import DivergedError, Evaluation, StabilityGuard

FAST = ("gan", "dcgan", "lsgan", "wgan", "wgan_gp", "dragan", "sngan", "vae")
QUIET = [
    *("logger=none", "callbacks.samples=null", "callbacks.checkpoint=null", "callbacks.progress=null"),
    *("trainer.enable_progress_bar=false", "callbacks.evaluation.every_n_train_steps=1000000"),
    "callbacks.evaluation.metrics=[frechet]",
]


def measure(model: str, seed: int, options: list[str]) -> tuple[float, list[str]]:
    """Train once; return the Frechet distance, infinite of a run that diverged, and the kinds of the alarms raised."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = build(compose(f"model={model}", "data=digits", f"seed={seed}", *QUIET, *options), folder)
        callbacks = {type(callback): callback for callback in run.trainer.callbacks}
        guard = callbacks.get(StabilityGuard)
        try:
            run.fit()
            (score,) = callbacks[Evaluation].card["scores"].values()
        except DivergedError:
            score = math.inf
    return float(score), [alarm.kind for alarm in (guard.alarms if guard else [])]


def near(scores: Sequence[float], share: float = 0.1) -> float:
    """Return the share of scores within so much of their median."""
    middle = statistics.median(scores)
    return sum(abs(score - middle) <= share * middle < math.inf for score in scores) / len(scores)


def main() -> None:
    """Print a row a family."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=FAST)
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("options", nargs="*", help="as of train")
    given = parser.parse_args()
    columns = ("family", "runs", "median", "lowest", "highest", "near", "diverged", "alarms", "minutes")
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)
    for model in given.models:
        started = time.process_time()
        found = [measure(model, seed, given.options) for seed in range(given.first, given.first + given.seeds)]
        scores = [score for score, _ in found]
        kinds = [kind for _, alarms in found for kind in alarms]
        alarmed = sum(bool(alarms) for _, alarms in found)
        values = [f"{value:.2f}" for value in (statistics.median(scores), min(scores), max(scores))]
        told = f"{alarmed} ({', '.join(sorted(set(kinds)))})" if kinds else "0"
        row = [f"`{model}`", str(len(found)), *values, f"{near(scores):.2f}", str(sum(map(math.isinf, scores))), told]
        print("| " + " | ".join([*row, f"{(time.process_time() - started) / 60:.1f}"]) + " |", flush=True)


if __name__ == "__main__":
    main()

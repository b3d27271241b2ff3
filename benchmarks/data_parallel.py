"""Time per step on two processes: our strategy against Lightning's ``ddp_find_unused_parameters_true``.

    python benchmarks/data_parallel.py [--pairs 5] [--steps 30] [--size 32]

Each strategy trains in fresh processes, in turn; the ratio is taken pair by pair.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile

WORKER = """
import sys, time, torch
from lightning.pytorch import Callback
from lightning_gans import build, compose

class Clock(Callback):
    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step == 5:
            self.started = time.perf_counter()
        if trainer.global_step == trainer.max_steps and trainer.is_global_zero:
            print("ms", 1000 * (time.perf_counter() - self.started) / (trainer.max_steps - 5), flush=True)

run = build(compose(*sys.argv[2:]), sys.argv[1])
run.trainer.callbacks.append(Clock())
run.fit()
"""


def measure(strategy: str, steps: int, size: int) -> float:
    """Milliseconds per step."""
    off = [f"callbacks.{name}=null" for name in ("samples", "evaluation", "checkpoint")]
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.join(folder, "worker.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write(WORKER)
        options = [
            f"data.image_size={size}",
            "tuned=none",
            "trainer.enable_progress_bar=false",
            "+trainer.enable_model_summary=false",
            "trainer.accelerator=cpu",
            "trainer.devices=2",
            f"trainer.max_steps={steps + 5}",
            f"trainer.strategy={strategy}",
            *off,
        ]
        made = subprocess.run(
            [sys.executable, script, folder, *options],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
        )
    found = re.search(r"^ms (\S+)", made.stdout, re.MULTILINE)
    if not found:
        raise SystemExit(made.stdout + made.stderr)
    return float(found[1])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--size", type=int, default=32)
    given = parser.parse_args()
    ours, theirs = [], []
    for _ in range(given.pairs):
        ours.append(measure("auto", given.steps, given.size))
        theirs.append(measure("ddp_find_unused_parameters_true", given.steps, given.size))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print("| images | AlternatingDDP ms/step | find_unused ms/step | ratio |\n|---|---|---|---|")
    print(
        f"| {given.size}x{given.size} | {statistics.median(ours):.1f} | {statistics.median(theirs):.1f} | {ratio:.3f} |"
    )


if __name__ == "__main__":
    main()

"""How time and memory grow with resolution, batch, set and processes: small tables of one family on the CPU.

    python benchmarks/growth.py [--steps 6] [--tables resolution batch set processes] [model=dcgan ...]

Each row trains in a process of its own under Lightning's Trainer: processor time of a step and of an image, and the
peak of memory above that of the process before it built anything. ``times`` is the growth against the row before, and
in the second column what the row itself grew by: resolution counts pixels. ``processes`` starts the command with gloo
and takes its clock.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback

from lightning_gans import build, compose
from lightning_gans.data.datasets import InMemoryImages

QUIET = ["data=digits", "tuned=none", "callbacks=none", "logger=none", "trainer.enable_progress_bar=false"]
QUIET += ["trainer.accelerator=cpu", "trainer.precision=32-true"]
VALUES = {"resolution": [16, 32, 64], "batch": [8, 16, 32, 64], "set": [1000, 8000, 64000], "processes": [1, 2, 4]}
BASE = {"resolution": 32, "batch": 16, "set": 1000}


class Clock(Callback):
    """Take the processor time of the steps after the first two."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Start, or stop, the clock."""
        if trainer.global_step == 2:
            self.started = time.process_time()
        self.taken = time.process_time() - getattr(self, "started", 0.0)


def megabytes(key: str) -> float:
    """Return a line of this process's status, ``VmRSS`` or its peak ``VmHWM``, in MB."""
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def train(sizes: dict[str, int], steps: int, options: list[str], answer: Connection) -> None:
    """Train, and send seconds per step and the peak of memory in MB."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here on
    before, size = megabytes("VmRSS"), sizes["resolution"]
    how = [f"data.image_size={size}", f"model.batch_size={sizes['batch']}", f"trainer.max_steps={steps + 2}"]
    with tempfile.TemporaryDirectory() as folder:
        run = build(compose(*QUIET, *how, *options), folder)
        channels = run.data.channels
        run.data._splits = InMemoryImages(torch.zeros(sizes["set"], channels, size, size, dtype=torch.uint8)), None
        clock = Clock()
        run.trainer.callbacks.append(clock)
        run.fit()
    answer.send((clock.taken / steps, megabytes("VmHWM") - before))


def measure(sizes: dict[str, int], steps: int, options: list[str]) -> tuple[float, float]:
    """Return seconds per step and MB of a training in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=train, args=(sizes, steps, options, theirs))
    process.start()
    theirs.close()
    try:
        seconds, memory = ours.recv()
    except EOFError:
        raise SystemExit(f"{sizes}: its process ended without an answer") from None
    finally:
        process.join()
    return seconds, memory


def grows(name: str, steps: int, options: list[str]) -> None:
    """Print the table of one size."""
    print(f"\n| {name} | times | ms per step | times | ms per image | peak, MB | times |\n|{'---|' * 7}")
    before = None
    for value in VALUES[name]:
        seconds, memory = measure({**BASE, name: value}, steps, options)
        batch = value if name == "batch" else BASE["batch"]
        times = ["", "", ""]
        if before is not None:
            factor = value / before[0]
            factors = (factor**2 if name == "resolution" else factor, seconds / before[1], memory / before[2])
            times = [f"{one:.2f}" for one in factors]
        cells = [value, times[0], f"{seconds * 1e3:.0f}", times[1], f"{seconds / batch * 1e3:.1f}", f"{memory:.0f}"]
        print(f"| {' | '.join(map(str, cells))} | {times[2]} |", flush=True)
        before = (value, seconds, memory)


def shared(steps: int, options: list[str]) -> None:
    """Print the table of processes, which share one batch."""
    print("\n| processes | images/s |\n|---|---|")
    for count in VALUES["processes"]:
        how = [f"trainer.devices={count}", f"model.batch_size={BASE['batch']}", f"trainer.max_steps={steps + 2}"]
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "lightning_gans.train", *QUIET, *how, *options, f"hydra.run.dir={folder}"]
            own = {**os.environ, "OMP_NUM_THREADS": "1"}
            made = subprocess.run(command, capture_output=True, text=True, env=own, check=True)
        found = re.search(r"^\s*images/s\s+(\S+)", made.stdout, re.MULTILINE)
        print(f"| {count} | {found[1] if found else made.stdout} |", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--tables", nargs="+", default=list(VALUES), choices=list(VALUES))
    known, options = parser.parse_known_args()
    if not Path("/proc/self/clear_refs").exists():
        parser.error("needs Linux, which counts the memory of a process")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(f"{' '.join(options) or 'model=dcgan'}, one thread, torch {torch.__version__}; otherwise {BASE}")
    for name in known.tables:
        if name == "processes":
            shared(known.steps, options)
        else:
            grows(name, known.steps, options)


if __name__ == "__main__":
    main()

"""What growing saves: time and memory of a ProGAN step at every phase, integrated over the paper's schedule.

    python benchmarks/progan_speed.py [--sizes 64 128] [--fmap-base 512] [--fmap-max 32]
                                      [--batch 16] [--steps 8] [--no-memory]

Every phase is trained under Lightning's Trainer on random images; the median step counts. On a CPU it is one thread's
processor time, which other programs do not move; on a GPU it is the clock. Training at full resolution from the start
costs what the last phase costs. The widths are a sixteenth of the paper's. Memory is the peak of a process of its own
above what it holds before its first step.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from lightning.pytorch import Callback

from lightning_gans import build, compose
from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.schedules.training_schedule import Phase
from lightning_gans.training.run import Run

WARMUP = 2  # steps of a phase that do not count
KIMG = 800.0  # the paper's, of a fade and of the training after it


class Clock(Callback):
    """Seconds of every step, by phase."""

    def __init__(self) -> None:
        self.seconds: dict[Phase, list[float]] = {}
        self._since = 0.0

    def _now(self) -> float:
        if not torch.cuda.is_available():
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def on_train_batch_start(self, *_) -> None:
        self._since = self._now()

    def on_train_batch_end(self, trainer, pl_module, *_) -> None:
        phase = pl_module.schedule.phase(pl_module.iteration - 1)
        self.seconds.setdefault(phase, []).append(self._now() - self._since)


def make(size: int, widths: tuple[int, int], batch: int, folder: str, steps: int, *options: str) -> Run:
    """A run on random images whose phases take ``steps`` each."""
    kimg = steps * batch / 1000
    cfg = compose(
        "model=progan",
        "data=digits",
        "tuned=none",
        "logger=none",
        "trainer.enable_progress_bar=false",
        "+trainer.enable_model_summary=false",
        *[f"callbacks.{name}=null" for name in ("samples", "evaluation", "checkpoint")],
        f"data.image_size={size}",
        "data.channels=3",
        f"model.batch_size={batch}",
        f"model.growth.fade_kimg={kimg}",
        f"model.growth.stabilise_kimg={kimg}",
        *[f"model.{network}.fmap_base={widths[0]}" for network in ("generator", "discriminator")],
        *[f"model.{network}.fmap_max={widths[1]}" for network in ("generator", "discriminator")],
        *options,
    )
    run = build(cfg, folder)
    run.data._parts = InMemoryImages(torch.randint(0, 256, (256, 3, size, size), dtype=torch.uint8)), None
    return run


def speeds(size: int, widths: tuple[int, int], batch: int, steps: int) -> dict[Phase, float]:
    """Images per second of every phase."""
    with tempfile.TemporaryDirectory() as folder:
        phases = 2 * (size.bit_length() - 3) + 1
        run = make(size, widths, batch, folder, steps, f"trainer.max_steps={phases * steps}")
        clock = Clock()
        run.trainer.callbacks.append(clock)
        run.fit()
    return {phase: batch / statistics.median(times[WARMUP:]) for phase, times in clock.seconds.items()}


def peak(size: int, resolution: int, widths: tuple[int, int], batch: int) -> int:
    """Bytes that two steps at ``resolution`` need above the networks and the data."""
    with tempfile.TemporaryDirectory() as folder:
        options = [f"model.growth.start={resolution}", "trainer.max_steps=2"]
        run = make(size, widths, batch, folder, 100, *options)
        if torch.cuda.is_available():
            run.fit()
            weights = sum(t.numel() * t.element_size() for t in [*run.model.parameters(), *run.model.buffers()])
            return torch.cuda.max_memory_allocated() - weights
        run.data.train_images.resized(resolution)  # made before, and not by the step
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak is counted from here on
        before = _status("VmRSS")
        run.fit()
        return max(0, _status("VmHWM") - before)


def _status(key: str) -> int:
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    return int(found[1]) * 1024 if found else 0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--fmap-base", type=int, default=512)
    parser.add_argument("--fmap-max", type=int, default=32)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--peak", nargs=2, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    widths = given.fmap_base, given.fmap_max
    warnings.simplefilter("ignore")
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    if given.peak:
        print("PEAK", peak(*given.peak, widths, given.batch))
        return
    print(f"fmap_base {widths[0]}, fmap_max {widths[1]}, batch {given.batch}, {KIMG:.0f} kimg a fade and a stay\n")
    for size in given.sizes:
        found = speeds(size, widths, given.batch, given.steps)
        whole = found[list(found)[-1]]
        print(f"| to {size}x{size} | images/s | against full resolution |\n|---|---|---|")
        for phase, speed in found.items():
            print(
                f"| {phase.resolution}{', fading in' * phase.fading} | {speed:.1f} | {speed / whole:.2f} |", flush=True
            )
        images = len(found) * KIMG * 1000
        hours = sum(KIMG * 1000 / speed for speed in found.values()) / 3600
        alone = images / whole / 3600
        print(f"\n{images / 1e6:.1f} million images: {hours:.1f} h growing, {alone:.1f} h at {size}x{size} throughout:")
        print(f"{alone / hours:.2f} times as fast\n", flush=True)
    if given.no_memory:
        return
    size = given.sizes[-1]
    print(f"| resolution of {size} | peak above networks and data, MB |\n|---|---|")
    for resolution in (4 << k for k in range(size.bit_length() - 2)):
        command = [sys.executable, __file__, "--peak", str(size), str(resolution)]
        command += ["--fmap-base", str(widths[0]), "--fmap-max", str(widths[1]), "--batch", str(given.batch)]
        made = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"| {resolution} | {int(made.stdout.split('PEAK')[1]) / 2**20:.0f} |", flush=True)


if __name__ == "__main__":
    main()

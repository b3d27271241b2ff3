"""Images per second of our DCGAN step with each speed option.

    python benchmarks/throughput.py [--steps 20] [--sizes 32x1 64x3] [--compile]

Every option set is trained under Lightning's Trainer in turn, twice; the better of the two counts.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
import warnings

import torch
from lightning.pytorch import Callback

from lightning_gans import build, compose
from lightning_gans.data.datasets import InMemoryImages

BATCH = 64


class Clock(Callback):
    """Times the steps after the first few."""

    def __init__(self, warmup: int) -> None:
        self.warmup, self.started, self.seconds = warmup, 0.0, 0.0

    def on_train_batch_end(self, trainer, pl_module, *_) -> None:
        if trainer.global_step in (self.warmup, trainer.max_steps):
            if pl_module.device.type == "cuda":
                torch.cuda.synchronize()
            self.seconds = time.perf_counter() - self.started
            self.started = time.perf_counter()


def speed(size: int, channels: int, steps: int, *options: str) -> float:
    """Images per second."""
    warmup = 5
    cfg = compose(
        "data=digits",
        "tuned=none",
        "trainer.enable_progress_bar=false",
        "+trainer.enable_model_summary=false",
        f"data.image_size={size}",
        f"data.channels={channels}",
        f"model.batch_size={BATCH}",
        f"trainer.max_steps={warmup + steps}",
        *[f"callbacks.{name}=null" for name in ("samples", "evaluation", "checkpoint")],
        *options,
    )
    with tempfile.TemporaryDirectory() as folder:
        run = build(cfg, folder)
        images = torch.randint(0, 256, (2000, channels, size, size), dtype=torch.uint8)
        run.data._splits = InMemoryImages(images), None
        clock = Clock(warmup)
        run.trainer.callbacks.append(clock)
        run.fit()
    return steps * BATCH / clock.seconds


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--sizes", nargs="+", default=["32x1", "64x3"])
    parser.add_argument("--compile", action="store_true", help="also with torch.compile (minutes)")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    devices = ["cpu", *(["gpu"] if torch.cuda.is_available() else [])]
    grid = [(p, c, False) for p, c in itertools.product(("32-true", "bf16-mixed"), ("false", "true"))]
    if given.compile:
        grid += [("32-true", "true", True), ("bf16-mixed", "true", True)]
    print(f"batch {BATCH}, {torch.get_num_threads()} threads, torch {torch.__version__}, images/s\n")
    print("| device | images | precision | channels-last | compile | images/s | against the first |\n|" + "---|" * 7)
    for device, size in itertools.product(devices, given.sizes):
        pixels, channels = map(int, size.split("x"))
        first = None
        for precision, channels_last, compiled in grid:
            options = [
                f"trainer.accelerator={device}",
                f"trainer.precision={precision}",
                f"model.channels_last={channels_last}",
                f"model.compile={str(compiled).lower()}",
            ]
            best = max(speed(pixels, channels, given.steps, *options) for _ in range(2))
            first = first or best
            row = [device, f"{pixels}x{pixels}x{channels}", precision, channels_last, str(compiled).lower()]
            print(f"| {' | '.join(row)} | {best:.0f} | {best / first:.2f} |", flush=True)


if __name__ == "__main__":
    main()

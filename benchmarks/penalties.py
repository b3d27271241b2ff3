"""What a penalty costs: the time of a training step over that of a step without one, and scores on the digits.

    python benchmarks/penalties.py [key=value ...] [--turns 7] [--steps 2] [--device cpu]
    python benchmarks/penalties.py [key=value ...] --scores 0 1 2 [--penalties r1_r2 ...]

A step is an update of both players in full precision: losses, backward passes, Adam. The kinds take turns on one
machine, a few steps each; ratios are medians over turns, of processor time on a CPU. ``lazy_r1``: its penalty is due at
every 16th step, and a sixteenth of that is counted. ``--scores`` trains DCGAN's networks without batch norm in the
discriminator for ``trainer.max_steps`` updates of each kind and seed and prints ``fd_digits``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lightning_gans import build, compose

PENALTIES = ("none", "gradient_penalty", "r1", "r1_r2", "dragan", "lazy_r1", "approximate_r1_r2")
QUIET = ["callbacks=none", "logger=none", "trainer.enable_progress_bar=false", "trainer.precision=32-true"]
NETWORKS = {
    "R3GAN, 32x32x1, batch 32": ["model=r3gan", "data=digits"],  # as tuned for the digits
    "DCGAN, 32x32x1, batch 64": ["model=dcgan", "data=digits", "tuned=none", "model.batch_size=64"],
    "DCGAN, 64x64x3, batch 16": ["model=dcgan", "data=digits", "tuned=none", "model.batch_size=16"],
}
NETWORKS["DCGAN, 64x64x3, batch 16"] += ["data.image_size=64", "data.channels=3"]
SCORED = ["model=dcgan", "data=digits", "model/augment=none", "model.discriminator.norm=null", "trainer.max_steps=600"]
SCORED += ["callbacks.samples=null", "callbacks.evaluation.every_n_train_steps=600"]
SCORED += ["logger=none", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu"]


class Stepper:
    """A family with a penalty, and the time of its steps.

    Args:
        options: Of the config.
        penalty: Choice of ``model/penalty``.
        device: Where to train.
    """

    def __init__(self, options: list[str], penalty: str, device: str) -> None:
        norm = ["model.discriminator.norm=null"] if "model=dcgan" in options else []
        with tempfile.TemporaryDirectory() as folder:
            run = build(compose(*options, *norm, f"model/penalty={penalty}", *QUIET), folder)
        self.model: Any = run.model.to(device).train()
        self.optimizers, _ = self.model.configure_optimizers()
        shape = (self.model.batch_size, *run.data.shape)
        self.batch = {"image": torch.rand(shape, device=device) * 2 - 1}
        self.interval = self.model.penalty.interval if self.model.lazy else 0

    def update(self, player: str, loss: Callable[[], dict[str, torch.Tensor]]) -> None:
        """Update a player by a loss."""
        for name, weights in self.model._trainable.items():
            for parameter in weights:
                parameter.requires_grad_(name in self.model.graph_of(player))
        optimizer = self.optimizers[0 if player == "g" else 1]
        total = torch.stack(list(loss().values())).sum()
        total.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Update both players, as ``training_step`` does."""
        self.update("d", lambda: self.model.discriminator_loss(self.batch))
        self.update("g", lambda: self.model.generator_loss(self.batch))

    def seconds(self, steps: int, clock: Callable[[], float]) -> float:
        """Return the seconds of one step, with its share of a lazy penalty."""
        started = clock()
        for _ in range(steps):
            self.step()
        taken = (clock() - started) / steps
        if self.interval:
            started = clock()
            self.update("d", lambda: self.model.lazy_loss("d", self.batch))
            taken += (clock() - started) / self.interval
        return taken


def clock_of(device: str) -> Callable[[], float]:
    """Return processor time on a CPU, and elsewhere the time when the device is done."""
    if device == "cpu":
        return time.process_time

    def done() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return done


def times(title: str, options: list[str], penalties: list[str], turns: int, steps: int, device: str) -> None:
    """Print one row."""
    steppers = {name: Stepper(options, name, device) for name in ("none", *penalties)}
    clock, taken = clock_of(device), {name: [] for name in steppers}
    for turn in range(turns + 1):  # the first one warms up
        for name, stepper in steppers.items():
            seconds = stepper.seconds(steps, clock)
            if turn:
                taken[name].append(seconds)
    base = f"{statistics.median(taken['none']) * 1000:.0f}"
    ratios = [statistics.median(a / b for a, b in zip(taken[n], taken["none"], strict=True)) for n in penalties]
    print(f"| {title} | {base} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |", flush=True)


def score(penalty: str, seed: int, options: list[str], folder: Path) -> float:
    """Train on the digits; returns ``fd_digits`` at the end, where it is scored once."""
    run = build(compose(*SCORED, f"model/penalty={penalty}", f"seed={seed}", *options), folder)
    run.fit()
    assert run.score is not None
    return run.score


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--penalties", nargs="+", default=list(PENALTIES[1:]), choices=PENALTIES[1:])
    parser.add_argument("--scores", type=int, nargs="+", metavar="SEED")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    known, options = parser.parse_known_args()
    warnings.simplefilter("ignore")
    print(f"{known.device}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    if known.scores is None:
        head = ["networks", "none, ms per step", *known.penalties]
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for title in known.networks:
            times(title, [*NETWORKS[title], *options], known.penalties, known.turns, known.steps, known.device)
        return
    print(f"| penalty | {' | '.join(f'seed {seed}' for seed in known.scores)} |\n|{'---|' * (1 + len(known.scores))}")
    for name in ("none", *known.penalties):
        with tempfile.TemporaryDirectory() as folder:
            found = [score(name, seed, options, Path(folder) / str(seed)) for seed in known.scores]
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in found)} |", flush=True)


if __name__ == "__main__":
    main()

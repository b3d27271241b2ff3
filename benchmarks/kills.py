"""Kill tiny trainings at random moments, resume them, and compare what they end with to an unbroken run.

    python benchmarks/kills.py [--kills 100] [--seed 0] [--steps 40]

Each training is killed by SIGKILL at a moment drawn over the time that the whole takes, its start included, and gone
on with by `resume=`, until it has ended; then the next one begins, until so many kills were made. *Lost* counts kills
after which the run could not go on, or stood before an update that had been saved. *Differing* counts values of the
last checkpoint (weights, averages, optimisers, pool, augmentation) and rows of `metrics.csv` that are not those of the
unbroken run, bit for bit. *In a save* counts kills that left a half-written file behind. Needs a system with `fork`.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COMMON = [
    *("tuned=none", "data.image_size=16", "data.limit=50", "model.batch_size=8", "data.num_workers=0"),
    *("trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.log_every_n_steps=1"),
    *("trainer.enable_progress_bar=false", "+trainer.enable_model_summary=false"),
    *("callbacks.evaluation=null", "callbacks.samples=null", "callbacks.checkpoint.every_n_train_steps=2"),
]
SMALL = ["model.generator.base_channels=4", "model.discriminator.base_channels=4"]
TRAININGS = {
    "dcgan, EMA and ADA": [
        *("model=dcgan", "data=digits", *SMALL, "model.generator.latent_dim=8", "model.ema.half_life_kimg=0.1"),
        *("model/augment=adaptive", "model.augment.kimg=0.5", "model.augment.interval=2"),
    ],
    "cyclegan, pool": [
        *("model=cyclegan", "data=digit_domains", *SMALL, "model.generator.blocks=1", "model.pool.size=12"),
        *("model.discriminator.receptive_field=16", "model.batch_size=2"),
    ],
    "progan, inside fades": [
        *("model=progan", "data=digits", "model.generator.latent_dim=8", "model.batch_size=4"),
        *(
            f"model.{network}.fmap_{width}"
            for network in ("generator", "discriminator")
            for width in ("base=64", "max=8")
        ),
        *("model.growth.fade_kimg=0.06", "model.growth.stabilise_kimg={4: 0.008, 8: 0.008}"),
    ],
}
ENDED = 0


def train(folder: Path, options: list[str], kill_after: float | None = None) -> int | None:
    """Train in a process of its own, from its newest checkpoint on if there is one.

    Args:
        folder: The run's.
        options: What is typed.
        kill_after: Seconds until it is killed; ``None``: it is left alone.

    Returns:
        Its exit code; ``None`` if it was killed.
    """
    steps = options[-1]
    saved = any((folder / "checkpoints").glob("*.ckpt"))
    arguments = [f"resume={folder}", steps] if saved else [*options, f"hydra.run.dir={folder}"]
    child = os.fork()
    if child == 0:  # torch is imported already
        status = 1
        try:
            log = os.open(f"{folder}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1), os.dup2(log, 2)
            sys.argv = ["train", *arguments]
            from lightning_gans import train as command

            command.main()
            status = ENDED
        except SystemExit as end:
            status = int(end.code or ENDED)
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(status)
    end = time.monotonic() + (float("inf") if kill_after is None else kill_after)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG if time.monotonic() < end < float("inf") else 0)
        if ended:
            break
        time.sleep(0.002)
        if time.monotonic() >= end:
            os.kill(child, signal.SIGKILL)  # not yet waited for, so the number is still its own
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def differing(one: Any, other: Any) -> int:
    """How many values of two nested structures are not the same, bit for bit."""
    import torch

    if isinstance(one, dict) and isinstance(other, dict):
        return sum(differing(one.get(key), other.get(key)) for key in one.keys() | other.keys())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return sum(differing(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return int(one.dtype != other.dtype or not torch.equal(one, other))
    return int(type(one) is not type(other) or one != other)


def outcome(folder: Path) -> dict[str, Any]:
    """What a run has ended with, times left out."""
    import torch

    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = [{key: value for key, value in row.items() if "per_s" not in key} for row in csv.DictReader(file)]
    kept = ("state_dict", "optimizer_states", "lr_schedulers", "global_step")
    return {"metrics": rows, **{key: content[key] for key in kept}}


def newest_step(folder: Path) -> int:
    """The update that the newest checkpoint stands at; 0 without any.

    Raises:
        ValueError: It cannot be read.
    """
    from lightning_gans.checkpoints import files

    return int(files.read(folder)["global_step"]) if any((folder / "checkpoints").glob("*.ckpt")) else 0


def torture(options: list[str], kills: int, rng: random.Random, folder: Path) -> dict[str, int]:
    """Kill and resume trainings of one kind; the row of the table."""
    started = time.monotonic()
    if train(folder / "unbroken", options) != ENDED:
        raise SystemExit(Path(f"{folder / 'unbroken'}.log").read_text(encoding="utf-8"))
    whole, unbroken = time.monotonic() - started, outcome(folder / "unbroken")
    row = {"kills": 0, "in a save": 0, "runs": 0, "lost": 0, "differing": 0}
    while row["kills"] < kills:
        place, before = folder / f"run-{row['runs']}", 0
        row["runs"] += 1
        while True:
            moment = rng.uniform(0, whole) if row["kills"] < kills else None
            code = train(place, options, moment)
            if code == ENDED:
                row["differing"] += differing(unbroken, outcome(place))
                break
            row["kills"] += code is None
            row["in a save"] += any(place.rglob("*.tmp"))
            try:
                now = newest_step(place)
            except ValueError:
                now = -1
            if code is not None or now < before:
                row["lost"] += 1
                print(Path(f"{place}.log").read_text(encoding="utf-8")[-2000:], file=sys.stderr)
                break
            before = now
        shutil.rmtree(place, ignore_errors=True)
    return row


def main() -> None:
    """Print the table as the rows come; exit code 1 if anything was lost or differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="in all")
    parser.add_argument("--steps", type=int, default=40, help="generator updates of a training")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args()

    import torch

    import lightning_gans.run  # noqa: F401  so that every training starts at once

    torch.set_num_threads(1)
    rng, bad = random.Random(given.seed), 0
    print("| training | kills | in a save | runs | lost | differing |\n|---|---|---|---|---|---|", flush=True)
    for place, (name, options) in enumerate(TRAININGS.items()):
        kills = (given.kills + place) // len(TRAININGS)
        with tempfile.TemporaryDirectory() as folder:
            row = torture([*COMMON, *options, f"trainer.max_steps={given.steps}"], kills, rng, Path(folder))
        print(f"| {name} | {' | '.join(map(str, row.values()))} |", flush=True)
        bad += row["lost"] + row["differing"]
    raise SystemExit(min(bad, 1))


if __name__ == "__main__":
    main()

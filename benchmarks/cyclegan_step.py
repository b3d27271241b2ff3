"""How much faster CycleGAN's step is with joined calls, and than the straightforward order; a table of one run.

``ours``: calls of the same network joined, each translation made once. ``apart``: the same step, one call at a time.
``straightforward``: one call at a time, and the discriminators' fakes are made anew for their update. The three take
turns, a step each, on the same machine; the ratios are medians over turns.

    python benchmarks/cyclegan_step.py [--sizes 64 128 256] [--turns 7] [--device cpu]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from typing import Any

import torch
from torch import Tensor

from lightning_gans import build, compose
from lightning_gans.models.cyclegan import CycleGAN


def straightforward(model: CycleGAN, batch: dict[str, Tensor], anew: bool) -> dict[str, Tensor]:
    """Terms of both players, every network called on one batch of images at a time."""
    joins, model.joins_calls = model.joins_calls, False
    terms = model.generator_loss(batch)
    if anew:
        with torch.no_grad():
            model.pop_fakes()
            model.stash_fakes(
                fake_b=model.generator(batch["source"], "a2b"), fake_a=model.generator(batch["target"], "b2a")
            )
    model.joins_calls = joins
    return terms


def step(model: CycleGAN, batch: dict[str, Tensor], optimizers: list[Any], kind: str, bf16: bool) -> None:
    """One update of both players."""
    players = [model.generator, torch.nn.ModuleList(model.image_networks.values())]
    for player, optimizer in enumerate(optimizers):
        for index, network in enumerate(players):
            network.requires_grad_(index == player)
        with torch.autocast(batch["source"].device.type, torch.bfloat16, enabled=bf16):
            if player == 0:
                terms = (
                    model.generator_loss(batch) if kind == "ours" else straightforward(model, batch, kind != "apart")
                )
            else:
                joins, model.joins_calls = model.joins_calls, kind == "ours"
                terms = model.discriminator_loss(batch)
                model.joins_calls = joins
            loss = torch.stack(list(terms.values())).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


KINDS = ("ours", "apart", "straightforward")


def compare(size: int, batch_size: int, turns: int, device: str, bf16: bool) -> None:
    """Print one row."""
    options = [f"data.image_size={size}", f"model.batch_size={batch_size}", "tuned=none", "trainer.accelerator=cpu"]
    with tempfile.TemporaryDirectory() as folder:
        run = build(compose("model=cyclegan", "data=digit_domains", "model.pool.size=0", *options), folder)
    model: Any = run.model.to(device).train()
    optimizers, _ = model.configure_optimizers()
    batch = {key: torch.rand(batch_size, 3, size, size, device=device) * 2 - 1 for key in ("source", "target")}
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for turn in range(turns + 1):  # the first one warms up
        for kind in KINDS:
            if device != "cpu":
                torch.cuda.synchronize()
            started = time.perf_counter()
            step(model, batch, optimizers, kind, bf16)
            if device != "cpu":
                torch.cuda.synchronize()
            if turn:
                times[kind].append(time.perf_counter() - started)
    milliseconds = [f"{statistics.median(times[kind]) * 1000:.0f}" for kind in KINDS]
    ratios = [
        f"{statistics.median(a / b for a, b in zip(times['ours'], times[kind], strict=True)):.2f}" for kind in KINDS[1:]
    ]
    blocks = run.cfg.model.generator.blocks or (9 if size >= 256 else 6)
    precision = "bf16" if bf16 else "fp32"
    print(
        f"| {size}x{size}, {blocks} blocks | {batch_size} | {precision} | {' | '.join([*milliseconds, *ratios])} |",
        flush=True,
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1])
    parser.add_argument("--precisions", nargs="+", default=["bf16", "fp32"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{options.device}, {torch.get_num_threads()} threads, torch {torch.__version__}, ms per step\n")
    head = ["images", "batch", "precision", *KINDS, "ours / apart", "ours / straightforward"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for precision in options.precisions:
        for size in options.sizes:
            for batch_size in options.batch_sizes:
                compare(size, batch_size, options.turns, options.device, precision == "bf16")


if __name__ == "__main__":
    main()

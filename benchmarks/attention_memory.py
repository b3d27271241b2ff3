"""Measure self-attention's memory and time at 64x64 against the matrix of all products.

``python benchmarks/attention_memory.py`` prints a table of forward and backward passes, each in a process of its own,
whose peak memory is compared with that before the pass.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

from lightning_gans.networks.attention import SelfAttention

WAYS = ("ours", "plain product")


def plain(layer: SelfAttention, x: torch.Tensor) -> torch.Tensor:
    """Attend by the matrix of all products."""
    n, c, h, w = x.shape
    query, key = layer.theta(x).flatten(2), F.max_pool2d(layer.phi(x), 2).flatten(2)
    value = F.max_pool2d(layer.g(x), 2).flatten(2)
    weights = torch.softmax(query.transpose(1, 2) @ key, 2)
    return x + layer.gate * layer.o((value @ weights.transpose(1, 2)).view(n, c // 2, h, w))


def measure(way: str, batch: int, width: int, side: int) -> str:
    """Return MiB and seconds of a forward and backward pass, in this process."""
    layer, x = SelfAttention(width), torch.randn(batch, width, side, side, requires_grad=True)
    torch.nn.init.constant_(layer.gate, 0.5)
    small = torch.randn(1, width, 8, 8, requires_grad=True)  # what a first pass allocates once
    attend = layer if way == "ours" else lambda given: plain(layer, given)
    attend(small).sum().backward()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    attend(x).square().sum().backward()
    seconds = time.perf_counter() - started
    return f"{(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024:.0f} {seconds:.2f}"


def main() -> None:
    """Print the table, or measure one way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--way", choices=WAYS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.way:
        print(measure(given.way, given.batch[0], given.width, given.side))
        return
    print(
        f"| batch, {given.width} maps of {given.side}x{given.side} | " + " | ".join(f"{w}: MiB, s" for w in WAYS) + " |"
    )
    print("|---|" + "---|" * len(WAYS))
    for batch in given.batch:
        cells = []
        for way in WAYS:
            sizes = ["--batch", str(batch), "--width", str(given.width), "--side", str(given.side)]
            made = subprocess.run(
                [sys.executable, __file__, *sizes, "--way", way], check=True, capture_output=True, text=True
            )
            cells.append(", ".join(made.stdout.split()))
        print(f"| {batch} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

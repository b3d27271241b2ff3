"""How threads of PyTorch wait for each other: images/s of the default run's networks, alone and beside busy processes.

    python benchmarks/threads.py [--busy 0 2] [--threads 2] [--turns 5] [--steps 10]

GNU's OpenMP, which PyTorch's wheels for Linux bring, reads when it is loaded how long a thread that has nothing to do
spins before it sleeps. Every setting has a process of its own that trains the networks of ``model=dcgan data=digits``,
and they take turns. ``processor`` is the processor time of a step, which spinning adds to: on an idle machine it shows
what a setting wastes, where the clock shows what it costs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

SETTINGS: dict[str, dict[str, str]] = {
    "as it is": {},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    **{f"GOMP_SPINCOUNT={count}": {"GOMP_SPINCOUNT": count} for count in ("100", "1000", "10000", "100000")},
    "one thread": {},
}
BATCH = 32
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"  # ends with this process
KEYS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")


def work() -> None:
    """Train, as many steps as standard input asks for, and tell the seconds that they took."""
    import torch
    import torch.nn.functional as F

    from lightning_gans.networks.dcgan import Discriminator, Generator

    how = {"image_size": 32, "channels": 1, "base_channels": 24}
    generator, discriminator = Generator(latent_dim=32, **how), Discriminator(**how)
    players = [(net.to(memory_format=torch.channels_last)) for net in (generator, discriminator)]
    optimizers = [torch.optim.Adam(net.parameters(), 2e-3, (0.5, 0.999)) for net in players]
    real = (torch.rand(BATCH, 1, 32, 32) * 2 - 1).to(memory_format=torch.channels_last)

    def step() -> None:
        discriminator.requires_grad_(True)
        fake = generator(torch.randn(BATCH, 32))
        (F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake.detach())).mean()).backward()
        optimizers[1].step()
        optimizers[1].zero_grad()
        discriminator.requires_grad_(False)
        F.softplus(-discriminator(fake)).mean().backward()
        optimizers[0].step()
        optimizers[0].zero_grad()

    for line in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step()
        print(json.dumps([time.perf_counter() - wall, time.process_time() - processor]), flush=True)


def worker(settings: dict[str, str], threads: int) -> subprocess.Popen[str]:
    """Start a process that works by a setting."""
    clean = {key: value for key, value in os.environ.items() if key not in KEYS}
    environment = {**clean, "OMP_NUM_THREADS": str(threads), **settings}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, __file__, "--work"], env=environment, text=True, **pipes)


def ask(process: subprocess.Popen[str], steps: int) -> tuple[float, float]:
    """Return the seconds by the clock and of processor time that ``steps`` steps take."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{steps}\n")
    process.stdin.flush()
    wall, processor = json.loads(process.stdout.readline())
    return wall, processor


def compare(busy: int, names: list[str], threads: int, turns: int, steps: int) -> None:
    """Print a row for every setting."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(busy)]
    workers = {name: worker(SETTINGS[name], 1 if name == "one thread" else threads) for name in names}
    try:
        for process in workers.values():  # to warm up
            ask(process, 1)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in workers}
        for _ in range(turns):
            for name, process in workers.items():
                taken[name].append(ask(process, steps))
    finally:
        for process in (*others, *workers.values()):
            process.kill()
            process.wait()
    for name, rounds in taken.items():
        wall = [a / b for (a, _), (b, _) in zip(rounds, taken[names[0]], strict=True)]
        speed = statistics.median(steps * BATCH / seconds for seconds, _ in rounds)
        processor = statistics.median(seconds / steps for _, seconds in rounds) * 1000
        print(f"| {busy} | {name} | {speed:.0f} | {1 / statistics.median(wall):.2f} | {processor:.0f} |", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work()
        return
    print(f"{options.threads} threads\n")
    head = ["busy processes", "setting", "images/s", f"against {options.settings[0]}", "processor, ms per step"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for busy in options.busy:
        compare(busy, options.settings, options.threads, options.turns, options.steps)


if __name__ == "__main__":
    main()

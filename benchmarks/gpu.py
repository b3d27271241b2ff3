"""What a GPU makes of the families: one table in at most four minutes, whatever fails on the way.

    python benchmarks/gpu.py [--seconds 240] [--out gpu.md]

First ``tests/test_gpu.py``, then ms per step (one generator update and all of the discriminator's before it) and peak
memory of each family and precision under Lightning's Trainer, without scores and pictures; images are enlarged digits,
whose content costs nothing. A row that fails, runs out of memory or takes too long says so, and the next one begins.
Compiled networks come last, since compiling may take what time is left; with two GPUs there is a row of both.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback

from lightning_gans import build, compose

ROOT = Path(__file__).parent.parent
HEAD = ["run", "precision", "channels-last", "compiled", "ms per step", "peak memory, GiB", "remark"]
FAMILIES = {  # name: options, remark
    "DCGAN, 64x64, batch 128": (["model=dcgan", "data.image_size=64", "model.batch_size=128"], ""),
    "SNGAN, 32x32, 5 D + 1 G, batch 64": (
        ["model=sngan", "data.image_size=32", "model.batch_size=64", "model.g_batch_size=null"],
        "goal 28 ms in the fastest precision",
    ),
    "R3GAN with R1 and R2, 32x32, batch 64": (["model=r3gan", "data.image_size=32", "model.batch_size=64"], ""),
    "R3GAN, approximate penalty, 32x32, batch 64": (
        ["model=r3gan", "data.image_size=32", "model.batch_size=64", "model/penalty=approximate_r1_r2"],
        "",
    ),
    "CycleGAN, 256x256, batch 1": (["model=cyclegan", "data=digit_domains", "data.image_size=256"], ""),
    "StyleGAN2, 128x128, batch 32": (
        ["model=stylegan2", "data.image_size=128", "model.batch_size=32"],
        "lazy penalties",
    ),
    "BigGAN, 128x128, one micro-batch of 32": (["model=biggan", "data.image_size=128", "model.batch_size=32"], ""),
}
COMPILED = ("DCGAN, 64x64, batch 128", "SNGAN, 32x32, 5 D + 1 G, batch 64")


class Row(NamedTuple):
    """Name a measurement: a family's options, and how it is trained."""

    name: str
    options: list[str]
    precision: str = "32-true"
    channels_last: bool = True
    compiled: str = ""  # "yes", or "CUDA graphs"
    remark: str = ""


def rows() -> list[Row]:
    """List the measurements in their order."""
    found = []
    for name, (options, remark) in FAMILIES.items():
        found.append(Row(name, options, remark=remark))
        found.append(Row(name, options, "bf16-mixed", remark=remark))
    found.append(Row(name := "DCGAN, 64x64, batch 128", FAMILIES[name][0], channels_last=False))
    found.append(Row(name, FAMILIES[name][0], "bf16-mixed", channels_last=False))
    for compiled in ("yes", "CUDA graphs"):
        found += [Row(name, FAMILIES[name][0], "bf16-mixed", compiled=compiled) for name in COMPILED]
    return found


class Clock(Callback):
    """Time steps after the first ones until there are enough.

    Args:
        seconds: Stop after so long, but not before three steps.
        warm_up: Steps before.
    """

    def __init__(self, seconds: float, warm_up: int = 3) -> None:
        self.seconds, self.warm_up, self.steps, self.taken = seconds, warm_up, 0, 0.0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Count the step, and stop the training in time."""
        past = trainer.global_step - self.warm_up
        if past < 0 or (past % 3 and past):
            return
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        if past == 0:
            self.started = time.perf_counter()
            return
        self.steps, self.taken = past, time.perf_counter() - self.started
        if self.taken > self.seconds:
            trainer.should_stop = True


def milliseconds(row: Row, device: str, seconds: float) -> float:
    """Train for some steps; returns the time of one."""
    accelerator = "gpu" if device == "cuda" else device
    data = [] if any(option.startswith("data=") for option in row.options) else ["data=digits", "data.channels=3"]
    quiet = [
        "tuned=none",
        "callbacks=none",
        "logger=none",
        "trainer.enable_progress_bar=false",
        "trainer.max_steps=9999",
    ]
    how = [f"trainer.accelerator={accelerator}", "trainer.devices=1", f"trainer.precision={row.precision}"]
    how += [f"model.channels_last={str(row.channels_last).lower()}", f"model.compile={str(bool(row.compiled)).lower()}"]
    with tempfile.TemporaryDirectory() as folder, cuda_graphs(row.compiled == "CUDA graphs"):
        run = build(compose(*data, *quiet, *how, *row.options), folder)
        clock = Clock(seconds)
        run.trainer.callbacks.append(clock)
        run.fit()
    return clock.taken / clock.steps * 1000


@contextlib.contextmanager
def cuda_graphs(wanted: bool) -> Iterator[None]:
    """Let what is compiled replay CUDA graphs, if that is wanted."""
    if not wanted:
        yield
        return
    import torch._inductor.config as config

    with config.patch({"triton.cudagraphs": True}):
        yield


@contextlib.contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise a TimeoutError when the time is over."""

    def over(*_: object) -> None:
        raise TimeoutError(f"more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measured(row: Row, device: str, left: float, seconds: float = 1.5, longest: float = 60.0) -> list[str]:
    """Return a row of the table, or what went wrong in its place.

    Args:
        row: What to measure.
        device: ``cuda`` or ``cpu``.
        left: Seconds until the end of all.
        seconds: Of steps that count.
        longest: Seconds that a row may take.
    """
    cells = [row.name, row.precision, "yes" if row.channels_last else "no", row.compiled or "no"]
    if left <= 0:
        return [*cells, "", "", "left out: the time is over"]
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    try:
        with limit(min(left, longest)):
            taken = f"{milliseconds(row, device, seconds):.1f}"
        memory = f"{torch.cuda.max_memory_allocated() / 2**30:.2f}" if device == "cuda" else ""
        return [*cells, taken, memory, row.remark]
    except torch.OutOfMemoryError:
        return [*cells, "", "", "out of memory"]
    except Exception as error:  # whatever it is, the next row begins
        text = (str(error).strip().splitlines() or [""])[0][:90].replace("|", "/")
        return [*cells, "", "", f"failed: {type(error).__name__}: {text}"]
    finally:
        gc.collect()
        with contextlib.suppress(Exception):  # a device that is lost
            torch.cuda.empty_cache()


def ask(command: list[str], left: float) -> tuple[str, str]:
    """Run a command; returns its output and what went wrong, if anything."""
    if left <= 0:
        return "", "left out: the time is over"
    try:
        made = subprocess.run(command, capture_output=True, text=True, timeout=left, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return "", f"failed: more than {left:.0f} s"
    last = (made.stderr.strip() or made.stdout.strip() or "nothing said").splitlines()[-1]
    return made.stdout, "" if made.returncode == 0 else f"failed: {last[:90]}"


def tests(left: float) -> list[str]:
    """Return the outcome of the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "--no-header", "tests/test_gpu.py"]
    said, problem = ask(command, min(left, 60.0))
    summary = (said.strip().splitlines() or [problem])[-1].strip("= ")
    return ["tests/test_gpu.py", "", "", "", "", "", summary or problem]


def two_gpus(left: float) -> list[str]:
    """Return the row of a training on both GPUs, whose start is not counted."""
    name = "DCGAN, 64x64, batch 128 over two GPUs"
    options = [*FAMILIES["DCGAN, 64x64, batch 128"][0], "data=digits", "data.channels=3", "tuned=none"]
    options += ["callbacks.evaluation=null", "callbacks.samples=null", "logger=none", "trainer.max_steps=300"]
    with tempfile.TemporaryDirectory() as folder:
        place = [
            "trainer.accelerator=gpu",
            "trainer.devices=2",
            "trainer.precision=bf16-mixed",
            f"hydra.run.dir={folder}",
        ]
        said, problem = ask([sys.executable, "-m", "lightning_gans.train", *options, *place], min(left, 60.0))
    speed = [line.split()[1].replace(",", "") for line in said.splitlines() if line.strip().startswith("images/s")]
    return [name, "bf16-mixed", "yes", "no", f"{128000 / float(speed[0]):.1f}" if speed else "", "", problem]


def main(measurements: list[Row] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240.0, help="of everything")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", help="file for the table")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    end, lines = clock() + options.seconds, []

    def show(cells: list[str]) -> None:
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)

    device = torch.cuda.get_device_name() if options.device == "cuda" else "a CPU: only to see that this script runs"
    print(f"{device}, torch {torch.__version__}\n")
    show(HEAD)
    show(["---"] * len(HEAD))
    if options.device == "cuda":
        show(tests(end - clock()))
    if torch.cuda.device_count() > 1:
        show(two_gpus(end - clock()))
    for row in rows() if measurements is None else measurements:
        show(measured(row, options.device, end - clock()))
    if options.out:
        Path(options.out).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Step time of our DCGAN against hand-written loops of the same networks.

    python benchmarks/step_time.py [--pairs 7] [--steps 10] [--sizes 32x1 64x3] [--precisions auto 32-true]

``bare`` does the same maths with the same options in plain PyTorch: opponent frozen, generated samples reused,
channels-last, the same precision, averaged generator, the same indexing of the same uint8 images. ``textbook`` is the
loop that tutorials show: fp32, contiguous tensors, opponent not frozen, no average. Ours runs under Lightning's
Trainer; after every ``steps`` steps of it the callback below runs as many of each loop, so that all three see the same
machine.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback

from lightning_gans import build, compose
from lightning_gans.data.datasets import InMemoryImages

BATCH = 64


def loop(networks, images: torch.Tensor, *, tuned: bool, bf16: bool) -> Callable[[], None]:
    """One training step of a hand-written DCGAN."""
    generator, discriminator = copy.deepcopy(networks)
    layout = torch.channels_last if tuned else torch.contiguous_format
    generator.to(memory_format=layout)
    discriminator.to(memory_format=layout)
    ema = copy.deepcopy(generator).requires_grad_(False)
    g_optimizer = torch.optim.Adam(generator.parameters(), 2e-4, (0.5, 0.999))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), 2e-4, (0.5, 0.999))

    def step() -> None:
        real = images[torch.randint(len(images), (BATCH,))].float().div_(127.5).sub_(1)
        if tuned:
            discriminator.requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            fake = generator(torch.randn(BATCH, generator.latent_dim))
            on_real, on_fake = discriminator(real).float(), discriminator(fake.detach()).float()
            loss = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        d_optimizer.zero_grad()
        loss.backward()
        d_optimizer.step()
        if tuned:
            discriminator.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.softplus(-discriminator(fake).float()).mean()
        g_optimizer.zero_grad()
        loss.backward()
        g_optimizer.step()
        if tuned:
            torch._foreach_lerp_(list(ema.parameters()), list(generator.parameters()), 0.01)
            for mine, theirs in zip(ema.buffers(), generator.buffers(), strict=True):
                mine.copy_(theirs)

    return step


class Interleave(Callback):
    """Times ``steps`` steps of the training, then as many of each loop, and so on."""

    def __init__(self, loops: dict[str, Callable[[], None]], steps: int) -> None:
        self.loops, self.steps = loops, steps
        self.times: dict[str, list[float]] = {name: [] for name in ("ours", *loops)}

    def on_train_start(self, *_) -> None:
        self.since = time.perf_counter()

    def on_train_batch_end(self, trainer, pl_module, *_) -> None:
        if trainer.global_step % self.steps:
            return
        self.times["ours"].append((time.perf_counter() - self.since) / self.steps)
        for name, step in self.loops.items():
            started = time.perf_counter()
            for _ in range(self.steps):
                step()
            self.times[name].append((time.perf_counter() - started) / self.steps)
        self.since = time.perf_counter()


def compare(size: int, channels: int, precision: str, pairs: int, steps: int) -> None:
    """Print one row."""
    cfg = compose(
        "data=digits",
        "tuned=none",
        f"data.image_size={size}",
        f"data.channels={channels}",
        f"model.batch_size={BATCH}",
        f"trainer.max_steps={(pairs + 1) * steps}",
        "trainer.accelerator=cpu",
        "callbacks.samples=null",
        "callbacks.evaluation=null",
        "callbacks.checkpoint=null",
        "trainer.enable_progress_bar=false",
        "+trainer.enable_model_summary=false",
        f"trainer.precision={precision}",
    )
    with tempfile.TemporaryDirectory() as folder:
        run = build(cfg, folder)
        images = torch.randint(0, 256, (2000, channels, size, size), dtype=torch.uint8)
        run.data._splits = InMemoryImages(images), None
        networks = (run.model.generator, run.model.discriminator)
        loops = {
            "bare": loop(networks, images, tuned=True, bf16=run.cfg.trainer.precision == "bf16-mixed"),
            "textbook": loop(networks, images, tuned=False, bf16=False),
        }
        timing = Interleave(loops, steps)
        run.trainer.callbacks.append(timing)
        run.fit()
    times = {name: values[1:] for name, values in timing.times.items()}  # the first round warms up
    medians = {name: statistics.median(values) * 1000 for name, values in times.items()}
    ratios = {name: statistics.median(a / b for a, b in zip(times["ours"], times[name], strict=True)) for name in loops}
    row = [f"{size}x{size}x{channels}", run.cfg.trainer.precision, *[f"{value:.1f}" for value in medians.values()]]
    print(f"| {' | '.join(row)} | {ratios['bare']:.3f} | {ratios['textbook']:.3f} |", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--sizes", nargs="+", default=["32x1", "64x3"])
    parser.add_argument("--precisions", nargs="+", default=["auto", "32-true"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"batch {BATCH}, {torch.get_num_threads()} threads, torch {torch.__version__}, ms per step\n")
    print("| images | precision | ours | bare | textbook | ours / bare | ours / textbook |\n|" + "---|" * 7)
    for precision in options.precisions:
        for size in options.sizes:
            pixels, channels = map(int, size.split("x"))
            compare(pixels, channels, precision, options.pairs, options.steps)


if __name__ == "__main__":
    main()

"""Time of a training step against repositories that you have checked out; none of their code is here.

    python benchmarks/peers.py [--dcgan DIR] [--cyclegan DIR] [--progan DIR] [--steps 5] [--turns 3]
                               [--image-size 128] [-- model.channels_last=false ...]

``--dcgan``: the folder of pytorch/examples with DCGAN's ``main.py``, which is run as it is, on images that lie ready.
``--cyclegan``: junyanz/pytorch-CycleGAN-and-pix2pix, for both of its families, batch 1 (``--image-size``; pix2pix's
U-Nets are for 128 and 256). ``--progan``: akanimax/pro_gan_pytorch, or the unpacked source of its package
``pro-gan-pth``, fully grown.

Both sides have networks of the same sizes (the last column counts parameters), full precision and one thread. Ours runs
under Lightning's Trainer; after every ``--steps`` steps of it the peer, a process of its own, makes as many. Medians
over turns, the first of which warms up and does not count; ratios turn by turn, of processor time and of the clock.
Convolutions and products of matrices are counted in that first turn, a multiplication and an addition being two
operations; how fast this thread multiplies two matrices says what a step takes at least. A peer that cannot be run is a
row that says why. What follows ``--`` changes our side alone, such as ``-- trainer.precision=auto``.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import re
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import IO, Any, NamedTuple

PROGRESS = re.compile(r"\[\d+/\d+\]\[\d+/\d+\]")  # how a line begins that DCGAN's script prints after a step
HEAD = ["family", "image size", "batch", "ours, ms", "theirs, ms", "ours / theirs"]
HEAD += ["by the clock: ours, ms", "theirs, ms", "ours / theirs", "GFLOP a step: ours, theirs", "parameters of G and D"]


class Case(NamedTuple):
    """What both sides train."""

    family: str
    image_size: int
    batch_size: int
    base_channels: int = 64

    @property
    def blocks(self) -> int:
        """Residual blocks of CycleGAN's generators."""
        return 9 if self.image_size >= 256 else 6


class PeerError(Exception):
    """A peer could not be run."""


# ---------------------------------------------------------------------------------- the peer, in a process of its own


class Turns:
    """The peer's end of the pipe: numbers of steps come in, the seconds that they took go out."""

    def __init__(self, answers: IO[str]) -> None:
        self.answers, self.left = answers, -1
        self.wall = self.processor = 0.0
        self.operations: Any = None  # their counter, in the first turn

    def tell(self, **answer: Any) -> None:
        """Send an answer."""
        print(json.dumps(answer), file=self.answers, flush=True)

    def after_step(self, generators: Iterable[Any], discriminators: Iterable[Any]) -> None:
        """Count a step; at the end of a turn, answer and wait for the next one."""
        self.left -= 1
        if self.left > 0:
            return
        if self.left == 0:
            spent = {"processor": time.process_time() - self.processor, "wall": time.perf_counter() - self.wall}
            self.tell(**spent, operations=0 if self.operations is None else counted(self.operations))
            self.operations = None
        else:  # the first step, before any turn
            players = generators, discriminators
            self.tell(parameters=[sum(p.numel() for net in nets for p in net.parameters()) for nets in players])
            self.operations = count()
        self.left = int(sys.stdin.readline())
        self.wall, self.processor = time.perf_counter(), time.process_time()


def count() -> Any:
    """Count floating point operations from here on.

    PyTorch's ``FlopCounterMode`` has the formulas, but its hooks do not allow for ``torch.autograd.grad`` in a step.
    """
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Operations(TorchDispatchMode):
        total = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = func(*args, **(kwargs or {}))
            if func.overloadpacket in flop_registry:
                self.total += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=made)
            return made

    return Operations().__enter__()


def counted(operations: Any) -> int:
    """Stop counting; return how many they were."""
    operations.__exit__(None, None, None)
    total: int = operations.total
    return total


class Progress(io.TextIOBase):
    """Standard output of DCGAN's script: forgets what is printed, calls ``after_step`` when it is a step's line."""

    def __init__(self, after_step: Callable[[], None]) -> None:
        self.after_step = after_step

    def write(self, text: str) -> int:
        """Take what is printed."""
        if PROGRESS.match(text):
            self.after_step()
        return len(text)


def dcgan(folder: Path, case: Case, turns: Turns) -> None:
    """Run the example; images of its own take time to make, so it gets some that lie ready."""
    script = folder / "main.py"
    if not script.is_file():
        raise FileNotFoundError("no main.py")
    import torch
    import torchvision.datasets
    from torch.utils.data import ConcatDataset, TensorDataset

    images = TensorDataset(torch.rand(256, 3, case.image_size, case.image_size) * 2 - 1, torch.zeros(256))
    torchvision.datasets.FakeData = lambda **_: ConcatDataset([images] * 400)  # one long epoch

    def after_step() -> None:
        running = sys.modules["__main__"]
        turns.after_step([running.netG], [running.netD])

    options = {"dataset": "fake", "workers": 0, "imageSize": case.image_size, "batchSize": case.batch_size}
    options |= {"ngf": case.base_channels, "ndf": case.base_channels, "outf": "."}
    sys.argv = [str(script), *[f"--{name}={value}" for name, value in options.items()]]
    sys.stdout = Progress(after_step)
    runpy.run_path(str(script), run_name="__main__")


def translation(folder: Path, case: Case, turns: Turns) -> None:
    """Train by ``create_model``, ``set_input`` and ``optimize_parameters``."""
    if not (folder / "models").is_dir():
        raise FileNotFoundError("no folder models")
    import torch

    size = case.image_size
    how: dict[str, Any] = {"input_nc": 3, "output_nc": 3, "ngf": case.base_channels, "ndf": case.base_channels}
    how |= {"netD": "basic", "n_layers_D": 3, "init_type": "normal", "init_gain": 0.02, "lr": 2e-4, "beta1": 0.5}
    how |= {"isTrain": True, "continue_train": False, "verbose": False, "checkpoints_dir": ".", "name": "peer"}
    how |= {"direction": "AtoB", "batch_size": case.batch_size, "load_size": size, "crop_size": size}
    how |= {"preprocess": "none", "resize_or_crop": "none", "gpu_ids": [], "device": torch.device("cpu")}
    if case.family == "CycleGAN":
        how |= {"model": "cycle_gan", "dataset_mode": "unaligned", "netG": f"resnet_{case.blocks}blocks"}
        how |= {"norm": "instance", "no_dropout": True, "gan_mode": "lsgan", "no_lsgan": False, "pool_size": 50}
        how |= {"lambda_A": 10.0, "lambda_B": 10.0, "lambda_identity": 0.5}
    else:
        how |= {"model": "pix2pix", "dataset_mode": "aligned", "netG": f"unet_{size}", "norm": "batch"}
        how |= {"no_dropout": False, "gan_mode": "vanilla", "no_lsgan": True, "pool_size": 0, "lambda_L1": 100.0}
    model = importlib.import_module("models").create_model(argparse.Namespace(**how))
    batch = {side: torch.rand(case.batch_size, 3, size, size) * 2 - 1 for side in "AB"} | {
        f"{side}_paths": [""] for side in "AB"
    }
    networks = {name: net for name, net in vars(model).items() if isinstance(net, torch.nn.Module)}
    players = [[net for name, net in networks.items() if name.startswith(player)] for player in ("netG", "netD")]
    while True:
        model.set_input(batch)
        model.optimize_parameters()
        turns.after_step(*players)


def progan(folder: Path, case: Case, turns: Turns) -> None:
    """Train by ``optimize_discriminator`` and ``optimize_generator`` at the last resolution.

    Its transposed convolution calls a method of PyTorch that has got one more argument since; it is filled in.
    """
    if not (folder / "pro_gan_pytorch").is_dir():
        raise FileNotFoundError("no folder pro_gan_pytorch")
    import torch

    layer: Any = torch.nn.ConvTranspose2d
    method = layer._output_padding
    layer._output_padding = lambda *given: method(*given, *[2][: 7 - len(given)])  # self and six more
    gan, networks = (importlib.import_module(f"pro_gan_pytorch.{name}") for name in ("gan", "networks"))
    depth = case.image_size.bit_length() - 1
    model = gan.ProGAN(networks.Generator(depth), networks.Discriminator(depth))
    how: dict[str, Any] = {"lr": 1e-3, "betas": (0.0, 0.99), "eps": 1e-8}
    optimizers = [torch.optim.Adam(network.parameters(), **how) for network in (model.gen, model.dis)]
    real = torch.rand(case.batch_size, 3, case.image_size, case.image_size) * 2 - 1
    loss = gan.WganGP()
    while True:
        noise = torch.randn(case.batch_size, model.latent_size)
        model.optimize_discriminator(loss, optimizers[1], noise, real, depth, 1.0)
        gan.update_average(model.gen_shadow, model.gen, beta=0.999)
        model.optimize_generator(loss, optimizers[0], noise, real, depth, 1.0)
        turns.after_step([model.gen], [model.dis])


PEERS = {"DCGAN": dcgan, "CycleGAN": translation, "pix2pix": translation, "ProGAN": progan}


def serve(folder: Path, case: Case) -> None:
    """Be a peer: train as many steps as standard input asks for, and answer on what was standard output."""
    turns = Turns(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)  # whatever the peer prints
    sys.path[0] = str(folder)  # instead of the folder of this script
    try:
        PEERS[case.family](folder, case, turns)
        turns.tell(error="it ended before the last turn")
    except (Exception, SystemExit) as error:
        turns.tell(error=f"{type(error).__name__}: {error}")


class Peer:
    """Our end of the pipe; the peer runs in the folder ``scratch``, on one thread.

    Attributes:
        parameters: Numbers of parameters of the generator and of the discriminator.

    Raises:
        PeerError: It does not run.
    """

    def __init__(self, folder: Path, case: Case, scratch: str) -> None:
        command = [sys.executable, str(Path(__file__).resolve()), "--serve", str(folder.resolve()), json.dumps(case)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, text=True, cwd=scratch, env=environment, **pipes)
        try:
            self.parameters: list[int] = self.answer()["parameters"]
        except PeerError:
            self.close()
            raise

    def answer(self) -> dict[str, Any]:
        """Wait for an answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": f"it ended with {self.process.wait()}"}
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def turn(self, steps: int) -> tuple[float, float, int]:
        """Return what ``steps`` steps take: seconds of processor time and by the clock, operations if counted."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        answer = self.answer()
        return answer["processor"], answer["wall"], answer["operations"]

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


# ---------------------------------------------------------------------------------- our side


def overrides(case: Case) -> list[str]:
    """Our configuration of a case."""
    widths = [f"model.{network}.base_channels={case.base_channels}" for network in ("generator", "discriminator")]
    dropout = list(range(1, case.image_size.bit_length() - 5)) or [1]  # the decoder's layers that have it in theirs
    family = {
        "DCGAN": ["model=dcgan", "data=digits", *widths],
        "CycleGAN": ["model=cyclegan", "data=digit_domains", f"model.generator.blocks={case.blocks}", *widths],
        "pix2pix": ["model=pix2pix", "data=digit_edges", f"model.generator.dropout_layers={dropout}", *widths],
        "ProGAN": [
            *("model=progan", "data=digits", "model/growth=none"),
            *[f"model.{network}.fmap_base=16384" for network in ("generator", "discriminator")],
        ],
    }[case.family]
    quiet = ["tuned=none", "logger=none", "trainer.enable_progress_bar=false", "+trainer.enable_model_summary=false"]
    quiet += [f"callbacks.{name}=null" for name in ("samples", "evaluation", "checkpoint")]
    sizes = ["data.channels=3", f"data.image_size={case.image_size}", f"model.batch_size={case.batch_size}"]
    return [*family, *quiet, *sizes, "trainer.accelerator=cpu", "trainer.precision=32-true"]


def measure(case: Case, folder: Path, steps: int, turns: int, options: list[str]) -> list[str]:
    """Train both sides in turn; return the cells of the row, whose last may be why there are no others."""
    from lightning.pytorch import Callback

    from lightning_gans import build, compose

    class TakeTurns(Callback):
        """Times ``steps`` steps of ours, then as many of the peer's, and so on: processor time, clock, operations."""

        def on_train_start(self, *_: Any) -> None:
            self.spent: list[list[tuple[float, float, int]]] = [[], []]  # of ours, of theirs
            self.since = time.process_time(), time.perf_counter()
            self.operations = count()

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            if trainer.global_step % steps:
                return
            operations = 0 if self.spent[0] else counted(self.operations)
            seconds = time.process_time() - self.since[0], time.perf_counter() - self.since[1]
            self.spent[0].append((*seconds, operations))
            self.spent[1].append(peer.turn(steps))
            self.since = time.process_time(), time.perf_counter()

    with tempfile.TemporaryDirectory() as scratch:
        try:
            with closing(Peer(folder, case, scratch)) as peer:
                length = f"trainer.max_steps={(turns + 1) * steps}"
                run = build(compose(*overrides(case), length, *options), scratch)
                timing = TakeTurns()
                run.trainer.callbacks.append(timing)
                run.fit()
        except PeerError as error:
            return [*[""] * 7, f"failed: {error}"]
    cells = []
    for kind in (0, 1):  # processor time, clock
        ours, theirs = ([turn[kind] / steps for turn in side[1:]] for side in timing.spent)  # the first warms up
        cells += [f"{statistics.median(side) * 1000:.0f}" for side in (ours, theirs)]
        cells.append(f"{statistics.median(a / b for a, b in zip(ours, theirs, strict=True)):.2f}")
    cells.append(", ".join(f"{side[0][2] / steps / 1e9:.0f}" for side in timing.spent))
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in run.model.named_children()}
    discriminators = counts["discriminator"] + counts.get("discriminator_back", 0)
    return [*cells, same_parameters([counts["generator"], discriminators], peer.parameters)]


def same_parameters(ours: list[int], theirs: list[int]) -> str:
    """Return the numbers of parameters: once if they are the same on both sides, else both."""
    if ours == theirs:
        return "{:,}, {:,}".format(*ours)
    return "DIFFER: ours {:,}, {:,}; theirs {:,}, {:,}".format(*ours, *theirs)


def product_rate() -> float:
    """Return how many GFLOP a second of processor time this thread makes of products of 1,024 x 1,024 matrices."""
    import torch

    a = torch.randn(1024, 1024)
    seconds = []
    for _ in range(10):
        started = time.process_time()
        a @ a
        seconds.append(time.process_time() - started)
    return 2 * 1024**3 / min(seconds) / 1e9


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for peer in ("dcgan", "cyclegan", "progan"):
        parser.add_argument(f"--{peer}", type=Path, metavar="DIR")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--dcgan-batch", type=int, default=64)
    parser.add_argument("--progan-size", type=int, default=32)
    parser.add_argument("--progan-batch", type=int, default=4)
    parser.add_argument("--base-channels", type=int, default=64, help="of all but ProGAN")
    parser.add_argument("options", nargs="*", help="of our side")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(Path(given.serve[0]), Case(*json.loads(given.serve[1])))
        return
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    cases = [
        (given.dcgan, Case("DCGAN", 64, given.dcgan_batch, given.base_channels)),
        (given.cyclegan, Case("CycleGAN", given.image_size, 1, given.base_channels)),
        (given.cyclegan, Case("pix2pix", given.image_size, 1, given.base_channels)),
        (given.progan, Case("ProGAN", given.progan_size, given.progan_batch)),
    ]
    print(f"one thread, 32-true, torch {torch.__version__}, ms of processor time per step, ", end="")
    print(f"products of matrices: {product_rate():.0f} GFLOP/s\n")
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for folder, case in cases:
        if folder is None:
            continue
        row = [case.family, f"{case.image_size}x{case.image_size}", str(case.batch_size)]
        row += measure(case, folder, given.steps, given.turns, given.options)
        print(f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in row)} |", flush=True)


if __name__ == "__main__":
    main()

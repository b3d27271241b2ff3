"""Time of layers' convolutions in float32 on a CPU, ours over PyTorch's, forward and backward by maps and weight.

    python benchmarks/convolutions.py [--threads 1] [--turns 9] [--all]

Layers of the families at their own sizes; both sides take turns in one process, and the first quartile of the times
counts, of processor time with one thread, by the clock with more. ``way``: the one that ``networks/convolution.py``
chooses. ``--all`` times each way for every layer that it can compute, chosen or not: what the choice was made by. ``off
by``: the largest difference of values and gradients, of the largest value.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.networks import dense, few_outputs
from lightning_gans.networks.columns import Columns
from lightning_gans.networks.convolution import _Convolution, _Transposed, way_of
from lightning_gans.networks.few_channels import FewChannels
from lightning_gans.networks.winograd import TAPS, Winograd


class Layer(NamedTuple):
    """Describe a convolution of ``batch`` maps of a side, from inputs to outputs."""

    family: str
    batch: int
    side: int
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    padding: int = 0
    transposed: bool = False


LAYERS = [
    Layer("CycleGAN 128x128, residual block", 2, 34, 256, 256, 3),
    Layer("CycleGAN 256x256, residual block", 1, 66, 256, 256, 3),
    Layer("pix2pixHD 512x256, residual block", 1, 34, 512, 512, 3),
    Layer("ProGAN 32x32", 4, 32, 512, 512, 3, 1, 1),
    Layer("ProGAN 16x16", 16, 16, 512, 512, 3, 1, 1),
    Layer("ProGAN 8x8", 16, 8, 512, 512, 3, 1, 1),
    Layer("ProGAN 4x4", 16, 4, 512, 512, 3, 1, 1),
    Layer("SNGAN 32x32, G", 64, 32, 256, 256, 3, 1, 1),
    Layer("SNGAN 32x32, D", 64, 16, 128, 128, 3, 1, 1),
    Layer("BigGAN 128x128, 96 maps, at 64x64", 4, 64, 96, 96, 3, 1, 1),
    Layer("StyleGAN2 128x128, at 64x64", 8, 64, 256, 256, 3, 1, 1),
    Layer("SRGAN, 64 maps", 4, 24, 64, 64, 3, 1, 1),
    Layer("DCGAN 64x64, D's first halving", 64, 64, 3, 64, 4, 2, 1),
    Layer("DCGAN 64x64, D's third halving", 64, 16, 128, 256, 4, 2, 1),
    Layer("DCGAN 64x64, D's last halving", 64, 8, 256, 512, 4, 2, 1),
    Layer("DCGAN 64x64, G's first doubling", 64, 4, 512, 256, 4, 2, 1, transposed=True),
    Layer("DCGAN 64x64, G's last doubling", 64, 32, 64, 3, 4, 2, 1, transposed=True),
    Layer("DCGAN, D's last layer", 64, 4, 512, 1, 4),
    Layer("DCGAN, G's first layer", 64, 1, 100, 512, 4, transposed=True),
    Layer("pix2pix, U-Net 8x8 to 4x4", 1, 8, 512, 512, 4, 2, 1),
    Layer("pix2pix, U-Net 4x4 to 8x8", 1, 4, 1024, 512, 4, 2, 1, transposed=True),
    Layer("pix2pix, PatchGAN, 256 to 512", 1, 32, 256, 512, 4, 1, 1),
    Layer("DCGAN 32x32, the digits' first halving", 32, 32, 1, 24, 4, 2, 1),
    Layer("DCGAN 32x32, the digits' last doubling", 32, 16, 32, 1, 4, 2, 1, transposed=True),
    Layer("pix2pix, PatchGAN's first, of both images", 1, 256, 6, 64, 4, 2, 1),
    Layer("SNGAN 32x32, D's first", 64, 32, 3, 128, 3, 1, 1),
    Layer("CycleGAN 128x128, PatchGAN's first", 1, 128, 3, 64, 4, 2, 1),
    Layer("CycleGAN 128x128, G's first layer", 1, 134, 3, 64, 7),
    Layer("CycleGAN 128x128, G's last layer", 1, 134, 64, 3, 7),
    Layer("SRGAN, G's last layer", 1, 96, 64, 3, 9, 1, 4),
]


def ways(layer: Layer, maps: Tensor, weight: Tensor) -> Iterator[tuple[str, bool, Callable[[], Tensor]]]:
    """List the ways of a layer: its name, whether it is chosen, and what computes it."""
    how = layer.stride, layer.padding
    usual = F.conv_transpose2d if layer.transposed else F.conv2d
    shape = tuple(usual(maps, weight, None, *how).shape) if layer.transposed else tuple(maps.shape)
    if dense.fits(shape, weight.shape, layer.padding):
        compute = dense.spread if layer.transposed else dense.convolve
        yield "dense", True, lambda: compute(maps, weight, None)
        return
    chosen = way_of(shape, weight, *how)
    for name, kind in {"Winograd": Winograd, "columns": Columns, "few channels": FewChannels}.items():
        taken, way = isinstance(chosen, kind), kind(*how)
        if kind is Winograd and (layer.stride, layer.kernel) != (1, TAPS) or layer.kernel % layer.stride:
            continue
        if layer.transposed:
            yield name, taken, lambda way=way: _Transposed.apply(maps, weight, shape, way)
        else:
            yield name, taken, lambda way=way: _Convolution.apply(maps, weight, None, way)
    if layer.stride == 1 and not layer.transposed and layer.outputs <= few_outputs.OUTPUTS:
        taken = few_outputs.pays(maps, weight) and chosen is None
        yield "rows of columns", taken, lambda: few_outputs.convolve(maps, weight, None, layer.padding)


def timed(works: list[Callable[[], Any]], turns: int) -> list[float]:
    """Milliseconds of each, in turn."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    spent: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    for _ in range(turns):
        for work, times in zip(works, spent, strict=True):
            started = clock()
            work()
            times.append(clock() - started)
    return [sorted(times)[turns // 4] * 1e3 for times in spent]


def difference(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    """The largest difference, of the largest value of each."""
    return max(
        float((a - b).detach().abs().max() / b.detach().abs().max()) for a, b in zip(found, expected, strict=True)
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--all", action="store_true", help="ways that are not chosen, too")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{given.threads} thread(s), torch {torch.__version__}\n")
    columns_of_table = ["layer", "batch", "kernel", "PyTorch's, ms", "way", "chosen", "ours / PyTorch's", "off by"]
    print(f"| {' | '.join(columns_of_table)} |\n|{'---|' * len(columns_of_table)}")
    for layer in LAYERS:
        torch.manual_seed(0)
        maps = torch.randn(layer.batch, layer.inputs, layer.side, layer.side)
        sizes = (layer.inputs, layer.outputs) if layer.transposed else (layer.outputs, layer.inputs)
        weight = torch.randn(*sizes, layer.kernel, layer.kernel) / (layer.kernel * layer.inputs**0.5)
        maps, weight = (one.to(memory_format=torch.channels_last).requires_grad_() for one in (maps, weight))
        usual = F.conv_transpose2d if layer.transposed else F.conv2d
        how = maps, weight, None, layer.stride, layer.padding
        by = torch.randn_like(usual(*how))

        def both(compute: Callable[[], Tensor], of=(maps, weight), by=by) -> tuple[Tensor, ...]:
            made = compute()
            return made, *torch.autograd.grad(made, of, by)

        def pytorch(how=how, usual=usual) -> Tensor:
            return usual(*how)

        listed = [way for way in ways(layer, maps, weight) if given.all or way[1]]
        cells = [layer.family, str(layer.batch), f"{layer.kernel}, stride {layer.stride}" + ", T" * layer.transposed]
        if not listed:
            (spent,) = timed([lambda: both(pytorch)], given.turns)  # noqa: B023
            print(f"| {' | '.join([*cells, f'{spent:.1f}', 'PyTorch', 'yes', '1', '0'])} |", flush=True)
        for name, chosen, compute in listed:
            usually, ours = timed([lambda: both(pytorch), lambda: both(compute)], given.turns)  # noqa: B023
            off = difference(both(compute), both(pytorch))
            row = [*cells, f"{usually:.1f}", name, "yes" if chosen else "no", f"{ours / usually:.2f}", f"{off:.0e}"]
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()

"""The Frechet distance of LAPGAN's images by how many of their levels are generated, the others being real.

    python benchmarks/lapgan.py CHECKPOINT [--n 2000]

In training every level starts from real coarse images; a sample's levels start from what the one before has made. The
last row is the chain as a whole, which is what samples and ``evaluate`` have.
"""

from __future__ import annotations

import argparse

import torch
from augmentation import GivenImages

from lightning_gans.checkpoints import files, load
from lightning_gans.data.base import ImageDataModule
from lightning_gans.evaluation.evaluator import Evaluator
from lightning_gans.evaluation.sources import RealImages
from lightning_gans.images.pixels import to_uint8


def main() -> None:
    """Print a row for every number of generated levels."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--n", type=int, default=2000)
    given = parser.parse_args()
    content = files.read(given.checkpoint)
    module, data = load.rebuild(content), load.real_data(content)
    extractor = load.extractor_of(content, data)()
    score = Evaluator(extractor, n=given.n, metrics=["frechet"])
    real = RealImages(data, given.n)
    print("| generated levels | Frechet distance |\n|---|---|")
    for levels in range(1, len(module.names)):
        made = []
        for seed, batch in enumerate(real.batches(range(real.n), 256)):
            images = batch["image"].float() / 127.5 - 1
            classes = (batch["label"],) if module.conditions else ()
            made.append(to_uint8(module.refine(images, *classes, levels=levels, seed=seed)))
        how = {"image_size": data.image_size, "channels": data.channels}
        (distance,) = score(ImageDataModule(GivenImages(torch.cat(made), None), **how), data)["scores"].values()
        print(f"| {' and '.join(module.names[-levels:])} | {distance:.2f} |", flush=True)
    (distance,) = score(module, data)["scores"].values()
    print(f"| all | {distance:.2f} |")


if __name__ == "__main__":
    main()

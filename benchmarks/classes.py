"""Fidelity to the class and diversity within it, of a conditional family's samples.

    python benchmarks/classes.py CHECKPOINT [--n 200]

``recognised`` is the share of samples that the extractor of the checkpoint's data takes for the class that they were
asked for; ``MS-SSIM`` the mean over random pairs of one class, of samples and of training images. A generator with one
picture a class passes the first alone.
"""

from __future__ import annotations

import argparse

import torch

from lightning_gans.checkpoints import files, load
from lightning_gans.images.pixels import to_uint8
from lightning_gans.metrics.class_ms_ssim import pair_similarity


def main() -> None:
    """Print a row a class and the means."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--n", type=int, default=200, help="samples and pairs of a class")
    given = parser.parse_args()
    content = files.read(given.checkpoint)
    module, data = load.rebuild(content), load.real_data(content)
    extractor, real = load.extractor_of(content, data)(), data.train_images
    labels, rows = real.entries("label"), []
    print("| class | recognised | MS-SSIM of samples | MS-SSIM of training images |\n|---|---|---|---|")
    for c in range(module.conditioning.label.num_classes):
        samples = to_uint8(module.sample(given.n, seed=c, classes=[c]))
        recognised = extractor(samples).logits.argmax(1).eq(c).double().mean()
        others = real.fetch((labels == c).nonzero()[:, 0])["image"]
        rows.append(torch.stack([recognised, *(pair_similarity(x, given.n) for x in (samples, others))]))
        print(f"| {c} | " + " | ".join(f"{value:.3f}" for value in rows[-1]) + " |")
    mean = torch.stack(rows).mean(0)
    print("| mean | " + " | ".join(f"{value:.3f}" for value in mean) + f" |\n\nratio {mean[1] / mean[2]:.2f}")


if __name__ == "__main__":
    main()

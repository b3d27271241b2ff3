"""One picture of what several runs make, a band of rows a run.

    python benchmarks/gallery.py OUT.png RUN [RUN ...] [--columns 8] [--rows 2] [--colours 160]

Of a family on latents samples 0, 1, ... of seed 0, as they come; of one with classes a column a class; of one with
captions a column a caption of the test part, which it prints; of a translation family test examples above their
translations. All are of one size. The colours are reduced to a palette, so that the file stays small.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from lightning_gans.checkpoints import files, load
from lightning_gans.data.captions import captions_of
from lightning_gans.images.pixels import displayable, to_pil, to_uint8
from lightning_gans.images.sheets import grid
from lightning_gans.models.translation import TranslationModule


def band(run: str, columns: int, rows: int) -> Tensor:
    """Return the pictures (rows * columns, 3, H, W) uint8 of a run."""
    content = files.read(run)
    module = load.rebuild(content)
    if isinstance(module, TranslationModule):
        data = load.real_data(content)
        batch = data.examples([i * data.n_examples // columns for i in range(columns)])
        made = [batch["source"], module.translate(batch["source"])]
        return torch.cat([displayable(to_uint8(images)) for images in made])
    if "text" in module.conditioning:
        captions = captions_of(images := load.real_data(content).example_images)
        numbers = [int(captions.numbers[i * len(images) // columns, 0]) for i in range(columns)]
        texts = [captions.texts[number] for number in numbers]
        print(*texts, sep="\n")
        return displayable(to_uint8(module.sample(rows * columns, seed=0, text=texts * rows)))
    if "label" in module.conditioning:
        classes = list(range(module.conditioning.label.num_classes))[:columns]
        return displayable(to_uint8(module.sample(rows * columns, seed=0, classes=classes * rows)))
    return displayable(to_uint8(module.sample(rows * columns, seed=0)))


def main() -> None:
    """Write the picture and print which rows are whose."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--rows", type=int, default=2, help="of samples, a run")
    parser.add_argument("--colours", type=int, default=160, help="in the palette")
    given = parser.parse_args()
    bands = [grid(band(run, given.columns, given.rows), columns=given.columns) for run in given.runs]
    bands = [one.expand(3, -1, -1) for one in bands]  # grey ones too
    sheet = to_pil(torch.cat(bands, 1))
    sheet.quantize(given.colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        given.out, optimize=True
    )
    for run, one in zip(given.runs, bands, strict=True):
        print(f"{run}: {one.shape[1]} rows of pixels")
    print(f"{given.out}: {sheet.width}x{sheet.height}, {given.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

"""Train and pack the generators that the package brings, by the values in conf/tuned.

    python benchmarks/make_weights.py [NAME ...] [--runs DIR] [--out lightning_gans/pretrained]

A run that was broken off goes on, and one that is whole is not trained again. Each generator is packed as float16,
scored as it will be loaded, and packed again with that score's card; the table is Markdown. Nothing trained on pictures
without a licence ships.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image

from lightning_gans import compose, load
from lightning_gans.checkpoints import files
from lightning_gans.evaluation.comparison import of_checkpoint
from lightning_gans.evaluation.evaluator import Evaluator
from lightning_gans.sharing.pretrained import SHIPPED

N = 1797  # samples that are scored, as many as there are digits; of translations all examples
DIGITS = """## Data

scikit-learn's copy of *Optical Recognition of Handwritten Digits* (E. Alpaydin and C. Kaynak, UCI Machine Learning
Repository, CC BY 4.0), 1,797 digits of 8x8 pixels{}."""
NOTES = {
    "digits": DIGITS.format(", enlarged"),
    "digit_edges": DIGITS.format(", enlarged, and their edges"),
    "digit_domains": DIGITS.format(", enlarged, in two looks"),
    "photo_patches": """## Data

Patches of the two sample photographs of scikit-learn, both CC BY 2.0: `china.jpg` by danielbuechele
(<https://www.flickr.com/photos/danielbuechele/6061409035/>) and `flower.jpg` by vultilion
(<https://www.flickr.com/photos/vultilion/6056698931/>). They were cut into patches and reduced.""",
}


class Recipe(NamedTuple):
    """Say how a generator is trained and scored."""

    model: str
    data: str
    metric: str = "frechet"
    options: tuple[str, ...] = ()


SET = {
    "dcgan_digits": Recipe("dcgan", "digits"),
    "wgan_gp_digits": Recipe("wgan_gp", "digits"),
    "sngan_digits": Recipe("sngan", "digits"),
    "progan_digits": Recipe("progan", "digits"),
    "vae_digits": Recipe("vae", "digits"),
    "r3gan_digits": Recipe("r3gan", "digits"),
    "cgan_digits": Recipe("cgan", "digits", options=("model/network=cgan_dcgan",)),
    "pix2pix_digit_edges": Recipe("pix2pix", "digit_edges", "l1"),
    "pix2pix_hd_digit_edges": Recipe("pix2pix_hd", "digit_edges", "l1"),
    "cyclegan_digit_domains": Recipe("cyclegan", "digit_domains", "l1"),
    "srgan_photo_patches": Recipe("srgan", "photo_patches", "psnr_y"),
}


def train(recipe: Recipe, folder: Path) -> None:
    """Train by the command that a user types, or go on with what the folder has."""
    options = [f"model={recipe.model}", f"data={recipe.data}", *recipe.options]
    last = folder / files.FOLDER / files.LAST
    done = files.read(last)["global_step"] if last.is_file() else None
    if done == compose(*options).trainer.max_steps:
        return
    alone = ["callbacks.evaluation=null", "callbacks.samples=null", f"hydra.run.dir={folder}"]
    typed = [*options, *alone] if done is None else [f"resume={folder}"]
    subprocess.run([sys.executable, "-m", "lightning_gans.train", *typed], check=True)


def score(place: str, metric: str) -> dict[str, Any]:
    """Return the score card of what ``evaluate checkpoint=PLACE`` scores, by one metric."""
    cpu = torch.device("cpu")
    sides = of_checkpoint(place, None, data={}, direction="a2b", make=None, device=cpu, trust=())
    extractor = sides.make() if metric == "frechet" else None
    n = N if sides.examples is None else None
    return Evaluator(extractor, n=n, metrics=[metric])(sides.candidate, sides.reference, examples=sides.examples)


def shrink(picture: Path) -> None:
    """Write a coloured picture in 64 colours, a grey one in 64 levels."""
    Image.open(picture).convert("RGB").quantize(64).save(picture, optimize=True)


def pack(name: str, run: Path, out: Path) -> list[str]:
    """Write one generator's folder; return its row of the table."""
    recipe, folder = SET[name], out / name
    trained = score(str(run), recipe.metric)["scores"]
    notes = {"license": "apache-2.0", "notes": NOTES[recipe.data], "half": True}
    load(run).save_pretrained(folder, **notes)
    card = score(str(folder), recipe.metric)
    load(folder).save_pretrained(folder, card=card, **notes)
    shrink(folder / "samples.png")
    size = sum(path.stat().st_size for path in folder.iterdir())
    weights = (folder / "model.safetensors").stat().st_size
    key = next(iter(trained))
    return [name, f"{weights:,}", f"{size:,}", key, f"{trained[key]:.4g}", f"{card['scores'][key]:.4g}", str(card["n"])]


def main() -> None:
    """Train, pack and print the table as the rows come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SET)}; left out: all")
    parser.add_argument("--runs", default="outputs/pretrained")
    parser.add_argument("--out", default=str(SHIPPED))
    arguments = parser.parse_args()
    for name in set(arguments.names) - SET.keys():
        parser.error(f"{name}: not one of {', '.join(SET)}")
    head = ["name", "weights", "folder", "score", "as trained", "float16", "of"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for name in arguments.names or SET:
        run = Path(arguments.runs, name)
        train(SET[name], run)
        print("| " + " | ".join(pack(name, run, Path(arguments.out))) + " |", flush=True)


if __name__ == "__main__":
    main()

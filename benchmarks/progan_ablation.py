"""ProGAN's ablation, row by row, at 32x32 and a small width: sliced Wasserstein distance and MS-SSIM.

    python benchmarks/progan_ablation.py OUT [--rows a b ...] [--scale 1.0] [key=value ...]

Every row is ``experiment=progan_ablation_ROW``, trained on one thread into OUT/ROW; rows that are there are not trained
again. ``--scale`` multiplies the number of images, of every phase too; ``key=value`` holds for every row, e.g.
``data=folder data.root=DIR``.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

import torch

from lightning_gans import build, compose

ROWS = {
    "a": "WGAN-GP, full resolution",
    "b": "+ progressive growing",
    "c": "+ small minibatch",
    "d": "+ revised training parameters",
    "e_star": "+ minibatch discrimination",
    "e": "minibatch deviation instead",
    "f": "+ equalised learning rate",
    "g": "+ pixel norm",
    "h": "wider and longer",
}
# Table 1 of Karras et al. 2018, CelebA at 128x128: SWD x 10^3 averaged over levels, MS-SSIM.
PAPER = {
    "a": (9.28, 0.2854),
    "b": (4.28, 0.2838),
    "c": (46.23, 0.4065),
    "d": (8.07, 0.3027),
    "e_star": (9.84, 0.3057),
    "e": (7.04, 0.2950),
    "f": (4.39, 0.2902),
    "g": (3.56, 0.2845),
    "h": (2.96, 0.2828),
}
BEFORE = {"b": "a", "c": "b", "d": "c", "e_star": "d", "e": "d", "f": "e", "g": "f", "h": "g"}


def train(row: str, folder: Path, scale: float, options: list[str]) -> None:
    """Train a row."""
    quiet = ["trainer.enable_progress_bar=false", "+trainer.enable_model_summary=false", "trainer.accelerator=cpu"]
    cfg = compose(f"experiment=progan_ablation_{row}", *quiet, *options)
    cfg.max_kimg *= scale
    if cfg.model.growth is not None:
        cfg.model.growth.fade_kimg *= scale
        cfg.model.growth.stabilise_kimg *= scale
    build(cfg, folder).fit()


def newest(folder: Path) -> dict[str, object] | None:
    """The card of the row's last score."""
    cards = sorted(folder.glob("scores/step-*.json"))
    return json.loads(cards[-1].read_text(encoding="utf-8")) if cards else None


def direction(row: str, values: dict[str, tuple[float, float]], which: int) -> str:
    """Whether a row is better or worse than the one that it changes."""
    if row not in BEFORE or BEFORE[row] not in values:
        return ""
    return "better" if values[row][which] < values[BEFORE[row]][which] else "worse"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("options", nargs="*", help="overrides of the training")
    given = parser.parse_intermixed_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found: dict[str, tuple[float, float]] = {}
    for row in given.rows:
        folder = given.out / row
        card = newest(folder)
        if card is None:
            train(row, folder, given.scale, given.options)
            card = newest(folder)
        assert card is not None, f"{folder}: no score"
        scores = card["scores"]
        found[row] = (scores["swd"], scores["ms_ssim"])
        line = f"{row}: SWD {scores['swd']:.2f}, MS-SSIM {scores['ms_ssim']:.4f}, real {scores['ms_ssim_real']:.4f}"
        print(f"{line}, {card['images_seen']:,} images, {card['train_seconds']} s", file=sys.stderr, flush=True)
    print("| row | | SWD x 10^3 | step | paper's step | MS-SSIM | step | paper's step |\n|" + "---|" * 8)
    for row, (swd, similarity) in found.items():
        steps = [[direction(row, values, which) for values in (found, PAPER)] for which in (0, 1)]
        cells = [f"({row.replace('_star', '*')})", ROWS[row], f"{swd:.1f}", *steps[0], f"{similarity:.3f}", *steps[1]]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

"""Every family that takes one data set, as its config has it: score, time per generator update, images per second.

    python benchmarks/families.py [--data digits] [--models dcgan wgan_gp ...] [--out DIR] [key=value ...]

Each is trained whole by the command that a user types, one after another; the table is Markdown. Families that take
other kinds of data are named and left out. Times leave out scores, pictures and the first steps.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import hydra

from lightning_gans import compose
from lightning_gans.config.schemas import CONF_DIR
from lightning_gans.runtime.instantiation import instantiate

MODELS = sorted(path.stem for path in (CONF_DIR / "model").glob("*.yaml"))


def takes(model: str, data: str, options: list[str]) -> bool:
    """Whether a family takes this kind of data."""
    cfg = compose(f"model={model}", f"data={data}", *options)
    family = hydra.utils.get_object(cfg.model._target_)
    return instantiate(cfg.data, _convert_="all").kind in family.data_kinds


def train(model: str, data: str, folder: Path, options: list[str]) -> dict:
    """Train one family; what its run's folder says about it."""
    command = [sys.executable, "-m", "lightning_gans.train", f"model={model}", f"data={data}"]
    made = subprocess.run([*command, f"hydra.run.dir={folder}", *options], capture_output=True, text=True)
    if made.returncode:
        raise SystemExit(f"{model}: {made.stderr.splitlines()[-1]}")
    rows = dict(line.strip().split("  ", 1) for line in made.stdout.splitlines() if "  " in line.strip())
    card = json.loads(sorted((folder / "scores").glob("step-*.json"))[-1].read_text(encoding="utf-8"))
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        kimg = [float(row["train/kimg"]) for row in csv.DictReader(file) if row.get("train/kimg")]
    images_per_second = float(rows["images/s"].split()[0])
    per_update = 1000 * kimg[-1] / card["step"]
    return {
        "family": model,
        "score": " ".join(f"{key} {value:.2f}" for key, value in card["scores"].items() if key.startswith("f")),
        "of": f"{card['n']} / {card['n_real']}",
        "updates": card["step"],
        "ms per update": f"{1000 * per_update / images_per_second:.1f}",
        "images/s": f"{images_per_second:.0f}",
        "time": rows["time"].strip().split()[0] + " s",
    }


def main() -> None:
    """Print the table as the rows come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--out", help="folder for the runs; left out: they are deleted")
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.out or temporary)
        fitting = [model for model in arguments.models if takes(model, arguments.data, options)]
        if fitting != arguments.models:
            others = ", ".join(model for model in arguments.models if model not in fitting)
            print(f"left out, since they take other kinds of data: {others}", file=sys.stderr)
        for number, model in enumerate(fitting):
            row = train(model, arguments.data, folder / model, options)
            if number == 0:
                print("| " + " | ".join(row) + " |\n|" + "---|" * len(row))
            print("| " + " | ".join(str(value) for value in row.values()) + " |", flush=True)


if __name__ == "__main__":
    main()

"""Fine-tuning against training from scratch, on one class of a folder, from a checkpoint of the others.

    nice python benchmarks/fine_tuning.py ROOT CLASS OUT [--before 3000 --updates 1000]

``ROOT`` has a folder of pictures a class. A DCGAN of 32x32 learns all classes but ``CLASS``; three more then learn
``CLASS`` alone, equally long: from scratch, from those networks (``init``), and from those networks with the first
layers of the discriminator frozen (``model.freeze``). Scores compare with all pictures of ``CLASS`` in the features of
a classifier that was trained on all classes. Runs and their grids stay in ``OUT``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from lightning_gans import build, compose
from lightning_gans.data.base import ImageDataModule
from lightning_gans.training.classifier import write_classifier
from lightning_gans.training.trainer import instantiate

FROZEN = "model.freeze=[discriminator.layers.0,discriminator.layers.2,discriminator.layers.3]"
OPTIONS = (
    *("model=dcgan", "tuned=none", "model/augment=diffaugment", "data=folder", "data.image_size=32", "data.flip=true"),
    *("model.batch_size=32", "model.generator.base_channels=32", "model.discriminator.base_channels=32"),
    *("trainer.precision=32-true", "trainer.enable_progress_bar=false", "trainer.log_every_n_steps=50"),
    *("extractor=classifier", "callbacks.evaluation.n=1000"),
)


def train(folder: Path, root: Path, updates: int, every: int, *options: str) -> dict[int, float]:
    """Train and return the Frechet distance by generator updates."""
    steps = [f"trainer.max_steps={updates}"]
    steps += [f"callbacks.{name}.every_n_train_steps={every}" for name in ("evaluation", "samples", "checkpoint")]
    run = build(compose(*OPTIONS, *steps, f"data.root={root}", *options), folder)
    started = time.process_time()
    run.fit()
    print(f"{folder.name}: {time.process_time() - started:.0f} s of processor time", flush=True)
    cards = [json.loads(path.read_text()) for path in sorted(folder.glob("scores/*.json"))]
    return {card["step"]: next(v for k, v in card["scores"].items() if k.startswith("fd_")) for card in cards}


def classifier(root: Path, num_classes: int, weights: Path) -> None:
    """Train the classifier whose features are compared."""
    data = compose("data=folder", f"data.root={root}", "data.image_size=32", f"data.num_classes={num_classes}")
    images = instantiate(data.data, "data", ImageDataModule)
    accuracy, n = write_classifier(images, weights, name="classes", epochs=10, flip=True)
    print(f"classifier: accuracy {accuracy:.3f} on {n} pictures that it has not seen", flush=True)


def main() -> None:
    """Print a row for each number of updates."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("held", metavar="CLASS")
    parser.add_argument("out", type=Path)
    parser.add_argument("--before", type=int, default=3000, help="updates on the other classes")
    parser.add_argument("--updates", type=int, default=1000, help="updates on the class")
    given = parser.parse_args()
    torch.set_num_threads(1)
    classes = sorted(path for path in given.root.resolve().iterdir() if path.is_dir())
    weights, one = given.out / "classifier.pt", given.root / given.held
    score = f"extractor.weights={weights}"
    if not (given.out / "before" / "checkpoints").is_dir():  # else what an earlier call has trained is taken
        others = given.out / "others"
        others.mkdir(parents=True)
        for path in classes:
            if path.name != given.held:
                (others / path.name).symlink_to(path)
        classifier(given.root, len(classes), weights)
        train(given.out / "before", others, given.before, given.before, score)
    init, every = f"init={given.out / 'before'}", given.updates // 5
    curves = {
        "scratch": train(given.out / "scratch", one, given.updates, every, score),
        "init": train(given.out / "init", one, given.updates, every, score, init),
        "init, freeze": train(given.out / "freeze", one, given.updates, every, score, init, FROZEN),
    }
    print(f"| updates | {' | '.join(curves)} |\n|---|{'---|' * len(curves)}")
    for step in curves["scratch"]:
        print(f"| {step} | " + " | ".join(f"{curve[step]:.1f}" for curve in curves.values()) + " |")


if __name__ == "__main__":
    main()

"""Train a classifier for scores: ``python -m lightning_gans.train_extractor data=mnist out=FILE``."""

from __future__ import annotations

import re
from pathlib import Path

from omegaconf import DictConfig

from lightning_gans.config import validation
from lightning_gans.config.command import command
from lightning_gans.config.errors import MISSING, ConfigError
from lightning_gans.config.schemas import TrainExtractorSchema


@command(TrainExtractorSchema)
def main(cfg: DictConfig) -> None:
    """Train a classifier of a labelled set, or of avatars' attributes, as an extractor, and print its accuracy."""
    if cfg.name is not None and not re.fullmatch(r"\w+", cfg.name, re.ASCII):
        raise ConfigError("name", cfg.name, "must be of letters, digits and _, since scores are called by it")

    from lightning_gans.data.base import ImageDataModule
    from lightning_gans.runtime.atomic import refuse_existing
    from lightning_gans.runtime.device import pick_device
    from lightning_gans.training.classifier import write_classifier
    from lightning_gans.training.trainer import instantiate

    refuse_existing(Path(cfg.out).expanduser(), overwrite=cfg.overwrite)
    validation.check_types(cfg)
    device = pick_device(cfg.device)
    data = instantiate(cfg.data, "data", ImageDataModule)
    if not data.num_classes and not data.attributes:
        raise ConfigError("data.num_classes", MISSING, "missing; a classifier needs a labelled set")
    options = {key: cfg[key] for key in ("epochs", "batch_size", "width", "flip", "seed")}
    name = cfg.name or type(data).__name__.lower()
    accuracy, n = write_classifier(data, cfg.out, name=name, device=device, progress=True, **options)
    print(f"classifier_{name}: accuracy {accuracy:.4f} on {n:,} images that it has not seen; {cfg.out}")
    extractor = "classifier" if data.num_classes else "avatars"
    print(f"score with: extractor={extractor} extractor.weights={cfg.out}")


if __name__ == "__main__":
    main()

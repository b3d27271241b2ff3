"""Sample from a checkpoint: ``python -m lightning_gans.sample checkpoint=PATH out=DIR [n=64 seed=0]``."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from lightning_gans.config.command import command
from lightning_gans.config.schemas import SampleSchema


@command(SampleSchema)
def main(cfg: DictConfig) -> None:
    """Write samples of a checkpoint's generator as images, and their grid."""
    from lightning_gans.checkpoints.load import load, points_of
    from lightning_gans.images.files import make_folder
    from lightning_gans.inference.outputs import older_samples
    from lightning_gans.inference.samples import class_sheet, sample_labels, sheet_columns, write_samples
    from lightning_gans.runtime.device import pick_device

    older = older_samples(cfg.out, overwrite=cfg.overwrite)
    module = load(cfg.checkpoint, trust=cfg.trust, device=pick_device(cfg.device))
    classes = None if cfg.classes is None else list(cfg.classes)
    module.sampling_inputs([0], cfg.seed, classes=classes)  # refused before anything is written
    drawn: dict[str, Any] = {"seed": cfg.seed, "batch_size": cfg.batch_size}
    labels = cfg.labels and sample_labels(module, cfg.labels, cfg.n, seed=cfg.seed, classes=classes)
    make_folder(cfg.out)
    batches = module.samples(range(cfg.n), **drawn, classes=labels or classes)
    rows = classes or sorted(set(labels or []))
    sheet = class_sheet(module, sheet_columns(cfg.n, rows), rows, **drawn) if rows else None
    points = points_of(module, trust=cfg.trust)
    grid = write_samples(batches, cfg.n, cfg.out, cfg.format, points, older, labels=labels, sheet=sheet)
    print(f"{cfg.n} samples of generator update {module.iteration:,} in {cfg.out}; grid: {grid}")


if __name__ == "__main__":
    main()

"""Sample from a checkpoint: ``python -m lightning_gans.sample checkpoint=PATH out=DIR [n=64 seed=0]``."""

from __future__ import annotations

from omegaconf import DictConfig

from lightning_gans.config.command import command
from lightning_gans.config.schemas import SampleSchema


@command(SampleSchema)
def main(cfg: DictConfig) -> None:
    """Write samples of a checkpoint's generator as images, and their grid."""
    from lightning_gans.checkpoints.load import load, points_of
    from lightning_gans.images.files import make_folder
    from lightning_gans.images.sheets import aligned_columns
    from lightning_gans.inference.outputs import older_samples
    from lightning_gans.inference.samples import write_samples
    from lightning_gans.runtime.device import pick_device

    older = older_samples(cfg.out, overwrite=cfg.overwrite)
    module = load(cfg.checkpoint, trust=cfg.trust, device=pick_device(cfg.device))
    classes = None if cfg.classes is None else list(cfg.classes)
    codes = {name: None if cfg[name] is None else list(cfg[name]) for name in ("code", "continuous")}
    module.sampling_inputs([0], cfg.seed, classes=classes, **codes)  # refused before anything is written
    make_folder(cfg.out)
    batches = module.samples(range(cfg.n), seed=cfg.seed, batch_size=cfg.batch_size, classes=classes, **codes)
    turns = max(len(values or []) for values in (classes, *codes.values()))
    columns = aligned_columns(min(cfg.n, 64), turns)
    grid = write_samples(batches, cfg.n, cfg.out, cfg.format, points_of(module, trust=cfg.trust), older, columns)
    print(f"{cfg.n} samples of generator update {module.iteration:,} in {cfg.out}; grid: {grid}")


if __name__ == "__main__":
    main()

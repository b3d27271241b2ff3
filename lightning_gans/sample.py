"""Sample from a checkpoint: ``python -m lightning_gans.sample checkpoint=PATH out=DIR [n=64 seed=0]``."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from lightning_gans.config import command, errors, schemas, validation


@hydra.main(version_base="1.3", config_path=str(schemas.CONF_DIR), config_name="sample")
@command.handle_errors
def sample(cfg: DictConfig) -> None:
    """Write images and their grid."""
    validation.check_root(cfg, schemas.SampleSchema)
    errors.at_least_one("", n=cfg.n, batch_size=cfg.batch_size)
    if cfg.format not in ("png", "npz"):
        raise ValueError(f"format={cfg.format}: must be png or npz")
    if not cfg.checkpoint or not cfg.out:
        raise ValueError("checkpoint=PATH and out=DIR are needed")

    from lightning_gans.checkpoints.load import load, points_of
    from lightning_gans.images.files import make_folder
    from lightning_gans.images.sheets import aligned_columns
    from lightning_gans.inference.outputs import older_samples
    from lightning_gans.inference.samples import write_samples
    from lightning_gans.runtime.device import pick_device

    older = older_samples(cfg.out, overwrite=cfg.overwrite)
    module = load(cfg.checkpoint, trust=cfg.trust, device=pick_device(cfg.device))
    classes = None if cfg.classes is None else list(cfg.classes)
    module.sampling_inputs([0], cfg.seed, classes=classes)  # refused before anything is written
    make_folder(cfg.out)
    batches = module.samples(range(cfg.n), seed=cfg.seed, batch_size=cfg.batch_size, classes=classes)
    columns = aligned_columns(min(cfg.n, 64), len(classes or []))
    grid = write_samples(batches, cfg.n, cfg.out, cfg.format, points_of(module, trust=cfg.trust), older, columns)
    print(f"{cfg.n} samples of generator update {module.iteration:,} in {cfg.out}; grid: {grid}")


def main() -> None:
    """The command line."""
    command.run(sample)


if __name__ == "__main__":
    main()

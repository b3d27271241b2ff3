"""Sample from a checkpoint: ``python -m lightning_gans.sample checkpoint=PATH out=DIR [n=64 seed=0]``."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightning_gans.config.command import command
from lightning_gans.config.errors import ConfigError
from lightning_gans.config.overrides import override_value
from lightning_gans.config.schemas import SampleSchema


@command(SampleSchema)
def main(cfg: DictConfig) -> None:
    """Write samples of a checkpoint's generator as images, and their grid."""
    indices = numbers(cfg)

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
    batches = module.samples(indices, seed=cfg.seed, batch_size=cfg.batch_size, classes=classes, **codes)
    turns = max(len(values or []) for values in (classes, *codes.values()))
    columns = None if cfg.indices is not None else aligned_columns(min(cfg.n, 64), turns)
    how = (cfg.format, points_of(module, trust=cfg.trust), older, columns, indices)
    grid = write_samples(batches, len(indices), cfg.out, *how)
    print(f"{len(indices)} samples of generator update {module.iteration:,} in {cfg.out}; grid: {grid}")


def numbers(cfg: DictConfig) -> Sequence[int]:
    """Return the numbers of the samples: ``indices``, or the first ``n``.

    Raises:
        ConfigError: Both were typed, or a number twice.
    """
    if cfg.indices is None:
        return range(cfg.n)
    indices = list(cfg.indices)
    if override_value(list(HydraConfig.get().overrides.task), "n") is not None:
        raise ConfigError("n", cfg.n, f"not with indices={indices}, which says how many; leave it out")
    if len(set(indices)) < len(indices):
        raise ConfigError("indices", indices, "names a sample twice")
    return indices


if __name__ == "__main__":
    main()

"""Sample from a checkpoint: ``python -m lightning_gans.sample checkpoint=PATH out=DIR [n=64 seed=0]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from lightning_gans.config.command import command
from lightning_gans.config.errors import ConfigError
from lightning_gans.config.overrides import job_arguments, override_value
from lightning_gans.config.schemas import SampleSchema, sampling_options
from lightning_gans.runtime.light_imports import import_lightning


@command(SampleSchema)
def main(cfg: DictConfig) -> None:
    """Write samples of a checkpoint's generator as images, and their grid; rows of a table as a file."""
    indices = numbers(cfg)

    import_lightning()

    from lightning_gans.checkpoints.load import load, points_of
    from lightning_gans.images.sheets import aligned_columns
    from lightning_gans.inference.outputs import older_samples
    from lightning_gans.inference.rows import check_out, is_table, sample_rows, write_rows
    from lightning_gans.inference.samples import class_sheet, sample_labels, sheet_columns, write_samples
    from lightning_gans.inference.texts import caption_sheet, texts_of
    from lightning_gans.runtime.device import pick_device

    older = older_samples(cfg.out, overwrite=cfg.overwrite)
    module = load(cfg.checkpoint, trust=cfg.trust, device=pick_device(cfg.device))
    if is_table(module, cfg):
        path = check_out(cfg.out, overwrite=cfg.overwrite)
        chosen = cfg.n if cfg.indices is None else indices
        print(write_rows(sample_rows(module, chosen, seed=cfg.seed, where=cfg.where), path))
        return
    classes, texts = None if cfg.classes is None else list(cfg.classes), texts_of(cfg.text, cfg.captions)
    codes: dict[str, Any] = {name: list(cfg[name]) for name in ("code", "continuous") if cfg[name] is not None}
    codes |= {} if texts is None else {"text": texts}
    drawn: dict[str, Any] = {"seed": cfg.seed, **sampling_options(cfg)}
    module.sampling_inputs([0], classes=classes, **codes, **drawn)  # refused before anything is written
    drawn["batch_size"] = cfg.batch_size
    labels = cfg.labels and sample_labels(module, cfg.labels, cfg.n, seed=cfg.seed, classes=classes)
    batches = module.samples(indices, **drawn, classes=labels or classes, **codes)
    rows = [] if cfg.indices is not None else classes or sorted(set(labels or []))
    sheet = class_sheet(module, sheet_columns(cfg.n, rows), rows, **drawn) if rows else None
    if texts is not None and cfg.indices is None:
        sheet = caption_sheet(module, sheet_columns(cfg.n, texts), texts[:64], **drawn)
    turns = max(map(len, codes.values()), default=0) if cfg.indices is None else 0
    columns = aligned_columns(min(cfg.n, 64), turns)
    how = (cfg.format, points_of(module, trust=cfg.trust), older, columns, indices)
    grid = write_samples(batches, len(indices), cfg.out, *how, labels=labels, sheet=sheet)
    print(f"{len(indices)} samples of generator update {module.iteration:,} in {cfg.out}; grid: {grid}")


def numbers(cfg: DictConfig) -> Sequence[int]:
    """Return the numbers of the samples: ``indices``, or the first ``n``; refuse both, and a number twice."""
    if cfg.indices is None:
        return range(cfg.n)
    indices = list(cfg.indices)
    typed = override_value(job_arguments(), "n") is not None
    for key, given in (("n", typed), ("labels", cfg.labels is not None)):
        if given:
            raise ConfigError(key, cfg[key], f"not with indices={indices}, which says how many; leave it out")
    if len(set(indices)) < len(indices):
        raise ConfigError("indices", indices, "names a sample twice")
    return indices


if __name__ == "__main__":
    main()

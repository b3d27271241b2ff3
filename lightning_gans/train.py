"""Train a family: ``python -m lightning_gans.train [model=dcgan data=digits ...]``."""

from __future__ import annotations

import os
import sys

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lightning_gans.config import local, overrides, validation
from lightning_gans.config.command import command
from lightning_gans.config.schemas import TrainSchema
from lightning_gans.runtime.light_imports import import_lightning
from lightning_gans.training import sweep

KNOWN = ("lightning_gans.", "lightning.", "torch.")


def from_checkpoint(arguments: list[str]) -> list[str]:
    """Lay what was typed over the config of a checkpoint, if one is resumed.

    Raises:
        ValueError: A multirun, whose jobs would share one folder, or a checkpoint that cannot be read.
    """
    resume = overrides.override_value(arguments, "resume")
    if resume in (None, "", "null"):
        return arguments
    if overrides.override_value(arguments, "init") not in (None, "null"):
        raise ValueError("init: not with resume, which loads its own networks")
    for flag in {"-m", "--multirun"}.intersection(arguments):
        raise ValueError(f"{flag}: cannot be combined with resume, since all jobs would share one folder")

    from lightning_gans.checkpoints import files

    path = files.find(str(resume)).resolve()
    folder = path.parent.parent if path.parent.name == files.FOLDER else None
    content = files.read(path, to_resume=True)
    source, left_out = local.localised(content["config"]["source"], overrides.typed_keys(arguments))
    if left_out and "LOCAL_RANK" not in os.environ:
        print(f"not taken from {path}: {', '.join(left_out)}; say it to have it", file=sys.stderr)
    return overrides.resume_arguments(arguments, source, folder)


def needs_no_extras(cfg: DictConfig) -> bool:
    """Return whether torchmetrics can do without its optional packages: we know all that is named, and LPIPS is not."""
    names = [node["_target_"] for _, node in validation.target_nodes(cfg, "")]
    metrics = OmegaConf.select(cfg, "callbacks.evaluation.metrics") or []
    return all(name.startswith(KNOWN) for name in names) and not any(
        "lpips" in str(name) for name in [*names, *metrics]
    )


@command(TrainSchema, arguments=from_checkpoint, guard=sweep.job)
def main(cfg: DictConfig) -> float | None:
    """Train a family on a set, score it on the way and sum up the run.

    Returns:
        The score that picks ``best.ckpt``, lower is better; ``None`` where nothing was scored.
    """
    overrides.anchor_paths(cfg)
    validation.check_tuned()
    validation.check_budget()
    if not cfg.resume and not sweep.is_multirun() and needs_no_extras(cfg):
        import_lightning(trains=True)

    from lightning_gans.training import rollback
    from lightning_gans.training.run import assemble

    trust = list(cfg.trust) if cfg.resume else None
    run = assemble(cfg, HydraConfig.get().runtime.output_dir, trust=trust)
    if cfg.resume:
        said = local.places_read(OmegaConf.to_container(run.cfg), overrides.typed_keys(sys.argv[1:]))
        if said and run.trainer.is_global_zero:
            print(f"reads from where {cfg.resume} says: {', '.join(said)}", file=sys.stderr)
        run.prepare(cfg.resume)
    run = rollback.fit(run, cfg, trust=trust)
    if run.trainer.is_global_zero:
        print(run.summary())
        if run.interrupted_by:
            print(f"stopped by signal {run.interrupted_by}; go on with: resume={run.folder}")
            raise SystemExit(128 + run.interrupted_by)
    return run.score


if __name__ == "__main__":
    main()

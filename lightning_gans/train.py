"""Train a family: ``python -m lightning_gans.train [model=dcgan data=digits ...]``."""

from __future__ import annotations

import os
import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lightning_gans.config import command, local, metrics, overrides, schemas, validation
from lightning_gans.training import sweep


@hydra.main(version_base="1.3", config_path=str(schemas.CONF_DIR), config_name="train")
@sweep.job
def train(cfg: DictConfig) -> float | None:
    """Build, fit and sum up what the config describes; returns the score that picks ``best.ckpt``, lower is better."""
    overrides.anchor_paths(cfg)
    metrics.name_own_metrics(cfg, "callbacks.evaluation.metrics", HydraConfig.get())
    if not cfg.resume:  # what a checkpoint names is looked up once it is known that it may be
        validation.check_keys(cfg)
    validation.check_tuned()
    validation.check_budget()

    from lightning_gans.training.run import build

    run = build(cfg, HydraConfig.get().runtime.output_dir, trust=list(cfg.trust) if cfg.resume else None)
    if cfg.resume:
        said = local.places_read(OmegaConf.to_container(run.cfg), overrides.typed_keys(sys.argv[1:]))
        if said and run.trainer.is_global_zero:
            print(f"reads from where {cfg.resume} says: {', '.join(said)}", file=sys.stderr)
        run.prepare(cfg.resume)
    run.fit(cfg.resume, show=True)
    if run.trainer.is_global_zero:
        print(run.summary())
        if run.interrupted_by:
            print(f"stopped by signal {run.interrupted_by}; go on with: resume={run.folder}")
            raise SystemExit(128 + run.interrupted_by)
    return run.score


def start() -> None:
    """Lay what was typed over the config of a checkpoint, if one is resumed."""
    resume = overrides.override_value(sys.argv[1:], "resume")
    if resume not in (None, "", "null"):
        for flag in {"-m", "--multirun"}.intersection(sys.argv):
            raise ValueError(f"{flag}: cannot be combined with resume, since all jobs would share one folder")
        from lightning_gans.checkpoints import files

        path = files.find(str(resume)).resolve()
        folder = path.parent.parent if path.parent.name == files.FOLDER else None
        content = files.read(path, to_resume=True)
        source, left_out = local.localised(content["config"]["source"], overrides.typed_keys(sys.argv[1:]))
        if left_out and "LOCAL_RANK" not in os.environ:
            print(f"not taken from {path}: {', '.join(left_out)}; say it to have it", file=sys.stderr)
        sys.argv[1:] = overrides.resume_arguments(sys.argv[1:], source, folder)
    train()


def main() -> None:
    """The command line."""
    command.run(start)


if __name__ == "__main__":
    main()

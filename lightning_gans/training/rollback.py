"""Roll a training that went wrong back to its last good checkpoint, and go on with smaller learning rates."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from lightning_gans.callbacks.stability import DivergedError, StabilityGuard
from lightning_gans.checkpoints.files import FOLDER, good_checkpoint
from lightning_gans.training.run import Run, assemble


def fit(run: Run, cfg: DictConfig, *, trust: list[str] | None) -> Run:
    """Train; where the stability guard ends the training, go on as often as ``callbacks.stability.rollbacks`` allows.

    Args:
        run: Made from the config, and prepared if it resumes.
        cfg: As composed.
        trust: See ``assemble``.

    Returns:
        The run that reached the end.

    Raises:
        DivergedError: The training went wrong once more than allowed, or before it had a good checkpoint.
    """
    resume = cfg.resume
    while True:
        try:
            run.fit(resume, show=True)
            return run
        except DivergedError as error:
            guard = StabilityGuard.of(run.trainer)
            good = good_checkpoint(Path(run.folder, FOLDER), run.trainer.ckpt_path)
            if guard is None or not guard.rollbacks or good is None:
                raise
            cfg = rolled_back(cfg, guard.rollback_rate)
            rates = ", ".join(f"model.{name}.lr={cfg.model[name].lr:.3g}" for name in _rated(cfg))
            print(f"rolled back, {guard.rollbacks - 1} times left, with {rates}: {error}", file=sys.stderr)
            resume = str(good)
            run = assemble(cfg, run.folder, trust=trust)


def rolled_back(cfg: DictConfig, factor: float) -> DictConfig:
    """Return a config with every learning rate multiplied by ``factor``, and one roll-back less left."""
    rates = {name: cfg.model[name].lr * factor for name in _rated(cfg)}
    made = copy.deepcopy(cfg)
    with open_dict(made):
        for name, rate in rates.items():
            OmegaConf.update(made, f"model.{name}.lr", rate)
        made.callbacks.stability.rollbacks -= 1
        made.init = made.resume = None  # history: the checkpoint has what came of them
    return made


def _rated(cfg: DictConfig) -> list[str]:
    """Return the keys of a family's optimisers that have a learning rate."""
    names = [str(name) for name in cfg.model if str(name).endswith("_optimizer")]
    return [name for name in names if OmegaConf.select(cfg, f"model.{name}.lr") is not None]

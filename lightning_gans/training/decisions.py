"""Decide what a config leaves open, before a run is built."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf, open_dict

from lightning_gans.checkpoints import roles
from lightning_gans.config import local, validation
from lightning_gans.runtime.precision import decide_precision
from lightning_gans.training import sweep


def decided(given: DictConfig, trust: Sequence[str] | None, batch_size: int = 1) -> tuple[DictConfig, dict[str, Any]]:
    """Decide ``auto`` values and resolve interpolations once, for the run and for its checkpoints.

    Args:
        given: The composed config.
        trust: Of a config out of a file: packages that it may name beside ours; ``None``: it is the user's own.
        batch_size: In the place of none: one for each process and micro-batch.

    Raises:
        ValueError: The file names what is not trusted; nothing that it names was imported yet.
    """
    cfg = copy.deepcopy(given)
    cfg.trainer.precision = decide_precision(cfg.trainer)
    if OmegaConf.select(cfg, "model.batch_size", default=0) is None:
        cfg.model.batch_size = batch_size
    validation.drop_absent(cfg)
    for logger in filter(None, (cfg.logger or {}).values()):
        if "group" in logger and logger.group is None:
            logger.group = sweep.name()
    values = roles.plain(OmegaConf.to_container(cfg, resolve=True))
    if trust is not None:
        roles.check_run(values, trust)
    carried = {"resolved": values, "source": local.portable(OmegaConf.to_container(cfg), values)}
    return OmegaConf.create(values, flags={"struct": True}), carried


def learn(node: DictConfig) -> dict[str, Any] | None:
    """Return the options that follow from the data, such as the columns of a table; ``None``: there are none."""
    learn_from = getattr(hydra.utils.get_object(node._target_), "learn", None)
    return (learn_from(OmegaConf.to_container(node)) or None) if learn_from else None


def with_data(given: DictConfig, options: dict[str, Any]) -> DictConfig:
    """Return a config with options of its data set."""
    cfg = copy.deepcopy(given)
    with open_dict(cfg):
        cfg.data.update(options)
    return cfg

"""Build Lightning's Trainer from a config: callbacks in order, loggers, processes, precision, budget."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint as LightningCheckpoint
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities import rank_zero_warn
from omegaconf import DictConfig, OmegaConf

from lightning_gans.callbacks.checkpoint import Checkpoint
from lightning_gans.callbacks.epoch_budget import EpochBudget, steps_for
from lightning_gans.callbacks.evaluation import Evaluation
from lightning_gans.callbacks.progress import Clock
from lightning_gans.callbacks.resume import Rewind
from lightning_gans.callbacks.stability import StabilityGuard
from lightning_gans.checkpoints import files
from lightning_gans.config.errors import MISSING, ConfigError, LaunchError
from lightning_gans.evaluation.selection import may_be_score, metrics_for, score_forms, without_features
from lightning_gans.extractors.none import is_none
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.translation import TranslationModule
from lightning_gans.runtime import instantiation
from lightning_gans.runtime.device import unusable_cuda
from lightning_gans.runtime.precision import available_accelerators
from lightning_gans.training.strategy import AlternatingDDP

MOST_DEVICES = 1024
STRATEGIES = ("auto", "ddp_find_unused_parameters_true")


def instantiate(node: Any, key: str, kind: type, allowed: Sequence[str] | None = None, **extra: Any) -> Any:
    """Instantiate a config node from plain containers.

    Args:
        node: The node.
        key: Its path, for messages.
        kind: Class that the object must be of.
        allowed: Dotted paths that it may name, from ``roles.whitelist``; ``None``: anything.
        **extra: Arguments beside the node's.

    Raises:
        ConfigError: The object is of another class.
    """
    wrong = f"its _target_ must name a {kind.__module__}.{kind.__name__}"
    if "_target_" not in node:
        raise ConfigError(key, MISSING, f"names no class; {wrong}")
    target = hydra.utils.get_object(node["_target_"])
    if inspect.isclass(target) and not node.get("_partial_") and not issubclass(target, kind):
        raise ConfigError(key, MISSING, f"is a {target.__name__}; {wrong}")
    made = instantiation.instantiate(node, allowed=allowed, _convert_="all", **extra)
    if not isinstance(made, kind):
        raise ConfigError(key, MISSING, f"is a {type(made).__name__}; {wrong}")
    return made


def make_trainer(
    cfg: DictConfig, model: GenerativeModule, world: int, folder: Path, allowed: Sequence[str] | None
) -> Trainer:
    """Build the trainer with its callbacks in order: check losses, save, then draw and score.

    Args:
        cfg: The whole config.
        model: What is trained.
        world: Number of processes.
        folder: Where everything is written.
        allowed: Dotted paths that the config may name; ``None``: anything.

    Raises:
        ValueError: A value that cannot be, by key.
    """
    _check_options(cfg.trainer)
    nodes = {name: node for name, node in (cfg.callbacks or {}).items() if node is not None}
    callbacks = [instantiate(node, f"callbacks.{name}", Callback, allowed) for name, node in nodes.items()]
    first = (ProgressBar, StabilityGuard, Checkpoint, Rewind)  # nothing is cleared in a folder that is refused
    callbacks.append(Rewind())
    callbacks.sort(key=lambda callback: next((i for i, kind in enumerate(first) if isinstance(callback, kind)), 9))
    _check_scores(callbacks, model, cfg.data.get("extractor"))
    idle = unusable_cuda() if cfg.trainer.accelerator == "auto" and available_accelerators() <= {"cpu"} else None
    if idle:
        rank_zero_warn(idle)
    nodes = {name: node for name, node in (cfg.logger or {}).items() if node is not None}
    loggers = [instantiate(node, f"logger.{name}", functools.partial, allowed) for name, node in nodes.items()]
    options: dict[str, Any] = {}
    for key, size in model.batch_sizes.items():
        if size % (world * model.accumulate):
            rule = f"must divide by {world} processes x model.accumulate={model.accumulate}"
            raise ConfigError(f"model.{key}", size, rule)
    if cfg.trainer.strategy not in STRATEGIES:
        raise ConfigError("trainer.strategy", cfg.trainer.strategy, f"must be one of {', '.join(STRATEGIES)}")
    if world > 1:
        _refuse_notebook(world, cfg.trainer.devices)
    if cfg.trainer.strategy == "auto" and world > 1:
        _refuse_multirun(world)
        options["strategy"] = AlternatingDDP()
    if cfg.max_kimg is not None:
        options["max_steps"] = steps_for(model, cfg.max_kimg * 1000)
    if cfg.max_epochs is not None:
        options["max_steps"] = -1  # until it is known how many images there are
        callbacks.append(EpochBudget(cfg.max_epochs))
    if not cfg.trainer.enable_progress_bar:
        callbacks = [callback for callback in callbacks if not isinstance(callback, ProgressBar)]
    return instantiate(  # type: ignore[no-any-return]
        cfg.trainer,
        "trainer",
        Trainer,
        allowed,
        callbacks=[Clock(), *callbacks],
        logger=[logger(save_dir=str(folder)) for logger in loggers] or False,
        default_root_dir=str(folder),
        plugins=[files.AtomicCheckpointIO()],
        enable_checkpointing=any(isinstance(callback, LightningCheckpoint) for callback in callbacks),
        use_distributed_sampler=False,
        max_epochs=-1,
        num_sanity_val_steps=0,
        **options,
    )


def _check_options(trainer: DictConfig) -> None:
    """Refuse by key what Lightning would refuse."""
    here = available_accelerators()
    allowed = ["auto", *(["gpu"] if here & {"cuda", "mps"} else []), *sorted(here)]
    if trainer.accelerator not in allowed:
        raise ConfigError("trainer.accelerator", trainer.accelerator, f"not here; must be {' or '.join(allowed)}")
    time = trainer.max_time
    if time is not None and not OmegaConf.is_dict(time) and not re.fullmatch(r"\d+(:\d\d?){3}", str(time)):
        raise ConfigError("trainer.max_time", time, "must be DD:HH:MM:SS, e.g. 00:08:00:00 for eight hours, or null")


def _check_scores(callbacks: list[Any], model: GenerativeModule, of_data: Any) -> None:
    """Refuse metrics, scores and weights that cannot be, as far as is known before the data are read.

    Args:
        callbacks: All of them.
        model: What is scored.
        of_data: Node of the extractor that the data name.
    """
    evaluation = next((callback for callback in callbacks if isinstance(callback, Evaluation)), None)
    if evaluation is None:
        return
    translates = isinstance(model, TranslationModule)
    how: dict[str, Any] = {"pairs": translates, "translates": translates, "where": "callbacks.evaluation"}
    metrics = metrics_for(model.data_kinds[0], evaluation.options["metrics"], **how)
    if is_none(evaluation.extractor) and evaluation.options["metrics"] is not None:
        without_features(metrics, was_asked=True, where="callbacks.evaluation")
    monitor = next((callback.monitor for callback in callbacks if isinstance(callback, Checkpoint)), None)
    if monitor is not None and not may_be_score(monitor, metrics):
        kind = getattr(evaluation.extractor, "func", None)
        kind = kind or (hydra.utils.get_object(of_data["_target_"]) if of_data else None)
        allowed = ", ".join(score_forms(metrics, getattr(kind, "name", "EXTRACTOR")))
        raise ConfigError("callbacks.checkpoint.monitor", monitor, f"must be among {allowed}, or null")
    if evaluation.extractor is not None and _is_on_disk(evaluation.extractor):
        evaluation.extractor()


def _is_on_disk(make: Any) -> bool:
    """Return whether an extractor's weights were given as a file, so that making it downloads nothing."""
    options = getattr(make, "keywords", {})
    return options.get("weights") is not None or any(map(_is_on_disk, options.values()))


def world_size(trainer: DictConfig) -> int:
    """Return the number of processes that the trainer's options ask for.

    Raises:
        ValueError: Not a number of devices, or another one than the processes that are running.
    """
    for key in ("num_nodes", "log_every_n_steps", "max_steps"):
        if trainer[key] < 1 and not (key == "max_steps" and trainer[key] == -1):
            endless = ", or -1 to train until it is stopped" if key == "max_steps" else ""
            raise ConfigError(f"trainer.{key}", trainer[key], f"must be >= 1{endless}")
    given = trainer.devices
    devices = given.split(",") if isinstance(given, str) and "," in given else given
    if isinstance(devices, list) or OmegaConf.is_list(devices):
        count = len(devices)
    elif str(devices) in ("auto", "-1"):
        count = max(1, torch.cuda.device_count()) if trainer.accelerator in ("auto", "gpu", "cuda") else 1
    else:
        count = int(devices) if re.fullmatch(r"\d+", str(devices)) else 0
    if count < 1:
        raise ConfigError("trainer.devices", given, "must be a number >= 1, a list such as [0,1], auto or -1")
    if count > MOST_DEVICES:
        raise ConfigError("trainer.devices", given, f"must be <= {MOST_DEVICES}, since each is a process here")
    world = count * int(trainer.num_nodes)
    running = int(os.environ.get("WORLD_SIZE", world))
    if running != world:
        raise LaunchError(
            f"trainer.devices={given}, trainer.num_nodes={trainer.num_nodes}: {running} processes were started; give "
            "the launcher and the trainer the same numbers (without a launcher unset WORLD_SIZE, RANK and LOCAL_RANK, "
            "which this shell has of another)"
        )
    return world


def _refuse_notebook(world: int, devices: Any) -> None:
    """Refuse to start processes from an interactive session: Lightning would start its script again, and has none."""
    if (hasattr(sys, "ps1") or sys.flags.interactive) and "LOCAL_RANK" not in os.environ:
        raise ValueError(
            f"trainer.devices={devices}: a notebook cannot start {world} processes; say trainer.devices=1, or run the "
            f"command in a cell, with the same options: !python -m lightning_gans.train ... trainer.devices={devices} "
            "hydra.run.dir=FOLDER, and then lightning_gans.load(FOLDER)"
        )


def _refuse_multirun(world: int) -> None:
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN and "WORLD_SIZE" not in os.environ:
        raise ValueError(
            f"trainer.devices: a multirun cannot start {world} processes a job, since every process would run the "
            "whole sweep; use trainer.devices=1, or a launcher that gives each job its own processes (submitit, "
            "or torchrun for one job at a time)"
        )

"""Refuse what cannot be trained or resumed, before data is read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lightning_gans.config.errors import MISSING, ConfigError
from lightning_gans.models.base import GenerativeModule


def check_memory(model: GenerativeModule, shapes: Mapping[str, tuple[int, ...]], nodes: int) -> None:
    """Refuse steps whose images alone are more than this machine's memory, before anything is read.

    Args:
        model: Says how many images a step takes.
        shapes: Of one sample, by the batch's keys.
        nodes: Machines that share them.
    """
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return
    for step in (0, *model.schedule.ends):
        plan = model.plan(step)
        numbers = sum(
            math.prod(shape) * min(1.0, (plan.resolution or shape[-1]) / shape[-1]) ** 2 for shape in shapes.values()
        )
        needed = 4 * numbers * plan.images / nodes
        if needed > memory:
            raise ValueError(
                f"model.n_critic={plan.n_critic}, model.batch_size={plan.batch_size}: a step takes {plan.images:,} "
                f"images, {needed / 2**30:,.0f} GB; this machine has {memory / 2**30:,.0f} GB"
            )


def check_optimizers(model: GenerativeModule) -> None:
    """Make both optimisers and schedules once on a dummy weight, so that a bad value is told before training.

    Layers are frozen first, since names may be wrong and no weights left.
    """
    try:
        model.frozen.apply(model)
    except ConfigError as error:
        raise error.at("model") from None
    for player in model.optimizer_factories:
        key = f"model.{player}_optimizer"
        try:
            factory: Any = model.optimizer_factories[player]
            optimizer = factory([torch.nn.Parameter(torch.zeros(1))])
            key, factory = f"model.{player}_scheduler", model.scheduler_factories[player]
            schedule = factory(optimizer) if factory else None
        except ConfigError as error:
            raise error.at(key) from None
        except (ValueError, TypeError, AssertionError) as error:
            raise ConfigError(key, MISSING, str(error)) from error
        if isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise ConfigError(key, "ReduceLROnPlateau", "needs a score at every step; choose a schedule of the step")


def refuse_other_networks(model: GenerativeModule, content: dict[str, Any], path: Path) -> None:
    """Refuse what a resumed run cannot change: its networks and the kinds of its optimisers."""
    mine, theirs = model.state_dict(), content["state_dict"]
    for name in [*mine, *theirs]:
        sizes = [tuple(getattr(state[name], "shape", ())) if name in state else "absent" for state in (theirs, mine)]
        if sizes[0] != sizes[1] and name.startswith("augment."):
            raise ValueError("model.augment: an adaptive augmentation is state; a resumed run keeps it, or its absence")
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"resume={path}: model.{name} is {sizes[0]} in the checkpoint and {sizes[1]} here; a resumed run "
                "keeps its networks: leave out what changes model or data"
            )
    before, now = content["config"]["resolved"]["model"], (model.config or {}).get("resolved", {}).get("model", {})
    frozen = [list(config.get("freeze") or []) for config in (before, now)]
    if frozen[0] != frozen[1]:
        raise ConfigError("model.freeze", frozen[1], f"a resumed run keeps its frozen layers, {frozen[0]}")
    for key in (f"{player}_optimizer" for player in model.optimizer_factories):
        targets = [config[key]["_target_"] for config in (before, now)]
        if targets[0] != targets[1]:
            raise ConfigError(f"model.{key}._target_", targets[1], f"a resumed run keeps its optimiser, {targets[0]}")

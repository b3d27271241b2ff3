"""Apply what a resumed run changes: options that were typed, and files of later steps in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from lightning_gans.loggers.csv import CSV
from lightning_gans.losses.lazy import corrected
from lightning_gans.runtime.tolerance import warn_on_os_error


class Rewind(Callback):
    """Delete scores, grids and log rows of later steps than the one that a training resumes from."""

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Clear the run's folder, by process 0; nothing in a trial run."""
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        folder, step = Path(trainer.default_root_dir), trainer.global_step
        for path in [*folder.glob("scores/step-*.json"), *folder.glob("samples/step-*.png")]:
            number = path.stem.removeprefix("step-")
            if number.isdecimal() and int(number) > step:
                with warn_on_os_error(path):
                    path.unlink()
        for logger in trainer.loggers:
            if isinstance(logger, CSV):
                logger.rewind(step)


class OptimizerOverrides(Callback):
    """Apply optimiser options that differ from the checkpoint's config to the restored optimisers.

    A learning rate is changed by its factor, so that a schedule goes on where it stands.
    """

    def __init__(self, before: dict[str, Any]) -> None:
        self._before = before

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Change what differs, once the optimisers are restored."""
        now = pl_module.config["resolved"]["model"]
        for player, optimizer in pl_module.player_optimizers().items():
            old, new = self._before[f"{player}_optimizer"], now[f"{player}_optimizer"]
            if player in (lazy := getattr(pl_module, "lazy", {})):
                old, new = (corrected(options, lazy[player].interval) for options in (old, new))
            for key in new.keys() & optimizer.param_groups[0].keys():
                if new[key] != old.get(key):
                    for group in optimizer.param_groups:
                        if key == "weight_decay" and group.get("never_decays"):
                            continue
                        _change(group, key, old.get(key), new[key])
                    for scheduler in trainer.strategy.lr_scheduler_configs:
                        if key == "lr" and scheduler.scheduler.optimizer is optimizer.optimizer:
                            _change_schedule(scheduler.scheduler, old.get(key), new[key])


def _change(group: dict[str, Any], key: str, old: Any, new: Any) -> None:
    if key == "lr" and old:
        group["lr"], group["initial_lr"] = group["lr"] * new / old, new
    else:
        group[key] = tuple(new) if isinstance(new, list) else new


def _change_schedule(schedule: Any, old: Any, new: Any) -> None:
    schedule.base_lrs = [new] * len(schedule.base_lrs)
    schedule._last_lr = [rate * new / old if old else new for rate in schedule.get_last_lr()]

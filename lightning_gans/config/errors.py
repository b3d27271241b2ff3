"""Messages about config keys that several modules raise. Imports no torch."""

from __future__ import annotations

import difflib
import typing

# Trainer options that cannot work under manual optimisation, and what takes their place.
REPLACED = {
    "trainer.gradient_clip_val": "model.clip_grad",
    "trainer.gradient_clip_algorithm": "model.clip_grad",
    "trainer.accumulate_grad_batches": "model.accumulate",
    "trainer.max_epochs": "trainer.max_steps (generator updates), max_kimg (thousands of real images) or max_epochs",
    "trainer.callbacks": "callbacks",
    "trainer.logger": "logger",
    "trainer.default_root_dir": "hydra.run.dir",
    "trainer.enable_checkpointing": "callbacks.checkpoint",
    "trainer.num_sanity_val_steps": "trainer.fast_dev_run",
    "trainer.overfit_batches": "data.limit",
    "trainer.limit_train_batches": "trainer.max_steps",
    "trainer.plugins": "trainer.precision",
    "trainer.use_distributed_sampler": "trainer.devices",
}


def prefix(where: str) -> str:
    """What stands before the keys of a node in messages: ``where.``, or nothing for those of the root."""
    return f"{where}." if where else ""


def at_least_one(where: str, **values: int) -> None:
    """Refuse counts and sizes below one.

    Args:
        where: Key of the node that they stand in, or nothing.
        **values: By name.

    Raises:
        ValueError: With the key and the value.
    """
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{prefix(where)}{name}={value}: must be >= 1")


def unknown_key_message(path: str, name: str, allowed: typing.Iterable[object]) -> str:
    """One sentence for a name that does not exist: what it is, what is near, what is allowed."""
    if path in REPLACED:
        return f"{path}: not available here; use {REPLACED[path]}"
    names = sorted(str(key) for key in allowed if not str(key).startswith("_"))
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"{path}: unknown.{hint} Allowed: {', '.join(names) or 'nothing'}"


class LaunchError(ValueError):
    """A mistake in how processes were started; each of them tells it, since there may be no first one."""

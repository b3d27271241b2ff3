"""Report mistakes in options by key, value and rule. Imports no torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

MISSING = "???"  # stands for a value where none was given, as in OmegaConf

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


class ConfigError(ValueError):
    """Report one option that cannot be used: ``key=value: rule``, or ``key: rule`` where no value was given.

    Args:
        key: Dotted path from the root of the config, or the bare name of an argument of the object under construction,
            which gets its path from ``at``.
        value: Value of the option; ``MISSING``: none.
        rule: What is allowed, e.g. ``must be >= 1, or null``.

    Attributes:
        key: As given, or with the path that ``at`` has put before it.
        value: As given.
        rule: As given.
    """

    def __init__(self, key: str, value: object, rule: str) -> None:
        super().__init__(key, value, rule)
        self.key, self.value, self.rule = key, value, rule

    def at(self, path: str) -> ConfigError:
        """Return the error with a bare name placed under a node of the config; a dotted key stays."""
        self.key = self.key if "." in self.key else f"{prefix(path)}{self.key}"
        return self

    def __repr__(self) -> str:
        """Return the sentence with the class, as Hydra quotes errors of constructors."""
        return f"{type(self).__name__}({str(self)!r})"

    def __str__(self) -> str:
        """Return the sentence that a user reads."""
        is_missing = isinstance(self.value, str) and self.value == MISSING
        return f"{self.key}: {self.rule}" if is_missing else f"{self.key}={as_typed(self.value)}: {self.rule}"


class LaunchError(ValueError):
    """Report a mistake in starting processes; each of them prints it, since there may be no first one."""


def as_typed(value: object) -> str:
    """Return a value as it is typed on a command line: ``null``, ``true``, ``[1, 2]``."""
    return (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or value is True or value is False
        else str(value)
    )


def prefix(where: str) -> str:
    """Return the dotted prefix of a config node for messages, ``""`` for the root."""
    return f"{where}." if where else ""


def unknown(
    key: str, name: str, allowed: Iterable[object], *, value: object = MISSING, meant: Sequence[str] = ()
) -> ConfigError:
    """Make the error of a name that does not exist: the nearest one that does, and all that are allowed.

    Args:
        key: Path of the unknown key, or the option whose value is unknown.
        name: The unknown name itself.
        allowed: Names that exist; those that begin with an underscore are not listed.
        value: The unknown name again, where it is an option's value.
        meant: Keys elsewhere that it may mean, from ``hints.suggest``; they go before the nearest name.
    """
    if key in REPLACED:
        return ConfigError(key, value, f"not available here; use {REPLACED[key]}")
    names = sorted(str(one) for one in allowed if not str(one).startswith("_"))
    near = list(meant) or difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return ConfigError(key, value, f"unknown.{hint} Allowed: {', '.join(names) or 'nothing'}")

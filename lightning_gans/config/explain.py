"""Format errors of Hydra, OmegaConf, Lightning and the file system as one sentence with the key."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from lightning_gans.config.errors import MISSING, REPLACED, ConfigError, unknown
from lightning_gans.config.hints import BY_NAME, suggest
from lightning_gans.config.overrides import GROUPS, MODEL_PARTS, PATH_KEYS, override_value
from lightning_gans.config.schemas import CONF_DIR
from lightning_gans.config.signatures import may_take


@contextlib.contextmanager
def as_value_error(arguments: Sequence[str] = ()) -> Iterator[None]:
    """Raise a user's mistake as a ``ValueError`` of the one sentence that the command line prints.

    Args:
        arguments: Typed ``key=value`` each.
    """
    try:
        yield
    except Exception as error:
        message = format_error(error, arguments)
        if message is None or (message == str(error) and isinstance(error, ValueError | OSError)):
            raise
        raise ValueError(message) from error


def format_error(error: BaseException, arguments: Sequence[str] | None = None) -> str | None:
    """Format a user's mistake as one sentence; ``None`` for a bug of ours.

    Args:
        error: The exception that was raised.
        arguments: Typed ``key=value`` each; ``None``: those of the command line.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    cause = error.__cause__ or error.__context__
    if isinstance(error, InstantiationException):
        found = re.search(r"^full_key: (.+)$", str(error), re.MULTILINE)  # Hydra keeps it in its text alone
        key = found[1] if found else "config"
        if isinstance(cause, ConfigError):
            return str(cause.at(key))
        text = (cause and (format_error(cause, arguments) or str(cause))) or str(error).splitlines()[0]
        return text if key in text else str(ConfigError(key, MISSING, text))
    if isinstance(error, MissingConfigException):
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        known = error.options or [path.stem for path in CONF_DIR.joinpath(group).glob("*.yaml")]
        plugin = " (a plugin of Hydra's: pip install 'lightning_gans[sweep]')" if group.startswith("hydra/") else ""
        return str(unknown(group or choice, choice, known, value=choice if group else MISSING)) + plugin
    if isinstance(error, ConfigCompositionException) and isinstance(cause, ConfigKeyError | ConfigAttributeError):
        return _unknown_key(cause)
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        return _unknown_key(error)
    if isinstance(error, MissingMandatoryValue):
        return str(ConfigError(str(error.full_key), MISSING, f"missing; say {error.full_key}=..."))
    if isinstance(error, OverrideParseException):
        lines = [line for line in str(error).splitlines() if not line.startswith(("Error parsing", "See "))]
        return f"{error.override}: cannot be understood as key=value ({' '.join(lines)})"
    if isinstance(error, ConfigCompositionException) and "No match in the defaults list" in str(error):
        return _foreign_group(str(error).split("'")[1], arguments)
    if isinstance(error, HydraException | OmegaConfBaseException):
        lines = [str(error), str(cause or "")]
        return " ".join(" ".join(lines).replace("full_key:", "at").replace("object_type=dict", "").split())
    if type(error).__name__ == "MisconfigurationException":  # Lightning's; naming it would import torch
        return "trainer: " + " ".join(str(error).split())
    if type(error).__module__.startswith("yaml"):
        return "a config file cannot be read: " + " ".join(str(error).split())
    if isinstance(error, OSError) and error.filename is not None:
        return _unusable_path(error, arguments)
    if is_out_of_memory(error):
        reason = str(error).splitlines()[0].rpartition("== 0. ")[2] if str(error) else "MemoryError"
        return f"out of memory ({reason[:200]}); lower model.batch_size, model.n_critic or the sizes of the networks"
    if isinstance(error, UnicodeEncodeError):
        return f"{ascii(error.object)[1:-1]}: a library cannot write this text ({error.reason}); rename what it names"
    if isinstance(error, ValueError | OSError | FloatingPointError):
        text = str(error)
        groups = (*GROUPS, *MODEL_PARTS, "model/network", "tuned")
        empty = next(
            (a.lstrip("+") for a in arguments if a.lstrip("+").partition("=")[0] in groups and "=null" in a), None
        )
        if "Got NoneType" in text and empty:
            return f"{empty}: a group needs a choice; to have none of it say {empty.partition('=')[0]}=none"
        if text.startswith("Caught ") and "DataLoader worker" in text:  # with the worker's whole traceback
            text = [line for line in text.splitlines() if line.strip()][-1].partition(": ")[2]
        return " ".join(text.split("\n"))
    return None


def _foreign_group(group: str, arguments: Sequence[str]) -> str:
    """Format the choice of a group that the command does not take; Hydra would say to add it, which is refused next."""
    choice = override_value(list(arguments), group) or MISSING
    rule = "no group of this command; --help lists what it takes"
    if group in BY_NAME:
        rule += f". Did you mean {BY_NAME[group].format(choice)}?"
    return str(ConfigError(group, choice, rule))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is of Python's memory, the CPU's under torch, or a GPU's."""
    of_torch = isinstance(error, RuntimeError) and (
        "can't allocate memory" in str(error) or "unable to mmap" in str(error)
    )
    return isinstance(error, MemoryError) or of_torch or type(error).__name__ == "OutOfMemoryError"


def _unusable_path(error: OSError, arguments: list[str]) -> str:
    """Format an error of the file system with the key that the path was typed for."""
    path, reason = Path(os.fsdecode(error.filename)), error.strerror or str(error)
    for key in PATH_KEYS:
        value = override_value(arguments, key)
        place, there = Path(value or ".").absolute(), path.absolute()
        if value and (place == there or there in place.parents or place in there.parents):
            what = "cannot be made a folder" if key == "hydra.run.dir" else "cannot be used"
            return str(ConfigError(key, value, f"{what} ({reason}); say another"))
    return f"{path}: {reason}"


def _unknown_key(error: OmegaConfBaseException) -> str:
    """Format OmegaConf's error of a key that a node does not have, with those that it has."""
    parent, path = error.parent_node, str(error.full_key or error.key)
    siblings = [str(key) for key in parent if key != "hydra"] if isinstance(parent, DictConfig) else []
    meant = suggest(path, parent._get_root(), siblings) if isinstance(parent, DictConfig) else []
    mistake = unknown(path, path.rpartition(".")[2], siblings, meant=meant)
    if isinstance(parent, DictConfig) and path not in REPLACED and may_take(parent.get("_target_"), path):
        mistake.rule += f" (anything else that its class takes: +{path}=...)"
    return str(mistake)

"""The boundary to the person who types: a mistake ends in one line and exit code 1."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from lightning_gans.arguments import GROUPS, MODEL_PARTS, leave_out_tuned, one_budget, options_first, quote_paths
from lightning_gans.checks import REPLACED, unknown
from lightning_gans.config import CONF_DIR


def run(application: Callable[[], Any]) -> None:
    """Run a command; a mistake of the user's ends in one message and exit code 1.

    ``HYDRA_FULL_ERROR=1`` shows the traceback instead.
    """
    os.environ.setdefault(TRACEBACK, os.environ.get("HYDRA_FULL_ERROR", "0"))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and leaves the telling to us

    def start() -> None:
        sys.argv[1:] = one_budget(leave_out_tuned(quote_paths(options_first(sys.argv[1:]))))
        application()

    told(start)()


TRACEBACK = "LIGHTNING_GANS_TRACEBACK"  # "1": what the user asked for by HYDRA_FULL_ERROR=1


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Tell mistakes in one message. For the function under ``@hydra.main`` too, or Hydra adds a line of its own."""

    @functools.wraps(function)
    def guarded(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except KeyboardInterrupt as stop:
            print(f"interrupted; {stop}" if str(stop) else "interrupted", file=sys.stderr)
            raise SystemExit(130) from None
        except Exception as error:
            message = explain(error)
            if message is None or os.environ.get(TRACEBACK) == "1":
                raise
            if os.environ.get("LOCAL_RANK", "0") == "0":
                print(f"error: {message}", file=sys.stderr)
            raise SystemExit(1) from None

    return guarded


def explain(error: BaseException) -> str | None:
    """One sentence for a mistake of the user's; ``None`` for a bug of ours."""
    cause = error.__cause__ or error.__context__
    if isinstance(error, InstantiationException):
        # Hydra puts the key under the text of whatever the constructor said.
        key = re.search(r"^full_key: (.+)$", str(error), re.MULTILINE)
        text = (cause and (explain(cause) or str(cause))) or str(error).splitlines()[0]
        return text if key and key[1] in text else f"{key[1] if key else 'config'}: {text}"
    if isinstance(error, MissingConfigException):
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        known = error.options or [path.stem for path in CONF_DIR.joinpath(group).glob("*.yaml")]
        plugin = " (a plugin of Hydra's: pip install 'lightning_gans[sweep]')" if group.startswith("hydra/") else ""
        return unknown(f"{group}={choice}" if group else choice, choice, known) + plugin
    if isinstance(error, ConfigCompositionException) and isinstance(cause, ConfigKeyError | ConfigAttributeError):
        return _unknown_key(cause)
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        return _unknown_key(error)
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}: missing; say {error.full_key}=..."
    if isinstance(error, HydraException | OmegaConfBaseException):
        lines = [str(error), str(cause or "")]
        return " ".join(" ".join(lines).replace("full_key:", "at").replace("object_type=dict", "").split())
    if type(error).__name__ == "MisconfigurationException":  # Lightning's; naming it would import torch
        return "trainer: " + " ".join(str(error).split())
    if type(error).__module__.startswith("yaml"):
        return "a config file cannot be read: " + " ".join(str(error).split())
    if isinstance(error, ValueError | OSError | FloatingPointError):
        text = str(error)
        groups = (*GROUPS, *MODEL_PARTS, "model/network", "tuned")
        empty = next(
            (a.lstrip("+") for a in sys.argv[1:] if a.lstrip("+").partition("=")[0] in groups and "=null" in a), None
        )
        if "Got NoneType" in text and empty:
            return f"{empty}: a group needs a choice; to have none of it say {empty.partition('=')[0]}=none"
        if text.startswith("Caught ") and "DataLoader worker" in text:  # with the worker's whole traceback
            text = [line for line in text.splitlines() if line.strip()][-1].partition(": ")[2]
        return " ".join(text.split("\n"))
    return None


def _unknown_key(error: OmegaConfBaseException) -> str:
    parent = error.parent_node
    allowed = list(parent.keys()) if isinstance(parent, DictConfig) else []
    allowed = allowed or [name for name in getattr(error.object_type, "__dataclass_fields__", {})]
    path = str(error.full_key or error.key)
    message = unknown(path, path.rpartition(".")[2], allowed)
    if isinstance(parent, DictConfig) and "_target_" in parent and path not in REPLACED:
        message += f" (anything else that its class takes: +{path}=...)"
    return message

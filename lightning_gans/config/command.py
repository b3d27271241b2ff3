"""Run a command, compose a config: the boundary where a user's mistake ends in one line and exit code 1."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, open_dict

from lightning_gans.config.errors import LaunchError
from lightning_gans.config.explain import format_error
from lightning_gans.config.metrics import name_own_metrics
from lightning_gans.config.overrides import normalized, options_first
from lightning_gans.config.schemas import CONF_DIR
from lightning_gans.runtime.streams import forgiving_streams


def compose(*overrides: str, config: str = "train") -> DictConfig:
    """Compose a config as the command line does, for notebooks and tests.

    Args:
        *overrides: What would be typed, e.g. ``"model=dcgan"``, ``"trainer.max_steps=10"``. Configs of your own are
            found by ``"hydra.searchpath=[FOLDER]"``.
        config: A command's name: ``train``, ``sample``, ``evaluate``, ...

    Raises:
        ValueError: A mistake, in the words of the command line.
    """
    from lightning_gans.config.explain import as_value_error  # which knows this module

    state = GlobalHydra.instance()
    before, state.hydra = state.hydra, None  # a caller's own, which is none of ours
    try:
        with as_value_error(overrides), hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            cfg = hydra.compose(config, overrides=normalized(list(overrides)), return_hydra_config=True)
            hydra_config = cfg.hydra
            with open_dict(cfg):
                del cfg["hydra"]
            for key in ("metrics", "callbacks.evaluation.metrics"):
                name_own_metrics(cfg, key, hydra_config)
            return cfg
    finally:
        GlobalHydra.instance().hydra = before


# Hydra's own options; everything else is typed as key=value.
OPTIONS = (
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p", "--run", "-r"),
    *("--multirun", "-m", "--shell-completion", "-sc", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun", "--info", "-i"),
)


def run(application: Callable[[], Any]) -> None:
    """Run a command; a mistake of the user's ends in one message and exit code 1.

    ``HYDRA_FULL_ERROR=1`` shows the traceback instead.
    """
    os.environ.setdefault(TRACEBACK, os.environ.get("HYDRA_FULL_ERROR", "0"))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and leaves the telling to us

    def start() -> None:
        drop_stray_rank()
        refuse_dashes(sys.argv[1:])
        sys.argv[1:] = normalized(options_first(sys.argv[1:]))
        application()

    with forgiving_streams():
        handle_errors(start)()


TRACEBACK = "LIGHTNING_GANS_TRACEBACK"  # "1": what the user asked for by HYDRA_FULL_ERROR=1


def handle_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Tell mistakes in one message. For the function under ``@hydra.main`` too, or Hydra adds a line of its own."""

    @functools.wraps(function)
    def guarded(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except KeyboardInterrupt as stop:
            print(f"interrupted; {stop}" if str(stop) else "interrupted", file=sys.stderr)
            raise SystemExit(130) from None
        except Exception as error:
            message = format_error(error)
            if message is None or os.environ.get(TRACEBACK) == "1":
                raise
            if os.environ.get("LOCAL_RANK", "0") == "0" or isinstance(error, LaunchError):
                print(f"error: {message}", file=sys.stderr)
            raise SystemExit(1) from None

    return guarded


def drop_stray_rank() -> None:
    """Forget a ``LOCAL_RANK`` that no launcher has set for this process, but the shell still has of another."""
    rank = os.environ.get("LOCAL_RANK")
    if rank is not None and not os.environ.keys() & {"WORLD_SIZE", "MASTER_PORT"}:
        del os.environ["LOCAL_RANK"]
        if rank != "0":
            print(f"LOCAL_RANK={rank}: ignored, since no launcher has set WORLD_SIZE beside it", file=sys.stderr)


def refuse_dashes(arguments: Sequence[str]) -> None:
    """Refuse ``--key=value`` and ``--key value``, which are no options of Hydra's.

    Raises:
        ValueError: With what to type.
    """
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, _, value = argument.partition("=")
        short = argument.startswith("-") and not argument.startswith("--")
        if name[:1] != "-" or any(option.startswith(name) or (short and option == name[:2]) for option in OPTIONS):
            continue
        value = value or ("..." if not following or "=" in following or following[0] == "-" else following)
        raise ValueError(
            f"{argument}: unknown; options are key=value: say {name.lstrip('-').replace('-', '_')}={value}"
        )

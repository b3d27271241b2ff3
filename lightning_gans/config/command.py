"""Run a command or compose a config; a user's mistake ends in one line and exit code 1."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from lightning_gans.config import resolvers, validation
from lightning_gans.config.errors import LaunchError
from lightning_gans.config.explain import as_value_error, format_error
from lightning_gans.config.help import help_of, version_of
from lightning_gans.config.metrics import name_own_metrics
from lightning_gans.config.overrides import normalized, option_names, options_first
from lightning_gans.config.schemas import CONF_DIR, SCHEMAS
from lightning_gans.config.tuned import drop_tuned
from lightning_gans.runtime.instantiation import MAIN, VERSION
from lightning_gans.runtime.streams import forgiving_streams
from lightning_gans.runtime.waiting import choose_waiting

resolvers.register()


def command(
    schema: type,
    *,
    arguments: Callable[[list[str]], list[str]] = list,
    guard: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Make a command of a function of a config: its file's stem names ``conf/COMMAND.yaml``.

    The function is called once the keys, types and ranges that can be known without torch are checked.

    Args:
        schema: TypedDict of the config's root.
        arguments: Changes the normalised arguments before Hydra reads them.
        guard: Handles the function's errors in the place of ``handle_errors``.
    """

    def decorate(function: Callable[[DictConfig], Any]) -> Callable[[], None]:
        name = Path(function.__code__.co_filename).stem

        @functools.wraps(function)
        def checked(cfg: DictConfig) -> Any:
            name_own_metrics(cfg, HydraConfig.get())
            if not cfg.get("resume"):  # what a checkpoint names is looked up once it is known that it may be
                validation.check_names(cfg, schema)
            return function(cfg)

        application = hydra.main(**MAIN, config_path=str(CONF_DIR), config_name=name)((guard or handle_errors)(checked))

        def start() -> None:
            if {"--help", "-h"} & set(sys.argv[1:]):
                print(help_of(name, (function.__doc__ or "").splitlines()[0]))
                return
            if "--version" in sys.argv[1:]:
                print(version_of())
                return
            drop_stray_rank()
            refuse_dashes(sys.argv[1:])
            sys.argv[1:] = arguments(drop_tuned(normalized(options_first(sys.argv[1:]))))
            application()

        @functools.wraps(function)
        def main() -> None:
            run(start)

        return main

    return decorate


def compose(*overrides: str, config: str = "train") -> DictConfig:
    """Compose a config as the command line does, for notebooks and tests.

    Args:
        *overrides: What would be typed, e.g. ``"model=dcgan"``, ``"trainer.max_steps=10"``. Configs of your own are
            found by ``"hydra.searchpath=[FOLDER]"``.
        config: A command's name: ``train``, ``sample``, ``evaluate``, ...

    Raises:
        ValueError: A mistake, in the words of the command line.
    """
    state = GlobalHydra.instance()
    before, state.hydra = state.hydra, None  # a caller's own, which is none of ours
    try:
        with as_value_error(overrides), hydra.initialize_config_dir(str(CONF_DIR), **VERSION):
            cfg = hydra.compose(config, overrides=drop_tuned(normalized(list(overrides))), return_hydra_config=True)
            hydra_config = cfg.hydra
            with open_dict(cfg):
                del cfg["hydra"]
            name_own_metrics(cfg, hydra_config)
            if config in SCHEMAS:
                validation.check_root(cfg, SCHEMAS[config])
            return cfg
    finally:
        GlobalHydra.instance().hydra = before


def run(application: Callable[[], Any]) -> None:
    """Run a command line; a mistake of the user's ends in one message and exit code 1.

    ``HYDRA_FULL_ERROR=1`` shows the traceback instead.
    """
    os.environ.setdefault(TRACEBACK, os.environ.get("HYDRA_FULL_ERROR", "0"))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and leaves the telling to us
    choose_waiting()
    with forgiving_streams():
        handle_errors(application)()


TRACEBACK = "LIGHTNING_GANS_TRACEBACK"  # "1": what the user asked for by HYDRA_FULL_ERROR=1


def handle_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Print user errors as one line and exit with 1.

    Wraps the function inside ``@hydra.main`` too, which would print a line of its own first.
    """

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
    """Refuse ``--key=value`` and ``--key value``, which are not options of Hydra.

    Raises:
        ValueError: With what to type.
    """
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, _, value = argument.partition("=")
        short = argument.startswith("-") and not argument.startswith("--")
        if name[:1] != "-" or any(one.startswith(name) or (short and one == name[:2]) for one in option_names()):
            continue
        value = value or ("..." if not following or "=" in following or following[0] == "-" else following)
        raise ValueError(
            f"{argument}: unknown; options are key=value: say {name.lstrip('-').replace('-', '_')}={value}"
        )

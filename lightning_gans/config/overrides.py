"""Read and normalise the ``key=value`` arguments of a command before Hydra composes them. Imports no torch."""

from __future__ import annotations

import argparse
import functools
import os
import re
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.schemas import TrainSchema
from lightning_gans.runtime.instantiation import REPLACING

# Values that people type as paths; quoted before Hydra's grammar reads them.
PATH_KEYS = (
    *("resume", "checkpoint", "out", "input", "root", "reference", "candidate", "run", "cache", "hydra.run.dir"),
    *("init", "generator", "generator_back", "discriminator", "discriminator_back"),
    *("data.root", "extractor.weights", "extractor.base.weights", "callbacks.evaluation.cache"),
    *("data.target_root", "data.dataset.root", "data.dataset.data_dir", "model.perceptual_weights"),
    *("captions", "model.text_encoder.weights"),
)
# Values that are names whatever they look like: 2019, true, ~. Only null is not; a folder of that name is null/.
NAME_KEYS = (
    *("data.within", "data.test_within", "data.part", "data.test_part", "data.source", "data.target", "data.instance"),
    *("data.test_source", "data.test_target", "data.test_instance", "data.background"),
    *("data.source_suffix", "data.target_suffix", "data.instance_suffix", "name"),
    *("model.text_encoder.name",),
)
LIST_KEYS = ("run",)  # of these, those that take a list too
BUDGETS = ("trainer.max_steps", "max_kimg", "max_epochs")
GROUPS = ("model", "data", "trainer", "callbacks", "logger", "extractor")
MODEL_PARTS = ("model/objective", "model/penalty", "model/augment", "model/growth", "model/text_encoder")
_AT_COMMAS = re.compile(r""" "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | [^,]+ """, re.VERBOSE)


def normalized(arguments: list[str]) -> list[str]:
    """Write typed arguments as Hydra reads them: lists joined, paths quoted, integers in full, one budget alone."""
    for key in LIST_KEYS:
        arguments = join_list(arguments, key)
    return exclusive_budget(write_integers(quote_paths(add_arguments(arguments))))


def add_arguments(arguments: list[str]) -> list[str]:
    """Let the arguments of a user's dataset, which no config lists, be typed as other options are."""
    return [f"++{argument}" if argument.startswith("data.dataset.") else argument for argument in arguments]


def write_integers(arguments: list[str]) -> list[str]:
    """Write whole numbers such as ``1e5`` or ``2.5e3`` out, which Hydra would read as floating point."""

    def written(found: re.Match[str]) -> str:
        digits, fraction, exponent = found[1], (found[2] or "").rstrip("0"), int(found[3])
        value = int(digits + fraction) * 10 ** max(0, exponent - len(fraction))
        return str(value) if len(fraction) <= exponent and value < 2**63 else found[0]

    whole = re.compile(r"(?<![\w.+-])(\d+)(?:\.(\d+))?[eE]\+?(\d{1,2})(?![\w.])")
    out = []
    for key, equals, value in (argument.partition("=") for argument in arguments):
        is_quoted = '"' in value or "'" in value
        out.append(key + equals + (value if is_quoted else whole.sub(written, value)))
    return out


def quote_paths(arguments: list[str]) -> list[str]:
    """Quote the paths and names among ``key=value`` arguments, so that ``my run (1)/a=b.ckpt`` reaches us as typed.

    In a multirun a comma parts two of them, as it parts other values; one that has a comma is typed in quotes then.
    """
    several = _is_multirun(arguments)
    quoted = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        name = key.lstrip("+") if equals else ""
        if name in PATH_KEYS and not value:
            raise ConfigError(name, "", "empty; say a path")
        is_list = name in LIST_KEYS and value[:1] == "["
        if name in (*PATH_KEYS, *NAME_KEYS) and value and not is_list and not (several and value.startswith("choice(")):
            parted = several and name != "hydra.run.dir"
            pieces = [piece.strip() for piece in _AT_COMMAS.findall(value)] if parted else [value]
            argument = f"{key}={','.join(_as_text(piece, name in PATH_KEYS) for piece in pieces if piece)}"
        quoted.append(argument)
    return quoted


def _is_multirun(arguments: list[str]) -> bool:
    """Return whether the arguments start several jobs; every file of the group ``sweep`` does."""
    sweeps = (
        override_value(arguments, "sweep") not in (None, "null")
        or override_value(arguments, "hydra.mode") == "MULTIRUN"
    )
    return sweeps or not {"-m", "--multirun"}.isdisjoint(arguments)


def _as_text(value: str, is_path: bool) -> str:
    """Quote one value unless it is quoted or ``null``; ``~`` of a path becomes the user's folder."""
    if value == "null" or value[0] in "\"'":
        return value
    return quote(os.path.expanduser(value) if is_path else value)


def anchor_paths(cfg: DictConfig) -> None:
    """Make relative paths absolute where ``hydra.job.chdir=true`` moved the job away from where they were typed."""
    if not HydraConfig.get().job.chdir:
        return
    for key in PATH_KEYS:
        value = OmegaConf.select(cfg, key)
        if isinstance(value, str) and value != "auto" and "://" not in value:
            path = Path(HydraConfig.get().runtime.cwd, Path(value).expanduser())
            if key == "init" and not path.exists():  # a name
                continue
            OmegaConf.update(cfg, key, str(path))


def join_list(arguments: list[str], key: str) -> list[str]:
    """Make a list of ``key=FOLDER`` and the bare words after it, as a shell expands ``key=a b c``."""
    place = next((i for i, argument in enumerate(arguments) if argument.startswith(f"{key}=")), None)
    if place is None:
        return arguments
    end = place + 1
    while end < len(arguments) and "=" not in arguments[end] and not arguments[end].startswith("-"):
        end += 1
    first = arguments[place].partition("=")[2]
    if end == place + 1 or not first:
        return arguments
    words = ",".join(quote(word) for word in (first, *arguments[place + 1 : end]))
    return [*arguments[:place], f"{key}=[{words}]", *arguments[end:]]


def quote(value: str) -> str:
    """Quote a value as Hydra's grammar has it: backslashes count only before a quote."""
    value = re.sub(r'(\\*)"', lambda found: found[1] * 2 + '\\"', value)
    return '"' + re.sub(r"(\\+)$", lambda found: found[1] * 2, value) + '"'


def _unquoted(value: str) -> str:
    return re.sub(r'(\\+)("|$)', lambda found: found[1][: len(found[1]) // 2] + found[2], value[1:-1])


def exclusive_budget(arguments: list[str]) -> list[str]:
    """Let a typed budget take the place of those that an experiment, a family or a tuned file has."""
    said = [key for key in BUDGETS if override_value(arguments, key) is not None]
    return [*arguments, *(f"{key}=null" for key in BUDGETS[1:] if key not in said)] if said else arguments


@functools.cache
def _options() -> dict[str, argparse.Action]:
    """Return Hydra's own options (``--cfg``, ``-cn``, ...) by name, from its parser."""
    actions = get_args_parser()._actions
    return {name: action for action in actions for name in action.option_strings}


def option_names() -> list[str]:
    """List the names of Hydra's own options; everything else is typed as key=value."""
    return list(_options())


def options_first(arguments: list[str]) -> list[str]:
    """Put options such as ``--config-dir DIR`` and ``--info defaults`` before the overrides, as Hydra takes them.

    Hydra takes overrides in one piece only, and Lightning appends some of its own for further processes. A bare
    ``--info`` gets the value that it has then, so that no override is mistaken for it.
    """
    options: list[str] = []
    overrides: list[str] = []
    rest = list(arguments)
    while rest:
        argument, action = rest[0], _options().get(rest.pop(0))
        if action is None or action.nargs == 0:
            (options if argument.startswith("-") else overrides).append(argument)
        elif action.nargs == "?" and rest[:1] not in ([choice] for choice in action.choices or ()):
            options += [argument, str(action.const)]
        else:
            options += [argument, *rest[:1]]
            del rest[:1]
    return options + overrides


def override_value(arguments: list[str], key: str) -> str | None:
    """Return the value of ``key=value`` among the arguments, without its quotes."""
    for argument in reversed(arguments):
        if argument.lstrip("+").startswith(f"{key}="):
            value = argument.partition("=")[2]
            return _unquoted(value) if value[:1] == '"' else value
    return None


def job_arguments() -> list[str]:
    """Return the arguments of Hydra's job as they were typed, with their references."""
    found = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    assert isinstance(found, list)
    return found


def typed_keys(arguments: list[str]) -> list[str]:
    """List the keys of ``key=value`` arguments, those that are added or taken out too."""
    return [argument.partition("=")[0].lstrip("+~") for argument in arguments if not argument.startswith("-")]


def resume_arguments(arguments: list[str], source: dict[str, Any], folder: Path | None) -> list[str]:
    """Make a checkpoint's config the one that Hydra composes from, so that only what is typed changes.

    Args:
        arguments: What was typed.
        source: The config of the checkpoint with its references, from ``local.localised``.
        folder: The folder of the run that is resumed, if it is known.

    Returns:
        Arguments for Hydra; given these again it returns them unchanged.

    Raises:
        ValueError: ``experiment``, ``sweep``, ``tuned`` or ``model/network`` was typed.
    """
    changed = []
    known = TrainSchema.__annotations__.keys() - {"trust", "resume"}  # which are the user's to give
    source = {key: value for key, value in source.items() if key in known}
    if any(override_value(arguments, key) is not None for key in BUDGETS):
        source |= dict.fromkeys(BUDGETS[1:])
    for argument in arguments:
        key = argument.partition("=")[0].lstrip("+")
        if key in ("experiment", "sweep", "tuned"):
            raise ValueError(f"{argument}: cannot be combined with resume; say what is to change, key by key")
        if key == "model/network":
            raise ValueError(f"{argument}: a resumed run keeps its networks")
        if "=" in argument and key in (*GROUPS, *MODEL_PARTS):  # a new choice takes the place of the old one whole
            group, _, part = key.partition("/")
            source[group] = {k: v for k, v in (source.get(group) or {}).items() if part and k != part} or None
            if source[group] is None:
                del source[group]
            brought = key in MODEL_PARTS and override_value(arguments, "model") is not None  # by the new family
            argument = argument.lstrip("+") if brought else "+" + argument.lstrip("+")
        changed.append(argument)
    where = str(folder) if folder else "outputs/resumed/${now:%Y-%m-%d_%H-%M-%S}"
    own: dict[str, Any] = {"run": {"dir": where}, "sweep": {"dir": where}, "output_subdir": None}
    own |= {
        "job": {"chdir": False},
        "callbacks": {"folder": {"_target_": "lightning_gans.training.claim_folder.ClaimFolder"}},
    }
    quiet = [{"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}]
    absent: dict[str, Any] = {"callbacks": {}, "logger": {}, "extractor": None, "seed": 0}
    absent |= {"max_kimg": None, "max_epochs": None, "resume": None, "init": None, "trust": []}
    node = {"defaults": [*quiet, "_self_"], **absent, **source, "hydra": own}
    ConfigStore.instance().store("resumed", node, **REPLACING)
    name = "--config-name=resumed"
    return changed if name in changed else [name, *changed]

"""Configs: where they lie, what their roots hold, and how a mistake in them is told.

Nothing here imports torch, so that a wrong key or choice answers at once.
"""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import math
import os
import re
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, MissingConfigException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

_PACKAGE = Path(__file__).resolve().parent
CONF_DIR = next(path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if (path / "train.yaml").is_file())

# Values that people type as paths; quoted before Hydra's grammar reads them.
PATH_KEYS = ("resume", "checkpoint", "out", "input", "data.root", "root", "extractor.weights", "hydra.run.dir")

# Trainer options that cannot work under manual optimisation, and what takes their place.
REPLACED = {
    "trainer.gradient_clip_val": "model.clip_grad",
    "trainer.gradient_clip_algorithm": "model.clip_grad",
    "trainer.accumulate_grad_batches": "model.accumulate",
    "trainer.max_epochs": "trainer.max_steps (generator updates) or max_kimg (thousands of real images)",
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


# OmegaConf reads these at run time, hence `Optional` and not `|`.
@dataclass
class TrainSchema:
    """Root of ``conf/train.yaml``."""

    data: Any = MISSING
    model: Any = MISSING
    trainer: Any = MISSING
    callbacks: Optional[dict[str, Any]] = field(default_factory=dict)  # noqa: UP045
    logger: Optional[dict[str, Any]] = field(default_factory=dict)  # noqa: UP045
    extractor: Any = None
    seed: int = 0
    max_kimg: Optional[float] = None  # noqa: UP045
    resume: Optional[str] = None  # noqa: UP045
    trust: list[str] = field(default_factory=list)


@dataclass
class SampleSchema:
    """Root of ``conf/sample.yaml``."""

    checkpoint: str = MISSING
    out: str = MISSING
    n: int = 64
    seed: int = 0
    format: str = "png"
    batch_size: int = 64
    device: str = "auto"
    trust: list[str] = field(default_factory=list)


@dataclass
class RealSet:
    """What ``evaluate`` may say of the real images."""

    root: Optional[str] = None  # noqa: UP045


@dataclass
class EvaluateSchema:
    """Root of ``conf/evaluate.yaml``."""

    checkpoint: str = MISSING
    out: Optional[str] = None  # noqa: UP045
    n: int = 10000
    n_real: Optional[int] = None  # noqa: UP045
    seed: int = 0
    batch_size: int = 64
    device: str = "auto"
    metrics: list[str] = field(default_factory=list)
    extractor: Any = None
    data: RealSet = field(default_factory=RealSet)
    trust: list[str] = field(default_factory=list)


def register() -> None:
    """Tell Hydra the root schemas."""
    store = ConfigStore.instance()
    store.store("train_schema", TrainSchema)
    store.store("sample_schema", SampleSchema)
    store.store("evaluate_schema", EvaluateSchema)


register()


def compose(*overrides: str, config: str = "train") -> DictConfig:
    """Compose a config as the command line does, for notebooks and tests.

    Args:
        *overrides: What would be typed, e.g. ``"model=dcgan"``, ``"trainer.max_steps=10"``.
        config: ``train``, ``sample`` or ``evaluate``.
    """
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return hydra.compose(config, overrides=quote_paths(list(overrides)))


def quote_paths(arguments: list[str]) -> list[str]:
    """Quote the paths among ``key=value`` arguments, so that ``my run (1)/a=b.ckpt`` reaches us as typed."""
    quoted = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        is_path = bool(equals) and key.lstrip("+") in PATH_KEYS
        if is_path and not value:
            raise ValueError(f"{argument}: empty; say a path")
        if is_path and value != "null" and value[0] not in "\"'":
            value = os.path.expanduser(value)
            argument = f"{key}={_quoted(value)}"
        quoted.append(argument)
    return quoted


def _quoted(value: str) -> str:
    """In double quotes as Hydra's grammar has them: backslashes count only before a quote."""
    value = re.sub(r'(\\*)"', lambda found: found[1] * 2 + '\\"', value)
    return '"' + re.sub(r"(\\+)$", lambda found: found[1] * 2, value) + '"'


def _unquoted(value: str) -> str:
    return re.sub(r'(\\+)("|$)', lambda found: found[1][: len(found[1]) // 2] + found[2], value[1:-1])


def options_first(arguments: list[str]) -> list[str]:
    """Put ``--config-dir DIR`` and the like before the overrides, where Hydra understands them.

    Hydra takes overrides in one piece only, and Lightning appends some of its own for further processes.
    """
    options: list[str] = []
    overrides: list[str] = []
    takes_value = False
    for argument in arguments:
        is_option = argument.startswith("-")
        (options if is_option or takes_value else overrides).append(argument)
        takes_value = is_option and argument in _WITH_VALUE
    return options + overrides


_WITH_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--package", "-p", "--cfg", "-c")


# ---------------------------------------------------------------------------------------------- checks


def check_keys(cfg: DictConfig) -> None:
    """Check every key that can be checked without importing torch.

    Our own classes are read as text: what their signatures do not name is unknown.

    Raises:
        ValueError: An unknown or replaced key, or a value that is missing, by name.
    """
    check_root(cfg, TrainSchema)
    for key in sorted(OmegaConf.missing_keys(cfg)):
        raise ValueError(f"{key}: missing; say {key}=...")
    for path, node in _targets(cfg, ""):
        for key in node:
            if f"{path}.{key}" in REPLACED:
                raise ValueError(f"{path}.{key}: not available here; use {REPLACED[f'{path}.{key}']}")
        known = _read_signature(node["_target_"])
        if known is not None:
            _check_keys(path, node, known)


def check_root(cfg: DictConfig, schema: type) -> None:
    """Refuse a root key that the schema does not have, which ``+key=value`` would slip in.

    Raises:
        ValueError: With what is allowed.
    """
    known = list(getattr(schema, "__dataclass_fields__", {}))
    for key in cfg:
        if key not in known:
            raise ValueError(unknown(str(key), str(key), known))


def check_tuned() -> None:
    """Refuse a typed ``tuned=CHOICE`` that does not exist; Hydra passes over it, since most pairs have no file.

    Raises:
        ValueError: With what is allowed.
    """
    runtime = HydraConfig.get().runtime
    wanted = typed(list(HydraConfig.get().overrides.task), "tuned")
    folders = [Path(source.path) / "tuned" for source in runtime.config_sources if source.schema == "file"]
    known = [path.stem for folder in folders for path in folder.glob("*.yaml")]
    if wanted is not None and wanted not in known:
        raise ValueError(unknown(f"tuned={wanted}", wanted, known))


def check_budget() -> None:
    """Refuse two budgets typed at once.

    Raises:
        ValueError: Both were typed.
    """
    task = list(HydraConfig.get().overrides.task)
    kimg, steps = typed(task, "max_kimg"), typed(task, "trainer.max_steps")
    if kimg not in (None, "null") and steps is not None:
        raise ValueError(f"max_kimg={kimg}, trainer.max_steps={steps}: say one of the two")


def check(cfg: DictConfig) -> None:
    """Check every ``_target_`` node against the signature that it is about to be given to, types included.

    Raises:
        ValueError: An unknown, replaced or missing key or a value of the wrong type, by name.
    """
    check_keys(cfg)
    for path, node in _targets(cfg, ""):
        _check_call(path, node)


def _targets(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every ``_target_`` node with its dotted path, as plain containers."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _targets(value, f"{path}.{key}" if path else str(key))


def _arguments(node: dict[str, Any]) -> list[str]:
    return [key for key in node if key not in ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")]


def _check_keys(path: str, node: dict[str, Any], known: list[str]) -> None:
    for key in _arguments(node):
        if key not in known:
            raise ValueError(unknown(f"{path}.{key}", key, known))


def _read_signature(target: str) -> list[str] | None:
    """Argument names of a class of this package, read from its source; ``None`` for anything else.

    ``**options`` in a class of ours stands for the arguments of its base.
    """
    module, _, name = target.rpartition(".")
    if not module.startswith("lightning_gans."):
        return None
    source = _PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    if not source.is_file():
        raise ValueError(f"_target_={target}: there is no module {module}")
    tree = ast.parse(source.read_text())
    owner = next((item for item in tree.body if isinstance(item, ast.ClassDef) and item.name == name), None)
    if owner is None:
        raise ValueError(f"_target_={target}: {module} has no class {name}")
    imported = {
        alias.asname or alias.name: f"{item.module}.{alias.name}"
        for item in ast.walk(tree)
        if isinstance(item, ast.ImportFrom)
        for alias in item.names
    }
    bases = [imported.get(base.id, f"{module}.{base.id}") for base in owner.bases if isinstance(base, ast.Name)]
    inherited = (_read_signature(bases[0]) if bases else []) or []
    for method in owner.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            own = [argument.arg for argument in (method.args.args + method.args.kwonlyargs)[1:]]
            return [*own, *inherited] if method.args.kwarg else own
    return inherited


def _check_call(path: str, node: dict[str, Any]) -> None:
    """Check keys and types against the imported callable."""
    try:
        target = hydra.utils.get_object(node["_target_"])
    except Exception as error:
        raise ValueError(f"{path}._target_={node['_target_']}: cannot be imported ({error})") from error
    hints, is_open = _signature(target)
    if not is_open:
        _check_keys(path, node, list(hints))
    for key in _arguments(node):
        value = node[key]
        if key in hints and not (isinstance(value, dict) and "_target_" in value):
            _check_type(f"{path}.{key}", value, hints[key])


def _signature(target: Any) -> tuple[dict[str, Any], bool]:
    """Types by argument name, and whether a foreign callable takes any further keyword."""
    functions = [target]
    if inspect.isclass(target):
        functions = [vars(owner)["__init__"] for owner in target.__mro__ if "__init__" in vars(owner)]
    types: dict[str, Any] = {}
    for function in functions:
        parameters = inspect.signature(function).parameters
        try:
            hints = typing.get_type_hints(function, include_extras=True)
        except Exception:  # names that exist for type checkers only
            hints = {}
        variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        for name, parameter in parameters.items():
            if parameter.kind not in variadic and name != "self":
                types.setdefault(name, hints.get(name, Any))
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
            return types, False
        if not str(getattr(function, "__module__", "")).startswith("lightning_gans"):
            return types, True
    return types, False


def _check_type(path: str, value: Any, hint: Any) -> None:
    import pydantic

    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path}={value}: Input should be a finite number")
    try:
        adapter = pydantic.TypeAdapter(hint, config=pydantic.ConfigDict(arbitrary_types_allowed=True))
    except Exception:  # a hint that pydantic has no schema for
        return
    try:
        accepted = adapter.validate_python(value)
    except pydantic.ValidationError as error:
        reasons = dict.fromkeys(problem["msg"] for problem in error.errors())
        raise ValueError(f"{path}={value}: {'; or '.join(reasons)}") from error
    if isinstance(accepted, int) and type(accepted) is not type(value):  # 8.0 and true are no integers
        kind = "boolean" if isinstance(accepted, bool) else "integer"
        raise ValueError(f"{path}={value}: Input should be a valid {kind}")


def unknown(path: str, name: str, allowed: typing.Iterable[object]) -> str:
    """One sentence for a name that does not exist: what it is, what is near, what is allowed."""
    if path in REPLACED:
        return f"{path}: not available here; use {REPLACED[path]}"
    names = sorted(str(key) for key in allowed if not str(key).startswith("_"))
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"{path}: unknown.{hint} Allowed: {', '.join(names) or 'nothing'}"


# ---------------------------------------------------------------------------------------------- resuming


GROUPS = ("model", "data", "trainer", "callbacks", "logger", "extractor")


def typed(arguments: list[str], key: str) -> str | None:
    """The value of ``key=value`` among the arguments, without its quotes."""
    for argument in reversed(arguments):
        if argument.lstrip("+").startswith(f"{key}="):
            value = argument.partition("=")[2]
            return _unquoted(value) if value[:1] == '"' else value
    return None


def resume_arguments(arguments: list[str], source: dict[str, Any], folder: Path | None) -> list[str]:
    """Make a checkpoint's config the one that Hydra composes from, so that only what is typed changes.

    Args:
        arguments: What was typed.
        source: The config of the checkpoint, with its interpolations.
        folder: The folder of the run that is resumed, if it is known.

    Returns:
        Arguments for Hydra; given these again it returns them unchanged.

    Raises:
        ValueError: ``experiment``, ``sweep`` or ``tuned`` was typed.
    """
    changed = []
    known = set(TrainSchema.__dataclass_fields__) - {"trust"}  # trust is the user's to give
    source = {key: value for key, value in source.items() if key in known}
    if re.search(r"\$\{[^}]*:", repr(source)):
        raise ValueError("the checkpoint's config calls a resolver; it was not written by this library")
    if typed(arguments, "trainer.max_steps") is not None:
        source["max_kimg"] = None
    for argument in arguments:
        key = argument.partition("=")[0].lstrip("+")
        if key in ("experiment", "sweep", "tuned"):
            raise ValueError(f"{argument}: cannot be combined with resume; say what is to change, key by key")
        if "=" in argument and key in GROUPS:  # a new choice takes the place of the old one whole
            source.pop(key, None)
            argument = "+" + argument.lstrip("+")
        changed.append(argument)
    where = str(folder) if folder else "outputs/resumed/${now:%Y-%m-%d_%H-%M-%S}"
    own = {"run": {"dir": where}, "sweep": {"dir": where}, "output_subdir": None, "job": {"chdir": False}}
    quiet = [{"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}]
    node = {"defaults": ["train_schema", *quiet, "_self_"], **source, "hydra": own}
    ConfigStore.instance().store("resumed", node)
    name = "--config-name=resumed"
    return changed if name in changed else [name, *changed]


# ---------------------------------------------------------------------------------------------- the boundary


def cli(application: Callable[[], Any]) -> None:
    """Run a command; a mistake of the user's ends in one message and exit code 1.

    ``HYDRA_FULL_ERROR=1`` shows the traceback instead.
    """
    os.environ.setdefault(TRACEBACK, os.environ.get("HYDRA_FULL_ERROR", "0"))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and leaves the telling to us

    def start() -> None:
        sys.argv[1:] = quote_paths(options_first(sys.argv[1:]))
        application()

    told(start)()


TRACEBACK = "LIGHTNING_GANS_TRACEBACK"  # "1": what the user asked for by HYDRA_FULL_ERROR=1


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Tell mistakes in one message. For the function under ``@hydra.main`` too, or Hydra adds a line of its own."""

    @functools.wraps(function)
    def guarded(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
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
        return unknown(f"{group}={choice}" if group else choice, choice, error.options or [])
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
        empty = next((a for a in sys.argv[1:] if a.partition("=")[0] in (*GROUPS, "tuned") and "=null" in a), None)
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

"""Configs: where they lie, what their roots hold, and how what was typed meets a checkpoint's config.

Nothing here imports torch, so that a wrong key or choice answers at once.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import MISSING, DictConfig

_PACKAGE = Path(__file__).resolve().parent
CONF_DIR = next(path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if (path / "train.yaml").is_file())

# Values that people type as paths; quoted before Hydra's grammar reads them.
PATH_KEYS = (
    *("resume", "checkpoint", "out", "input", "root", "reference", "candidate", "run", "cache", "hydra.run.dir"),
    *("generator", "generator_back", "discriminator", "discriminator_back"),
    *("data.root", "data.within", "extractor.weights", "extractor.base.weights", "callbacks.evaluation.cache"),
    *("data.target_root", "data.test_within", "model.perceptual_weights"),
)
LIST_KEYS = ("run",)  # of these, those that take a list too


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
    max_epochs: Optional[float] = None  # noqa: UP045
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
    overwrite: bool = False
    batch_size: int = 64
    device: str = "auto"
    trust: list[str] = field(default_factory=list)


@dataclass
class RealSet:
    """What a command may say of the real images of a checkpoint."""

    root: Optional[str] = None  # noqa: UP045
    held_out: bool = False


@dataclass
class EvaluateSchema:
    """Root of ``conf/evaluate.yaml``."""

    checkpoint: Optional[str] = None  # noqa: UP045
    reference: Optional[str] = None  # noqa: UP045
    candidate: Optional[str] = None  # noqa: UP045
    image_size: Optional[int] = None  # noqa: UP045
    channels: int = 3
    out: Optional[str] = None  # noqa: UP045
    n: Optional[int] = None  # noqa: UP045
    n_real: Optional[int] = None  # noqa: UP045
    seed: int = 0
    batch_size: int = 64
    device: str = "auto"
    metrics: Optional[list[str]] = None  # noqa: UP045
    direction: str = "a2b"
    extractor: Any = None
    bf16: bool = False
    cache: Optional[str] = "auto"  # noqa: UP045
    data: RealSet = field(default_factory=RealSet)
    trust: list[str] = field(default_factory=list)


@dataclass
class TrainExtractorSchema:
    """Root of ``conf/train_extractor.yaml``."""

    data: Any = MISSING
    out: str = MISSING
    name: Optional[str] = None  # noqa: UP045
    epochs: int = 15
    batch_size: int = 128
    width: int = 32
    flip: bool = False
    seed: int = 0
    device: str = "auto"


@dataclass
class InterpolateSchema:
    """Root of ``conf/interpolate.yaml``."""

    checkpoint: str = MISSING
    out: str = MISSING
    mode: str = MISSING
    rows: int = 8
    steps: int = 9
    indices: Optional[list[int]] = None  # noqa: UP045
    a: list[int] = field(default_factory=list)
    b: list[int] = field(default_factory=list)
    c: list[int] = field(default_factory=list)
    classes: Optional[list[int]] = None  # noqa: UP045
    psi: list[float] = field(default_factory=list)
    milliseconds: int = 80
    seed: int = 0
    batch_size: int = 64
    device: str = "auto"
    extractor: Any = None
    n_real: Optional[int] = None  # noqa: UP045
    data: RealSet = field(default_factory=RealSet)
    trust: list[str] = field(default_factory=list)


@dataclass
class TranslateSchema:
    """Root of ``conf/translate.yaml``."""

    checkpoint: str = MISSING
    input: str = MISSING
    out: str = MISSING
    direction: str = "a2b"
    format: Optional[str] = None  # noqa: UP045
    overwrite: bool = False
    tile: Any = "auto"
    sheet: int = 16
    batch_size: int = 8
    num_workers: Optional[int] = None  # noqa: UP045
    max_pixels: int = 100_000_000
    seed: int = 0
    device: str = "auto"
    trust: list[str] = field(default_factory=list)


@dataclass
class ImportWeightsSchema:
    """Root of ``conf/import_weights.yaml``."""

    generator: str = MISSING
    generator_back: Optional[str] = None  # noqa: UP045
    discriminator: Optional[str] = None  # noqa: UP045
    discriminator_back: Optional[str] = None  # noqa: UP045
    out: str = MISSING
    image_size: Optional[int] = None  # noqa: UP045
    test_statistics: str = "image"
    dropout_at_test: bool = False


@dataclass
class ReportSchema:
    """Root of ``conf/report.yaml``."""

    run: Any = MISSING
    out: Optional[str] = None  # noqa: UP045
    axis: str = "updates"


@dataclass
class DataCheckSchema:
    """Root of ``conf/data_check.yaml``."""

    data: Any = MISSING
    out: Optional[str] = None  # noqa: UP045
    examples: int = 3
    seed: int = 0


def register() -> None:
    """Tell Hydra the root schemas."""
    store = ConfigStore.instance()
    store.store("train_schema", TrainSchema)
    store.store("sample_schema", SampleSchema)
    store.store("evaluate_schema", EvaluateSchema)
    store.store("train_extractor_schema", TrainExtractorSchema)
    store.store("interpolate_schema", InterpolateSchema)
    store.store("translate_schema", TranslateSchema)
    store.store("import_weights_schema", ImportWeightsSchema)
    store.store("report_schema", ReportSchema)
    store.store("data_check_schema", DataCheckSchema)


register()


def compose(*overrides: str, config: str = "train") -> DictConfig:
    """Compose a config as the command line does, for notebooks and tests.

    Args:
        *overrides: What would be typed, e.g. ``"model=dcgan"``, ``"trainer.max_steps=10"``. Configs of your own are
            found by ``"hydra.searchpath=[FOLDER]"``.
        config: A command's name: ``train``, ``sample``, ``evaluate``, ...

    Raises:
        ValueError: A mistake, in the words of the command line.
    """
    from lightning_gans.cli import explained  # which knows this module

    GlobalHydra.instance().clear()
    with explained(overrides), hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return hydra.compose(config, overrides=one_budget(leave_out_tuned(quote_paths(list(overrides)))))


def quote_paths(arguments: list[str]) -> list[str]:
    """Quote the paths among ``key=value`` arguments, so that ``my run (1)/a=b.ckpt`` reaches us as typed."""
    quoted = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        is_path = bool(equals) and key.lstrip("+") in PATH_KEYS
        if is_path and not value:
            raise ValueError(f"{argument}: empty; say a path")
        is_list = key in LIST_KEYS and value[:1] == "["
        if is_path and value != "null" and value[0] not in "\"'" and not is_list:
            value = os.path.expanduser(value)
            argument = f"{key}={_quoted(value)}"
        quoted.append(argument)
    return quoted


def gather(arguments: list[str], key: str) -> list[str]:
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
    words = ",".join(_quoted(word) for word in (first, *arguments[place + 1 : end]))
    return [*arguments[:place], f"{key}=[{words}]", *arguments[end:]]


def _quoted(value: str) -> str:
    """In double quotes as Hydra's grammar has them: backslashes count only before a quote."""
    value = re.sub(r'(\\*)"', lambda found: found[1] * 2 + '\\"', value)
    return '"' + re.sub(r"(\\+)$", lambda found: found[1] * 2, value) + '"'


def _unquoted(value: str) -> str:
    return re.sub(r'(\\+)("|$)', lambda found: found[1][: len(found[1]) // 2] + found[2], value[1:-1])


def leave_out_tuned(arguments: list[str]) -> list[str]:
    """Add ``tuned=none`` where a part of the model was typed that the tuned file is not made for.

    That is another network, or a part that the file itself puts in place and would lay over what was typed.
    """
    parts = [part for part in ("model/network", *MODEL_PARTS) if typed(arguments, part) is not None]
    if not parts or typed(arguments, "tuned") is not None or typed(arguments, "resume") is not None:
        return arguments
    entries = yaml.safe_load((CONF_DIR / "train.yaml").read_text())["defaults"]
    defaults = {key: value for entry in entries if isinstance(entry, dict) for key, value in entry.items()}
    model, data = (typed(arguments, key) or defaults[key] for key in ("model", "data"))
    file = CONF_DIR / "tuned" / f"{model}_{data}.yaml"
    node = yaml.safe_load(file.read_text())["model"] if file.is_file() else {}
    if file.is_file() and any(part == "model/network" or part.partition("/")[2] in node for part in parts):
        return [*arguments, "tuned=none"]
    return arguments


def one_budget(arguments: list[str]) -> list[str]:
    """Let a typed budget take the place of those that an experiment, a family or a tuned file has."""
    said = [key for key in BUDGETS if typed(arguments, key) is not None]
    return [*arguments, *(f"{key}=null" for key in BUDGETS[1:] if key not in said)] if said else arguments


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


BUDGETS = ("trainer.max_steps", "max_kimg", "max_epochs")
GROUPS = ("model", "data", "trainer", "callbacks", "logger", "extractor")
MODEL_PARTS = ("model/objective", "model/penalty", "model/augment", "model/growth")


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
        ValueError: ``experiment``, ``sweep``, ``tuned`` or ``model/network`` was typed.
    """
    changed = []
    known = set(TrainSchema.__dataclass_fields__) - {"trust"}  # trust is the user's to give
    source = {key: value for key, value in source.items() if key in known}
    if re.search(r"\$\{[^}]*:", repr(source)):
        raise ValueError("the checkpoint's config calls a resolver; it was not written by this library")
    if any(typed(arguments, key) is not None for key in BUDGETS):
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
            brought = key in MODEL_PARTS and typed(arguments, "model") is not None  # by the new family
            argument = argument.lstrip("+") if brought else "+" + argument.lstrip("+")
        changed.append(argument)
    where = str(folder) if folder else "outputs/resumed/${now:%Y-%m-%d_%H-%M-%S}"
    own = {"run": {"dir": where}, "sweep": {"dir": where}, "output_subdir": None, "job": {"chdir": False}}
    quiet = [{"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}]
    node = {"defaults": ["train_schema", *quiet, "_self_"], **source, "hydra": own}
    ConfigStore.instance().store("resumed", node)
    name = "--config-name=resumed"
    return changed if name in changed else [name, *changed]

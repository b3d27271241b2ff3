"""Configs: where they lie and what their roots hold.

Nothing here imports torch, so that a wrong key or choice answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

_PACKAGE = Path(__file__).resolve().parent.parent
CONF_DIR = next(path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if (path / "train.yaml").is_file())


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
    classes: Optional[list[int]] = None  # noqa: UP045
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
    on_error: str = "stop"
    out: Optional[str] = None  # noqa: UP045
    n: Optional[int] = None  # noqa: UP045
    n_real: Optional[int] = None  # noqa: UP045
    seed: int = 0
    batch_size: int = 64
    device: str = "auto"
    metrics: Optional[list[Any]] = None  # noqa: UP045
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
    overwrite: bool = False
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
    overwrite: bool = False
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

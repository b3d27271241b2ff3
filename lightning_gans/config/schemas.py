"""Root schemas of the commands: keys with their types and ranges. Defaults and comments stand in ``conf/COMMAND.yaml``.

Imports no torch, so that a wrong key or value is refused at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MinLen
from typing_extensions import TypedDict

from lightning_gans.config.types import MaxPixels, NonNegative, NonNegativeInt, Positive, PositiveInt, Seed
from lightning_gans.images.size import Size

_PACKAGE = Path(__file__).resolve().parent.parent
CONF_DIR = next(path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if (path / "train.yaml").is_file())

Direction = Literal["a2b", "b2a"]
Mode = Literal[
    "lerp",
    "slerp",
    "grid",
    "loop",
    "arithmetic",
    "truncation",
    "nearest",
    "codes",
    "mixing",
    "noise",
    "components",
    "text",
]
Node = Mapping[str, Any]


class TrainSchema(TypedDict):
    """Declare the root of ``conf/train.yaml``."""

    data: Node
    model: Node
    trainer: Node
    callbacks: Node | None
    logger: Node | None
    extractor: Node | None
    seed: Seed
    max_kimg: Positive | None
    max_epochs: Positive | None
    resume: str | None
    init: str | None
    trust: Sequence[str]
    study: Node | None


class SamplingSchema(TypedDict):
    """Declare the options of sampling, which some families have; the families know their ranges."""

    truncation: float | None
    stage: int | None


class StyleSchema(SamplingSchema):
    """Declare the options of sampling by styles."""

    psi: float | None
    cutoff: NonNegativeInt | None
    noise: NonNegative | None


def sampling_options(cfg: Mapping[Any, Any]) -> dict[str, float]:
    """Return the options of sampling that a command was given."""
    given = {name: cfg.get(name) for name in StyleSchema.__annotations__}
    return {name: value for name, value in given.items() if isinstance(value, int | float)}


class SampleSchema(StyleSchema):
    """Declare the root of ``conf/sample.yaml``."""

    checkpoint: str
    out: str
    n: PositiveInt
    indices: Annotated[Sequence[NonNegativeInt], MinLen(1)] | None
    classes: Sequence[int] | None  # the checkpoint says which there are
    labels: Literal["balanced", "data"] | None
    code: Sequence[int | Sequence[int]] | None
    continuous: Sequence[float | Sequence[float]] | None
    text: str | Annotated[Sequence[str], MinLen(1)] | None
    captions: str | None
    where: Mapping[str, Any] | None  # the checkpoint says which columns there are
    seed: Seed
    format: Literal["png", "npz"]
    overwrite: bool
    batch_size: PositiveInt
    device: str
    trust: Sequence[str]


class RealSet(TypedDict):
    """Declare what a command may change of a checkpoint's real images."""

    root: str | None
    held_out: bool


class EvaluateSchema(StyleSchema):
    """Declare the root of ``conf/evaluate.yaml``."""

    checkpoint: str | None
    reference: str | None
    candidate: str | None
    image_size: Size | None  # a side, or [height, width]
    channels: Annotated[int, Ge(1), Le(4)]
    on_error: Literal["stop", "skip"]
    out: str | None
    n: int | None  # at least as many as the metrics need
    n_real: int | None
    seed: Seed
    batch_size: PositiveInt
    device: str
    metrics: Sequence[Any] | None  # names, or nodes of classes
    direction: Direction
    extractor: Node | None
    bf16: bool
    cache: str | None
    data: RealSet
    trust: Sequence[str]


class TrainExtractorSchema(TypedDict):
    """Declare the root of ``conf/train_extractor.yaml``."""

    data: Node
    out: str
    overwrite: bool
    name: str | None
    epochs: PositiveInt
    batch_size: PositiveInt
    width: PositiveInt
    flip: bool
    seed: Seed
    device: str


class TrainEncoderSchema(TypedDict):
    """Declare the root of ``conf/train_encoder.yaml``."""

    data: Node
    encoder: Node
    out: str
    overwrite: bool
    seed: Seed
    device: str


class InterpolateSchema(SamplingSchema):
    """Declare the root of ``conf/interpolate.yaml``."""

    checkpoint: str
    out: str
    mode: Mode
    rows: PositiveInt
    steps: Annotated[int, Ge(2)]
    indices: Annotated[Sequence[NonNegativeInt], MinLen(1)] | None
    a: Annotated[Sequence[NonNegativeInt], MinLen(1)]
    b: Annotated[Sequence[NonNegativeInt], MinLen(1)]
    c: Annotated[Sequence[NonNegativeInt], MinLen(1)]
    classes: Sequence[int] | None  # the checkpoint says which there are
    text: str | Annotated[Sequence[str], MinLen(1)] | None
    psi: Annotated[Sequence[float], MinLen(1)]
    cutoff: NonNegativeInt | None
    noise: NonNegative | None
    space: Literal["z", "w"]
    sigma: Positive
    format: Literal["gif", "mp4"]
    milliseconds: Annotated[int, Ge(20)]
    seed: Seed
    batch_size: PositiveInt
    device: str
    extractor: Node | None
    n_real: PositiveInt | None
    data: RealSet
    trust: Sequence[str]


class TranslateSchema(TypedDict):
    """Declare the root of ``conf/translate.yaml``."""

    checkpoint: str
    input: str
    out: str
    direction: Direction
    format: Literal["png", "jpg", "webp", "tiff", "bmp"] | None
    overwrite: bool
    tile: PositiveInt | Literal["auto"] | None
    sheet: NonNegativeInt
    batch_size: PositiveInt
    num_workers: PositiveInt | None
    max_pixels: MaxPixels
    seed: Seed
    device: str
    trust: Sequence[str]


class ImportWeightsSchema(TypedDict):
    """Declare the root of ``conf/import_weights.yaml``."""

    generator: str
    generator_back: str | None
    discriminator: str | None
    discriminator_back: str | None
    out: str
    overwrite: bool
    image_size: PositiveInt | None
    test_statistics: Literal["image", "running"]
    dropout_at_test: bool


class ExportSchema(TypedDict):
    """Declare the root of ``conf/export.yaml``."""

    checkpoint: str
    out: str
    part: Literal["generator", "encoder"] | None
    direction: Direction
    seed: Seed
    overwrite: bool
    trust: Sequence[str]


class ProjectSchema(TypedDict):
    """Declare the root of ``conf/project.yaml``."""

    checkpoint: str
    input: str
    out: str
    plus: bool
    steps: PositiveInt
    lr: Positive
    noise_weight: NonNegative
    perceptual_weights: str | None
    seed: Seed
    device: str
    trust: Sequence[str]


class LandmarksSchema(TypedDict):
    """Declare the root of ``conf/landmarks.yaml``."""

    input: str
    detector: str
    weights: str | None
    out: str | None
    fps: Positive
    overwrite: bool


class FinetuneSchema(TypedDict):
    """Declare the root of ``conf/finetune.yaml``."""

    checkpoint: str
    frames: str
    out: str
    epochs: NonNegativeInt
    batch_size: PositiveInt
    g_lr: Positive | None
    d_lr: Positive | None
    vgg19_weights: str | None
    vggface_weights: str | None
    seed: Seed
    overwrite: bool
    device: str
    trust: Sequence[str]


class AnimateSchema(TypedDict):
    """Declare the root of ``conf/animate.yaml``."""

    checkpoint: str
    driving: str
    out: str
    frames: str | Sequence[str] | None
    milliseconds: PositiveInt
    overwrite: bool
    batch_size: PositiveInt
    device: str
    trust: Sequence[str]


class ReportSchema(TypedDict):
    """Declare the root of ``conf/report.yaml``."""

    run: str | Sequence[str]
    out: str | None
    axis: Literal["updates", "kimg", "seconds"]


class DataCheckSchema(TypedDict):
    """Declare the root of ``conf/data_check.yaml``."""

    data: Node
    out: str | None
    to: str | None
    overwrite: bool
    examples: PositiveInt
    seed: Seed


class DemoSchema(StyleSchema):
    """Declare the root of ``conf/demo.yaml``."""

    checkpoint: str
    host: str
    port: Annotated[int, Ge(1), Le(65535)]
    share: bool
    device: str
    trust: Sequence[str]


SCHEMAS: dict[str, type] = {
    "train": TrainSchema,
    "sample": SampleSchema,
    "evaluate": EvaluateSchema,
    "train_extractor": TrainExtractorSchema,
    "train_encoder": TrainEncoderSchema,
    "interpolate": InterpolateSchema,
    "translate": TranslateSchema,
    "import_weights": ImportWeightsSchema,
    "export": ExportSchema,
    "project": ProjectSchema,
    "landmarks": LandmarksSchema,
    "finetune": FinetuneSchema,
    "animate": AnimateSchema,
    "report": ReportSchema,
    "data_check": DataCheckSchema,
    "demo": DemoSchema,
}

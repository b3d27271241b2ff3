"""Answer requests of a web page for samples, interpolations and translations; every input is bounded."""

from __future__ import annotations

import functools
import math
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from lightning_gans.config.errors import MISSING, ConfigError
from lightning_gans.data.file_sources import OnDisk
from lightning_gans.images.pixels import to_pil
from lightning_gans.images.sheets import overview
from lightning_gans.inference.latents import Walker
from lightning_gans.inference.translator import Translator
from lightning_gans.metrics.path_length import path_for
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.sampling_options import split_given
from lightning_gans.models.translation import TranslationModule

MOST = 64  # samples, or steps of an interpolation, of one request
MAX_PIXELS = 4_000_000  # of an upload, and of its translation
MAX_UPLOAD = "20mb"
_LARGEST_SEED = 2**32 - 1

Answer = TypeVar("Answer", bound=Callable[..., Image.Image])


class Demo:
    """Make the pictures that a page asks for, one request at a time.

    Args:
        module: A trained family.
        **options: Options of sampling of all pictures, e.g. ``truncation=0.5``.

    Raises:
        ValueError: An option that the family does not have.
    """

    def __init__(self, module: GenerativeModule, **options: float | None) -> None:
        self.module, self._lock = module, threading.Lock()
        self.directions = module.directions if isinstance(module, TranslationModule) else ()
        label = module.conditioning["label"] if module.conditioning.takes("classes") else None
        self.num_classes: int | None = None if label is None else int(getattr(label, "num_classes"))  # noqa: B009
        self.truncates = not self.directions and not module.normalizes_latents
        _, given = split_given(module, options)  # of a family that translates: refused
        self.walker = None if self.directions else Walker(module, seed=0, batch_size=64, **given)

    def sample(self, seed: float, n: float, psi: float = 1.0, classes: Sequence[Any] = ()) -> Image.Image:
        """Return the first ``n`` samples of a seed as a grid.

        Args:
            seed: From 0 to 2^32 - 1.
            n: Samples, 1 to 64.
            psi: Factor of the latents, 0 to 1: the truncation.
            classes: Classes that the samples have in turn; none: drawn as in training.

        Raises:
            ConfigError: A value out of range.
        """
        count, factor = whole("n", n, 1, MOST), between("truncation", psi, 0.0, 1.0)
        latents, *others = self._inputs(range(count), whole("seed", seed, 0, _LARGEST_SEED), classes)
        if factor < 1 and not self.truncates:
            raise ConfigError("truncation", factor, "latents are divided by their length; must be 1")
        return self._picture(latents * factor, others)

    def interpolate(self, start: float, end: float, steps: float, classes: Sequence[Any] = ()) -> Image.Image:
        """Return the path from the first sample of one seed to that of another, of the first's class.

        Args:
            start: Seed, from 0 to 2^32 - 1.
            end: Seed.
            steps: Images, 2 to 64.
            classes: As in ``sample``; the first counts.

        Raises:
            ConfigError: A value out of range.
        """
        count = whole("steps", steps, 2, MOST)
        seeds = [whole("seed", seed, 0, _LARGEST_SEED) for seed in (start, end)]
        (first, *others), (last, *_) = (self._inputs([0], seed, classes) for seed in seeds)
        path = path_for(self.module.latent)
        stops = torch.cat([path(first, last, at) for at in torch.linspace(0, 1, count).tolist()])
        return self._picture(stops, [other.expand(count, *other.shape[1:]) for other in others])

    def translate(self, upload: str | None, direction: str = "a2b") -> Image.Image:
        """Return the translation of an uploaded picture, which may come from anyone.

        Args:
            upload: Path of the file.
            direction: One of the module's.

        Raises:
            ValueError: It is no picture, too large, or cannot be translated; a direction that was not learnt.
        """
        if not upload:
            raise ConfigError("upload", MISSING, "choose a picture first")
        path = Path(upload)
        translator = Translator.of(self.module, direction=direction)
        files = translator.originals(OnDisk(path.parent), [path.name], root="upload", max_pixels=MAX_PIXELS)
        with self._lock, tempfile.TemporaryDirectory() as folder:
            made = Path(folder, "translation.png")
            report = translator(files, [made], threads=1, shown=0)
            if report.problems:
                raise ValueError(report.problems[0].reason.replace("data.max_pixels", "at most"))
            with Image.open(made) as picture:
                return picture.copy()

    def _inputs(self, indices: Sequence[int], seed: int, classes: Sequence[Any]) -> tuple[Tensor, ...]:
        assert self.walker is not None
        chosen = [whole("classes", value, 0, (self.num_classes or 1) - 1) for value in classes or ()]
        self.walker.seed = seed
        return self.walker.inputs(indices, **({"classes": chosen} if chosen else {}))

    def _picture(self, latents: Tensor, others: Sequence[Tensor]) -> Image.Image:
        assert self.walker is not None
        with self._lock:
            return to_pil(overview(self.walker.images(latents, others)))


def whole(name: str, value: Any, low: int, high: int) -> int:
    """Return a whole number from a page's input.

    Raises:
        ConfigError: It is none, or not from ``low`` to ``high``.
    """
    number = between(name, value, low, high)
    if number != int(number):
        raise ConfigError(name, value, "must be a whole number")
    return int(number)


def between(name: str, value: Any, low: float, high: float) -> float:
    """Return a number from a page's input.

    Raises:
        ConfigError: It is none, or not from ``low`` to ``high``.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not low <= value <= high:
        raise ConfigError(name, value, f"must be from {low} to {high}")
    return float(value)


def make_page(demo: Demo, title: str) -> Any:
    """Build the page, a ``gradio.Blocks``: a tab for samples and one for interpolation, or one for translations."""
    import gradio as gr

    def told(answer: Answer) -> Answer:
        @functools.wraps(answer)
        def guarded(*values: Any) -> Image.Image:
            try:
                return answer(*values)
            except ValueError as error:
                raise gr.Error(str(error), print_exception=False) from None

        return guarded  # type: ignore[return-value]

    def shown() -> Any:
        return gr.Image(
            format="png", type="pil", interactive=False, show_label=False, buttons=["download", "fullscreen"]
        )

    def classes() -> list[Any]:
        choices = list(range(demo.num_classes or 0))
        return [gr.Dropdown(choices, multiselect=True, label="Classes", visible=demo.num_classes is not None)]

    with gr.Blocks(title=title, analytics_enabled=False) as page:
        gr.Markdown(f"# {title}")
        if demo.directions:
            given = [gr.File(label="Picture", file_types=["image"], type="filepath")]
            given.append(gr.Radio(list(demo.directions), value=demo.directions[0], label="Direction"))
            gr.Button("Translate").click(told(demo.translate), given, shown(), api_name="translate")
        else:
            with gr.Tab("Sample"):
                given = [gr.Number(0, label="Seed", precision=0), gr.Slider(1, MOST, 16, step=1, label="Samples")]
                given.append(gr.Slider(0, 1, 1, label="Truncation", visible=demo.truncates))
                given += classes()
                gr.Button("Sample").click(told(demo.sample), given, shown(), api_name="sample")
            with gr.Tab("Interpolate"):
                given = [gr.Number(seed, label=f"Seed {seed}", precision=0) for seed in (0, 1)]
                given.append(gr.Slider(2, MOST, 16, step=1, label="Steps"))
                given += classes()
                gr.Button("Interpolate").click(told(demo.interpolate), given, shown(), api_name="interpolate")
    page.queue(max_size=16, default_concurrency_limit=1)
    return page

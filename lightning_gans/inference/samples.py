"""Write a module's samples to a folder."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lightning_gans.config.errors import ConfigError
from lightning_gans.images.files import make_folder, save
from lightning_gans.images.pixels import to_uint8
from lightning_gans.images.sheets import grid, scatter
from lightning_gans.inference.latents import Walker
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.conditions import ClassLabel
from lightning_gans.runtime.atomic import atomic_write

Labels = Literal["balanced", "data"]


def write_samples(
    batches: Iterable[Tensor],
    n: int,
    out: str | os.PathLike[str],
    format: str = "png",  # noqa: A002
    behind: Tensor | None = None,
    older: Sequence[Path] = (),
    columns: int | None = None,
    indices: Sequence[int] | None = None,
    *,
    labels: Sequence[int] | None = None,
    sheet: Tensor | None = None,
) -> Path:
    """Write samples and a grid of the first 64: all files or none.

    Args:
        batches: Images in [-1, 1], (N, C, H, W) each, or points (N, 2).
        n: Number of samples.
        out: Folder.
        format: ``png``: one file an image, ``000000.png``; ``npz``: ``samples.npz`` with ``images`` (n, H, W, C) uint8.
            Points are always ``samples.npz`` with ``points`` (n, 2) float32, and a picture of them all.
        behind: Real points, for the picture.
        older: Files of earlier samples, deleted at the end.
        columns: Images in a row of the grid; ``None``: as square as possible.
        indices: Numbers of the samples, which name their files; ``None``: those below ``n``.
        labels: Classes of the samples, n numbers: each PNG goes into a folder of its class, whose names are in the
            classes' order, and ``samples.npz`` has ``labels`` (n,) too. ``None``: no folders.
        sheet: Picture (C, H, W) uint8 in the place of the grid.

    Returns:
        Path of the grid.

    Raises:
        OSError: The disk is full, for instance; the folder is then as it was before.
    """
    folder, numbers = make_folder(out), range(n) if indices is None else indices
    digits = max(6, len(str(max(numbers))))
    of_class = len(str(max(labels, default=0))) if labels else 0
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder) as own:
        making = Path(own)
        first: list[Tensor] = []
        kept: list[np.ndarray] = []
        done = 0
        for batch in tqdm(batches, "sampling", leave=False, mininterval=1):
            pictures = to_uint8(batch).cpu()
            first += pictures[: max(0, 64 - done)]
            if pictures.ndim == 2:
                kept.append(pictures.numpy())
            elif format == "npz":
                kept.append(pictures.permute(0, 2, 3, 1).numpy())
            else:
                for i, picture in enumerate(pictures):
                    place = making if labels is None else make_folder(making / f"{labels[done + i]:0{of_class}d}")
                    save(picture, place / f"{numbers[done + i]:0{digits}d}.png", "sample")
            done += len(pictures)
        if kept:
            arrays = {"points" if kept[0].ndim == 2 else "images": np.concatenate(kept)}
            arrays |= {} if labels is None else {"labels": np.asarray(labels)}
            with atomic_write(making / "samples.npz") as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        points = torch.from_numpy(np.concatenate(kept)) if kept and kept[0].ndim == 2 else None
        if sheet is None:
            sheet = grid(torch.stack(first), columns=columns) if points is None else scatter(points, behind)
        save(sheet, making / "grid.png", "overview")
        made = {folder / path.relative_to(making): path for path in sorted(making.rglob("*")) if path.is_file()}
        for place in dict.fromkeys(path.parent for path in made):
            make_folder(place)
        for path, written in made.items():
            os.replace(written, path)
        for path in older:
            if path not in made:
                path.unlink()
                with contextlib.suppress(OSError):  # a class's folder, unless others are in it
                    path.parent.rmdir()
    return folder / "grid.png"


def class_sheet(
    module: GenerativeModule,
    n: int,
    classes: Sequence[int],
    *,
    seed: int = 0,
    batch_size: int = 64,
    **options: float | None,
) -> Tensor:
    """Lay out samples of a conditional module: a class a row, a latent a column.

    Args:
        module: The module.
        n: Number of latents, those of samples 0, 1, ...
        classes: Classes.
        seed: Seed of the samples.
        batch_size: Images at once.
        **options: Options of sampling, e.g. ``truncation=0.5``.

    Returns:
        One picture (C, H, W) uint8.
    """
    walker = Walker(module, seed=seed, batch_size=batch_size, **options)
    rows = []
    for c in classes:
        latents, *others = walker.inputs(range(n), classes=[c])
        rows.append(walker.images(latents, others))
    return grid(torch.cat(rows), columns=n)


def sheet_columns(n: int, classes: Sequence[Any]) -> int:
    """Return how many of n latents a sheet of classes or captions shows: all up to 16, and not many more than 64."""
    return min(n, max(16, 64 // len(classes)))


def sample_labels(
    module: GenerativeModule, how: Labels, n: int, *, seed: int = 0, classes: Sequence[int] | None = None
) -> list[int]:
    """Return the classes of n samples that are written into class folders.

    Args:
        module: The module.
        how: ``balanced``: the classes in turn; ``data``: drawn by the training set's frequencies.
        n: Number of samples.
        seed: Seed of the samples.
        classes: Classes that balanced samples have; ``None``: all.

    Raises:
        ConfigError: The module has no classes, or one would be left without a sample: who reads class folders counts
            those that there are.
    """
    condition = dict(module.conditioning.items()).get("label")
    if not isinstance(condition, ClassLabel):
        raise ConfigError("labels", how, f"{type(module).__name__} is not conditioned on classes; leave it out")
    if how == "balanced":
        given = list(range(condition.num_classes) if classes is None else classes)
        if n < len(given):
            raise ConfigError("n", n, f"must be >= {len(given)}, a sample of every class, with labels=balanced")
        return [given[i % len(given)] for i in range(n)]
    if classes is not None:
        raise ConfigError("labels", how, "draws classes by their frequencies; leave out classes, or say balanced")
    (drawn,) = module.conditioning.sample(range(n), seed, {})
    lacking = set(condition.counts.nonzero()[:, 0].tolist()) - set(drawn.tolist())
    if lacking:
        rule = f"leaves class {min(lacking)} without a sample; with labels=data there must be more"
        raise ConfigError("n", n, rule)
    return drawn.tolist()

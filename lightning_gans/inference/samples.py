"""Write a module's samples to a folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lightning_gans.images.files import make_folder, save
from lightning_gans.images.pixels import to_uint8
from lightning_gans.images.sheets import grid, scatter
from lightning_gans.runtime.atomic import atomic_write


def write_samples(
    batches: Iterable[Tensor],
    n: int,
    out: str | os.PathLike[str],
    format: str = "png",  # noqa: A002
    behind: Tensor | None = None,
    older: Sequence[Path] = (),
    columns: int | None = None,
    indices: Sequence[int] | None = None,
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

    Returns:
        Path of the grid.

    Raises:
        OSError: The disk is full, for instance; the folder is then as it was before.
    """
    folder, numbers = make_folder(out), range(n) if indices is None else indices
    digits = max(6, len(str(max(numbers))))
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
                    save(picture, making / f"{numbers[done + i]:0{digits}d}.png", "sample")
            done += len(pictures)
        if kept:
            arrays = {"points" if kept[0].ndim == 2 else "images": np.concatenate(kept)}
            with atomic_write(making / "samples.npz") as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        points = torch.from_numpy(np.concatenate(kept)) if kept and kept[0].ndim == 2 else None
        sheet = grid(torch.stack(first), columns=columns) if points is None else scatter(points, behind)
        save(sheet, making / "grid.png", "overview")
        made = {path.name: path for path in sorted(making.iterdir())}
        for name, path in made.items():
            os.replace(path, folder / name)
        for path in older:
            if path.name not in made:
                path.unlink()
    return folder / "grid.png"

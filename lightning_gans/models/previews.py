"""Draw pictures of what a module makes: a grid of samples, or sources beside their translations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from lightning_gans.images import pixels, sheets
from lightning_gans.models.levels import table_of
from lightning_gans.models.sampling import Sampling
from lightning_gans.tables.picture import picture

ROWS = 1000  # of a table, whose marginals are drawn
VISIBLE = 64  # pixels of a sample's side in a grid, of those that are enlarged


def samples_sheet(module: Sampling, n: int, *, seed: int = 0, behind: Tensor | None = None) -> Tensor:
    """Lay out samples in a grid, of a conditional family a column a class; of a table draw its marginals.

    Samples of a network that has still to grow are of its resolution, enlarged to 64 pixels where they are smaller.

    Args:
        module: Makes images from latents.
        n: Samples, rounded down to whole rows of classes.
        seed: Seed of the samples.
        behind: Real points, of a family of points, or real rows.

    Returns:
        One image (C, H, W) uint8.
    """
    if (table := table_of(module)) is not None:
        rows = torch.cat([rows.cpu() for rows in module.samples(range(max(n, ROWS)), seed=seed, batch_size=ROWS)])
        made, real = (None if some is None else table.values(table.codes(some)) for some in (rows, behind))
        assert made is not None
        return picture(table, made, real)
    classes: dict[str, Any] = dict(module.conditioning.overview())
    columns = sheets.aligned_columns(n, max(map(len, classes.values()), default=0))
    n = n // columns * columns if columns else n
    samples = torch.cat([pixels.to_uint8(s) for s in module.samples(range(n), seed=seed, **classes)])
    resolution = module.schedule.phase(max(module.iteration - 1, 0)).resolution
    if resolution is not None:  # pixels are repeated up to the data's size
        step = min(samples.shape[-1] // resolution, max(1, samples.shape[-1] // VISIBLE))
        samples = samples[..., ::step, ::step]
    return sheets.overview(samples, behind, columns=columns)


def examples_sheet(
    visuals: Callable[[dict[str, Tensor]], dict[str, Tensor]], batches: Iterable[dict[str, Tensor]]
) -> Tensor:
    """Lay out examples beside what a family makes of them.

    Args:
        visuals: Maps a batch to the columns of the sheet, by name; ``TranslationModule.visuals``.
        batches: Of examples of the data.

    Returns:
        One image (C, H, W) uint8.
    """
    rows: list[list[Tensor]] = []
    for batch in batches:
        rows += zip(*(list(pixels.visible(panel)) for panel in visuals(batch).values()), strict=True)  # type: ignore
    return sheets.panels(rows)

"""Draw pictures of what a module makes: a grid of samples, or sources beside their translations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from lightning_gans.images import pixels, sheets
from lightning_gans.models.sampling import Sampling

VISIBLE = 64  # pixels of a sample's side in a grid, of those that are enlarged


def samples_sheet(module: Sampling, n: int, *, seed: int = 0, behind: Tensor | None = None) -> Tensor:
    """Lay out samples in a grid; of a conditional family every class has a column.

    Samples of a network that has still to grow are of its resolution, enlarged to 64 pixels where they are smaller.

    Args:
        module: Makes images from latents.
        n: Samples, rounded down to whole rows of classes.
        seed: Seed of the samples.
        behind: Real points, of a family of points.

    Returns:
        One image (C, H, W) uint8.
    """
    classes = module.conditioning.overview()
    columns = sheets.aligned_columns(n, max(map(len, classes.values()), default=0))
    n = n // columns * columns if columns else n
    samples = torch.cat([pixels.to_uint8(s) for s in module.samples(range(n), seed=seed, **classes)])
    resolution = module.schedule.phase(max(module.iteration - 1, 0)).resolution
    if resolution is not None:  # pixels are repeated up to the data's size
        step = min(samples.shape[-1] // resolution, max(1, samples.shape[-1] // VISIBLE))
        samples = samples[..., ::step, ::step]
    return sheets.overview(samples, behind, columns=columns)


def examples_sheet(
    visuals: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]], batches: Iterable[Mapping[str, Tensor]]
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

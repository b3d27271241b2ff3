"""Show what a generator's latent codes do (Chen et al. 2016, arXiv:1606.03657, figure 2)."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.images.pixels import to_uint8
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.codes import CategoricalCodes, ContinuousCodes

REACH = 2.0  # continuous codes are shown from -2 to 2, as in the paper; training draws them from [-1, 1)


def has_codes(module: GenerativeModule) -> bool:
    """Return whether a module's generator takes codes."""
    return all(entry in module.conditioning for entry in ("categorical", "continuous"))


def traverse_codes(
    module: GenerativeModule, *, rows: int = 8, steps: int = 9, seed: int = 0, batch_size: int = 64
) -> Tensor:
    """Change one code after another and nothing else: images (R, S, C, H, W) uint8, black where a row is shorter.

    A categorical code of K categories has ``rows`` rows, each with the latents and the other codes of one sample, and a
    column a category. A continuous code has ``steps`` columns from -2 to 2, and a row for each category of the first
    categorical code, or ``rows`` rows without one. A black row parts two codes.

    Args:
        module: Module whose sampling network makes the images.
        rows: Samples of a categorical code, >= 1.
        steps: Values of a continuous code, >= 2.
        seed: Seed of the samples.
        batch_size: Images at once.

    Raises:
        ConfigError: The module has no codes.
    """
    if not has_codes(module):
        raise ConfigError("mode", "codes", f"{type(module).__name__} has none; train model=infogan")
    discrete, real = module.conditioning["categorical"], module.conditioning["continuous"]
    assert isinstance(discrete, CategoricalCodes)
    assert isinstance(real, ContinuousCodes)
    module.prepare_sampling()
    sheets = []
    for code, size in enumerate(discrete.sizes):
        values = torch.arange(size).expand(rows, size)
        sheets.append(_sheet(module, seed, batch_size, 0, code, values, None))
    heights = discrete.sizes[:1] or (rows,)
    for code in range(real.n):
        values = torch.linspace(-REACH, REACH, steps).expand(heights[0], steps)
        first = torch.arange(heights[0]) if discrete.sizes else None
        sheets.append(_sheet(module, seed, batch_size, 1, code, values, first))
    return _stacked(sheets)


def _sheet(
    module: GenerativeModule,
    seed: int,
    batch_size: int,
    kind: int,
    code: int,
    values: Tensor,
    categories: Tensor | None,
) -> Tensor:
    """Generate images (R, S, C, H, W) whose code number ``code`` of a kind has ``values`` (R, S).

    ``categories`` (R,): of the first categorical code, if they are not those of the samples.
    """
    rows, columns = values.shape
    latents, *codes = module.sampling_inputs(range(rows), seed)
    if categories is not None:
        codes[0][:, 0] = categories.to(codes[0].device)
    inputs = [one[:, None].repeat(1, columns, 1) for one in (latents, *codes)]
    inputs[1 + kind][:, :, code] = values.to(inputs[1 + kind])
    batches = zip(*(torch.split(one.flatten(0, 1), batch_size) for one in inputs), strict=True)
    made = torch.cat([to_uint8(images).cpu() for images in module.generate(batches)])
    return made.view(rows, columns, *made.shape[1:])


def _stacked(sheets: list[Tensor]) -> Tensor:
    columns = max(sheet.shape[1] for sheet in sheets)
    pieces: list[Tensor] = []
    for sheet in sheets:
        rows = sheet.new_zeros(len(sheet) + 1, columns, *sheet.shape[2:])  # the last one is black
        rows[:-1, : sheet.shape[1]] = sheet
        pieces.append(rows)
    return torch.cat(pieces)[:-1]

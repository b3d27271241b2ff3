"""Draw sheets of captions: by latents, between sentences, and of arithmetic on sentences (Zhang et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.images.pixels import to_uint8
from lightning_gans.images.sheets import grid
from lightning_gans.inference.latents import Walker
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.stackgan import StackGAN, stages
from lightning_gans.models.text import Text

MOST = 2**20  # bytes of a file of captions


def read_captions(path: str) -> list[str]:
    """Read a file of captions, one a line; empty lines are passed over.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is too large, no UTF-8, or holds none.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"captions={path}: no such file")
    if file.stat().st_size > MOST:
        raise ConfigError("captions", path, f"has more than {MOST:,} bytes")
    try:
        texts = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ConfigError("captions", path, "is no text in UTF-8") from error
    if not texts:
        raise ConfigError("captions", path, "holds no caption, one a line")
    return texts


def texts_of(text: str | Sequence[str] | None, captions: str | None) -> list[str] | None:
    """Return the captions that a command was given: one or several, or those in a file; ``None``: none.

    Raises:
        ConfigError: Both were.
    """
    if text is not None and captions is not None:
        raise ConfigError("captions", captions, "not with text; say one of the two")
    if captions is not None:
        return read_captions(captions)
    return None if text is None else [text] if isinstance(text, str) else list(text)


def caption_sheet(
    module: GenerativeModule,
    n: int,
    texts: Sequence[str],
    *,
    seed: int = 0,
    batch_size: int = 64,
    **options: float | None,
) -> Tensor:
    """Lay out samples of captions: a caption a row, a latent a column; in stage II stage I's image stands before each.

    Args:
        module: Draws captions.
        n: Number of latents, those of samples 0, 1, ...
        texts: Captions.
        seed: Seed of the samples.
        batch_size: Images at once.
        **options: Options of sampling; with ``stage`` that stage alone is shown.

    Returns:
        One picture (C, H, W) uint8.
    """
    walker = Walker(module, seed=seed, batch_size=batch_size, **options)
    both = isinstance(module, StackGAN) and options.get("stage") is None and module.generator.stage == 2
    rows = []
    for text in texts:
        latents, vectors = walker.inputs(range(n), text=[text])
        if both:
            assert isinstance(module, StackGAN)
            rows.append(to_uint8(torch.stack(stages(module, latents, vectors), 1).flatten(0, 1)))
        else:
            rows.append(walker.images(latents, [vectors]))
    return grid(torch.cat(rows), columns=2 * n if both else n)


def between(walker: Walker, texts: Sequence[str], rows: int, steps: int) -> Tensor:
    """Walk from one sentence to the next with latents that stay: images (rows, S, C, H, W) uint8.

    Args:
        walker: Of a module that draws captions.
        texts: Two sentences or more; S = ``steps`` for each pair of neighbours.
        rows: Samples whose latents are shown.
        steps: Images from a sentence to the next.

    Raises:
        ConfigError: The module draws no captions, or fewer than two are given.
    """
    vectors = _vectors(walker, texts, 2)
    at = torch.linspace(0, 1, steps, dtype=vectors.dtype, device=vectors.device)[:, None]
    path = torch.cat([start + at * (end - start) for start, end in zip(vectors, vectors[1:], strict=False)])  # (S, D)
    return _drawn(walker, path, rows)


def arithmetic(walker: Walker, texts: Sequence[str], rows: int) -> Tensor:
    """Draw a, b, c and a - b + c of three sentences' vectors: images (rows, 4, C, H, W) uint8, a row a latent.

    Raises:
        ConfigError: The module draws no captions, or there are not three.
    """
    if len(texts) != 3:
        raise ConfigError("text", list(texts), "must be three sentences, a, b and c, of which a - b + c is drawn")
    a, b, c = _vectors(walker, texts, 3)
    return _drawn(walker, torch.stack([a, b, c, a - b + c]), rows)


def _vectors(walker: Walker, texts: Sequence[str], least: int) -> Tensor:
    condition = dict(walker.module.conditioning.items()).get("text")
    if not isinstance(condition, Text):
        raise ConfigError(
            "text", list(texts), f"{type(walker.module).__name__} draws no captions; train model=stackgan"
        )
    if len(texts) < least:
        raise ConfigError("text", list(texts), f"must be {least} sentences at least")
    return condition.parse(texts).to(walker.module.device, walker.module.dtype)  # type: ignore[arg-type]


def _drawn(walker: Walker, path: Tensor, rows: int) -> Tensor:
    """Draw every vector of a path (S, D) with the latents of the first samples."""
    latents = walker.inputs(range(rows))[0]
    spread = latents[:, None].expand(-1, len(path), -1).flatten(0, 1)
    made = walker.images(spread, [path.repeat(rows, 1)])
    return made.view(rows, len(path), *made.shape[1:])

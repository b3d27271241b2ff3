"""Sample rows of tables, and write them to files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.levels import ColumnLevels, table_of
from lightning_gans.runtime.atomic import atomic_write
from lightning_gans.runtime.seeding import derive_seed
from lightning_gans.tables.reading import RawTable, formulas, write_table
from lightning_gans.tables.where import Where

ENDINGS = (".csv", ".tsv", ".parquet")
_MOST_DRAWS = 1000  # for each row that is wanted
FEWEST_DRAWS, _AT_ONCE = 100_000, 4096


class Rows(NamedTuple):
    """Hold sampled rows.

    Attributes:
        table: As text.
        drawn: Rows that were drawn for them.
    """

    table: RawTable
    drawn: int


def is_table(module: GenerativeModule, given: Mapping[str, Any]) -> bool:
    """Return whether a module makes rows, after a check that the command was given options of what it makes.

    Raises:
        ConfigError: An option of the other kind.
    """
    rows = table_of(module) is not None
    for key in ("classes", "labels", "code", "continuous") if rows else ("where",):
        if given[key] is not None:
            reason = "rows of a table are asked by where" if rows else "the model makes no rows of a table"
            raise ConfigError(key, given[key], f"{reason}; leave it out")
    return rows


def sample_rows(
    module: GenerativeModule,
    n: int | Sequence[int],
    *,
    seed: int = 0,
    where: Mapping[str, Any] | None = None,
    batch_size: int = _AT_ONCE,
) -> Rows:
    """Sample rows of a table, each a function of (seed, index) and of what is asked for.

    Args:
        module: Trained on a table.
        n: Number of rows, or the numbers of the rows, without ``where``.
        seed: Seed of the samples.
        where: What all of them have, by column: a level or a list of levels; of numbers and dates [lowest, highest].
            The generator is asked for the rarest, if its family can be asked, and rows without all are drawn anew.
        batch_size: Rows at once.

    Raises:
        ConfigError: The module makes no rows, there is no such column or level, or too few of the rows drawn have it.
    """
    table = table_of(module)
    if table is None:
        raise ConfigError("checkpoint", type(module).__name__, "was not trained on a table")
    module.prepare_sampling()
    if not where:
        indices = range(n) if isinstance(n, int) else n
        rows = torch.cat([rows.cpu() for rows in module.samples(indices, seed=seed, batch_size=batch_size)])
        return Rows(table.decode(rows), len(rows))
    if not isinstance(n, int):
        raise ConfigError("indices", list(n), "not with where, which draws rows until there are enough")
    asked = Where(table, where)
    kept: list[Tensor] = []
    found = drawn = 0
    most = max(FEWEST_DRAWS, _MOST_DRAWS * n)
    while found < n:
        if drawn >= most:
            rule = f"only {found:,} of {drawn:,} rows drawn have it, and {n:,} are wanted; ask for less"
            raise ConfigError("where", dict(where), rule)
        indices = range(drawn, drawn + batch_size)
        (rows,) = module.generate([module.sampling_inputs(indices, seed, **_levels(module, asked, indices, seed))])
        rows = rows.cpu()
        accepted = torch.from_numpy(asked.accepts(table.values(table.codes(rows))))
        places = accepted.nonzero()[:, 0][: n - found]
        kept.append(rows[places])
        found += len(places)
        drawn += len(rows) if found < n else int(places[-1]) + 1
    return Rows(table.decode(torch.cat(kept)), drawn)


def _levels(module: GenerativeModule, asked: Where, indices: Sequence[int], seed: int) -> dict[str, list[int]]:
    """Return the level that each row is asked for: of the rarest column, as frequent among those that are allowed."""
    levels, place = dict(module.conditioning.items()).get("category"), asked.rarest()
    if not isinstance(levels, ColumnLevels) or place is None:
        return {}
    allowed = asked.levels[place]
    counts = torch.tensor([asked.table.encoded[place].counts[level] for level in allowed], dtype=torch.float64)
    ends, rng, chosen = counts.clamp(min=1).cumsum(0), torch.Generator(), []
    for index in indices:
        u = torch.rand(1, generator=rng.manual_seed(derive_seed("where", seed, index)), dtype=torch.float64)
        chosen.append(allowed[min(int(torch.searchsorted(ends, u * ends[-1], right=True)), len(allowed) - 1)])
    return {"category": [asked.table.condition(place, level) for level in chosen]}


def check_out(out: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Refuse a place where no table can be written, before anything is sampled.

    Raises:
        ConfigError: Another ending, a folder, or a file that is there.
    """
    path = Path(out).expanduser()
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError("out", out, f"rows of a table go to a file that ends in {', '.join(ENDINGS)}")
    if path.is_dir():
        raise ConfigError("out", out, "is a folder")
    if os.path.lexists(path) and not overwrite:
        raise ConfigError("out", out, "is there; choose another file, or say overwrite=true")
    return path


def write_rows(rows: Rows, path: Path) -> str:
    """Write sampled rows to a file, whole or not at all; return what to say of them.

    Raises:
        OSError: The disk is full, for instance.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        write_table(rows.table, temporary, path.suffix.lower())
    told = f"{len(rows.table):,} samples, of {rows.drawn:,} drawn, in {path}"
    if names := formulas(rows.table):
        told += f"; texts of {', '.join(names)} are formulas to a spreadsheet, as in the table"
    return told

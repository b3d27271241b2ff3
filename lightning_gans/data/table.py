"""Provide tables: rows of numbers, categories and dates, as vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import Fraction, NonNegativeInt, PositiveInt, checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.batches import StepPlan
from lightning_gans.data.datasets import Batch, BatchIndices, ImageDataset
from lightning_gans.data.image_source import ImageSource, val_count
from lightning_gans.data.options import DataOptions
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import spread
from lightning_gans.runtime.seeding import derive_seed
from lightning_gans.tables.codec import Codes, Table, sizes_of
from lightning_gans.tables.drawing import cumulative, draw_levels
from lightning_gans.tables.embedded import Embedded, embedded_table
from lightning_gans.tables.fitting import Fit
from lightning_gans.tables.reading import MISSING, RawTable, from_frame, read_table


class TableOptions(DataOptions, total=False):
    """Declare the options of every table.

    Attributes:
        columns: Fitted columns (``Table.text``); ``None``: they are fitted to the table.
        conditions: Number of levels that rows may be asked for; follows from the columns, as ``channels`` does.
        types: See ``Fit``.
        max_levels: See ``Fit``.
        max_categories: See ``Fit``.
        max_modes: See ``Fit``.
        subsample: See ``Fit``.
        single: See ``Fit``.
    """

    columns: str | None
    conditions: NonNegativeInt
    types: Mapping[str, str] | None
    max_levels: PositiveInt
    max_categories: PositiveInt
    max_modes: PositiveInt
    subsample: PositiveInt
    single: Fraction


_OF_FIT = ("types", "max_levels", "max_categories", "max_modes", "subsample", "single")


class TableDataModule(ImageDataModule):
    """Provide the rows of a table as vectors (N, D), their entry in batches called ``image``.

    Columns are fitted once, to all rows, held-out ones included: types, categories, modes. The config of a run and its
    checkpoints carry them as ``columns``, so that a checkpoint decodes what it samples without the table. A family that
    is conditioned on a level of a column gets training rows by sampling: a discrete column, all alike, a level with the
    logarithm of its rows, a row that has it (Xu et al. 2019, section 4.3). Others get every row once a pass.

    Args:
        source: Gives the table.
        **options: See ``TableOptions`` and ``ImageDataModule``; ``image_size`` is ``None``.

    Raises:
        ValueError: A value out of range, or a table that cannot be read or fitted.
    """

    def __init__(self, source: TableSource, **options: Unpack[TableOptions]) -> None:
        if options.get("flip"):
            raise ConfigError("data.flip", True, "rows are not mirrored; must be false")
        given: dict[str, Any] = dict(options)
        fit = Fit(**{key: given.pop(key) for key in _OF_FIT if key in given})
        columns, _ = given.pop("columns", None), given.pop("conditions", None)
        source.table = self.table = Table.from_text(columns) if columns is not None else fit(source.read())
        given["channels"] = self.table.width
        super().__init__(source, **given)

    @property
    def kind(self) -> str:
        """Return ``table``."""
        return "table"

    @classmethod
    def learn(cls, node: Mapping[str, Any]) -> dict[str, Any]:
        """Read and fit the table, if the config does not have its columns yet; return what follows from them."""
        if node.get("columns") is not None:
            return {}
        text = cls(**{key: value for key, value in node.items() if key[0] != "_"}).table.text
        return {"columns": text, **sizes_of(text)}

    source: TableSource

    def rows_for(self, module: StepPlan) -> ImageDataset:
        """Return the training rows, by sampling where the module is conditioned on a level."""
        rows = self.train_images
        assert isinstance(rows, EncodedRows)
        return ByLevel(rows) if "category" in getattr(module, "conditions", ()) else rows


class TableFile(TableDataModule):
    """Provide a table in a file.

    Args:
        root: ``.csv``, ``.tsv`` or ``.parquet``; the first line names the columns.
        separator: See ``read_table``.
        encoding: See ``read_table``.
        missing: Texts that stand for no value.
        on_error: At a line with too many or too few cells.
        **options: See ``TableDataModule``.
    """

    @checked
    def __init__(
        self,
        *,
        root: str,
        separator: str | None = None,
        encoding: str = "utf-8",
        missing: Sequence[str] = MISSING,
        on_error: Literal["stop", "skip"] = "stop",
        **options: Unpack[TableOptions],
    ) -> None:
        how: dict[str, Any] = {"separator": separator, "encoding": encoding, "missing": missing, "on_error": on_error}
        super().__init__(FileTable(root, how), **options)


class EmbeddedTable(TableDataModule):
    """Provide a table that needs no file.

    Args:
        name: ``census``, a made one of every type of column, or one of scikit-learn's.
        n: Rows of ``census``, the same ones whatever the seed.
        **options: See ``TableDataModule``.
    """

    @checked
    def __init__(self, *, name: Embedded = "census", n: PositiveInt = 5000, **options: Unpack[TableOptions]) -> None:
        super().__init__(GivenTable(lambda: embedded_table(name, n=n)), **options)


class FrameTable(TableDataModule):
    """Provide a pandas data frame, from Python.

    Args:
        frame: The data frame.
        **options: See ``TableDataModule``.
    """

    def __init__(self, frame: Any, **options: Any) -> None:
        super().__init__(GivenTable(lambda: from_frame(frame)), image_size=None, **options)


class TableSource(ImageSource, ABC):
    """Read a table and encode its rows."""

    points = True
    table: Table

    @abstractmethod
    def read(self) -> RawTable:
        """Return the table as text."""

    def check(self, spec: ImageSpec) -> None:
        """Refuse classes: levels are conditions."""
        if spec.num_classes is not None:
            raise ConfigError("data.num_classes", spec.num_classes, "tables have columns, not classes; must be null")

    def load(self, spec: ImageSpec) -> EncodedRows:
        """Return the rows, or as many as are wanted."""
        raw = self.read()
        taken = spread(len(raw), spec.max_images)
        codes = self.table.encode(raw if len(taken) == len(raw) else raw.take(taken.tolist()), seed=spec.seed)
        return EncodedRows(self.table, codes)

    def hold_out(self, whole: ImageDataset, fraction: float, seed: int) -> tuple[ImageDataset, ImageDataset]:
        """Split the rows at random, as the base does."""
        assert isinstance(whole, EncodedRows)
        n = val_count(len(whole), fraction)
        order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(derive_seed("held out", seed)))
        return whole.take(order[n:].sort().values), whole.take(order[:n].sort().values)


class FileTable(TableSource):
    """Read a file.

    Args:
        root: Its path.
        how: See ``read_table``.
    """

    def __init__(self, root: str, how: Mapping[str, Any]) -> None:
        self.root, self.how = root, how

    def read(self) -> RawTable:
        """Read it."""
        return read_table(self.root, **self.how)


class GivenTable(TableSource):
    """Give a table that a function makes.

    Args:
        make: The function.
    """

    def __init__(self, make: Any) -> None:
        self.make = make

    def read(self) -> RawTable:
        """Make it."""
        table: RawTable = self.make()
        return table


class EncodedRows(ImageDataset):
    """Hold encoded rows, and write out one-hot codes when a batch is fetched.

    Args:
        table: Its columns.
        codes: The rows.
    """

    is_in_memory = True

    def __init__(self, table: Table, codes: Codes) -> None:
        self.table, self.codes = table, codes

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.codes.chosen)

    def fetch(self, index: Tensor) -> Batch:
        """Return ``image``, rows (N, D) float32."""
        return {"image": self.table.rows(self.codes.take(index))}

    def take(self, rows: Tensor) -> EncodedRows:
        """Return some of the rows."""
        return EncodedRows(self.table, self.codes.take(rows))

    def resized(self, resolution: int | None) -> EncodedRows:
        """Return this set: rows have no resolution."""
        return self


class ByLevel(ImageDataset):
    """Draw rows by a level that they have, from the uniform numbers of a request.

    Its own indices count for nothing: a row follows from the position in the stream.

    Args:
        rows: The rows.
    """

    def __init__(self, rows: EncodedRows) -> None:
        self.rows, self.is_in_memory, table = rows, rows.is_in_memory, rows.table
        orders, counts = [], []  # of each discrete column: rows sorted by their level
        for place in table.discrete:
            levels = rows.codes.chosen[:, place]
            orders.append(levels.argsort(stable=True).int())
            counts.append(levels.bincount(minlength=table.encoded[place].width))
        self.columns, self.ends = len(counts), cumulative(counts, logarithmic=True)
        self.orders = torch.cat(orders) if orders else torch.zeros(0, dtype=torch.int32)
        self.counts = torch.cat(counts) if counts else torch.zeros(0, dtype=torch.int64)
        self.starts = self.counts.cumsum(0) - self.counts  # of each level's rows in the orders

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def fetch(self, index: Tensor) -> Batch:
        """Return rows as the set has them."""
        return self.rows.fetch(index)

    def get_batch(self, request: BatchIndices) -> Batch:
        """Return ``image``, rows (N, D), and ``category`` (N,) int64, the condition that each was drawn by."""
        if not self.columns or request.random_params is None:
            return {**self.fetch(request.indices), "category": torch.zeros(len(request.indices), dtype=torch.int64)}
        u = request.random_params
        category = draw_levels(self.ends, self.columns, u[:, :2])
        nth = torch.minimum((u[:, 2].double() * self.counts[category]).long(), self.counts[category] - 1)
        index = self.orders[self.starts[category] + nth].long()
        return {**self.fetch(index), "category": category}

"""Read the batches of any loader, and share them among updates, micro-batches and processes.

What a module trains on is a dict of tensors, images in [-1, 1]. A plain ``DataLoader`` may yield tensors, tuples or
dicts, uint8 or float; rules in ``lightning_gans/models/README.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import Batch
from lightning_gans.data.transforms import scaled
from lightning_gans.runtime.distributed import all_gather, gather_interleaved, own_rows, sum_over_processes
from lightning_gans.schedules.learning_rate import EpochDecay
from lightning_gans.schedules.training_schedule import Plan

IMAGES = ("image", "source", "target")  # entries whose values are scaled to [-1, 1]


class Rows:
    """Number the rows of a batch over all processes: row i of every process, in their order, then row i + 1.

    Args:
        counts: Rows of every process.
        rank: This process.
        owners: Process of every row, in order; ``None``: as above.
    """

    def __init__(self, counts: Sequence[int], rank: int = 0, *, owners: Sequence[int] | None = None) -> None:
        self.counts, self.rank, self.total = tuple(counts), rank, sum(counts)
        self.own, self.world = self.counts[rank], len(self.counts)
        self.is_regular = owners is None and len(set(self.counts)) == 1  # row i of process r is i * world + r
        self._owners = owners

    @property
    def owners(self) -> Sequence[int]:
        """Return the process of every row, in order."""
        if self._owners is None:
            places = sorted((i, rank) for rank, count in enumerate(self.counts) for i in range(count))
            self._owners = [rank for _, rank in places]
        return self._owners

    @property
    def weight(self) -> float:
        """Return the weight of this process's mean in the mean over processes, 1 where all have as many rows."""
        return self.own * self.world / self.total

    def take(self, rows: Tensor) -> Tensor:
        """Return this process's rows of a tensor of all rows."""
        if self.is_regular or self.world == 1:
            return own_rows(rows, self.rank, self.world)
        return rows[[i for i, owner in enumerate(self.owners) if owner == self.rank]]

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes in order; undoes ``take``. Called by all of them."""
        if self.world == 1:
            return rows
        if self.is_regular:
            return gather_interleaved(rows, self.world)
        by_process = torch.tensor(self.owners).argsort(stable=True)
        return all_gather(rows)[by_process.argsort().to(rows.device)]

    def split(self, parts: int) -> list[Rows]:
        """Cut the rows of all processes into ``parts`` pieces; the first ones have one row more if it must be."""
        if parts == 1:
            return [self]
        if self.is_regular and self.own % parts == 0:
            return [Rows([self.own // parts] * self.world, self.rank)] * parts
        size, more = divmod(self.total, parts)
        ends = [part * size + min(part, more) for part in range(parts + 1)]
        pieces = [self.owners[start:end] for start, end in zip(ends, ends[1:], strict=False)]
        return [
            Rows([piece.count(rank) for rank in range(self.world)], self.rank, owners=list(piece)) for piece in pieces
        ]


class Piece(dict[str, Tensor]):
    """Hold a part of a batch: this process's tensors, and the rows of all processes that they belong to.

    Args:
        tensors: By entry.
        rows: Of all processes.
    """

    def __init__(self, tensors: Mapping[str, Tensor], rows: Rows) -> None:
        super().__init__(tensors)
        self.rows = rows


def split(batch: Batch, parts: int, rows: Rows | None = None) -> list[Piece]:
    """Cut every tensor of a batch into ``parts`` pieces along its first axis.

    Args:
        batch: This process's tensors by entry, with as many rows each.
        parts: Number of pieces.
        rows: Of all processes; ``None``: there is one.
    """
    pieces = (rows or Rows([length(batch)])).split(parts)
    found, start = [], 0
    for piece in pieces:
        found.append(Piece({key: value[start : start + piece.own] for key, value in batch.items()}, piece))
        start += piece.own
    return found


def length(batch: Batch) -> int:
    """Return the number of rows of a batch."""
    return min((len(value) for value in batch.values()), default=0)


def named(batch: Any, entries: Sequence[str], needed: Sequence[str], family: str) -> Batch:
    """Return the tensors of a loader's batch by entry.

    Args:
        batch: A tensor, a tuple in the order of ``entries`` (further items are left out), or a dict of tensors; in a
            dict a tuple stands for its first item, so that ``CombinedLoader`` may join two loaders.
        entries: Names of a tuple's items.
        needed: Entries that must be there.
        family: Name of the family, for messages.

    Raises:
        ValueError: An entry is lacking, or the batch is something else.
    """
    if isinstance(batch, Tensor):
        batch = [batch]
    if isinstance(batch, list | tuple):
        batch = dict(zip(entries, batch, strict=False))
    if not isinstance(batch, Mapping):
        rule = f"must be tensors, tuples ({', '.join(entries)}) or dicts of these"
        raise ConfigError("data", type(batch).__name__, f"batches {rule} for {family}")
    firsts = {key: value[0] if isinstance(value, list | tuple) and value else value for key, value in batch.items()}
    found = {str(key): value for key, value in firsts.items() if isinstance(value, Tensor)}
    if lacking := [entry for entry in needed if entry not in found]:
        raise ValueError(f"data: batches have {', '.join(found) or 'no tensors'}; {family} needs {', '.join(lacking)}")
    n = length(found)
    return {key: value[:n] for key, value in found.items()}


def prepared(batch: Batch, dtype: torch.dtype, resolution: int | None) -> Batch:
    """Bring images to [-1, 1] and to the step's resolution, and all floats to the training's precision.

    Args:
        batch: By entry; uint8 images become k / 127.5 - 1, floats lie in [-1, 1] already.
        dtype: Of floats.
        resolution: Side of the images, the mean of a square of pixels each; ``None``: as they are.
    """
    found = {}
    for key, value in batch.items():
        value = scaled(value) if key in IMAGES else value
        value = value.to(dtype) if value.is_floating_point() else value
        if key in IMAGES and resolution is not None and value.shape[-1] != resolution:
            value = F.adaptive_avg_pool2d(value, resolution)
        found[key] = value
    return found


def warn_of_range(batch: Batch) -> None:
    """Warn once of float images that do not lie in [-1, 1], or that seem to lie in [0, 1]."""
    for key, value in batch.items():
        if key not in IMAGES or not value.is_floating_point() or value.ndim < 4 or not value.numel():
            continue
        low, high = (float(end) for end in value.aminmax())
        advice = "uint8 images are scaled by themselves, floats by transforms.Normalize(0.5, 0.5) after ToTensor"
        if low < -1 or high > 1:
            rank_zero_warn(f"data: float images ({key}) go from {low:.3g} to {high:.3g}, not -1 to 1; {advice}")
        elif low >= 0 and key == "image" and high > 0.5:
            rank_zero_warn(f"data: float images ({key}) lie in [0, 1] and not in [-1, 1]; {advice}")


def warn_of_size(family: str, rows: Rows, plan: Plan) -> None:
    """Say how many images an update sees where a loader's batch is not the one that the options say."""
    seen = sorted({part.total for part in rows.split(plan.n_critic)}, reverse=True)
    rank_zero_warn(
        f"{family}: a batch has {rows.total} images, not n_critic={plan.n_critic} x batch_size={plan.batch_size}: an "
        f"update sees {' or '.join(map(str, seen))}, and {rows.total} a step are counted as shown; lengths that "
        "batch_size has turned into updates stay as they are"
    )


def warn_of_skip(family: str, rows: Rows, plan: Plan) -> None:
    """Say that a batch is left out."""
    rank_zero_warn(
        f"{family}: a batch of {' + '.join(map(str, rows.counts))} images is too small for n_critic={plan.n_critic} "
        "updates; it is left out and not counted as shown, as others like it will be"
    )


def is_planned(trainer: Trainer) -> bool:
    """Return whether batches come from our own data modules, which give what each step's plan asks for."""
    return isinstance(getattr(trainer, "datamodule", None), ImageDataModule)


def rows_of_all(own: int, rank: int, world: int, device: torch.device) -> Rows:
    """Return the rows of all processes; called by all of them together."""
    counts = torch.zeros(world, dtype=torch.int64, device=device)
    counts[rank] = own
    return Rows(sum_over_processes(counts).tolist(), rank) if world > 1 else Rows([own])


def learn_passes(schedule: Any, trainer: Trainer | None, needed_by: str) -> None:
    """Let a schedule in passes over the set know how long one is; of a plain loader each batch counts as an update.

    Args:
        schedule: Of a learning rate; those that are not in passes are left alone.
        trainer: The Trainer, before it trains; ``None``: a checkpoint is made without one.
        needed_by: Option that needs it, for the message.

    Raises:
        ValueError: The loader has no length.
    """
    if trainer is None or not isinstance(schedule, EpochDecay) or schedule.images is not None:
        return
    data = getattr(trainer, "datamodule", None)
    if isinstance(data, ImageDataModule):
        schedule.learn(data.images_per_epoch)
        return
    if trainer is None:
        raise ValueError(f"{needed_by}: needs a Trainer; say how many images a pass has")
    trainer.fit_loop.setup_data()
    updates = trainer.num_training_batches
    if updates == float("inf"):
        raise ValueError(f"{needed_by}: the loader has no length; say how many images a pass has")
    schedule.learn(int(updates) * schedule.batch_size)


class LoaderExamples:
    """Give examples of a plain loader's set, for what a family measures on training images.

    Args:
        loader: The ``DataLoader``.
        entries: Names of the items of a tuple.

    Raises:
        ValueError: Its set has no length.
    """

    def __init__(self, loader: Any, entries: Sequence[str]) -> None:
        self.loader, self.entries, self.train_images = loader, entries, getattr(loader, "dataset", None)
        if not hasattr(self.train_images, "__len__"):
            raise ValueError("model.encoder: needs a loader of a set with a length, whose features it clusters")

    def training_examples(self, indices: Sequence[int]) -> Batch:
        """Return examples number ``indices`` by entry, float32 in [-1, 1]."""
        items = [self.train_images[i] for i in indices]  # type: ignore[index]
        batch = items[0] if self.loader.batch_size is None else self.loader.collate_fn(items)
        return prepared(named(batch, self.entries, ("source", "target"), "the model"), torch.float32, None)


def labels_of(loaders: Any) -> Tensor | None:
    """Return the labels (N,) int64 of a loader's set if it lists them, as torchvision's and ``TensorDataset`` do."""
    return _labels(getattr(loaders, "dataset", None))


def _labels(dataset: Any) -> Tensor | None:
    if dataset is None:
        return None
    indices, whole = getattr(dataset, "indices", None), getattr(dataset, "dataset", None)
    if indices is not None and whole is not None:  # of torch.utils.data.Subset
        values = _labels(whole)
        return None if values is None else values[torch.as_tensor(indices)]
    listed = getattr(dataset, "targets", getattr(dataset, "labels", None))
    tensors: tuple[Tensor, ...] = getattr(dataset, "tensors", ())
    listed = tensors[1] if listed is None and len(tensors) > 1 else listed
    try:
        values = torch.as_tensor(listed)
    except (TypeError, ValueError, RuntimeError):
        return None
    is_class = values.ndim == 1 and not values.is_floating_point() and len(values) == len(dataset)
    return values.long() if is_class else None

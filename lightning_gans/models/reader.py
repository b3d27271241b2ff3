"""Receive the batches of a training: count what is really shown, and know whose rows every part of it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import torch
from lightning.pytorch import Trainer
from torch import nn

from lightning_gans.data.datasets import Batch
from lightning_gans.models import batches
from lightning_gans.models.batches import Piece, Rows
from lightning_gans.models.conditions import Conditions
from lightning_gans.schedules.learning_rate import CosineDecay
from lightning_gans.schedules.training_schedule import Plan


class Trained(Protocol):
    """Declare what a reader asks of the module that trains on its batches."""

    batch_entries: ClassVar[tuple[str, ...]]
    conditioning: Conditions
    iteration: int

    @property
    def trainer(self) -> Trainer:
        """Return the Trainer."""

    @property
    def device(self) -> torch.device:
        """Return the module's device."""

    @property
    def dtype(self) -> Any:
        """Return the precision of its weights."""

    def plan(self, step: int) -> Plan:
        """Return what step number ``step`` needs."""

    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Reject data whose images have another shape than the networks make and take."""

    def on_first_batch(self, rows: Rows) -> None:
        """Learn from the first batch of a plain loader."""


class BatchReader:
    """Read every batch of a training into tensors by entry, and plan its step by the images that it really has.

    Batches of our own data modules are what the plan asks for. Those of a plain loader are cut into ``n_critic``
    chunks, whatever their size; a batch that has not an image of every process for each chunk is left out by all of
    them. It takes two of each where batch norm meets vectors, of which one has no variance.

    Attributes:
        rows: Rows of all processes that the part of the batch at work belongs to; ``None``: every process has as many.
    """

    def __init__(self) -> None:
        self.rows: Rows | None = None
        self._whole: Rows | None = None
        self._least = 1  # rows of a process in an update
        self._skipped: bool | None = None  # every batch since the start; None: none has come

    def start(self, module: Any) -> None:
        """Forget the batches of an earlier fit, and learn the labels of a plain loader's set, where it lists them."""
        self.rows = self._whole = self._skipped = None
        self._least = 2 if any(isinstance(layer, nn.BatchNorm1d) for layer in module.modules()) else 1
        if "label" in module.conditioning.entries and not batches.is_planned(module.trainer):
            labels = batches.labels_of(module.trainer.train_dataloader)
            if labels is not None:
                module.conditioning["label"].fit(labels)

    def __call__(self, batch: Any, module: Trained) -> tuple[Plan, Batch]:
        """Read a batch; on all processes together.

        Args:
            batch: What the loader gives, on the module's device.
            module: Trains on it.

        Returns:
            The step's plan, without players if the batch is left out, and the tensors by entry.

        Raises:
            ValueError: An entry is lacking, or images have another shape than the networks take.
        """
        plan, trainer = module.plan(module.iteration), module.trainer
        rank, world = trainer.global_rank, trainer.world_size
        if batches.is_planned(trainer):
            self._whole = self.rows = Rows([plan.images // world] * world, rank)
            return plan, batches.prepared(batch, module.dtype, None)
        entries, name = module.batch_entries, type(module).__name__
        needed = ("source", "target") if "source" in entries else ("image", *module.conditioning.entries)
        found = batches.named(batch, entries, needed, name)
        rows = batches.rows_of_all(batches.length(found), rank, world, module.device)
        if min(count for part in rows.split(plan.n_critic) for count in part.counts) < self._least:
            if self._skipped is not True:
                batches.warn_of_skip(name, rows, plan)
            self._skipped = self._skipped is not False
            return plan._replace(players=(), shown=0), found
        if self._whole is None:
            self._meet(found, rows, plan, module)
        self._whole, self.rows, self._skipped = rows, rows, False
        return plan._replace(shown=rows.total), batches.prepared(found, module.dtype, plan.resolution)

    def _meet(self, batch: Batch, rows: Rows, plan: Plan, module: Trained) -> None:
        """Check the first batch of a plain loader, and say how many images an update sees if it is news."""
        batches.warn_of_range(batch)
        if module.iteration == 0:
            module.check_data({key: tuple(value.shape[1:]) for key, value in batch.items()})
        if rows.total != plan.images:
            batches.warn_of_size(type(module).__name__, rows, plan)
        for config in module.trainer.strategy.lr_scheduler_configs:
            if isinstance(config.scheduler, CosineDecay):
                config.scheduler.count_images(rows.total)
        module.on_first_batch(rows)

    def refuse_idle(self, module: Trained) -> None:
        """Refuse a loader none of whose batches was enough for an update, since it would train nothing for ever.

        Raises:
            ValueError: No batch of the epoch was.
        """
        if self._skipped:
            needed = f"n_critic={module.plan(module.iteration).n_critic} x {self._least} images for every process"
            raise ValueError(f"data: no batch has {needed}, which a step of {type(module).__name__} takes")

    # ------------------------------------------------------------------------------ rows of all processes

    def rows_of(self, batch: Batch, module: Any) -> Rows:
        """Return the rows of all processes that a part of the step's batch belongs to."""
        rows, own = batch.rows if isinstance(batch, Piece) else self._whole, batches.length(batch)
        if rows is None or rows.own != own:  # cut by a family itself, alike on all processes
            return Rows([own] * module.world_size, module.global_rank)
        return rows

    def rows_for(self, n: int, module: Any) -> Rows:
        """Return the rows of all processes for draws of ``n`` rows here: the batch's at work, or as many for each."""
        if self.rows is not None and self.rows.own == n:
            return self.rows
        return Rows([n] * module.world_size, module.global_rank)

    @property
    def weight(self) -> float:
        """Return the weight of this process's means in a mean over processes: its images; 1 where all have as many."""
        return 1.0 if self._whole is None else self._whole.weight

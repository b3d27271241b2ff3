"""Train CTGAN on tables."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor
from torch.optim import Adam
from typing_extensions import Unpack

from lightning_gans.config.errors import MISSING, ConfigError
from lightning_gans.config.types import NonNegative, checked
from lightning_gans.losses.objectives import Wasserstein
from lightning_gans.losses.penalties import GradientPenalty
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.base import Batch, Terms
from lightning_gans.models.levels import LEVELS, ColumnLevels
from lightning_gans.models.options import AdversarialOptions
from lightning_gans.models.sampling import Inputs
from lightning_gans.networks.table import Discriminator, Generator
from lightning_gans.runtime.precision import full_precision
from lightning_gans.schedules.training_schedule import Plan


class CTGAN(AdversarialModule):
    """Train CTGAN. Xu et al. 2019, arXiv:1907.00503.

    G is asked for a level c of a discrete column, drawn with the logarithm of its frequency, and D judges packs of ten
    rows (Lin et al. 2018) beside their levels. With H the cross entropy of G's logits for that column and c,

        D: E[D(G(z, c), c)] - E[D(x, c)] + 10 E[(|grad D(x')| - 1)^2]        G: -E[D(G(z, c), c)] + H

    Real rows have levels drawn alike (``data=table`` sees to that; of a plain loader's rows a level that each has), and
    fakes in D's update the same levels in another order. x' lies between whole packs, levels included, with one number
    u for each. Samples are made in evaluation mode, of levels as frequent as in the table. The tuned values average the
    generator, which the paper has not: ``model.ema=null``.

    Args:
        generator: Player, see ``networks/table.py``.
        discriminator: Player, of packs.
        condition_weight: Weight of H.
        **options: See ``AdversarialModule``.

    Raises:
        ValueError: Networks that take no rows or other conditions, or a batch that packs do not divide.
    """

    conditions = ("category",)
    condition_kinds = LEVELS
    data_kinds = ("table",)
    batch_entries = ("image", "category")

    @checked
    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        *,
        condition_weight: NonNegative = 1.0,
        **options: Unpack[AdversarialOptions],
    ) -> None:
        optimizer = partial(Adam, lr=2e-4, betas=(0.5, 0.9), weight_decay=1e-6)
        paper: AdversarialOptions = {
            "objective": Wasserstein(),
            "penalty": GradientPenalty(),
            "batch_size": 500,
            "ema": None,
            "g_optimizer": optimizer,
            "d_optimizer": optimizer,
        }
        super().__init__(generator, discriminator, **(paper | options))
        self.condition_weight = condition_weight
        if len({self.levels.n, generator.num_conditions, discriminator.num_conditions}) > 1:
            found = f"{generator.num_conditions} and {discriminator.num_conditions}"
            raise ConfigError("model.generator.conditions", found, f"the table has {self.levels.n} for both networks")
        if self.augment is not None:
            raise ConfigError("augment", MISSING, "rows are not augmented; set it to null")
        if {self.latent, generator.latent} != {"normal"}:
            raise ConfigError("latent", self.latent, "must be normal, for the generator's noise too")
        self._check_packs(self.accumulate)
        self._raw = torch.empty(0)  # the last layer's outputs for the newest rows

    @property
    def levels(self) -> ColumnLevels:
        """Return the condition."""
        levels = self.conditioning["category"]
        assert isinstance(levels, ColumnLevels)
        return levels

    def draw_inputs(self, n: int) -> Inputs:
        """Draw latents, and levels with the logarithms of their frequencies."""
        return self.normal(n, self.latent_dim), self.levels.draw_evenly(self.uniform(n, 2))

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Compute the terms of the discriminator's loss on packs of the batch's rows and of as many fakes."""
        real, category = batch["image"], self.levels_of(batch)
        others = self.shuffled(category)
        with torch.set_grad_enabled(self.reuse_fakes):
            self.make_rows(self.normal(len(real), self.latent_dim), others)
        reals, fakes = self.packed(real, category), self.packed(self._fake.detach(), others)
        terms = self.objective.discriminator(*self.logits(torch.cat([reals, fakes])).chunk(2))
        if self.penalty is not None:
            seen = self.images_seen
            terms["penalty"] = self.penalty(self.discriminator, reals, fakes, self.uniform, images_seen=seen)
        return terms

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the adversarial term of new rows, and how far they are from the levels that they were asked for."""
        if not self.reuse_fakes:
            self.make_rows(*self.draw_inputs(self.generated_rows(batch)))
        (category,) = self._fake_conditions
        fakes = self.packed(self._fake, category)
        needed = self.objective.needs_real
        real_logits = self.logits(self.packed(batch["image"], self.levels_of(batch))) if needed else None
        terms = self.objective.generator(self.logits(fakes), real_logits)
        if self.levels.n:
            nats: Tensor = self.generator.nats_of(full_precision(self._raw), category)  # type: ignore[operator]
            terms["condition"] = self.condition_weight * nats.mean()
        return terms

    def make_rows(self, latents: Tensor, category: Tensor) -> None:
        """Generate rows of latents and levels, and keep the logits that they were drawn from."""
        self._raw = self.generator.raw(latents, category)  # type: ignore[operator]
        self._fake = self.generator.rows(self._raw, latents)  # type: ignore[operator]
        self._fake_conditions = (category,)

    def on_update_end(self, plan: Plan) -> None:
        """Update as the base does, and free the graph of the logits too."""
        super().on_update_end(plan)
        self._raw = torch.empty(0)

    def packed(self, rows: Tensor, category: Tensor) -> Tensor:
        """Put rows (N, D) with their levels into packs."""
        packs: Tensor = self.discriminator.packed(rows, category)  # type: ignore[operator]
        return packs

    def levels_of(self, batch: Batch) -> Tensor:
        """Return the levels (N,) that a batch's rows were drawn by, or levels that they have."""
        if "category" in batch:
            return batch["category"]
        rows, positions = batch["image"], self.generator.positions
        return self.levels.of_rows(rows, positions, self.uniform(len(rows)))  # type: ignore[arg-type]

    def shuffled(self, category: Tensor) -> Tensor:
        """Return the levels (N,) of the batch in another order, over all processes."""
        rows = self.reader.rows_for(len(category), self)
        whole = rows.gather(category)
        order = torch.randperm(rows.total, generator=self._global_rng(), device=self.device)
        return rows.take(whole[order])

    @torch.no_grad()
    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Reject rows of another length than the networks make and take."""
        found, made = shapes["image"], (int(self.generator.width),)  # type: ignore[arg-type]
        if found != made:
            raise ValueError(f"model.generator makes rows {made}; data has {found}")
        pac, inputs = self.discriminator.pac, self.discriminator.inputs
        if inputs != pac * (made[0] + self.levels.n):  # type: ignore[operator]
            raise ValueError(f"model.discriminator takes packs of {inputs} numbers; {pac} rows have another length")

    def on_fit_start(self) -> None:
        """Compile as the base does; refuse batches whose packs processes and micro-batches cannot share."""
        super().on_fit_start()
        self._check_packs(self.accumulate * self.world_size)

    def _check_packs(self, shares: int) -> None:
        pac: int = self.discriminator.pac  # type: ignore[assignment]
        for key, size in (("model.batch_size", self.batch_size), ("model.g_batch_size", self.g_batch_size)):
            if size is not None and size % (pac * shares):
                rule = f"must divide by packs of {pac} x {shares} processes and micro-batches"
                raise ConfigError(key, size, f"{rule}; set model.discriminator.pac too")

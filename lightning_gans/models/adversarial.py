"""Train a generator against a discriminator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import Unpack

from lightning_gans.augment.adaptive import AdaptiveAugment
from lightning_gans.augment.base import Augmentation
from lightning_gans.config.errors import MISSING, ConfigError
from lightning_gans.config.types import Positive, PositiveInt, checked
from lightning_gans.losses.critic import Critic, RememberingCritic
from lightning_gans.losses.lazy import Lazy, corrected_factory
from lightning_gans.losses.objectives import Objective
from lightning_gans.losses.penalties import Penalty, RealFakeConditions
from lightning_gans.models.base import Batch, GenerativeModule, Terms
from lightning_gans.models.batches import split
from lightning_gans.models.ema import EMA
from lightning_gans.models.options import LatentOptions
from lightning_gans.networks.dropout import has_dropout
from lightning_gans.networks.layers import has_batch_norm, has_spectral_norm
from lightning_gans.runtime.precision import full_precision
from lightning_gans.schedules.training_schedule import Phase, Plan, TrainingSchedule


class AdversarialModule(GenerativeModule):
    """Train a generator and a discriminator in turn.

    One training step takes ``n_critic`` x ``batch_size`` real images, updates the discriminator ``n_critic`` times and
    the generator once. As it stands this is the two-player game on latents with an ``Objective``, a ``Penalty`` and an
    ``Augmentation``; a family overrides ``discriminator_loss``, ``generator_loss``, ``draw_inputs`` or ``plan``.

    Args:
        generator: Player, one or several networks.
        discriminator: Player, one or several networks; returns raw logits.
        objective: What both minimise.
        d_optimizer: Makes the discriminator's optimiser from its parameters.
        d_scheduler: Makes its learning-rate schedule; counts generator updates as well.
        penalty: Gradient penalty on the discriminator, at the augmented samples; a ``Lazy`` one at some updates only.
        augment: Differentiable augmentation of all that the discriminator sees, in both players' updates.
        n_critic: Discriminator updates per generator update.
        g_batch_size: Samples per generator update, over all processes and micro-batches; ``None``: ``batch_size``.
        clip_weights: Clip the discriminator's weights to +- this before each of its updates; ``None``: no clipping.
        reuse_fakes: Let the generator learn from the very samples that the discriminator has just seen, which saves a
            forward pass; ``False``: from new ones. Needs ``accumulate`` = 1.
        dequantise: Spread the 256 levels of real images evenly over [-1, 1): level k becomes k / 128 - 1 + u / 128,
            u ~ U[0, 1) for every value, anew in every update, as the released code of WGAN-GP and SNGAN has it.
        **options: See ``GenerativeModule``.

    Raises:
        ValueError: A value out of range, or a batch norm in a discriminator with a per-sample penalty.
    """

    judges_by_logits: ClassVar[bool] = True  # and not by what the discriminator makes of an image

    @checked
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        objective: Objective,
        d_optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        d_scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        penalty: Penalty | Lazy | None = None,
        augment: Augmentation | None = None,
        n_critic: PositiveInt = 1,
        g_batch_size: PositiveInt | None = None,
        clip_weights: Positive | None = None,
        reuse_fakes: bool = False,
        dequantise: bool = False,
        **options: Unpack[LatentOptions],
    ) -> None:
        averaged: LatentOptions = {"ema": EMA()}
        super().__init__(generator, **(averaged | options))
        if reuse_fakes and self.accumulate > 1:
            raise ConfigError("reuse_fakes", True, f"needs model.accumulate=1, not {self.accumulate}; set it to false")
        if g_batch_size is not None and g_batch_size % self.accumulate:
            raise ConfigError("g_batch_size", g_batch_size, "must be a multiple of model.accumulate, or null")
        if g_batch_size is not None and (reuse_fakes or objective.needs_real):
            reason = "model.reuse_fakes=true" if reuse_fakes else f"model.objective={type(objective).__name__}"
            raise ConfigError("g_batch_size", g_batch_size, f"not with {reason}, which pairs both updates' samples")
        if clip_weights is not None and has_spectral_norm(discriminator):
            raise ConfigError("clip_weights", clip_weights, "not with spectral norm, which undoes it")
        if isinstance(augment, AdaptiveAugment) and augment.target is not None and objective.midpoint is None:
            rule = f"follows the sign of logits, which {type(objective).__name__} has not"
            raise ConfigError("augment", "AdaptiveAugment", rule)
        if penalty is not None and has_batch_norm(discriminator):
            rule = "a per-sample penalty needs a discriminator without batch norm"
            rule += "; set model.discriminator.norm to layer, spectral or null"
            raise ConfigError("penalty", type(penalty).__name__, rule)
        if isinstance(penalty, Penalty) and penalty.is_quotient and has_dropout(discriminator):
            rule = "compares two calls of the discriminator, whose dropout would differ; take r1_r2"
            raise ConfigError("penalty", type(penalty).__name__, rule)
        self.discriminator = discriminator
        self.objective, self.penalty, self.augment = objective, penalty, augment
        self.optimizer_factories["d"], self.scheduler_factories["d"] = d_optimizer, d_scheduler
        self.n_critic, self.g_batch_size, self.clip_weights = n_critic, g_batch_size, clip_weights
        self.reuse_fakes, self.dequantise = reuse_fakes, dequantise
        self.schedule = TrainingSchedule([Phase("training", None, self.batch_size, n_critic)])
        self._fake = torch.empty(0)  # the newest generated samples
        self._fake_conditions: tuple[Tensor, ...] = ()
        self.lazy: dict[str, Lazy] = {}  # penalties with updates of their own, by player
        self._lazy_terms: Terms = {}  # the newest of each
        self.add_player("d", discriminator)
        if isinstance(penalty, Lazy):
            self.add_lazy("d", penalty)

    def add_lazy(self, player: str, penalty: Lazy) -> None:
        """Give a player a penalty with updates of its own, and correct its optimiser for them."""
        self.lazy[player] = penalty
        self.optimizer_factories[player] = corrected_factory(self.optimizer_factories[player], penalty.interval)

    # ------------------------------------------------------------------------------ what a family may change

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Compute the weighted terms of the discriminator's loss on one chunk of the batch."""
        with torch.set_grad_enabled(self.reuse_fakes):
            self.make_fakes(len(batch["image"]))
        given = RealFakeConditions(self.conditioning.of(batch), self._fake_conditions)
        real, fake = self.augmented(batch["image"]), self.augmented(self._fake.detach())
        penalty = None if isinstance(self.penalty, Lazy) else self.penalty
        coarse = torch.is_autocast_enabled(real.device.type)  # logits are not to be subtracted or differentiated
        sides = () if coarse or self.compile_networks else getattr(penalty, "differentiates", ())
        critic = RememberingCritic(self.discriminator, self.logits, sides)
        real_logits = critic.judge("real", real, *given.real)
        self.update_statistics(real_logits.detach())
        terms = self.objective.discriminator(real_logits, critic.judge("fake", fake, *given.fake))
        if penalty is not None:
            terms["penalty"] = self.penalise(real, fake, given, self.discriminator if coarse else critic)
        return terms

    def penalise(self, real: Tensor, fake: Tensor, given: RealFakeConditions, critic: Critic) -> Tensor:
        """Compute the discriminator's penalty at augmented samples (N, C, H, W) with their conditions, a scalar."""
        assert self.penalty is not None
        given = given._replace(fake=self.conditioning.judged(given.fake) if given.fake else ())
        return self.penalty(critic, real, fake, self.uniform, given, images_seen=self.images_seen)

    def lazy_loss(self, player: str, batch: Batch) -> Terms:
        """Compute the lazy penalty of a player on its chunk of the batch."""
        given = RealFakeConditions(self.conditioning.of(batch))
        real = fake = self.augmented(batch["image"])
        if self.lazy[player].needs_fakes:
            with torch.no_grad():
                self.make_fakes(len(real))
            fake, given = self.augmented(self._fake), given._replace(fake=self._fake_conditions)
        return {"penalty": self.penalise(real, fake, given, self.discriminator)}

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the weighted terms of the generator's loss on one chunk of the batch."""
        if not self.reuse_fakes:
            self.make_fakes(self.generated_rows(batch))
        real_logits = None
        if self.objective.needs_real:
            real_logits = self.logits(self.augmented(batch["image"]), *self.conditioning.of(batch))
        return self.objective.generator(self.logits(self.augmented(self._fake), *self._fake_conditions), real_logits)

    def generated_rows(self, batch: Batch) -> int:
        """Return how many samples of this process's share the generator's update takes."""
        if self.g_batch_size is None:
            return len(batch["image"])
        self.reader.rows = None  # every process draws as many
        return self.g_batch_size // (self.world_size * self.accumulate)

    def make_fakes(self, n: int) -> None:
        """Generate ``n`` samples of this process's share, from newly drawn latents and conditions."""
        inputs = self.draw_inputs(n)
        self._fake, self._fake_conditions = self.generator(*inputs), inputs[len(inputs) - len(self.conditions) :]

    def update_statistics(self, real_logits: Tensor) -> None:
        """Pass the logits of real images (N,) to the augmentation, whose probability may follow their sign."""
        if self.augment is not None:
            self.augment.update_statistics(real_logits - (self.objective.midpoint or 0.0))

    def logits(self, images: Tensor, *conditions: Tensor) -> Tensor:
        """Return the discriminator's raw logits in float32, which objectives need under autocast too."""
        logits: Tensor = self.discriminator(images, *conditions)
        return full_precision(logits)

    def augmented(self, images: Tensor) -> Tensor:
        """Augment images (N, C, H, W) as the discriminator sees them, if there is an augmentation."""
        return images if self.augment is None else self.augment(images, self)

    # ------------------------------------------------------------------------------ the alternation

    def update_order(self, batch: Batch, plan: Plan) -> list[tuple[str, Batch]]:
        """List ``n_critic`` discriminator updates on chunks of the batch and one generator update on the last."""
        if self.dequantise:  # from k / 127.5 - 1
            images = batch["image"]
            noise = self.uniform(*images.shape).mul_(2).sub_(1)
            batch = {**batch, "image": images * (255 / 256) + noise / 256}
        chunks = split(batch, plan.n_critic, self.reader.rows_of(batch, self))
        return [(player, chunk) for player in plan.players for chunk in (chunks if player == "d" else chunks[-1:])]

    def loss(self, player: str, batch: Batch) -> Terms:
        """Compute the weighted terms of a player's loss on its chunk, or of its lazy penalty."""
        if self.is_lazy:
            return self.lazy_loss(player, batch)
        return self.discriminator_loss(batch) if player == "d" else self.generator_loss(batch)

    def update(self, player: str, batch: Batch) -> None:
        """Update ``player`` once, and once more by its lazy penalty where that is due.

        The discriminator's weights are clipped before its own update.
        """
        if player == "d" and self.clip_weights is not None:
            with torch.no_grad():
                for weights in self._trainable["d"]:
                    weights.clamp_(-self.clip_weights, self.clip_weights)
        super().update(player, batch)
        if player in self.lazy and self.lazy[player].is_due(self.iteration):
            self.is_lazy = True
            try:
                super().update(player, batch)
            finally:
                self.is_lazy = False

    def step_optimizer(self, player: str) -> None:
        """Step as the base does; weights that a lazy penalty alone says nothing of have gradients of 0."""
        if self.is_lazy:
            stepped = self.player_optimizers()[player].optimizer.state  # not weights that no update has used
            for weight in self._trainable[player]:
                if weight.grad is None and weight in stepped:
                    weight.grad = torch.zeros_like(weight)
        super().step_optimizer(player)

    @property
    def batch_sizes(self) -> dict[str, int]:
        """Return the batch sizes to divide among processes: the schedule's, and ``g_batch_size``."""
        own = {} if self.g_batch_size is None else {"g_batch_size": self.g_batch_size}
        return {**super().batch_sizes, **own}

    def graph_of(self, player: str) -> tuple[str, ...]:
        """Name the players that need gradients: the generator too in the other's update if its samples are reused."""
        return ("d", "g") if player == "d" and self.reuse_fakes else (player,)

    def on_update_end(self, plan: Plan) -> None:
        """Update the probability of an adaptive augmentation, and free the graph of the samples."""
        self._fake = torch.empty(0)  # free the graph
        names = [f"{player}_penalty" for player in self.lazy]
        self._lazy_terms |= {name: self.terms[name] for name in names if name in self.terms}
        if self.augment is not None:
            self.augment.on_update_end(self.iteration, plan.images)

    def extra_logs(self) -> dict[str, Tensor]:
        """Return the augmentation's logs, and lazy penalties as they were when they were last due."""
        return {**self._lazy_terms, **({} if self.augment is None else self.augment.extra_logs())}

    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check shapes as the base does, that images can be augmented, and that the discriminator returns logits."""
        if self.dequantise and len(shapes["image"]) != 3:
            raise ConfigError("model.dequantise", True, "needs images, whose values are levels; set it to false")
        if self.augment is not None:
            self.augment.check(shapes["image"])
        super().check_data(shapes)
        if self.judges_by_logits and getattr(self.discriminator, "reconstructs", False):
            raise ConfigError(
                "model.discriminator", MISSING, "is an autoencoder; this family needs one that gives logits"
            )

    def on_fit_start(self) -> None:
        """Compile as the base does; refuse a ``g_batch_size`` that processes and micro-batches cannot share."""
        super().on_fit_start()
        shares = self.world_size * self.accumulate
        if self.g_batch_size is not None and self.g_batch_size % shares:
            rule = f"must divide by {self.world_size} processes x accumulate={self.accumulate}"
            raise ConfigError("g_batch_size", self.g_batch_size, rule)

    @property
    def image_networks(self) -> dict[str, nn.Module]:
        """Return the discriminator, by name."""
        return {"discriminator": self.discriminator}

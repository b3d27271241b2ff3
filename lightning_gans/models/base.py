"""Train generators: the base class of every family, its players and the only training step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import Positive, PositiveInt, checked
from lightning_gans.models import batches, updates
from lightning_gans.models.ema import EMA, evaluating
from lightning_gans.models.freezing import FrozenLayers
from lightning_gans.models.reader import BatchReader
from lightning_gans.models.sampling import REACH, Inputs, Latent
from lightning_gans.models.sharing import Sharing
from lightning_gans.networks.layers import compile_network
from lightning_gans.runtime.seeding import derive_seed, seed_step
from lightning_gans.schedules.learning_rate import Constant, scale_rates
from lightning_gans.schedules.training_schedule import Phase, Plan, TrainingSchedule

Batch = dict[str, Tensor]
Terms = dict[str, Tensor]


class GenerativeModule(Sharing):
    """Train a generator in steps, alone or against other players.

    One training step takes a batch, of ``plan(step).images`` real images unless a loader of your own gives others, lets
    every player move on its share (``update_order``) and ends with one more generator update done. So
    ``trainer.global_step``, ``max_steps``, every interval, schedule and logger axis count generator updates. A family
    says what a player minimises; it never overrides the step.

    Args:
        generator: Makes images from its inputs; has ``latent_dim`` unless ``draw_inputs`` is overridden.
        g_optimizer: Makes the generator's optimiser from its player's parameters.
        g_scheduler: Makes the generator's learning-rate schedule from its optimiser; counts generator updates.
        latent: Distribution of the latents: ``normal`` N(0, I), ``uniform`` in [-1, 1), or ``unit_uniform`` in
            [-sqrt(3), sqrt(3)), whose variance is 1.
        batch_size: Real images per update of the player that sees them, over all processes and micro-batches.
        accumulate: Micro-batches whose gradients make one update; see ``models/updates.py`` for what moves once.
        clip_grad: Largest norm of a player's gradient; ``None``: no clipping.
        ema: Averages the generator; the average is what samples and scores use. ``None``: no average.
        channels_last: Keep convolutions in channels-last memory format.
        compile: Compile all players' networks with ``torch.compile``; penalties stay eager.
        seed: Every random number of a step is a function of this seed, the step and the position in the batch.
        freeze: Layers that stay as they are, e.g. ``discriminator.layers.0``; see ``FrozenLayers``.

    Raises:
        ValueError: A value out of range.
    """

    data_kinds: tuple[str, ...] = ("image", "labelled", "points", "table")  # of data
    batch_entries: ClassVar[tuple[str, ...]] = ("image", "label")  # names of what a tuple of a loader holds
    is_lazy = False  # whether the update at work is one more, of a lazy penalty

    @checked
    def __init__(
        self,
        generator: nn.Module,
        *,
        g_optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        g_scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        latent: Latent = "normal",
        batch_size: PositiveInt = 64,
        accumulate: PositiveInt = 1,
        clip_grad: Positive | None = None,
        ema: EMA | None = None,
        channels_last: bool = True,
        compile: bool = False,  # noqa: A002
        seed: int = 0,
        freeze: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if batch_size % accumulate:
            raise ConfigError("accumulate", accumulate, f"must divide model.batch_size={batch_size}")
        self.automatic_optimization = False
        self.generator = generator
        self.generator_ema = copy.deepcopy(generator).eval().requires_grad_(False) if ema else None
        self.ema, self.latent = ema, latent
        self.optimizer_factories = {"g": g_optimizer}
        self.scheduler_factories = {"g": g_scheduler}
        self.batch_size, self.accumulate, self.clip_grad = batch_size, accumulate, clip_grad
        self.channels_last, self.compile_networks = channels_last, compile
        self.seed = seed
        self.schedule = TrainingSchedule([Phase("training", None, batch_size, players=("g",))])  # of phases
        self.iteration = 0  # generator updates done
        self.images_seen = 0  # real images shown, over all processes
        self.terms: Terms = {}  # of the last step, detached: means over its updates and micro-batches
        self.reader = BatchReader()
        self._pieces: dict[str, list[Tensor]] = {}
        self.config: dict[str, Any] | None = None  # what checkpoints carry; set by whoever composed the run
        self._trainable: dict[str, list[nn.Parameter]] = {}
        self.frozen = FrozenLayers(freeze, self._trainable)
        self._stats_step: int | None = None
        self._shared_rng, self._rng_device = torch.Generator(), torch.device("cpu")
        self.add_player("g", generator)
        self.take_conditions(generator)

    def add_player(self, player: str, *networks: nn.Module) -> None:
        """Put ``networks`` under the optimiser of ``player``; the generator's is "g"."""
        for network in networks:
            if self.channels_last:
                network.to(memory_format=torch.channels_last)
            self._trainable.setdefault(player, []).extend(p for p in network.parameters() if p.requires_grad)
        if self.channels_last and self.generator_ema is not None:
            self.generator_ema.to(memory_format=torch.channels_last)

    # ------------------------------------------------------------------------------ what a family may change

    def plan(self, step: int) -> Plan:
        """Return what step number ``step`` needs; asked by the data and by the step."""
        return self.schedule.plan(step)

    def update_order(self, batch: Batch, plan: Plan) -> list[tuple[str, Batch]]:
        """List who moves in a step, in order, and on which part of the batch."""
        return [(player, batch) for player in plan.players]

    def loss(self, player: str, batch: Batch) -> Terms:
        """Compute the weighted terms of a player's loss on its part of the batch."""
        return self.generator_loss(batch)

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the weighted terms of the generator's loss on its part of the batch."""
        raise NotImplementedError

    def on_update_end(self, plan: Plan) -> None:
        """Update training state other than weights (ADA's p, BEGAN's k). Called after each step, before logging."""

    @property
    def image_networks(self) -> dict[str, nn.Module]:
        """Return the networks that take images, by name: discriminators, encoders."""
        return {}

    @torch.no_grad()
    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Reject data whose images have another shape than the networks make and take, before any are read.

        Args:
            shapes: Of one sample, by the batch's keys: ``image`` (C, H, W), or (2,) of points.

        Raises:
            ValueError: With both shapes.
        """
        shape = shapes["image"]
        latents, *conditions = self.sampling_inputs([0, 1], 0)
        with evaluating(self.generator) as generator:
            try:
                made = tuple(generator(latents, *conditions).shape[1:])
            except TypeError as error:  # another number of conditions
                raise ValueError(f"model.generator: {error}; {self._conditions_text()}") from error
        if made != shape:
            raise ValueError(f"model.generator makes images {made}; data has {shape} (channels, height, width)")
        for name, network in self.image_networks.items():
            try:
                with evaluating(network):
                    network(torch.zeros(2, *shape, device=self.device), *self.conditioning.judged(conditions))
            except TypeError as error:
                raise ValueError(f"model.{name}: {error}; {self._conditions_text()}") from error
            except RuntimeError as error:
                raise ValueError(f"model.{name} does not take the data's images {shape}: {error}") from error

    def _conditions_text(self) -> str:
        found = f"is conditioned on {', '.join(self.conditions)}" if self.conditions else "has no conditions"
        return f"{type(self).__name__} {found}; choose another model/network"

    @property
    def batch_sizes(self) -> dict[str, int]:
        """Return the batch sizes to divide among processes and micro-batches, by option."""
        return self.schedule.batch_sizes

    def draw_inputs(self, n: int) -> Inputs:
        """Draw the generator's inputs for this process's ``n`` rows of a training batch: latents, then conditions.

        Conditions are drawn from the training set's, independently of the batch.
        """
        if self.latent == "normal":
            latents = self.normal(n, self.latent_dim)
        else:
            reach = REACH[self.latent]
            latents = self.uniform(n, self.latent_dim).mul_(2 * reach).sub_(reach)
        return (latents, *self.conditioning.draw(lambda: self.uniform(n, dtype=torch.float32)))

    # ------------------------------------------------------------------------------ the step

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Update every player on its share of the batch, then the average, the logs and the learning rates."""
        plan, batch = self.reader(batch, self)
        if not plan.players:
            return
        self._pieces = {}
        for player, part in self.update_order(batch, plan):
            self.update(player, part)
        self.terms = {name: torch.stack(pieces).mean() for name, pieces in self._pieces.items()}
        self.iteration += 1
        self.images_seen += plan.images
        self.update_average(plan)
        self.on_update_end(plan)
        self.log_terms()
        self.step_schedulers()

    def on_first_batch(self, rows: batches.Rows) -> None:
        """Learn from the first batch of a plain loader, whose rows of all processes are given."""

    def update_average(self, plan: Plan) -> None:
        """Move the averaged generator, if there is one, by the images that the step has shown."""
        if self.ema is not None:
            shown = (plan.images, self.images_seen, self.iteration)
            self.ema.update(self.generator_ema, self.generator, *shown)  # type: ignore[arg-type]

    def update(self, player: str, batch: Batch) -> None:
        """Update ``player`` once, on gradients accumulated over micro-batches; the other players stay fixed."""
        for name, parameters in self._trainable.items():
            for parameter in parameters:
                parameter.requires_grad_(name in self.graph_of(player))
        rows = self.reader.rows_of(batch, self)
        micro_batches = batches.split(batch, min(self.accumulate, *rows.counts), rows)
        for micro_batch in updates.once_an_update((self.generator, *self.image_networks.values()), micro_batches):
            self.reader.rows = part = micro_batch.rows
            terms = self.loss(player, micro_batch)
            parts = len(micro_batches) if self.reader.rows is None else rows.total / (part.own * part.world)
            self.manual_backward(torch.stack(list(terms.values())).sum() / parts)
            for name, term in terms.items():
                self._pieces.setdefault(f"{player}_{name}", []).append(term.detach())
        self.step_optimizer(player)

    def graph_of(self, player: str) -> tuple[str, ...]:
        """Name the players whose weights need gradients in an update of ``player``."""
        return (player,)

    def step_optimizer(self, player: str) -> None:
        """Step the player's optimiser. Only the generator's own step counts in ``trainer.global_step``."""
        optimizer = self.player_optimizers()[player]
        if player == "g" and not self.is_lazy:
            optimizer.step()
        else:
            self.trainer.strategy.optimizer_step(optimizer.optimizer, lambda: None)  # gradients are there
        torch.clear_autocast_cache()  # which holds casts of the weights as they were, wherever autocast caches them
        optimizer.zero_grad(set_to_none=True)

    def player_optimizers(self) -> dict[str, LightningOptimizer]:
        """Return every player's optimiser, the generator's first."""
        optimizers = self.optimizers()
        found = optimizers if isinstance(optimizers, list) else [optimizers]
        return dict(zip(self._trainable, found, strict=True))

    def step_schedulers(self) -> None:
        """Count one generator update on every learning-rate schedule."""
        for config in self.trainer.strategy.lr_scheduler_configs:
            scale_rates(config.scheduler, 1.0)  # a schedule may go on from rates that a callback has scaled
            config.scheduler.step()  # type: ignore[call-arg]

    def extra_logs(self) -> dict[str, Tensor]:
        """Return further scalars to log under ``train/``, equal on all processes."""
        return {}

    def log_terms(self) -> None:
        """Log loss terms, images seen and learning rates, every ``trainer.log_every_n_steps`` generator updates."""
        if self.iteration % self.trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        logs = {f"train/{name}": value for name, value in {**self.terms, **self.extra_logs()}.items()}
        logs["train/kimg"] = torch.tensor(self.images_seen / 1000)
        for player, optimizer in self.player_optimizers().items():
            logs[f"train/{player}_lr"] = torch.tensor(float(optimizer.param_groups[0]["lr"]))
        logs["step"] = torch.tensor(float(self.iteration))  # the axis of every logger
        self.log_dict(logs, sync_dist=self.trainer.world_size > 1)

    # ------------------------------------------------------------------------------ randomness

    def normal(self, n: int, *shape: int) -> Tensor:
        """Draw standard normal numbers for the global batch; return this process's rows, (n, *shape)."""
        rows = self.reader.rows_for(n, self)
        return rows.take(torch.randn(rows.total, *shape, generator=self._global_rng(), device=self.device))

    def uniform(self, n: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Draw numbers in [0, 1) for the global batch; return this process's rows, (n, *shape)."""
        rows, rng = self.reader.rows_for(n, self), self._global_rng()
        return rows.take(torch.rand(rows.total, *shape, generator=rng, device=self.device, dtype=dtype))

    def _global_rng(self) -> torch.Generator:
        """Return the generator of what is drawn for the global batch, on the module's device."""
        if self._rng_device != self.device:
            self._shared_rng, self._rng_device = torch.Generator(self.device), self.device
        return self._shared_rng

    # ------------------------------------------------------------------------------ Lightning's hooks

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Return every player's optimiser and learning-rate schedule, the generator's first."""
        self.frozen.apply(self)
        made = {k: updates.make_optimizer(self, self.optimizer_factories[k], w) for k, w in self._trainable.items()}
        schedules = [(self.scheduler_factories[player] or Constant)(o) for player, o in made.items()]
        for player, schedule in zip(made, schedules, strict=True):
            batches.learn_passes(schedule, self._trainer, f"model.{player}_scheduler.images=null")
        return list(made.values()), schedules

    def on_fit_start(self) -> None:
        """Learn the training set's conditions, and compile the networks if asked for."""
        images = getattr(getattr(self.trainer, "datamodule", None), "train_images", None) if self.conditions else None
        if images is not None:
            self.conditioning.fit(images, seed=self.seed)
        if self.compile_networks:
            for network in (self.generator, *self.image_networks.values()):
                compile_network(network)

    def on_train_start(self) -> None:
        """Learn the labels of a plain loader's set, where it lists them."""
        self.reader.start(self)

    def on_train_epoch_end(self) -> None:
        """Refuse a loader none of whose batches is enough for an update; raises ValueError."""
        self.reader.refuse_idle(self)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make every random number of the step a function of the seed, the step and the process."""
        seed_step(self.device, self.seed, self.iteration, self.global_rank)
        self._global_rng().manual_seed(derive_seed("global batch", self.seed, self.iteration))

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the gradient norm, after gradients were unscaled and averaged over processes."""
        if self.clip_grad is not None:
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], self.clip_grad)

    def train(self, mode: bool = True) -> GenerativeModule:
        """Set training mode as ``nn.Module.train`` does, but not of the averaged generator and frozen statistics."""
        super().train(mode)
        self.frozen.hold(self)
        if self.generator_ema is not None:
            self.generator_ema.eval()
        return self

    def get_extra_state(self) -> dict[str, int]:
        """Return the counters of updates and images, which every ``state_dict`` holds."""
        measured = self._stats_step == self.iteration
        return {"iteration": self.iteration, "images_seen": self.images_seen, "measured": measured}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restore the counters of updates and images."""
        self.iteration, self.images_seen = state["iteration"], state["images_seen"]
        self._stats_step = self.iteration if state["measured"] else None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the resolved config, as plain containers, so that the checkpoint alone rebuilds the module."""
        checkpoint["config"] = self.config or self.described

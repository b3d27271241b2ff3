"""Train generators: the base class of every family, its players and the only training step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import Positive, PositiveInt, checked
from lightning_gans.data.base import data_of
from lightning_gans.models.conditions import Conditions
from lightning_gans.models.ema import EMA, evaluating
from lightning_gans.models.sampling import REACH, Inputs, Latent, Sampling
from lightning_gans.networks.layers import SPECTRAL_NORM
from lightning_gans.runtime.distributed import own_rows
from lightning_gans.runtime.seeding import derive_seed, seed_step
from lightning_gans.schedules.learning_rate import Constant, EpochDecay, scale_rates
from lightning_gans.schedules.training_schedule import Phase, Plan, TrainingSchedule

Batch = dict[str, Tensor]
Terms = dict[str, Tensor]


class GenerativeModule(Sampling):
    """Train a generator in steps, alone or against other players.

    One training step takes ``plan(step).images`` real images, lets every player move on its share (``update_order``)
    and ends with one more generator update done. So ``trainer.global_step``, ``max_steps``, every interval, schedule
    and logger axis count generator updates. A family says what a player minimises; it never overrides the step.

    Args:
        generator: Makes images from its inputs; has ``latent_dim`` unless ``draw_inputs`` is overridden.
        g_optimizer: Makes the generator's optimiser from its player's parameters.
        g_scheduler: Makes the generator's learning-rate schedule from its optimiser; counts generator updates.
        latent: Distribution of the latents: ``normal`` N(0, I), ``uniform`` in [-1, 1), or ``unit_uniform`` in
            [-sqrt(3), sqrt(3)), whose variance is 1.
        batch_size: Real images per update of the player that sees them, over all processes and micro-batches.
        accumulate: Micro-batches whose gradients make one update.
        clip_grad: Largest norm of a player's gradient; ``None``: no clipping.
        ema: Averages the generator; the average is what samples and scores use. ``None``: no average.
        channels_last: Keep convolutions in channels-last memory format.
        compile: Compile all players' networks with ``torch.compile``; penalties stay eager.
        seed: Every random number of a step is a function of this seed, the step and the position in the batch.

    Raises:
        ValueError: A value out of range.
    """

    data_kinds: tuple[str, ...] = ("image", "labelled", "points")  # kinds of data

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
        self._pieces: dict[str, list[Tensor]] = {}
        self.config: dict[str, Any] | None = None  # what checkpoints carry; set by whoever composed the run
        self._trainable: dict[str, list[nn.Parameter]] = {}
        self._stats_step: int | None = None
        self._shared_rng, self._rng_device = torch.Generator(), torch.device("cpu")
        self.add_player("g", generator)
        made_for: tuple[str, ...] = getattr(generator, "conditions", ())
        if made_for and not self.conditions:
            self.conditions, self.data_kinds = made_for, ("labelled",)
        self.conditioning = Conditions(self.conditions, generator)

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
                    network(torch.zeros(2, *shape), *conditions)
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

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update every player on its share of the batch, then the average, the logs and the learning rates."""
        plan = self.plan(self.iteration)
        self._pieces = {}
        for player, part in self.update_order(batch, plan):
            self.update(player, part)
        self.terms = {name: torch.stack(pieces).mean() for name, pieces in self._pieces.items()}
        self.iteration += 1
        self.images_seen += plan.images
        if self.ema is not None:
            self.ema.update(self.generator_ema, self.generator, plan.images, self.images_seen)  # type: ignore[arg-type]
        self.on_update_end(plan)
        self.log_terms()
        self.step_schedulers()

    def update(self, player: str, batch: Batch) -> None:
        """Update ``player`` once, on gradients accumulated over micro-batches; the other players stay fixed."""
        for name, parameters in self._trainable.items():
            for parameter in parameters:
                parameter.requires_grad_(name in self.graph_of(player))
        micro_batches = split(batch, self.accumulate)
        for micro_batch in micro_batches:
            terms = self.loss(player, micro_batch)
            self.manual_backward(torch.stack(list(terms.values())).sum() / len(micro_batches))
            for name, term in terms.items():
                self._pieces.setdefault(f"{player}_{name}", []).append(term.detach())
        self.step_optimizer(player)

    def graph_of(self, player: str) -> tuple[str, ...]:
        """Name the players whose weights need gradients in an update of ``player``."""
        return (player,)

    def step_optimizer(self, player: str) -> None:
        """Step the player's optimiser. Only the generator's step counts in ``trainer.global_step``."""
        optimizer = self.player_optimizers()[player]
        if player == "g":
            optimizer.step()
        else:
            self.trainer.strategy.optimizer_step(optimizer.optimizer, _nothing)
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
        drawn = torch.randn(n * self.world_size, *shape, generator=self._global_rng(), device=self.device)
        return own_rows(drawn, self.global_rank, self.world_size)

    def uniform(self, n: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Draw numbers in [0, 1) for the global batch; return this process's rows, (n, *shape)."""
        rng = self._global_rng()
        drawn = torch.rand(n * self.world_size, *shape, generator=rng, device=self.device, dtype=dtype)
        return own_rows(drawn, self.global_rank, self.world_size)

    def _global_rng(self) -> torch.Generator:
        """Return the generator of what is drawn for the global batch, on the module's device."""
        if self._rng_device != self.device:
            self._shared_rng, self._rng_device = torch.Generator(self.device), self.device
        return self._shared_rng

    # ------------------------------------------------------------------------------ Lightning's hooks

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Return every player's optimiser and learning-rate schedule, the generator's first."""
        optimizers = {player: self.optimizer_factories[player](weights) for player, weights in self._trainable.items()}
        schedules = [(self.scheduler_factories[player] or Constant)(o) for player, o in optimizers.items()]
        for player, schedule in zip(optimizers, schedules, strict=True):
            if isinstance(schedule, EpochDecay) and schedule.images is None:
                schedule.learn(data_of(self.trainer, f"model.{player}_scheduler.images=null").images_per_epoch)
        return list(optimizers.values()), schedules

    def on_fit_start(self) -> None:
        """Learn the training set's conditions, and compile the networks if asked for."""
        images = getattr(getattr(self.trainer, "datamodule", None), "train_images", None) if self.conditions else None
        if images is not None:
            self.conditioning.fit(images)
        if self.compile_networks:
            for network in (self.generator, *self.image_networks.values()):
                for layer in network.modules():
                    if isinstance(layer, SPECTRAL_NORM):  # changes its vectors at every forward pass
                        layer.forward = torch.compiler.disable(layer.forward)  # type: ignore
                network.compile()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make every random number of the step a function of the seed, the step and the process.

        Pixels become floats after Lightning has brought the batch to the trainer's precision; float64 is given here.
        """
        for name, value in batch.items():
            batch[name] = value.to(self.dtype) if value.is_floating_point() else value
        seed_step(self.device, self.seed, self.iteration, self.global_rank)
        self._global_rng().manual_seed(derive_seed("global batch", self.seed, self.iteration))

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the gradient norm, after gradients were unscaled and averaged over processes."""
        if self.clip_grad is not None:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.clip_grad)

    def train(self, mode: bool = True) -> GenerativeModule:
        """Set training mode as ``nn.Module.train`` does, but keep the averaged generator in evaluation mode."""
        super().train(mode)
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
        checkpoint["config"] = self.config


def split(batch: Batch, parts: int) -> list[Batch]:
    """Cut every tensor of the batch into ``parts`` equal pieces along its first axis."""
    if parts == 1:
        return [batch]
    pieces = {key: value.chunk(parts) for key, value in batch.items()}
    return [{key: piece[i] for key, piece in pieces.items()} for i in range(parts)]


def _nothing() -> None:
    """Return nothing: the closure of a step whose gradients are computed already."""

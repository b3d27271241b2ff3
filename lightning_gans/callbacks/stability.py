"""Guard a training: stop it where it diverges, and say where it collapses, overfits, memorises or stops to learn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lightning_gans.callbacks.alarms import Alarm, Alarms, Limits
from lightning_gans.callbacks.player_watch import PlayerWatch, Size
from lightning_gans.callbacks.readings import SAMPLES, LogitRecorder, RealImages, logits_of_real, overfitting
from lightning_gans.checkpoints.files import FOLDER, last_good
from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import FractionAboveZero, NonNegativeInt, Positive, PositiveInt, checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.loggers.dashboards import dashboard
from lightning_gans.runtime.distributed import max_over_processes

_KINDS = ("image", "labelled", "points")  # of data that samples are compared with
_CALM = 0.1  # share of the limits within which a checkpoint counts as good


class DivergedError(FloatingPointError):
    """Report that a loss or weight is not finite, that weights or updates exceed their limits, or an alarm."""


class StabilityGuard(Callback):
    """Stop a training whose losses are not finite or whose weights run away, by name.

    Every loss term of every step is checked on the device. At intervals, at a fit's first step and before a checkpoint
    is written, the outcome is read: of the losses, of the size of every layer's weights (their root mean square) and
    of every player's update in that step, as a multiple of the size of its weights. The largest seen in trainings of
    this package's families: weights 1.6 and updates 0.5 with their own optimisers, 5 and 4 with plain gradient descent.

    Each look also reads the logits that the objective was given in that step, and each player's gradient before
    clipping as a multiple of its weights; and at a longer interval 128 samples, and logits of held-out images where
    the data have any. Readings are logged as ``stability/...``: ``real_accuracy``, ``fake_accuracy``, ``logit_gap``,
    ``overfitting``, ``g_gradient``, ``d_gradient``, ``diversity``, ``novelty`` (see
    ``callbacks.readings``). What is wrong in two readings in a row raises an alarm, which is printed, shown on
    dashboards and listed in the summary (``callbacks.alarms``). Nothing of it changes the training.

    Args:
        every_n_train_steps: Generator updates between the looks.
        max_weight: Largest root mean square of a layer's weights, > 0; ``None``: no limit but being finite.
        max_update: Largest update of a player, as a multiple of the norm of its weights, > 0; ``None``: no limit.
        samples_every_n_train_steps: Generator updates between readings of samples and held-out images, a multiple of
            the looks'; ``None``: never.
        min_diversity: Smallest distance between samples, as a multiple of that between images; ``None``: no alarm.
        max_overfitting: Largest part of the way from logits of training images to those of samples at which held-out
            ones lie; ``None``: no alarm.
        min_novelty: Smallest distance from samples to the nearest training image, as a multiple of other real images'
            distance; ``None``: no alarm. Up to 5,000 training images.
        min_gradient: Smallest gradient of the generator, as a multiple of its weights; ``None``: no alarm.
        max_gradient_growth: Largest gradient of a player, as a multiple of the median so far; ``None``: no alarm.
        on_alarm: ``warn``, or ``stop`` to end the training as where it diverges.
        rollbacks: How often a training by this library's command that ends so goes on from the last good checkpoint.
        rollback_rate: Factor of all learning rates at each of these.

    Attributes:
        alarms: Those that were raised.

    Raises:
        ValueError: A value out of range.
        DivergedError: With the step, the layer or loss term, the value, the limit, the option to change and the last
            good checkpoint.
    """

    @checked
    def __init__(
        self,
        *,
        every_n_train_steps: PositiveInt = 50,
        max_weight: Positive | None = 100.0,
        max_update: Positive | None = 100.0,
        samples_every_n_train_steps: PositiveInt | None = 250,
        min_diversity: Positive | None = 0.5,
        max_overfitting: Positive | None = 0.5,
        min_novelty: Positive | None = 0.5,
        min_gradient: Positive | None = 1e-6,
        max_gradient_growth: Positive | None = 100.0,
        on_alarm: Literal["warn", "stop"] = "warn",
        rollbacks: NonNegativeInt = 0,
        rollback_rate: FractionAboveZero = 0.5,
    ) -> None:
        self.every_n_train_steps, self.samples_every_n_train_steps = every_n_train_steps, samples_every_n_train_steps
        self.max_weight, self.max_update = max_weight, max_update
        self.on_alarm, self.rollbacks, self.rollback_rate = on_alarm, rollbacks, rollback_rate
        limits = Limits(min_diversity, max_overfitting, min_novelty, min_gradient, max_gradient_growth)
        self._alarms = Alarms(limits)
        self._recorder: LogitRecorder | None = None
        self._real: RealImages | None = None
        self._first_bad: Tensor | None = None  # step number by term, 0: none
        self._names: list[str] = []
        self._players: list[PlayerWatch] = []
        self._sizes: list[Size] = []  # of updates and gradients since the last look
        self._gradients: dict[str, float] = {}  # by player, at the last look
        self._due = False  # whether this step's updates are measured and looked at
        self._strain = 0.0  # largest share of a limit since the last checkpoint

    @staticmethod
    def of(trainer: Trainer) -> StabilityGuard | None:
        """Return the trainer's callback of this kind."""
        found = [callback for callback in trainer.callbacks if isinstance(callback, StabilityGuard)]  # type: ignore[attr-defined]
        return found[0] if found else None

    @property
    def alarms(self) -> list[Alarm]:
        """Return the alarms of the training, those before a resume too."""
        return self._alarms.raised

    # ------------------------------------------------------------------------------ Lightning's hooks

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Find the players' weights and listen to their optimisers."""
        self._let_go()
        self._first_bad, self._names, self._strain = None, [], 0.0
        self._recorder, self._real = LogitRecorder(pl_module), None
        if self.rollbacks and trainer.world_size > 1:
            raise ConfigError("callbacks.stability.rollbacks", self.rollbacks, "needs one process; must be 0")
        names = {id(weight): name for name, weight in pl_module.named_parameters()}
        layers = [(layer, getattr(layer, "lr_multiplier", 1.0)) for layer in pl_module.modules()]
        scales = {id(weight): scale for layer, scale in layers for weight in layer.parameters(recurse=False)}
        for name, optimizer in pl_module.player_optimizers().items():
            self._players.append(PlayerWatch(name, optimizer.optimizer, names, scales, self._sizes))

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Measure the coming updates if they are the fit's first, or if a look follows."""
        step = trainer.global_step + 1
        self._due = self._first_bad is None or step % self.every_n_train_steps == 0
        for player in self._players:
            player.step = step if self._due else None
        if self._due and self._recorder is not None:
            self._recorder.start()

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Note the first step at which a term is not finite; look every so often."""
        step, terms = trainer.global_step, pl_module.terms
        self._names += (new := [name for name in terms if name not in self._names])
        finite = torch.ones((), device=next(iter(terms.values())).device)  # of terms that this step has not
        bad = ~torch.isfinite(torch.stack([terms.get(name, finite) for name in self._names]))
        if self._first_bad is None or new:
            before, self._first_bad = self._first_bad, torch.zeros(len(bad), dtype=torch.long, device=bad.device)
            if before is not None:
                self._first_bad[: len(before)] = before
        self._first_bad = torch.where(bad & (self._first_bad == 0), step, self._first_bad)
        if self._due:
            self.look(trainer)
            self._read(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Look once more."""
        self.look(trainer)

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Let go of the optimisers."""
        self._let_go()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Let go of the optimisers."""
        self._let_go()

    def _let_go(self) -> None:
        for player in self._players:
            player.let_go()
        self._players, self._sizes = [], []
        if self._recorder is not None:
            self._recorder.stop()

    def state_dict(self) -> dict[str, Any]:
        """Return the alarms, and what they follow from."""
        return self._alarms.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the alarms of the run that is resumed."""
        self._alarms.load_state_dict(state_dict)

    # ------------------------------------------------------------------------------ the looks

    def accept(self, trainer: Trainer) -> bool:
        """Look, and return whether no size came near its limit since the last call, nor an alarm; on all processes.

        Raises:
            DivergedError: As ``look``.
        """
        self.look(trainer)
        calm, self._strain = self._strain <= _CALM, 0.0
        return calm and self._alarms.is_calm

    def look(self, trainer: Trainer) -> None:
        """Raise if the training has diverged; on all processes together.

        Raises:
            DivergedError: With what was found first, and the last good checkpoint.
        """
        if self._first_bad is None:
            return
        problems = [*self._bad_terms(trainer), *self._bad_sizes(trainer)]
        if problems:
            _, problem, advice = min(problems, key=lambda found: found[0])  # of several at once the first in time
            raise _diverged(trainer, problem, advice)

    def _bad_terms(self, trainer: Trainer) -> Iterator[_Problem]:
        """Yield the first step at which loss terms were not finite."""
        steps = dict(zip(self._names, _maximum(self._first_bad, trainer).tolist(), strict=True))  # type: ignore[arg-type]
        first = min(filter(None, steps.values()), default=0)
        if first:
            terms = ", ".join(f"train/{name}" for name, step in steps.items() if step == first)
            advice = "Lower the learning rates, set model.clip_grad or train in 32-true"
            yield (first, 1), f"{terms} not finite at generator update {first}", advice

    def _bad_sizes(self, trainer: Trainer) -> Iterator[_Problem]:
        """Yield every update since the last look, and every player's largest weights, that are over their limit."""
        sizes = [*self._sizes, *(player.largest_weights(trainer.global_step) for player in self._players)]
        self._sizes.clear()
        self._gradients = {}
        values = _maximum(torch.stack([size.value for size in sizes]), trainer).tolist()
        for (kind, player, step, _, index), value in zip(sizes, values, strict=True):
            if kind == "gradient":
                self._gradients[player.name] = max(value, self._gradients.get(player.name, 0.0))
                continue
            limit = getattr(self, f"max_{kind}") or float("inf")
            self._strain = max(self._strain, value / limit if value < float("inf") else value)
            if value > limit or value == float("inf"):
                layer, rate = player.names[int(index)], player.optimizer.param_groups[0]["lr"]
                problem = {
                    "weight": f"the root mean square of {layer} (player {player.name}) is {value:.3g}",
                    "update": f"player {player.name} moved by {value:.3g} times its weights, most in {layer}",
                }[kind]
                yield (
                    (step, 2 if value == float("inf") else 0),  # where a loss is not finite, nothing after it is
                    f"at generator update {step} {problem}, more than callbacks.stability.max_{kind}={limit:g}",
                    f"Lower model.{player.name}_optimizer.lr ({float(rate):.3g} now), set model.clip_grad, or raise "
                    "the limit",
                )

    # ------------------------------------------------------------------------------ readings and alarms

    def _read(self, trainer: Trainer, module: Any) -> None:
        """Read how the training fares, log it, and raise what alarms follow; on all processes together."""
        step, recorder, loggers = trainer.global_step, self._recorder, trainer.loggers
        if recorder is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        recorder.stop()
        found = {name: float(value) for name, value in recorder.readings().items()}
        every = self.samples_every_n_train_steps
        if every is not None and step % every == 0:
            found |= self._read_samples(trainer, module, found.get("logit_gap"))
        found |= {f"{name}_gradient": value for name, value in self._gradients.items() if value < float("inf")}
        found = trainer.strategy.broadcast(found)  # which differ by rounding
        alarms = self._alarms.judge(step, found, trainer.max_steps)
        logs = {f"stability/{name}": value for name, value in found.items()}
        if step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            module.log_dict(logs)  # beside the losses
        elif step % self.every_n_train_steps == 0:
            for logger in loggers:
                logger.log_metrics(logs, step=step)
        for alarm in alarms:
            rank_zero_warn(f"stability: at generator update {step} {alarm.text}")
            for logger in loggers if trainer.is_global_zero else ():
                dashboard(logger).log_alarm(alarm.kind, alarm.text, step)
        if alarms and self.on_alarm == "stop":
            problem, _, advice = alarms[0].text.partition(". ")
            raise _diverged(trainer, f"at generator update {step} {problem}", advice)

    def _read_samples(self, trainer: Trainer, module: Any, gap: float | None) -> dict[str, float]:
        """Return what samples, and logits of held-out images, tell of a family that makes images from latents."""
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, ImageDataModule) or data.kind not in _KINDS:
            return {}
        self._real = self._real or RealImages(data)
        found = self._real.readings(module.sample(SAMPLES, seed=module.seed, batch_size=SAMPLES))
        networks = getattr(module, "image_networks", {})
        judges = networks.keys() == {"discriminator"} and not hasattr(module, "fade_reals")
        if gap is not None and data.val_fraction and judges:
            found["overfitting"] = overfitting(*logits_of_real(module, data), gap)
        return found


def _diverged(trainer: Trainer, problem: str, advice: str) -> DivergedError:
    """Return the error that names a problem, the last good checkpoint and what to do."""
    places = Path(trainer.default_root_dir, FOLDER), trainer.ckpt_path
    return DivergedError(f"{problem}; {last_good(*places)}. {advice}")


_Problem = tuple[tuple[int, int], str, str]  # step and rank in it, what happened, what to do


def _maximum(values: Tensor, trainer: Trainer) -> Tensor:
    """Return the largest values over all processes, infinite for NaN."""
    largest = values.nan_to_num(nan=float("inf"), posinf=float("inf"))
    if trainer.world_size > 1:
        max_over_processes(largest)
    return largest

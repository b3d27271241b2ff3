"""Stop a training that diverges: losses that are not finite, weights or updates that are far too large."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor
from torch.optim import Optimizer

from lightning_gans.checkpoints.files import FOLDER, last_good
from lightning_gans.config.types import Positive, PositiveInt, checked
from lightning_gans.runtime.distributed import max_over_processes

_CALM = 0.1  # share of the limits within which a checkpoint counts as good
_SMALL = 0.01  # size of weights below which that of updates is not compared with them: networks may start at zero


class DivergedError(FloatingPointError):
    """Report that a loss or weight became NaN or infinite, or weights or updates grew beyond their limits."""


class StabilityGuard(Callback):
    """Stop a training whose losses are not finite or whose weights run away, by name.

    Every loss term of every step is checked on the device. At intervals, at a fit's first step and before a checkpoint
    is written, the outcome is read: of the losses, of the size of every layer's weights (their root mean square) and
    of every player's update in that step, as a multiple of the size of its weights. The largest seen in trainings of
    this package's families: weights 1.6 and updates 0.5 with their own optimisers, 5 and 4 with plain gradient descent.
    Nothing of it changes the training, and nothing needs to be saved for a resumed one.

    Args:
        every_n_train_steps: Generator updates between the looks.
        max_weight: Largest root mean square of a layer's weights, > 0; ``None``: no limit but being finite.
        max_update: Largest update of a player, as a multiple of the norm of its weights, > 0; ``None``: no limit.

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
    ) -> None:
        self.every_n_train_steps = every_n_train_steps
        self.max_weight, self.max_update = max_weight, max_update
        self._first_bad: Tensor | None = None  # step number by term, 0: none
        self._names: list[str] = []
        self._players: list[_Player] = []
        self._updates: list[_Size] = []  # since the last look
        self._due = False  # whether this step's updates are measured and looked at
        self._strain = 0.0  # largest share of a limit since the last checkpoint

    @staticmethod
    def of(trainer: Trainer) -> StabilityGuard | None:
        """Return the trainer's callback of this kind."""
        found = [callback for callback in trainer.callbacks if isinstance(callback, StabilityGuard)]  # type: ignore[attr-defined]
        return found[0] if found else None

    # ------------------------------------------------------------------------------ Lightning's hooks

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Find the players' weights and listen to their optimisers."""
        self._let_go()
        self._first_bad, self._names, self._strain = None, [], 0.0
        names = {id(weight): name for name, weight in pl_module.named_parameters()}
        layers = [(layer, getattr(layer, "lr_multiplier", 1.0)) for layer in pl_module.modules()]
        scales = {id(weight): scale for layer, scale in layers for weight in layer.parameters(recurse=False)}
        for name, optimizer in pl_module.player_optimizers().items():
            self._players.append(_Player(name, optimizer.optimizer, names, scales, self._updates))

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Measure the coming updates if they are the fit's first, or if a look follows."""
        step = trainer.global_step + 1
        self._due = self._first_bad is None or step % self.every_n_train_steps == 0
        for player in self._players:
            player.step = step if self._due and self.max_update is not None else None

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
        self._players, self._updates = [], []

    # ------------------------------------------------------------------------------ the looks

    def accept(self, trainer: Trainer) -> bool:
        """Look, and return whether no size came near its limit since the last call; on all processes.

        Raises:
            DivergedError: As ``look``.
        """
        self.look(trainer)
        calm, self._strain = self._strain <= _CALM, 0.0
        return calm

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
            good = last_good(Path(trainer.default_root_dir, FOLDER), trainer.ckpt_path)
            raise DivergedError(f"{problem}; {good}. {advice}")

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
        sizes = [*self._updates, *(player.largest_weights(trainer.global_step) for player in self._players)]
        self._updates.clear()
        values = _maximum(torch.stack([size.value for size in sizes]), trainer).tolist()
        for (kind, player, step, _, index), value in zip(sizes, values, strict=True):
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


_Problem = tuple[tuple[int, int], str, str]  # step and rank in it, what happened, what to do


class _Size(NamedTuple):
    """Hold a size on the device, with the index of the layer that it is of, or that has the largest part in it."""

    kind: Literal["weight", "update"]
    player: _Player
    step: int
    value: Tensor
    layer: Tensor


class _Player:
    """Hold the weights of one optimiser, which appends the size of its update to ``updates`` in every step to measure.

    Sizes are those at run time: ``scales`` holds by weight what a layer with a rate of its own multiplies it by.

    Attributes:
        step: Generator update whose steps of this optimiser are measured; ``None``: they are not.
    """

    def __init__(
        self,
        name: str,
        optimizer: Optimizer,
        names: dict[int, str],
        scales: dict[int, float],
        updates: list[_Size],
    ) -> None:
        self.name, self.optimizer = name, optimizer
        self.step: int | None = None
        self.weights: list[Tensor] = [weight for group in optimizer.param_groups for weight in group["params"]]
        self.names = [names[id(weight)] for weight in self.weights]
        self._counts = torch.tensor([float(max(w.numel(), 1)) for w in self.weights], device=self.weights[0].device)
        device = self.weights[0].device
        self._scales = torch.tensor([scales[id(weight)] for weight in self.weights], device=device)
        self._count = sum(weight.numel() for weight in self.weights)
        self._updates = updates
        self._before: list[Tensor] = []
        self._hooks = [
            optimizer.register_step_pre_hook(self._copy_weights),
            optimizer.register_step_post_hook(self._measure_update),
        ]

    def let_go(self) -> None:
        """Remove the hooks from the optimiser."""
        for hook in self._hooks:
            hook.remove()

    def largest_weights(self, step: int) -> _Size:
        """Return the largest root mean square of a layer's weights."""
        return _Size("weight", self, step, *(self._norms(self.weights) / self._counts.sqrt()).max(0))

    def _copy_weights(self, *_: Any) -> None:
        if self.step is not None:
            self._before = [weight.detach().clone() for weight in self.weights]

    def _measure_update(self, *_: Any) -> None:
        if self.step is None or not self._before:
            return
        size = self._norms(self._before).norm().clamp(min=_SMALL * self._count**0.5)
        moved = self._norms(list(torch._foreach_sub([w.detach() for w in self.weights], self._before)))
        self._before = []
        self._updates.append(_Size("update", self, self.step, moved.norm() / size, moved.argmax()))

    def _norms(self, tensors: list[Tensor]) -> Tensor:
        """Return the norm of each weight, or of as many tensors, at run time, (N,) in float32."""
        norms = torch._foreach_norm([tensor.detach() for tensor in tensors])
        return torch.stack([norm.float() for norm in norms]) * self._scales


def _maximum(values: Tensor, trainer: Trainer) -> Tensor:
    """Return the largest values over all processes, infinite for NaN."""
    largest = values.nan_to_num(nan=float("inf"), posinf=float("inf"))
    if trainer.world_size > 1:
        max_over_processes(largest)
    return largest

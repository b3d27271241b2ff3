"""Describe the phases of a training as pure functions of the step."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, zip_longest
from typing import Any, NamedTuple

from lightning.pytorch.utilities import rank_zero_warn


class Plan(NamedTuple):
    """Say what one training step needs."""

    n_critic: int
    batch_size: int
    resolution: int | None = None  # side of the images; None: as the data has them
    steps: int | None = 1  # from this one on that are known to need the same; None: all that are left
    players: tuple[str, ...] = ("d", "g")  # who moves, in order
    shown: int | None = None  # real images of the step's batch, over all processes, once it is known

    @property
    def images(self) -> int:
        """Return the real images that the step takes, over all processes."""
        return self.n_critic * self.batch_size if self.shown is None else self.shown


class Phase(NamedTuple):
    """Describe a stretch of the training whose steps need the same.

    Attributes:
        name: For people, e.g. ``8x8 fading in``.
        steps: Generator updates that it takes; ``None``: all that are left.
        batch_size: Real images per update of the player that sees them, over all processes.
        n_critic: Discriminator updates per generator update.
        players: Who moves in a step, in order.
        resolution: Side of the images; ``None``: as the data has them.
        fading: Whether the newest block is faded in over the phase.
        lr_factor: Factor of all learning rates.
        batch_option: The model's option that ``batch_size`` comes from, for messages.
        first: Generator update that the phase starts with; a ``TrainingSchedule`` sets it.
    """

    name: str
    steps: int | None
    batch_size: int
    n_critic: int = 1
    players: tuple[str, ...] = ("d", "g")
    resolution: int | None = None
    fading: bool = False
    lr_factor: float = 1.0
    batch_option: str = "batch_size"
    first: int = 0

    def alpha(self, step: int) -> float:
        """Return the newest block's weight in step number ``step``: the share of the fade over at its middle."""
        return (step - self.first + 0.5) / self.steps if self.fading and self.steps else 1.0

    @property
    def kimg(self) -> float:
        """Return the thousands of real images that the phase shows, 0 if it has no end."""
        return (self.steps or 0) * self.batch_size * self.n_critic / 1000


class TrainingSchedule:
    """Order the phases of a training. All is a function of the step alone, so that resuming needs no state.

    Args:
        phases: In order; those of no steps are left out. The last one has no end, unless there is a ``cycle``.
        cycle: Phases that follow and then come again and again. Their ends are no ``ends``.
        complete_after: Generator updates after which a training may end without a warning; ``None``: in the last phase.
        advice: How to reach the last phase, for that warning.
        earlier: Makes the schedule of other options of the model; ``None``: a resumed run may change its phases.
        options: Names of the options that ``earlier`` reads.
    """

    def __init__(
        self,
        phases: Sequence[Phase],
        *,
        cycle: Sequence[Phase] = (),
        complete_after: int | None = None,
        advice: str = "",
        earlier: Callable[[Mapping[str, Any]], TrainingSchedule] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.phases, self.cycle = _placed(phases), _placed(cycle)
        in_the_last = 0 if cycle else self.phases[-1].first + 1
        self.complete_after = in_the_last if complete_after is None else complete_after
        self.advice, self.earlier, self.options = advice, earlier, options

    # ------------------------------------------------------------------------------ functions of the step

    def phase(self, step: int) -> Phase:
        """Return the phase that step number ``step`` lies in."""
        begun = self.phases[-1].first + (self.phases[-1].steps or 0)
        if not self.cycle or step < begun:
            return _at(self.phases, step)
        turn, position = divmod(step - begun, sum(phase.steps or 0 for phase in self.cycle))
        phase = _at(self.cycle, position)
        return phase._replace(first=step - position + phase.first)

    def plan(self, step: int) -> Plan:
        """Return what step number ``step`` needs."""
        phase = self.phase(step)
        left = None if phase.steps is None else phase.first + phase.steps - step
        return Plan(phase.n_critic, phase.batch_size, phase.resolution, left, phase.players)

    def resolutions(self, step: int) -> list[int | None]:
        """List the sides of the images that steps from number ``step`` on take."""
        left = [phase for phase in self.phases if phase.steps is None or phase.first + phase.steps > step]
        return list(dict.fromkeys(phase.resolution for phase in (*left, *self.cycle)))

    @property
    def ends(self) -> tuple[int, ...]:
        """List the generator updates after which a phase ends; their checkpoints are kept."""
        return () if self.cycle else tuple(phase.first for phase in self.phases[1:])

    @property
    def batch_sizes(self) -> dict[str, int]:
        """Return the batch sizes of all phases, by the model's option that each comes from."""
        return {phase.batch_option: phase.batch_size for phase in (*self.phases, *self.cycle)}

    # ------------------------------------------------------------------------------ for people

    @property
    def table(self) -> str:
        """Format the phases as a table, one a line."""
        rows = ["phase                  from update  real images an update  thousand images"]
        for phase in self.phases:
            kimg = "to the end" if phase.steps is None else f"{phase.kimg:,g}"
            rows.append(f"{phase.name:<21}  {phase.first:>11,}  {phase.batch_size * phase.n_critic:>21,}  {kimg:>15}")
        return "\n".join(rows)

    def check_budget(self, updates: int) -> None:
        """Warn of a training of so many generator updates that ends before its last phase has begun."""
        if updates < self.complete_after:
            last = self.phases[-1]
            kimg = sum(phase.kimg for phase in self.phases)
            rank_zero_warn(
                f"trainer.max_steps={updates}: ends in the phase '{self.phase(updates - 1).name}'; '{last.name}' begins"
                f" at update {last.first}, after {kimg:g} thousand images; {self.advice}"
            )

    def check_resumed(self, iteration: int, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Reject a schedule that differs from the checkpoint's for updates already done.

        Args:
            iteration: Generator updates that the checkpoint has done.
            before: Its resolved options of the model.
            now: Those of this run.

        Raises:
            ValueError: With the options that differ.
        """
        if self.earlier is None:
            return
        theirs = self.earlier(before)
        stands, would = theirs.phase(iteration), self.phase(iteration)
        if stands.steps is would.steps is None and stands.resolution == would.resolution:
            return  # the schedule has ended
        old, new = theirs._begun(iteration), self._begun(iteration)
        if old == new:
            return
        keys = [key for key in self.options if key in now and now[key] != before[key]]
        given = ", ".join(f"model.{key}={now[key]}" for key in keys) or "model"
        differ = next(i for i, (one, other) in enumerate(zip_longest(old, new)) if one != other)
        was, is_now = (history[differ] if differ < len(history) else "nothing more" for history in (old, new))
        raise ValueError(
            f"{given}: up to generator update {iteration} the checkpoint had {was}; this schedule has {is_now}; a "
            "resumed run keeps its schedule up to there (model.accumulate saves memory)"
        )

    def _begun(self, iteration: int) -> list[str]:
        """Describe what the first ``iteration`` updates are; alpha needs the length of a fade."""
        found = []
        for phase in self.phases:
            if phase.first < iteration:
                length = f" for {phase.steps} updates" if phase.fading else ""
                images = f"{phase.batch_size * phase.n_critic} images each"
                found.append(f"{phase.name} from update {phase.first}{length}, {images}")
        return found


def _placed(phases: Sequence[Phase]) -> tuple[Phase, ...]:
    """Return the phases that take steps, each with its first one."""
    taken = [phase for phase in phases if phase.steps != 0]
    starts = accumulate((phase.steps or 0 for phase in taken), initial=0)
    return tuple(phase._replace(first=first) for phase, first in zip(taken, starts, strict=False))


def _at(phases: Sequence[Phase], step: int) -> Phase:
    return phases[bisect_right(phases, step, key=lambda phase: phase.first) - 1]

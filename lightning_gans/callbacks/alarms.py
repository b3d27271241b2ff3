"""Judge the readings of a training: which of them mean that it collapsed, overfits, memorises, vanishes or explodes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

GRACE = (
    500  # generator updates in which samples may be anything, and until half of the run as long as they never varied
)
PATIENCE = 2  # readings in a row before there is an alarm
_HISTORY = 5  # gradients that a new one is compared with, at least

Readings = Mapping[str, float]


class Limits(NamedTuple):
    """Hold what readings are compared with; ``None``: no alarm of that kind."""

    min_diversity: float | None
    max_overfitting: float | None
    min_novelty: float | None
    min_gradient: float | None
    max_gradient_growth: float | None


class Alarm(NamedTuple):
    """Hold an alarm.

    Attributes:
        step: Generator updates done.
        kind: ``collapse``, ``overfitting``, ``memorisation``, ``vanishing`` or ``exploding``.
        text: What was seen and what may help, in plain words.
    """

    step: int
    kind: str
    text: str


class Alarms:
    """Raise each kind of alarm once its condition holds for ``PATIENCE`` readings in a row, and once until it ends.

    Args:
        limits: What readings are compared with.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.raised: list[Alarm] = []
        self._varied = False  # whether samples have ever been diverse
        self._streaks: dict[str, int] = {}
        self._gradients: dict[str, list[float]] = {}  # by player

    @property
    def is_calm(self) -> bool:
        """Return whether no condition holds."""
        return not any(self._streaks.values())

    def judge(self, step: int, readings: Readings, planned: int = 0) -> list[Alarm]:
        """Return the alarms that these readings raise.

        Args:
            step: Generator updates done.
            readings: By name; conditions of those that are left out stay as they were.
            planned: Generator updates of the whole run; 0 or less: not known.
        """
        diversity, least = readings.get("diversity", 0.0), self.limits.min_diversity
        self._varied = self._varied or (least is not None and diversity >= least)
        found = self._of_gradients(readings)
        if step >= GRACE:
            found |= self._of_samples(readings, self._varied or step >= planned / 2)
        new = []
        for kind, text in found.items():
            self._streaks[kind] = self._streaks.get(kind, 0) + 1 if text else 0
            if self._streaks[kind] == PATIENCE:
                new.append(Alarm(step, kind, text))
        self.raised += new
        return new

    def _of_samples(self, readings: Readings, should_vary: bool) -> dict[str, str]:
        """Return a text for each kind that the readings tell of, ``""`` where its condition does not hold."""
        found, limits = {}, self.limits
        if (diversity := readings.get("diversity")) is not None and limits.min_diversity is not None:
            found["collapse"] = (
                should_vary
                and diversity < limits.min_diversity
                and (
                    f"samples differ {diversity:.2g} times as much as the images do: G has collapsed to few of "
                    "them. Try model/penalty=r1, a lower model.g_optimizer.lr or model.discriminator.minibatch=stddev"
                )
            )
        if (overfitting := readings.get("overfitting")) is not None and limits.max_overfitting is not None:
            found["overfitting"] = overfitting > limits.max_overfitting and (
                f"held-out images lie {overfitting:.0%} of the way from training to generated ones in the "
                "discriminator's logits: it knows its images by heart. Try model/augment=adaptive, more images or "
                "fewer updates"
            )
        if (novelty := readings.get("novelty")) is not None and limits.min_novelty is not None:
            found["memorisation"] = novelty < limits.min_novelty and (
                f"samples are {novelty:.2g} times as far from the nearest training image as other real images: the "
                "generator repeats its training set. Try more images, model/augment=adaptive or fewer updates"
            )
        return {kind: text or "" for kind, text in found.items()}

    def _of_gradients(self, readings: Readings) -> dict[str, str]:
        """Return likewise what the players' gradients tell."""
        found, limits = {}, self.limits
        if (gradient := readings.get("g_gradient")) is not None and limits.min_gradient is not None:
            found["vanishing"] = gradient < limits.min_gradient and (
                f"the gradient of the generator is {gradient:.2g} times its weights, so that it does not learn"
                f"{_won(readings)}. Try model/objective=non_saturating, a smaller model.n_critic or "
                "model.d_optimizer.lr, or model/augment=instance_noise"
            )
        for name in [name for name in readings if name.endswith("_gradient")]:
            before = self._gradients.setdefault(name, [])
            usual = statistics.median(before) if len(before) >= _HISTORY else None
            before.append(readings[name])
            if limits.max_gradient_growth is None:
                continue
            grown = usual is not None and readings[name] > limits.max_gradient_growth * usual
            player = name.partition("_")[0]
            found[f"exploding {player}"] = grown and (
                f"the gradient of player {player} is {readings[name]:.2g} times its weights, where {usual:.2g} is "
                f"usual: it explodes. Try a lower model.{player}_optimizer.lr, model.clip_grad or model/penalty=r1"
            )
        return {kind: text or "" for kind, text in found.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training goes on from."""
        return {
            "raised": [list(alarm) for alarm in self.raised],
            "varied": self._varied,
            "streaks": dict(self._streaks),
            "gradients": {name: list(values) for name, values in self._gradients.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of another session."""
        self.raised = [Alarm(int(step), str(kind), str(text)) for step, kind, text in state["raised"]]
        self._varied = bool(state["varied"])
        self._streaks = {str(kind): int(count) for kind, count in state["streaks"].items()}
        self._gradients = {str(name): [float(v) for v in values] for name, values in state["gradients"].items()}


def _won(readings: Readings) -> str:
    """Say that the discriminator is right about most samples, if it is."""
    real, fake = (readings.get(f"{side}_accuracy", 0.0) for side in ("real", "fake"))
    if not real or not fake:
        return ""
    return f"; the discriminator is right on {real:.0%} of real and {fake:.0%} of generated samples"

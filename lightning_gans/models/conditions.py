"""Draw, parse and check conditions: batch entries that generators and discriminators take beside latents and images.

A family names them (``conditions = ("label",)``). Conditions of generated images are drawn from those of the training
set, independently of the batch, or are given by name: ``module.sample(8, classes=[3, 7])``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import index
from typing import Any, ClassVar, SupportsIndex

import torch
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.runtime.seeding import derive_seed

Given = Mapping[str, Sequence[Any] | None]  # values by argument; None: drawn


class Condition(nn.Module, ABC):
    """Describe one batch entry: its distribution over the training set, whose buffers travel with the checkpoint.

    Attributes:
        argument: Name of the values in ``module.sample(n, argument=[...])`` and in the command ``sample``.
        from_batch: Batches have the entry and discriminators are given it; ``False``: a code, which the family draws.
        numbers: Uniform numbers that an entry is drawn from; ``None``: one, without an axis of its own.
    """

    argument: ClassVar[str]
    from_batch: ClassVar[bool] = True
    numbers: int | None = None

    def learn(self, entry: str, images: Any, *, seed: int = 0) -> None:
        """Learn the distribution of the entry in an image set.

        Args:
            entry: Its name.
            images: Has ``entries(name)``, see ``ImageDataset``.
            seed: Seed of whatever is random.

        Raises:
            ValueError: The set lacks it.
        """
        values = images.entries(entry)
        if values is None:
            raise ValueError(f"data: has no {entry!r} to condition on")
        self.fit(values)

    def fit(self, values: Tensor) -> None:  # noqa: B027
        """Learn the distribution from the entries (N, ...) of all training examples, if it is not a fixed one.

        Raises:
            ValueError: An entry that the networks do not take.
        """

    @abstractmethod
    def draw(self, u: Tensor) -> Tensor:
        """Map float32 numbers (N,), or (N, ``numbers``), in [0, 1), uniform, to random entries (N, ...)."""

    @abstractmethod
    def parse(self, values: Sequence[Any]) -> Tensor:
        """Turn what a user gives into entries (N, ...), on the CPU.

        Raises:
            ValueError: A value that is not allowed, with what is.
        """

    @abstractmethod
    def overview(self) -> Sequence[Any] | None:
        """Return values to show in the columns of a grid of samples; ``None``: drawn ones."""


class ClassLabel(Condition):
    """Draw class labels, entry ``label`` (N,) int64, in the training set's frequencies.

    They are equally frequent until ``fit``: under a plain Trainer without a data module that has ``train_images``.

    Args:
        num_classes: Number of classes.
    """

    argument = "classes"
    counts: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer("counts", torch.ones(num_classes, dtype=torch.int64))

    def fit(self, values: Tensor) -> None:
        """Count labels (N,) int64."""
        found = torch.bincount(values, minlength=self.num_classes)
        if len(found) > self.num_classes:
            raise ConfigError("model.generator.num_classes", self.num_classes, f"data has label {len(found) - 1}")
        self.counts.copy_(found)

    def draw(self, u: Tensor) -> Tensor:
        """Map numbers (N,) in [0, 1) to labels (N,) int64."""
        ends = self.counts.to(u.device).cumsum(0)
        example = (u * ends[-1]).long().clamp(max=ends[-1] - 1)  # rounded up at most
        return torch.searchsorted(ends, example, right=True)

    def parse(self, values: Sequence[Any]) -> Tensor:
        """Turn classes from 0 to ``num_classes`` - 1 into labels (N,) int64."""
        for value in values:
            if not isinstance(value, SupportsIndex) or not 0 <= index(value) < self.num_classes:
                raise ConfigError("classes", value, f"must be from 0 to {self.num_classes - 1}")
        return torch.tensor([index(value) for value in values])

    def overview(self) -> Sequence[int]:
        """Return every class once."""
        return range(self.num_classes)


def _class_label(generator: nn.Module) -> ClassLabel:
    num_classes = getattr(generator, "num_classes", None)
    if not isinstance(num_classes, int) or num_classes < 1:
        name = f"{type(generator).__module__.rpartition('.')[2]}.{type(generator).__name__}"
        raise ConfigError("model.generator", name, "takes no classes; choose a conditional model/network")
    return ClassLabel(num_classes)


Kinds = Mapping[str, Callable[[nn.Module], Condition]]  # by entry; made for a generator
KINDS: Kinds = {"label": _class_label}


class Conditions(nn.ModuleDict):
    """Hold all conditions of a family, by batch entry and in the order in which networks take them.

    Args:
        entries: Batch entries, keys of ``kinds``.
        generator: Made for them.
        kinds: Makers of conditions.
    """

    def __init__(self, entries: Sequence[str], generator: nn.Module, kinds: Kinds = KINDS) -> None:
        super().__init__({entry: kinds[entry](generator) for entry in entries})

    def fit(self, images: Any, *, seed: int = 0) -> None:
        """Learn the conditions of an image set.

        Args:
            images: Has ``entries(name)``, see ``ImageDataset``.
            seed: Seed of whatever is random.

        Raises:
            ValueError: It lacks one.
        """
        for entry, condition in self._from_batch():
            condition.learn(entry, images, seed=seed)

    @property
    def entries(self) -> list[str]:
        """Return the entries that are read from batches: all but codes."""
        return [entry for entry, _ in self._from_batch()]

    def of(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the conditions of a batch's real images.

        Raises:
            ValueError: The batch lacks one.
        """
        for entry in self.entries:
            if entry not in batch:
                raise ValueError(f"data: batches have {', '.join(batch)}, and no {entry!r} to condition on")
        return tuple(batch[entry] for entry in self.entries)

    def judged(self, values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return those of the generator's conditions that discriminators are given too: all but codes."""
        pairs = zip(self._each(), values, strict=True)
        return tuple(value for (_, condition), value in pairs if condition.from_batch)

    def draw(self, uniform: Callable[[], Tensor]) -> tuple[Tensor, ...]:
        """Draw random conditions (N, ...) from float32 numbers (N,) in [0, 1) that ``uniform()`` returns."""
        return tuple(
            condition.draw(uniform() if condition.numbers is None else _columns(uniform, condition.numbers))
            for _, condition in self._each()
        )

    def sample(self, indices: Sequence[int], seed: int, given: Given) -> tuple[Tensor, ...]:
        """Return the conditions of samples number ``indices``, on the CPU.

        Args:
            indices: Numbers of the samples.
            seed: A condition that is not given is drawn as a function of (seed, index).
            given: Values by argument, used in turn along ``indices``.

        Raises:
            ValueError: See ``check``.
        """
        self.check(given)
        made = []
        for entry, condition in self._each():
            values = given.get(condition.argument)
            if values is None:
                shape = (len(indices),) if condition.numbers is None else (len(indices), condition.numbers)
                rng, u = torch.Generator(), torch.empty(shape, dtype=torch.float32)
                for row, number in zip(u, indices, strict=True):
                    row.uniform_(generator=rng.manual_seed(derive_seed("condition", entry, seed, number)))
                made.append(condition.draw(u))
            else:
                made.append(condition.parse(values)[torch.arange(len(indices)) % len(values)])
        return tuple(made)

    def takes(self, argument: str) -> bool:
        """Return whether a condition is given by this argument."""
        return any(condition.argument == argument for _, condition in self._each())

    def check(self, given: Given) -> None:
        """Refuse values of a condition that there is not, that are not allowed, or that are none at all.

        Raises:
            ValueError: With the argument, its value and what is allowed.
        """
        known = {condition.argument: condition for _, condition in self._each()}
        for argument, values in given.items():
            if values is None:
                continue
            if argument not in known:
                takes = ", ".join(known) or "no conditions"
                raise ConfigError(argument, list(values), f"the model takes {takes}; leave it out")
            if not len(values):
                raise ConfigError(argument, [], "must hold a value at least, or be null")
            known[argument].parse(values)

    def overview(self) -> dict[str, Sequence[Any]]:
        """Return values for the columns of a grid of samples, by argument."""
        found = {condition.argument: condition.overview() for _, condition in self._each()}
        return {argument: values for argument, values in found.items() if values is not None}

    def _each(self) -> Iterator[tuple[str, Condition]]:
        for entry, condition in self.items():
            assert isinstance(condition, Condition)
            yield entry, condition

    def _from_batch(self) -> Iterator[tuple[str, Condition]]:
        return ((entry, condition) for entry, condition in self._each() if condition.from_batch)


def _columns(uniform: Callable[[], Tensor], n: int) -> Tensor:
    """Draw n numbers for each example: (N, n)."""
    return torch.stack([uniform() for _ in range(n)], 1) if n else uniform()[:, None][:, :0]

"""Translate images to images: the base class of every translation family."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import Unpack

from lightning_gans.data.base import ImageDataModule
from lightning_gans.images.size import shortest
from lightning_gans.losses.objectives import Objective
from lightning_gans.models.base import Batch, GenerativeModule, Terms
from lightning_gans.models.batches import Rows
from lightning_gans.models.ema import evaluating
from lightning_gans.models.options import ModuleOptions
from lightning_gans.models.previews import examples_sheet
from lightning_gans.networks.dropout import seed_noise
from lightning_gans.networks.layers import TestStatistics, set_test_statistics
from lightning_gans.runtime.distributed import broadcast_tensors
from lightning_gans.runtime.precision import full_precision
from lightning_gans.schedules.training_schedule import Phase, TrainingSchedule

AT_ONCE = 4  # examples of a sheet, whose images may be large


class TranslationModule(GenerativeModule):
    """Train a generator from images to images and a discriminator in turn.

    The generator moves first; what it makes is made once and kept for the discriminator's update (``stash_fakes``,
    ``pop_fakes``). A family says what both minimise, and nothing else, unless it has several directions or phases.

    Args:
        generator: Translates (N, C, H, W) to images; several networks if a family trains several directions.
        discriminator: Returns raw logits, of patches say; several networks if a family needs them.
        objective: What both minimise beside the family's own terms.
        d_optimizer: Makes the discriminator's optimiser from its parameters.
        d_scheduler: Makes its learning-rate schedule; counts generator updates as well.
        **options: See ``GenerativeModule``.

    Attributes:
        directions: What ``translate`` can do.
        scale: Side of an output divided by that of its input.

    Raises:
        ValueError: A value out of range.
    """

    data_kinds: tuple[str, ...] = ("paired",)
    translates: ClassVar[bool] = True
    directions: ClassVar[tuple[str, ...]] = ("a2b",)
    batch_entries: ClassVar[tuple[str, ...]] = ("source", "target", "instance")
    scale: int = 1

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        objective: Objective,
        d_optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        d_scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        **options: Unpack[ModuleOptions],
    ) -> None:
        one_by_one: ModuleOptions = {"batch_size": options.get("accumulate", 1)}
        super().__init__(generator, latent="normal", **(one_by_one | options))
        self.set_test_statistics(self.batch_size // self.accumulate)  # until the training starts
        self.discriminator, self.objective = discriminator, objective
        self.optimizer_factories["d"], self.scheduler_factories["d"] = d_optimizer, d_scheduler
        self._stashed: deque[Batch] = deque()  # one entry per micro-batch of the generator's update
        self.add_player("d", discriminator)
        self.schedule = TrainingSchedule([Phase("training", None, self.batch_size, players=("g", "d"))])

    def set_test_statistics(self, images: int) -> None:
        """Set what batch norm uses at test time: each image's own statistics if it was trained on single images."""
        self.test_statistics: TestStatistics = "image" if images == 1 else "running"
        set_test_statistics(self, self.test_statistics)

    # ------------------------------------------------------------------------------ what a family may change

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the weighted terms of the generator's loss, and stash what the discriminator shall see."""
        raise NotImplementedError

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Compute the weighted terms of the discriminator's loss on the stashed fakes."""
        raise NotImplementedError

    @property
    def size_divisor(self) -> int:
        """Return what sides of inputs must be multiples of."""
        return int(getattr(self.generator, "size_divisor", 1))

    def network_of(self, direction: str) -> nn.Module:
        """Return the network that translates in a direction, averaged if there is an average."""
        return self.sampler

    # ------------------------------------------------------------------------------ the alternation

    def loss(self, player: str, batch: Batch) -> Terms:
        """Compute the weighted terms of a player's loss on its share."""
        return self.discriminator_loss(batch) if player == "d" else self.generator_loss(batch)

    def stash_fakes(self, **images: Tensor) -> None:
        """Keep generated images, without their graph, for the discriminator's update on the same batch."""
        self._stashed.append({name: tensor.detach() for name, tensor in images.items()})

    def pop_fakes(self, batch: Batch) -> Batch:
        """Return the images stashed for this micro-batch, or else generate them now."""
        if not self._stashed:
            with torch.no_grad():
                self.stash_fakes(**self.fakes(batch))
        return self._stashed.popleft()

    def fakes(self, batch: Batch) -> Batch:
        """Translate a batch by the live generator, by name."""
        return {"fake": self.generator(batch["source"])}

    def logits(self, *images: Tensor) -> Tensor:
        """Return the discriminator's raw logits, in float32, for images side by side in channels."""
        logits: Tensor = self.discriminator(torch.cat(images, 1))
        return full_precision(logits)

    # ------------------------------------------------------------------------------ translation

    @torch.no_grad()
    def translate(self, source: Tensor, *, direction: str = "a2b", seed: int = 0) -> Tensor:
        """Translate images; each one's translation does not depend on the rest of the batch.

        Args:
            source: (N, source_channels, H, W) in [-1, 1]; sides are multiples of ``size_divisor``.
            direction: One of ``directions``.
            seed: Of what is random, in a family where something is.

        Returns:
            (N, channels, scale * H, scale * W) in [-1, 1].

        Raises:
            ValueError: An unknown direction, or sides that do not fit.
        """
        self.check_source(source, direction)
        with evaluating(self.network_of(direction)) as network:
            seed_noise(network, seed)
            return self.run(network, source, self.noise(seed))

    def noise(self, seed: int) -> Tensor | None:
        """Draw what ``translate`` needs by its seed beside the masks of dropout; ``None``: nothing."""
        return None

    def run(self, network: nn.Module, source: Tensor, noise: Tensor | None = None) -> Tensor:
        """Compute translations by a direction's network, as a pure function, which can be exported.

        Args:
            network: From ``network_of``, or a copy, in evaluation mode.
            source: See ``translate``.
            noise: From ``noise``.

        Returns:
            See ``translate``.
        """
        images: Tensor = network(source.to(self.dtype))
        return images.float()

    def check_source(self, source: Tensor, direction: str) -> None:
        """Reject a source or a direction that ``translate`` cannot do.

        Raises:
            ValueError: An unknown direction, or sides that do not fit.
        """
        self.check_direction(direction)
        if source.shape[-1] % self.size_divisor or source.shape[-2] % self.size_divisor:
            raise ValueError(f"source: sides {tuple(source.shape[-2:])} must be multiples of {self.size_divisor}")

    def check_direction(self, direction: str) -> None:
        """Reject a direction that was not learnt.

        Raises:
            ValueError: With those that were.
        """
        if direction not in self.directions:
            name, known = type(self).__name__, ", ".join(self.directions)
            raise ValueError(f"direction={direction}: {name} translates {known} only")

    def translate_batch(self, batch: Batch, *, direction: str = "a2b", seed: int = 0) -> Tensor:
        """Translate the data's examples: their sources, or backwards their targets."""
        return self.translate(batch["source" if direction == "a2b" else "target"], direction=direction, seed=seed)

    def visuals(self, batch: Batch) -> dict[str, Tensor]:
        """Return a sample grid's columns by name: (N, C, H, W) in [-1, 1] or one-hot labels."""
        return {"source": batch["source"], "translation": self.translate_batch(batch), "target": batch["target"]}

    def preview(self, data: ImageDataModule | None, *, n: int | None = None, seed: int = 0) -> Tensor | None:
        """Draw ``n`` examples of the data (``None``: 16) beside their translations; without data nothing."""
        if data is None:
            return None
        shown = torch.linspace(0, data.n_examples - 1, min(n or 16, data.n_examples)).long().tolist()
        batches = (data.examples(shown[start : start + AT_ONCE]) for start in range(0, len(shown), AT_ONCE))
        on_device = ({key: value.to(self.device) for key, value in batch.items()} for batch in batches)
        return examples_sheet(self.visuals, on_device)

    def prepare_sampling(self) -> None:
        """Make every process's network the same, once per update; an average takes the live network's statistics."""
        if self._stats_step == self.iteration:
            return
        self._stats_step = self.iteration
        if self.world_size > 1:
            broadcast_tensors(self.sampler.buffers())

    @torch.no_grad()
    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Reject data whose sources do not become images of the targets' shape.

        Args:
            shapes: Of one ``source`` and one ``target``.

        Raises:
            ValueError: With both shapes.
        """
        source, target = shapes["source"], shapes["target"]
        if any(side % self.size_divisor for side in source[1:]):
            raise ValueError(
                f"data.image_size={shortest(*source[1:])}: model.generator needs sides that are multiples of "
                f"{self.size_divisor}"
            )
        try:
            made = tuple(self.translate(torch.zeros(1, *source, device=self.device)).shape[1:])
        except RuntimeError as error:
            raise ValueError(f"model.generator does not take the data's sources {source}: {error}") from error
        if made != target:
            raise ValueError(
                f"model.generator makes images {made}; data has targets {target} (channels, height, width)"
            )
        for name, shape in self.input_shapes(shapes).items():
            network: nn.Module = getattr(self, name)
            try:
                with evaluating(network):
                    network(torch.zeros(2, *shape, device=self.device))
            except (RuntimeError, ValueError) as error:
                raise ValueError(f"model.{name} does not take what it is given, {shape}: {error}") from error

    def input_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Return the shape of one sample that each network beside the generator is given, by the network's name.

        Args:
            shapes: Of one ``source`` and one ``target``.
        """
        return {"discriminator": shapes["target"]}

    def sampling_inputs(self, indices: Sequence[int], seed: int, **conditions: Any) -> tuple[Tensor, ...]:
        """Reject sampling: there are no samples without sources.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"{type(self).__name__} translates images and makes none from latents; "
            "use python -m lightning_gans.translate"
        )

    @property
    def image_networks(self) -> dict[str, nn.Module]:
        """Return the discriminator, by name."""
        return {"discriminator": self.discriminator}

    # ------------------------------------------------------------------------------ Lightning's hooks

    def on_fit_start(self) -> None:
        """Compile as the base does, and count the images that batch norm sees at once."""
        super().on_fit_start()
        together = self.batch_size // self.accumulate
        shared = getattr(self.trainer.strategy, "_layer_sync", None) is not None  # trainer.sync_batchnorm
        self.set_test_statistics(together if shared else together // self.trainer.world_size)

    def on_first_batch(self, rows: Rows) -> None:
        """Count the images that batch norm sees at once, which a plain loader decides."""
        super().on_first_batch(rows)
        shared = getattr(self.trainer.strategy, "_layer_sync", None) is not None
        self.set_test_statistics((rows.total if shared else rows.own) // self.accumulate)

    def get_extra_state(self) -> dict[str, Any]:
        """Return the counters and what batch norm uses at test time, which the number of processes decides."""
        return {**super().get_extra_state(), "test_statistics": self.test_statistics}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the counters and what batch norm uses at test time."""
        super().set_extra_state(state)
        self.test_statistics = state.get("test_statistics", self.test_statistics)
        set_test_statistics(self, self.test_statistics)

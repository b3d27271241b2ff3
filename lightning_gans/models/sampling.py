"""Sample from a generator: its inputs, the averaged network and the one loop that runs it."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from typing_extensions import Self

import lightning_gans
from lightning_gans.config.nodes import node_of
from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.models.conditions import KINDS, Conditions, Kinds
from lightning_gans.models.ema import evaluating, measure_batch_norm
from lightning_gans.models.freezing import FrozenLayers
from lightning_gans.models.sampling_options import Given, Options, SamplingOption, resample_beyond, split_given
from lightning_gans.networks.layers import has_batch_norm
from lightning_gans.runtime.distributed import broadcast_tensors
from lightning_gans.runtime.seeding import derive_seed
from lightning_gans.schedules.training_schedule import TrainingSchedule

Inputs = tuple[Tensor, ...]  # of the generator, N rows each
Latent = Literal["normal", "uniform", "unit_uniform"]
AT_ONCE = 256  # samples at most of a batch that statistics are measured on
REACH = {"uniform": 1.0, "unit_uniform": math.sqrt(3)}  # of latents that are uniform within +- so much


class Sampling(LightningModule):
    """Draw the generator's inputs and run the network that samples and scores come from.

    The part of ``GenerativeModule`` that works without a Trainer.

    Attributes:
        conditions: Batch entries that networks take beside latents and images, e.g. ``("label",)``: G(z, *conditions).
            A class declares those that its family always has; an instance takes over those of its generator.
        condition_kinds: Makers of the conditions, by entry.
        sampling_options: Options of sampling that the family has, e.g. ``{"truncation": TRUNCATION}``.
        standing_batches: Batches of ``batch_size`` samples, 256 at most, that the average's batch norm statistics are
            measured on.
    """

    conditions: tuple[str, ...] = ()
    condition_kinds: ClassVar[Kinds] = KINDS
    sampling_options: ClassVar[Mapping[str, SamplingOption]] = {}
    standing_batches: ClassVar[int] = 16
    conditioning: Conditions  # draws, parses and checks them
    data_kinds: tuple[str, ...]
    frozen: FrozenLayers
    generator: nn.Module
    generator_ema: nn.Module | None
    latent: Latent
    batch_size: int
    seed: int
    schedule: TrainingSchedule  # of phases
    iteration: int
    _stats_step: int | None  # generator updates after which the statistics were last prepared

    # ------------------------------------------------------------------------------ checkpoints

    @property
    def described(self) -> dict[str, Any] | None:
        """Return the config of a module that was made as a class, of this package's parts; ``None`` with others."""
        try:
            return {"resolved": {"model": (node := node_of(self))}, "source": {"model": node}}
        except TypeError:
            return None

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | os.PathLike[str],
        map_location: str | torch.device | None = None,
        *,
        strict: bool | None = None,
        **options: Any,
    ) -> Self:
        """Rebuild a module from its checkpoint alone, as ``lightning_gans.load`` does, in training mode.

        Args:
            checkpoint_path: The file.
            map_location: Device of the module; ``None``: the CPU.
            strict: Refuse weights that do not fit, with ``**options``; without them they always are.
            **options: Arguments of the class, where its networks are of your own; Lightning makes it with these.

        Raises:
            ValueError: The checkpoint cannot be read or describes no module, or one of another class.
        """
        if options:
            how: dict[str, Any] = {"map_location": map_location or "cpu", "strict": strict, **options}
            made: Self = super().load_from_checkpoint(os.fspath(checkpoint_path), **how)
            return made
        module = lightning_gans.load(checkpoint_path, device=map_location or "cpu")
        if not isinstance(module, cls):
            raise ValueError(f"{checkpoint_path}: holds a {type(module).__name__}, not a {cls.__name__}")
        module.train()
        return module

    # ------------------------------------------------------------------------------ inputs

    def take_conditions(self, generator: nn.Module) -> None:
        """Make the family's conditions, or those that the generator says in ``conditions`` that it takes."""
        made_for: tuple[str, ...] = getattr(generator, "conditions", ())
        if made_for and not self.conditions:
            self.conditions, self.data_kinds = made_for, ("labelled",)
        self.conditioning = Conditions(self.conditions, generator, self.condition_kinds)

    @property
    def latent_dim(self) -> int:
        """Return the length of the generator's latent vector."""
        return int(self.generator.latent_dim)  # type: ignore[arg-type]

    def sampling_inputs(self, indices: Sequence[int], seed: int, **given: Given) -> Inputs:
        """Draw the generator's inputs for samples number ``indices``: latents, each a function of (seed, index) alone.

        Args:
            indices: Numbers of the samples.
            seed: Seed of the samples.
            **given: Values of conditions, e.g. ``classes``, used in turn along ``indices``; those that are not given
                are drawn from the training set's as functions of (seed, index). Options of sampling, of which
                ``truncation`` changes latents.

        Raises:
            ValueError: A condition or option that the family does not take, or a value that is not allowed.
        """
        conditions, options = split_given(self, given)
        rng, latents, reach = torch.Generator(), torch.empty(len(indices), self.latent_dim), REACH.get(self.latent)
        for row, index in zip(latents, indices, strict=True):
            rng.manual_seed(derive_seed("sample", seed, index))
            row.uniform_(-reach, reach, generator=rng) if reach else row.normal_(generator=rng)
            if "truncation" in options:
                resample_beyond(row, options["truncation"], rng)
        inputs = (latents, *self.conditioning.sample(indices, seed, conditions))
        return tuple(x.to(self.device, self.dtype if x.is_floating_point() else x.dtype) for x in inputs)  # type: ignore

    def _input_batches(
        self, indices: Sequence[int], seed: int, size: int, conditions: Mapping[str, Sequence[Any]], options: Options
    ) -> Iterator[Inputs]:
        for start in range(0, len(indices), size):
            chosen = indices[start : start + size]
            given = {name: [values[i % len(values)] for i in chosen] for name, values in conditions.items()}
            yield self.sampling_inputs(chosen, seed, **given, **options)

    # ------------------------------------------------------------------------------ the network

    @property
    def sampler(self) -> nn.Module:
        """Return the network that samples and scores come from: the averaged generator, if there is one."""
        return self.generator if self.generator_ema is None else self.generator_ema

    @property
    def world_size(self) -> int:
        """Return the number of processes that share a batch; 1 without a Trainer."""
        return 1 if self._trainer is None else self._trainer.world_size

    def prepare_sampling(self) -> None:
        """Make the sampling network the same on every process, batch norm statistics included; once per update.

        The averaged generator measures its own statistics; without one, process 0's are given to all. Callbacks call
        this on all processes before the network is used or saved.
        """
        if self._stats_step == self.iteration:
            return
        self._stats_step = self.iteration
        if self.generator_ema is not None:
            self._measure(self.generator_ema, {})
        elif self.world_size > 1:
            broadcast_tensors(self.generator.buffers())

    def sampling_network(self, options: Options) -> nn.Module:
        """Return the network that samples with these options of sampling come from; ``{}``: the sampler itself.

        With ``truncation`` it shares the sampler's weights, and has batch norm statistics measured on such latents.
        """
        if "truncation" not in options or not has_batch_norm(self.sampler):
            return self.sampler
        network = copy.deepcopy(self.sampler, {id(weight): weight for weight in self.sampler.parameters()})
        self._measure(network, options)
        return network

    def _measure(self, network: nn.Module, options: Options) -> None:
        """Measure the standing statistics of a sampling network."""
        size, seed = min(self.batch_size, AT_ONCE), derive_seed("batch norm", self.seed)
        batches = self._input_batches(range(self.standing_batches * size), seed, size, {}, options)
        measure_batch_norm(network, batches, self.frozen.averaged(network))

    def postprocess(self, images: Tensor) -> Tensor:
        """Bring the sampling network's images (N, C, H, W) to the data's size and to [-1, 1]."""
        return images

    @property
    def normalizes_latents(self) -> bool:
        """Return whether the generator divides latents by their length, so that only their direction counts."""
        return False

    # ------------------------------------------------------------------------------ samples

    @torch.no_grad()
    def generate(self, batches: Iterable[Inputs], network: nn.Module | None = None) -> Iterator[Tensor]:
        """Run the sampling network, in evaluation mode, on batches of inputs.

        Args:
            batches: Inputs of the generator, e.g. ``(latents,)`` with latents (N, latent_dim).
            network: A ``sampling_network``; ``None``: the sampler.

        Yields:
            Images (N, C, H, W) float32 in [-1, 1] on the module's device.
        """
        with evaluating(network or self.sampler) as run:
            for inputs in batches:
                yield self.postprocess(run(*inputs).float())

    def samples(
        self, indices: Sequence[int], *, seed: int = 0, batch_size: int = 64, **given: Given
    ) -> Iterator[Tensor]:
        """Generate batches of samples, each a function of (seed, index, condition, options of sampling) alone.

        Args:
            indices: Numbers of the samples, e.g. ``range(64)``.
            seed: Seed of the samples.
            batch_size: Images at once.
            **given: Values of conditions that samples have in turn: with ``classes=[3, 7]`` sample i has class 3 if i
                is even and 7 if it is odd; ``None``, as what is left out: drawn from the training set's. Options of
                sampling of the family, ``sampling_options``: ``truncation=0.5``.

        Returns:
            Batches of images (N, C, H, W) in [-1, 1] on the module's device.

        Raises:
            ValueError: A condition or option that the family does not take, or a value that is not allowed.
        """
        conditions, options = split_given(self, given)
        self.conditioning.check(conditions)
        self.prepare_sampling()
        inputs = self._input_batches(indices, seed, batch_size, conditions, options)
        return self.generate(inputs, self.sampling_network(options))

    @checked
    def sample(self, n: PositiveInt, *, seed: int = 0, batch_size: PositiveInt = 64, **given: Given) -> Tensor:
        """Generate ``n`` samples (n, C, H, W) in [-1, 1]; a seed gives the same first images whatever ``n``.

        ``**given`` as those of ``samples``: ``sample(8, classes=[3, 7])``.

        Raises:
            ValueError: ``n`` or ``batch_size`` is below one, or as ``samples``.
        """
        return torch.cat(list(self.samples(range(n), seed=seed, batch_size=batch_size, **given)))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map inputs of the generator, latents (N, latent_dim) and conditions, to images by the sampling network."""
        return self.postprocess(self.sampler(*inputs))

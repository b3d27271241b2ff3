"""Train families whose networks grow: the base class of ProGAN and StyleGAN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import Tensor, nn
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import checked
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.base import Batch
from lightning_gans.models.options import AdversarialOptions
from lightning_gans.networks.progan import Growing
from lightning_gans.schedules.growth import Growth, growing_schedule
from lightning_gans.schedules.learning_rate import EpochDecay
from lightning_gans.schedules.training_schedule import Plan


class ProgressiveModule(AdversarialModule):
    """Train a generator and a discriminator that grow from a small resolution to that of the data.

    Resolution, alpha, batch size and learning rate are functions of the step (``growth``); the data hand out images of
    that resolution, and real images are faded with the same alpha. Samples are enlarged to the last resolution by
    repeating pixels, so that scores compare images of one size throughout, and clamped to [-1, 1].

    Args:
        generator: Player, a ``Growing`` network.
        discriminator: Player, likewise.
        growth: The callback that grows the networks, and its schedule; ``None``: full resolution from the start.
        **options: See ``AdversarialModule``.
    """

    data_kinds = ("image", "labelled")
    generator: Any
    discriminator: Any

    @checked
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        growth: Growth | None,
        **options: Unpack[AdversarialOptions],
    ) -> None:
        super().__init__(generator, discriminator, **options)
        for name, network in {"generator": generator, "discriminator": discriminator}.items():
            if not isinstance(network, Growing):
                family = type(self).__name__.lower()
                raise ConfigError(name, type(network).__name__, f"must grow; use model/network={family}")
        if growth is not None and not isinstance(growth, Callback):
            raise ConfigError("growth", type(growth).__name__, "must be a ResolutionSchedule, or null")
        if growth is not None and self.compile_networks:
            rule = "not with model.growth, under which networks change; set compile to false"
            raise ConfigError("compile", True, rule)
        epochs = [p for p, factory in self.scheduler_factories.items() if getattr(factory, "func", None) is EpochDecay]
        if epochs and growth is not None and growth.batch_sizes:
            rule = "counts passes by one batch size, not with model.growth.batch_sizes; use LinearDecay"
            raise ConfigError(f"{epochs[0]}_scheduler", "EpochDecay", rule)
        self.growth = growth
        self.schedule = growing_schedule(growth, self.generator.image_size, self.batch_size, self.n_critic)
        self.networks_at(0)

    def networks_at(self, step: int) -> None:
        """Bring all networks to the resolution and alpha of step number ``step``."""
        phase = self.schedule.phase(step)
        for network in (self.generator, self.generator_ema, self.discriminator):
            if network is not None:
                network.grow(phase.resolution, phase.alpha(step))  # type: ignore[operator]

    def configure_callbacks(self) -> list[Callback]:
        """Return what grows the networks, if they grow, for the Trainer."""
        return [self.growth] if isinstance(self.growth, Callback) else []

    def update_order(self, batch: Batch, plan: Plan) -> list[tuple[str, Batch]]:
        """List the updates as the base does, on real images that are faded like the networks."""
        return super().update_order({**batch, "image": self.fade_reals(batch["image"])}, plan)

    def fade_reals(self, images: Tensor) -> Tensor:
        """Mix images (N, C, H, W) with their own half resolution: (1 - alpha) old + alpha new."""
        if not self.discriminator.fading:
            return images
        old = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="nearest")
        faded: Tensor = self.discriminator.fade(old, images)
        return faded

    def postprocess(self, images: Tensor) -> Tensor:
        """Enlarge images to the last resolution by repeating pixels, and clamp them to [-1, 1]."""
        factor = self.generator.image_size // images.shape[-1]
        return images.repeat_interleave(factor, 2).repeat_interleave(factor, 3).clamp(-1, 1)

    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check the data against the networks at their last resolution."""
        self.networks_at(self.schedule.phases[-1].first)
        super().check_data(shapes)
        self.networks_at(max(self.iteration - 1, 0))

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restore the counters, and with them resolution and alpha of the last step."""
        super().set_extra_state(state)
        self.networks_at(max(self.iteration - 1, 0))

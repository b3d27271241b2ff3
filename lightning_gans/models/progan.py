"""Train ProGAN, which grows progressively."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import Tensor
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import checked
from lightning_gans.losses.objectives import Wasserstein
from lightning_gans.losses.penalties import GradientPenalty
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.base import Batch
from lightning_gans.models.ema import EMA
from lightning_gans.models.options import AdversarialOptions, adam
from lightning_gans.networks import progan
from lightning_gans.schedules.growth import Growth, growing_schedule
from lightning_gans.schedules.learning_rate import EpochDecay
from lightning_gans.schedules.training_schedule import Plan


class ProGAN(AdversarialModule):
    """Train ProGAN. Karras, Aila, Laine, Lehtinen 2018, arXiv:1710.10196.

        D: E[D(G(z))] - E[D(x)] + 10 E[(|grad D(x')| - 1)^2] + 0.001 E[D(x)^2]        G: -E[D(G(z))]

    on networks that grow from 4x4: a new block is faded in, x and G(z) being (1 - alpha) old + alpha new, and then
    trained on. Resolution, alpha, batch size and learning rate are functions of the step (``growth``); the data hand
    out images of that resolution, and real images are faded with the same alpha. With ``model/objective=least_squares
    model.discriminator.noise=true`` it is the paper's appendix B, with ``non_saturating`` and ``penalty=r1`` the
    logistic loss of its successors.

    Samples are enlarged to the last resolution by repeating pixels, so that scores compare images of one size
    throughout, and clamped to [-1, 1], since the generator's colours are linear; the discriminator sees them as they
    are.

    Args:
        generator: Player, of ``lightning_gans.networks.progan`` or growing like it.
        discriminator: Player, likewise.
        growth: The callback that grows the networks, and its schedule; ``None``: full resolution from the start.
        **options: See ``AdversarialModule``.
    """

    data_kinds = ("image", "labelled")
    generator: progan.Generator
    discriminator: progan.Discriminator

    @checked
    def __init__(
        self,
        generator: progan.Generator,
        discriminator: progan.Discriminator,
        *,
        growth: Growth | None,
        **options: Unpack[AdversarialOptions],
    ) -> None:
        paper: AdversarialOptions = {
            "objective": Wasserstein(drift=0.001),
            "penalty": GradientPenalty(),
            "batch_size": 16,
            "ema": EMA(half_life_kimg=None, ramp_up=None, decay=0.999),
            "g_optimizer": adam(1e-3, 0.0, 0.99),
            "d_optimizer": adam(1e-3, 0.0, 0.99),
        }
        super().__init__(generator, discriminator, **(paper | options))
        for name, network in {"generator": generator, "discriminator": discriminator}.items():
            if not isinstance(network, progan.Growing):
                raise ConfigError(name, type(network).__name__, "must grow; use model/network=progan")
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
        self.schedule = growing_schedule(growth, generator.image_size, self.batch_size, self.n_critic)
        self._logits: list[Tensor] = []  # means of the logits of reals in this step
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

    # ------------------------------------------------------------------------------ the step

    def on_fit_start(self) -> None:
        """Compile as the base does; let the discriminator's noise be drawn for the global batch."""
        super().on_fit_start()
        if self.discriminator.noise is not None:
            self.discriminator.noise.draw = self.normal

    def update_order(self, batch: Batch, plan: Plan) -> list[tuple[str, Batch]]:
        """List the updates as the base does, on real images that are faded like the networks."""
        return super().update_order({**batch, "image": self.fade_reals(batch["image"])}, plan)

    def fade_reals(self, images: Tensor) -> Tensor:
        """Mix images (N, C, H, W) with their own half resolution: (1 - alpha) old + alpha new."""
        if not self.discriminator.fading:
            return images
        old = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="nearest")
        return self.discriminator.fade(old, images)

    def update_statistics(self, real_logits: Tensor) -> None:
        """Pass the logits on as the base does; keep their mean for the discriminator's noise."""
        super().update_statistics(real_logits)
        if self.discriminator.noise is not None:
            self._logits.append(real_logits.mean())

    def on_update_end(self, plan: Plan) -> None:
        """Update the average that the discriminator's noise follows, by all processes' logits."""
        super().on_update_end(plan)
        if self._logits:
            mean = self.trainer.strategy.reduce(self.reader.weight * torch.stack(self._logits).mean(), reduce_op="mean")
            self.discriminator.follow(mean)
            self._logits = []

    def extra_logs(self) -> dict[str, Tensor]:
        """Return the base's logs, and the average that the noise follows."""
        noise = {} if self.discriminator.noise is None else {"logit_average": self.discriminator.logit_average.clone()}
        return {**super().extra_logs(), **noise}

    # ------------------------------------------------------------------------------ samples and state

    def postprocess(self, images: Tensor) -> Tensor:
        """Enlarge images to the last resolution by repeating pixels, and clamp them to [-1, 1]."""
        factor = self.generator.image_size // images.shape[-1]
        return images.repeat_interleave(factor, 2).repeat_interleave(factor, 3).clamp(-1, 1)

    @property
    def normalizes_latents(self) -> bool:
        """Return whether the generator normalises latents."""
        return isinstance(self.generator.normalise, progan.PixelNorm)

    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check the data against the networks at their last resolution."""
        self.networks_at(self.schedule.phases[-1].first)
        super().check_data(shapes)
        self.networks_at(max(self.iteration - 1, 0))

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restore the counters, and with them resolution and alpha of the last step."""
        super().set_extra_state(state)
        self.networks_at(max(self.iteration - 1, 0))

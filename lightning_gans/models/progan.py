"""Progressive growing of GANs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.base import Batch, Plan
from lightning_gans.networks import progan
from lightning_gans.schedules.growth import Growth, Phase
from lightning_gans.schedules.learning_rate import EpochDecay


class ProGAN(AdversarialModule):
    """ProGAN. Karras, Aila, Laine, Lehtinen 2018, arXiv:1710.10196.

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
        growth: The schedule; ``None``: full resolution from the start.
        **options: See ``AdversarialModule``.
    """

    data_kinds = ("image", "labelled")
    generator: progan.Generator
    discriminator: progan.Discriminator

    def __init__(
        self,
        generator: progan.Generator,
        discriminator: progan.Discriminator,
        *,
        growth: Growth | None = None,
        **options: Any,
    ) -> None:
        super().__init__(generator, discriminator, **options)
        for name, network in {"generator": generator, "discriminator": discriminator}.items():
            if not isinstance(network, progan.Growing):
                raise ValueError(f"model.{name}={type(network).__name__}: must grow; use model/network=progan")
        if growth is not None and self.compile_networks:
            raise ValueError(
                "model.compile=true: not with model.growth, under which networks change; set compile to false"
            )
        if growth is not None and growth.batch_sizes:
            for player, factory in self.scheduler_factories.items():
                if getattr(factory, "func", None) is EpochDecay:
                    raise ValueError(
                        f"model.{player}_scheduler=EpochDecay: counts passes by one batch size, not with "
                        "model.growth.batch_sizes; use LinearDecay"
                    )
        self.growth = growth
        self.phases = self._phases(growth, self.batch_size, self.n_critic)
        self._logits: list[Tensor] = []  # means of the logits of reals in this step
        self.grow(0)

    # ------------------------------------------------------------------------------ the schedule

    def _phases(self, growth: Growth | None, batch_size: int, n_critic: int) -> list[Phase]:
        size = self.generator.image_size
        return growth.phases(size, batch_size, n_critic) if growth else [Phase(size, False, 0, None, batch_size)]

    def phase(self, step: int) -> Phase:
        """The phase that step number ``step`` lies in."""
        return phase_of(self.phases, step)

    def plan(self, step: int) -> Plan:
        """``n_critic`` chunks of the phase's batch size at its resolution."""
        phase = self.phase(step)
        left = None if phase.steps is None else phase.first + phase.steps - step
        return Plan(self.n_critic, phase.batch_size, phase.resolution, left)

    @property
    def resolutions(self) -> list[int | None]:
        """From the next step's on."""
        now = self.phase(self.iteration).resolution
        return [resolution for resolution in sorted({p.resolution for p in self.phases}) if resolution >= now]

    @property
    def batch_sizes(self) -> dict[str, int]:
        """As the base, its one of reals replaced by those of all phases where they differ."""
        sizes = super().batch_sizes
        if self.growth is not None and self.growth.batch_sizes:
            del sizes["batch_size"]
            sizes |= {f"growth.batch_sizes, at {phase.resolution}": phase.batch_size for phase in self.phases}
        return sizes

    @property
    def phase_ends(self) -> tuple[int, ...]:
        """The ends of fades and of the stays between them."""
        return tuple(phase.first for phase in self.phases[1:])

    @property
    def schedule_summary(self) -> str:
        """The schedule as a table."""
        rows = ["growth                 from update  real images an update  thousand images"]
        for phase in self.phases if self.growth else []:
            images = phase.batch_size * self.n_critic
            kimg = "to the end" if phase.steps is None else f"{phase.steps * images / 1000:,g}"
            rows.append(f"{phase.name:<21}  {phase.first:>11,}  {images:>21,}  {kimg:>15}")
        return "\n".join(rows) if self.growth else ""

    def grow(self, step: int) -> None:
        """Bring the networks to where step number ``step`` needs them; there they stay until the next one begins."""
        phase = self.phase(step)
        for network in (self.generator, self.generator_ema, self.discriminator):
            if network is not None:
                network.grow(phase.resolution, phase.alpha(step))  # type: ignore[operator]

    def check_budget(self, updates: int) -> None:
        """Warn where the last resolution has not faded in by then, with the images that it takes."""
        last = self.phases[-1]
        if self.growth is None or updates > last.first:
            return
        kimg = sum((phase.steps or 0) * phase.batch_size * self.n_critic for phase in self.phases) / 1000
        rank_zero_warn(
            f"trainer.max_steps={updates}: ends before {last.resolution}x{last.resolution} has faded in, after "
            f"{kimg:g} thousand images; the whole schedule is max_kimg={kimg + self.growth.stay(last.resolution):g}, "
            "or say a shorter model.growth.fade_kimg and stabilise_kimg"
        )

    def check_resumed(self, iteration: int, before: dict[str, Any]) -> None:
        """Refuse another history than the checkpoint has: where phases began, and how many images their steps take."""
        options = {key: value for key, value in (before.get("growth") or {}).items() if key != "_target_"}
        growth = Growth(**options) if before.get("growth") else None
        phases = self._phases(growth, before["batch_size"], before["n_critic"])
        stands, would = phase_of(phases, iteration), self.phase(iteration)
        if stands.steps is would.steps is None and stands.resolution == would.resolution:
            return  # the schedule has ended
        old, new = _begun(phases, before["n_critic"], iteration), _begun(self.phases, self.n_critic, iteration)
        if old == new:
            return
        now = (self.config or {}).get("resolved", {}).get("model", {})
        keys = [key for key in ("growth", "batch_size", "n_critic") if key in now and now[key] != before[key]]
        given = ", ".join(f"model.{key}={now[key]}" for key in keys) or "model.growth"
        differ = next(i for i, (one, other) in enumerate(zip_longest(old, new)) if one != other)
        was, is_now = (history[differ] if differ < len(history) else "nothing more" for history in (old, new))
        raise ValueError(
            f"{given}: up to generator update {iteration} the checkpoint had {was}; this schedule has {is_now}; a "
            "resumed run keeps its schedule up to there (model.accumulate saves memory)"
        )

    # ------------------------------------------------------------------------------ the step

    def on_fit_start(self) -> None:
        """As the base; the discriminator's noise is drawn for the global batch."""
        super().on_fit_start()
        if self.discriminator.noise is not None:
            self.discriminator.noise.draw = self.normal

    def on_train_start(self) -> None:
        """Set the learning rates of the phase that the training starts in."""
        self._scale_rates()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Grow, and forget the optimisers' moments where a fade begins or ends, as the authors' code does."""
        super().on_train_batch_start(batch, batch_idx)
        self.grow(self.iteration)
        step = self.iteration
        changes = step > 0 and self.phase(step) is not self.phase(step - 1)
        if changes and self.growth is not None and self.growth.reset_optimizers:
            for optimizer in self.player_optimizers().values():
                optimizer.optimizer.state.clear()

    def update_order(self, batch: Batch, plan: Plan) -> list[tuple[str, Batch]]:
        """As the base, the real images faded like the networks."""
        return super().update_order({**batch, "image": self.fade_reals(batch["image"])}, plan)

    def fade_reals(self, images: Tensor) -> Tensor:
        """Images mixed with their own half resolution: (1 - alpha) old + alpha new; (N, C, H, W) in and out."""
        if not self.discriminator.fading:
            return images
        old = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="nearest")
        return self.discriminator.fade(old, images)

    def update_statistics(self, real_logits: Tensor) -> None:
        """As the base; keep the logits' mean for the discriminator's noise."""
        super().update_statistics(real_logits)
        if self.discriminator.noise is not None:
            self._logits.append(real_logits.mean())

    def on_update_end(self, plan: Plan) -> None:
        """Move the average that the discriminator's noise follows, by all processes' logits."""
        super().on_update_end(plan)
        if self._logits:
            mean = self.trainer.strategy.reduce(torch.stack(self._logits).mean(), reduce_op="mean")
            self.discriminator.follow(mean)
            self._logits = []

    def step_schedulers(self) -> None:
        """As the base, and the next phase's factor on every rate."""
        for scheduler in self._schedulers():
            for group, rate in zip(scheduler.optimizer.param_groups, scheduler.get_last_lr(), strict=True):
                group["lr"] = rate  # a schedule may go on from it
        super().step_schedulers()
        self._scale_rates()

    def _scale_rates(self) -> None:
        factor = self.phase(self.iteration).lr_factor
        for scheduler in self._schedulers():
            for group, rate in zip(scheduler.optimizer.param_groups, scheduler.get_last_lr(), strict=True):
                group["lr"] = rate * factor

    def _schedulers(self) -> list[Any]:
        return [config.scheduler for config in self.trainer.strategy.lr_scheduler_configs]

    def extra_logs(self) -> dict[str, Tensor]:
        """Resolution and alpha of the step, and the average that the noise follows."""
        phase = self.phase(self.iteration - 1)
        shown = {"resolution": torch.tensor(float(phase.resolution))}
        shown["alpha"] = torch.tensor(phase.alpha(self.iteration - 1))
        if self.discriminator.noise is not None:
            shown["logit_average"] = self.discriminator.logit_average.clone()
        return {**super().extra_logs(), **shown}

    # ------------------------------------------------------------------------------ samples and state

    def postprocess(self, images: Tensor) -> Tensor:
        """Enlarged to the last resolution by repeating pixels, and clamped to [-1, 1]."""
        factor = self.generator.image_size // images.shape[-1]
        return images.repeat_interleave(factor, 2).repeat_interleave(factor, 3).clamp(-1, 1)

    @property
    def upsample_factor(self) -> int:
        """The last resolution divided by the one that the networks stand at."""
        return int(self.generator.image_size // self.sampler.resolution)  # type: ignore[operator]

    @property
    def normalizes_latents(self) -> bool:
        """Where latents are normalised."""
        return isinstance(self.generator.normalise, progan.PixelNorm)

    def check_data(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """As the base, at the last resolution."""
        for network in (self.generator, self.discriminator):
            network.grow(network.image_size)
        super().check_data(shapes)
        self.grow(max(self.iteration - 1, 0))

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restore the counters, and with them resolution and alpha of the last step."""
        super().set_extra_state(state)
        self.grow(max(self.iteration - 1, 0))


def _begun(phases: list[Phase], n_critic: int, iteration: int) -> list[str]:
    """In words, what the first ``iteration`` updates of a schedule were; alpha needs the length of a fade."""
    found = []
    for phase in phases:
        if phase.first < iteration:
            length = f" for {phase.steps} updates" if phase.fading else ""
            images = f"{phase.batch_size * n_critic} images each"
            found.append(f"{phase.name} from update {phase.first}{length}, {images}")
    return found


def phase_of(phases: list[Phase], step: int) -> Phase:
    """The phase of a schedule that step number ``step`` lies in."""
    return phases[bisect_right(phases, step, key=lambda phase: phase.first) - 1]

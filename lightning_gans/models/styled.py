"""Train generators that work by styles: the base class of StyleGAN and StyleGAN2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import NonNegative, NonNegativeInt
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.sampling import Inputs
from lightning_gans.models.sampling_options import Options, SamplingOption
from lightning_gans.networks.styles import StyleSampler
from lightning_gans.schedules.training_schedule import Plan

STYLE_OPTIONS = {
    "psi": SamplingOption(float, "draw styles towards their average: 1 leaves them, 0 is the average, 0.7 is usual"),
    "cutoff": SamplingOption(NonNegativeInt, "truncate the first so many layers only; 8 in the first StyleGAN"),
    "noise": SamplingOption(NonNegative, "factor of the noise; 0: none"),
}


class StyleModule(AdversarialModule):
    """Mix styles in training, draw noise for the global batch, and average the styles for truncation.

    Attributes:
        mixing: Probability that a generated image of training has two latents, the second from a random layer on.
        style_decay: Share that the average of styles keeps of itself at every update.
    """

    sampling_options = STYLE_OPTIONS
    mixing: float
    style_decay: float
    generator: Any
    _drawn: list[Inputs]  # in this step

    def use_styles(self, mixing: float, style_decay: float) -> None:
        """Set both options; called by constructors."""
        self.mixing, self.style_decay, self._drawn = mixing, style_decay, []

    def make_fakes(self, n: int) -> None:
        """Generate ``n`` samples of this process's share, some of them from two latents."""
        inputs = self.draw_inputs(n)
        self._drawn.append(inputs)
        mixed = self.draw_mixed(n)
        self._fake, self._fake_conditions = self.generator(*inputs, mixed=mixed, noise=self.draw_noise(n)), inputs[1:]

    def draw_mixed(self, n: int) -> tuple[Tensor, Tensor] | None:
        """Draw second latents (N, latent_dim), and the layer (N,) from which on each is taken; none without mixing."""
        if not self.mixing:
            return None
        layers, u = self.generator.style_layers, self.uniform(n, 2, dtype=torch.float32)
        crossover = 1 + (u[:, 1] * (layers - 1)).long().clamp(max=layers - 2)
        return self.draw_inputs(n)[0], torch.where(u[:, 0] < self.mixing, crossover, layers)

    def draw_noise(self, n: int) -> list[Tensor]:
        """Draw the noise of every layer at work, (N, 1, H, W) each."""
        return [self.normal(n, *shape) for shape in self.generator.noise_shapes]

    @torch.no_grad()
    def update_average(self, plan: Plan) -> None:
        """Move the average of styles by this step's on all processes; then average the generator as the base does."""
        if self._drawn:
            with torch.autocast(self.device.type, enabled=False):
                inputs = [torch.cat(rows) for rows in zip(*self._drawn, strict=True)]
                mean = self.reader.weight * self.generator.mapping(*inputs).mean(0)
            mean = self.trainer.strategy.reduce(mean, reduce_op="mean")
            self.generator.mapping.average.lerp_(mean, 1 - self.style_decay)
            self._drawn = []
        super().update_average(plan)

    def sampling_network(self, options: Options, *, from_styles: bool = False) -> nn.Module:
        """Return the network that samples with these options come from.

        Args:
            options: ``psi``, ``cutoff`` and ``noise``.
            from_styles: The network takes styles (N, style_dim), or (N, L, style_dim) by layer, in place of latents.

        Raises:
            ConfigError: ``cutoff`` without ``psi``, or beyond the layers.
        """
        cutoff = options.get("cutoff")
        layers = self.generator.style_layers
        if cutoff is not None and ("psi" not in options or cutoff > layers):
            rule = f"needs psi, and must be at most {layers}, the layers of this generator"
            raise ConfigError("cutoff", int(cutoff), rule)
        if not options and not from_styles:
            return self.sampler
        return StyleSampler(
            self.sampler,  # type: ignore[arg-type]
            psi=options.get("psi", 1.0),
            cutoff=None if cutoff is None else int(cutoff),
            noise=options.get("noise", 1.0),
            from_styles=from_styles,
        )

    @torch.no_grad()
    def to_styles(self, latents: Tensor, *conditions: Tensor) -> Tensor:
        """Map latents (N, latent_dim) and conditions to styles (N, style_dim) by the sampling network's mapping."""
        styles: Tensor = self.sampler.mapping(latents, *conditions)  # type: ignore[operator]
        return styles

    def postprocess(self, images: Tensor) -> Tensor:
        """Bring images to the data's size as the base does, and clamp them to [-1, 1]: their colours are linear."""
        return super().postprocess(images).clamp(-1, 1)

    @property
    def normalizes_latents(self) -> bool:
        """Return True: the mapping network divides latents by their length."""
        return True


def of_styles(module: object, key: str, value: object) -> StyleModule:
    """Return a module whose generator works by styles; refuse another one.

    Raises:
        ConfigError: With the option that needs styles.
    """
    if not isinstance(module, StyleModule):
        rule = f"{type(module).__name__} has no styles; model=stylegan, stylegan2 have"
        raise ConfigError(key, value, rule)
    return module

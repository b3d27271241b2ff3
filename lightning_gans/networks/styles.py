"""Map latents to styles and hand them to the layers of a style-based generator (Karras et al. 2019, arXiv:1812.04948).

A style w is a vector that the mapping network makes of a latent; every layer of the synthesis network takes one. In
training two latents may be mixed, and noise is drawn anew; in evaluation styles may be truncated towards their average,
and the noise is constant, so that an image is a function of its latent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gans.networks.classes import check_given, one_hot
from lightning_gans.networks.equalised import HE, EqualisedLinear
from lightning_gans.networks.instance_norm import instance_norm
from lightning_gans.networks.progan import SLOPE, PixelNorm

RATE = 0.01  # of the mapping network, as a multiple of the others'


class ScaledLeakyReLU(nn.LeakyReLU):
    """Apply a leaky rectifier of slope 0.2 times sqrt(2), as StyleGAN2's code does after the bias."""

    def __init__(self) -> None:
        super().__init__(SLOPE)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Map features to the same shape."""
        return super().forward(input) * HE


class MappingNetwork(nn.Module):
    """Map latents (N, latent_dim) to styles w (N, style_dim) by dense layers that learn a hundredth as fast.

    Latents are divided by the root of their mean square. A class's embedding, treated alike, stands behind them.

    Args:
        latent_dim: Length of the latents; 0: classes alone.
        style_dim: Length of the styles, and of a class's embedding.
        layers: Dense layers, >= 1.
        gain_last: Multiply by sqrt(2) after bias and rectifier, as in StyleGAN2, and not within the weights.
        num_classes: Number of classes; 0: it takes none.

    Attributes:
        average: Of the styles of training, (style_dim,); moved by the training.
    """

    average: Tensor

    def __init__(self, latent_dim: int, style_dim: int, layers: int, *, gain_last: bool, num_classes: int = 0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.normalise = PixelNorm()
        self.embedding = EqualisedLinear(num_classes, style_dim, gain=1.0) if num_classes else None
        widths = [latent_dim + (style_dim if num_classes else 0), *[style_dim] * layers]
        gain = 1.0 if gain_last else HE
        made: list[nn.Module] = []
        for inputs, outputs in zip(widths, widths[1:], strict=False):
            act = ScaledLeakyReLU() if gain_last else nn.LeakyReLU(SLOPE)
            made += [EqualisedLinear(inputs, outputs, gain=gain, lr_multiplier=RATE), act]
        self.layers = nn.Sequential(*made)
        self.register_buffer("average", torch.zeros(style_dim))

    def forward(self, latents: Tensor | None, *classes: Tensor) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) if it takes them, to styles (N, style_dim)."""
        check_given(classes, self.num_classes)
        parts = [] if latents is None else [self.normalise(latents)]
        if self.embedding is not None:
            (given,) = classes
            parts.append(self.normalise(self.embedding(one_hot(given, self.num_classes, self.average))))
        styles: Tensor = self.layers(torch.cat(parts, 1))
        return styles


class Noise(nn.Module):
    """Add noise, the same in all maps of a pixel, times a learnt strength that starts at 0.

    Args:
        size: Side of the maps.
        width: Maps that have a strength each; ``None``: one strength for all.
    """

    constant: Tensor

    def __init__(self, size: int, width: int | None = None) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(() if width is None else (width, 1, 1)))
        self.register_buffer("constant", torch.randn(1, 1, size, size))

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        """Add ``noise`` (N or 1, 1, H, W) to features (N, C, H, W).

        ``None``: drawn from torch's generator in training, the constant one in evaluation.
        """
        if noise is None:
            fresh = self.training
            noise = torch.randn(len(x), *self.constant.shape[1:], device=x.device) if fresh else self.constant
        return x + (noise.to(x.dtype) * self.strength.to(x.dtype))


class StyleGenerator(nn.Module, ABC):
    """Make images from latents by way of styles, which can be mixed and truncated: the base class of generators."""

    mapping: MappingNetwork
    latent_dim: int

    @property
    @abstractmethod
    def style_layers(self) -> int:
        """Return the number of styles that an image takes now."""

    @property
    @abstractmethod
    def noises(self) -> list[Noise]:
        """List the noises of the layers at work, in order."""

    @abstractmethod
    def synthesis(self, styles: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Map styles (N, style_layers, style_dim) and noise (N or 1, 1, H, W) by layer to images (N, C, H, W)."""

    def forward(
        self,
        latents: Tensor,
        *classes: Tensor,
        mixed: tuple[Tensor, Tensor] | None = None,
        noise: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Map latents (N, latent_dim), and classes (N,) if it takes them, to images (N, channels, H, W).

        Args:
            latents: (N, latent_dim).
            *classes: (N,).
            mixed: See ``styles``.
            noise: One tensor (N or 1, 1, H, W) for each of ``noise_shapes``; ``None``: see ``Noise``.
        """
        return self.synthesis(self.styles(latents, *classes, mixed=mixed), noise)

    def styles(self, latents: Tensor, *classes: Tensor, mixed: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Map latents (N, latent_dim) to a style for every layer, (N, L, style_dim).

        Args:
            latents: (N, latent_dim).
            *classes: (N,).
            mixed: Second latents (N, latent_dim), and the first layer (N,) that takes the style of the second.
        """
        layers = self.style_layers
        made: Tensor = self.mapping(latents, *classes)[:, None].expand(-1, layers, -1)
        if mixed is None:
            return made
        second, crossover = mixed
        other = self.mapping(second, *classes)[:, None]
        own = torch.arange(layers, device=made.device) < crossover[:, None]  # (N, L)
        return torch.where(own[:, :, None], made, other)

    def truncated(self, styles: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """Draw styles (N, L, style_dim) towards their average: w_avg + psi (w - w_avg).

        Args:
            styles: (N, L, style_dim).
            psi: 1: nothing changes; 0: the average; below 0: its other side.
            cutoff: Layers that are truncated, from the first on; ``None``: all.
        """
        average, end = self.mapping.average, styles.shape[1] if cutoff is None else cutoff
        return torch.cat([average + psi * (styles[:, :end] - average), styles[:, end:]], 1)

    @property
    def noise_shapes(self) -> list[torch.Size]:
        """List the shapes (1, H, W) of the noise that the layers at work take, in order."""
        return [noise.constant.shape[1:] for noise in self.noises]


class StyleSampler(nn.Module):
    """Run a generator with truncated styles and noise of another strength.

    Args:
        generator: A ``StyleGenerator``.
        psi: See ``StyleGenerator.truncated``.
        cutoff: Likewise.
        noise: Factor of the noise; 0: none.
        from_styles: Take styles (N, style_dim) in place of latents and classes.
    """

    def __init__(
        self,
        generator: StyleGenerator,
        *,
        psi: float = 1.0,
        cutoff: int | None = None,
        noise: float = 1.0,
        from_styles: bool = False,
    ) -> None:
        super().__init__()
        self.generator, self.psi, self.cutoff, self.noise = generator, psi, cutoff, noise
        self.from_styles = from_styles

    def forward(self, inputs: Tensor, *classes: Tensor) -> Tensor:
        """Map latents (N, latent_dim) and classes, styles (N, style_dim), or (N, L, style_dim), to images."""
        if not self.from_styles:
            styles = self.generator.styles(inputs, *classes)
        elif inputs.dim() == 2:
            styles = inputs[:, None].expand(-1, self.generator.style_layers, -1)
        else:
            styles = inputs
        if self.psi != 1:
            styles = self.generator.truncated(styles, self.psi, self.cutoff)
        scaled = None if self.noise == 1 else [self.noise * own.constant for own in self.generator.noises]
        return self.generator.synthesis(styles, scaled)


def picked(noise: Sequence[Tensor] | None, layers: int) -> Sequence[Any]:
    """Return the noise of every layer: what was given, or ``None`` for each."""
    return [None] * layers if noise is None else noise


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """Add a bias (C,) to features (N, C, H, W)."""
    return x + bias.to(x.dtype)[:, None, None]


def adaptive_instance_norm(x: Tensor, style: Tensor, *, normalise: bool = True, eps: float = 1e-8) -> Tensor:
    """Normalise each map of a sample and give it the style's scale + 1 and shift (AdaIN).

    Args:
        x: Features (N, C, H, W).
        style: Scales and shifts, (N, 2C).
        normalise: ``False``: scale and shift only.
        eps: Added to the variance.
    """
    scale, shift = style.to(x.dtype)[:, :, None, None].chunk(2, 1)
    if normalise:
        x = instance_norm(x, eps=eps)
    return x * (scale + 1) + shift

"""Show what the styles of a StyleGAN do: mixing, noise, directions of principal components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_gans.images.pixels import to_uint8
from lightning_gans.inference.latents import Walker
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.ema import evaluating
from lightning_gans.models.styled import StyleModule

SHEETS = ("mixing", "noise", "components")  # modes of the command
SOURCES = 6  # samples whose styles are put into others: two for each group of layers
AMONG = 10000  # samples whose styles principal components are computed from


class StyleWalker(Walker):
    """Combine the styles of a module's samples.

    Args:
        module: Family with styles.
        mode: What is shown, for messages.
        **options: See ``Walker``.

    Raises:
        ConfigError: The module has no styles.
    """

    module: StyleModule

    def __init__(self, module: GenerativeModule, mode: str, **options: Any) -> None:
        super().__init__(module, **options)
        self.use_styles("mode", mode)

    def sheet(self, mode: str, indices: Sequence[int], *, rows: int, steps: int, sigma: float) -> Tensor:
        """Draw the sheet of a mode, one of ``SHEETS``; (R, S, C, H, W) uint8."""
        if mode == "mixing":
            return self.mixing(indices[:rows], indices[rows:])
        return self.noise(indices) if mode == "noise" else self.components(indices[0], rows, steps, sigma)

    def mixing(self, columns: Sequence[int], sources: Sequence[int]) -> Tensor:
        """Put the coarse, then the middle, then the fine styles of sources into the samples of the columns.

        Args:
            columns: Numbers of the samples that keep their other styles, S.
            sources: Numbers of the samples whose styles are taken, R, a third for each group of layers.

        Returns:
            (R + 1, S + 1, C, H, W) uint8: above the columns' own images, on the left those of the sources.
        """
        layers = self.module.generator.style_layers
        own, taken = (self.inputs(numbers)[0] for numbers in (columns, sources))
        kept = own[:, None].expand(-1, layers, -1)
        ends, third = group_ends(layers), -(-len(sources) // 3)
        rows = [torch.cat([torch.zeros_like(self.images(own[:1])), self.images(own)])]
        for number, style in enumerate(taken):
            group = min(number // third, 2)
            mixed = kept.clone()
            mixed[:, ends[group] : ends[group + 1]] = style
            rows.append(torch.cat([self.images(style[None]), self.images(mixed)]))
        return torch.stack(rows)

    def noise(self, indices: Sequence[int]) -> Tensor:
        """Show samples with all noise, without, with that of fine layers only and with that of coarse ones only.

        Returns:
            (N, 4, C, H, W) uint8.
        """
        (styles,) = self.inputs(indices)
        constants = [noise.constant for noise in self.module.sampler.noises]  # type: ignore[union-attr]
        layers = range(len(constants))
        fine, columns = len(constants) // 2, []
        for kept in (layers, range(0), layers[fine:], layers[:fine]):
            noise = [constant * (number in kept) for number, constant in enumerate(constants)]
            columns.append(self._with_noise(styles, noise))
        return torch.stack(columns, 1)

    @torch.no_grad()
    def _with_noise(self, styles: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Generate images (N, C, H, W) uint8 of styles (N, style_dim) with given noise."""
        network, layers = self.module.sampler, self.module.generator.style_layers
        made = []
        with evaluating(network):
            for some in torch.split(styles, self.batch_size):
                images = network.synthesis(some[:, None].expand(-1, layers, -1), noise)  # type: ignore[operator]
                made.append(to_uint8(self.module.postprocess(images.float())))
        return torch.cat(made)

    def components(self, index: int, rows: int, steps: int, sigma: float) -> Tensor:
        """Move a sample's style along the principal components of styles (Harkonen et al. 2020, arXiv:2004.02546).

        Args:
            index: Number of the sample.
            rows: Components, those of the largest variance first.
            steps: Images of a row, from - ``sigma`` to + ``sigma`` standard deviations.
            sigma: See ``steps``.

        Returns:
            (rows, steps, C, H, W) uint8.
        """
        directions = self.directions()[:rows]
        style = self.inputs([index])[0]
        moves = torch.linspace(-sigma, sigma, steps, device=style.device, dtype=style.dtype)
        styles = style + moves[None, :, None] * directions[:, None]  # (rows, steps, style_dim)
        return self._rows(styles, [])

    def directions(self, n: int = AMONG) -> Tensor:
        """Return the principal components of n samples' styles, (style_dim, style_dim), one a row.

        The largest variance comes first; each is as long as its standard deviation, its largest entry positive.
        """
        pieces = [self.inputs(range(i, min(i + 1000, n)))[0] for i in range(0, n, 1000)]
        styles = torch.cat(pieces).double()
        centred = styles - styles.mean(0)
        values, vectors = torch.linalg.eigh(centred.t() @ centred / (n - 1))
        rows = vectors.t().flip(0)
        signs = rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()
        made: Tensor = rows * signs * values.flip(0).clamp_min(0).sqrt()[:, None]
        return made.to(pieces[0].dtype)


def group_ends(layers: int) -> tuple[int, int, int, int]:
    """Return where coarse, middle and fine layers begin and end.

    As in the paper up to 8x8, up to 32x32 and above from 64x64 on; thirds of smaller generators.
    """
    return (0, 4, 8, layers) if layers >= 10 else (0, round(layers / 3), round(layers * 2 / 3), layers)

"""Train StyleGAN, whose generator works by styles and grows."""

from __future__ import annotations

from typing_extensions import Unpack

from lightning_gans.config.types import Fraction, FractionBelowOne, checked
from lightning_gans.losses.objectives import NonSaturating
from lightning_gans.losses.penalties import R1
from lightning_gans.models.ema import EMA
from lightning_gans.models.options import AdversarialOptions, adam
from lightning_gans.models.progressive import ProgressiveModule
from lightning_gans.models.styled import StyleModule
from lightning_gans.networks import progan, stylegan
from lightning_gans.schedules.growth import Growth


class StyleGAN(StyleModule, ProgressiveModule):
    """Train StyleGAN. Karras, Laine, Aila 2019, arXiv:1812.04948.

        D: E[softplus(D(G(z)))] + E[softplus(-D(x))] + 10 / 2 E|grad D(x)|^2        G: E[softplus(-D(G(z)))]

    where a mapping network makes a style w of z, which scales and shifts the normalised features of every layer of a
    synthesis network that starts from a learnt constant and adds noise. Nine in ten generated images of training have
    the styles of two latents, the second from a random layer on. Networks grow from 8x8 as ProGAN's do;
    ``model/growth=none`` trains the last resolution from the start. ``model/penalty=lazy_r1`` penalises every 16th
    update only.

    In the authors' code one crossover holds for a whole batch, here each image has its own; the average of the styles
    moves twice an update there, here once, by all latents of the update.

    Args:
        generator: Player, of ``lightning_gans.networks.stylegan`` or growing like it.
        discriminator: Player, of ``lightning_gans.networks.progan`` or growing like it.
        growth: The callback that grows the networks, and its schedule; ``None``: full resolution from the start.
        mixing: Probability of two latents.
        style_decay: Share that the average of styles, which truncation needs, keeps of itself at every update.
        **options: See ``AdversarialModule``.
    """

    @checked
    def __init__(
        self,
        generator: stylegan.Generator,
        discriminator: progan.Discriminator,
        *,
        growth: Growth | None,
        mixing: Fraction = 0.9,
        style_decay: FractionBelowOne = 0.995,
        **options: Unpack[AdversarialOptions],
    ) -> None:
        paper: AdversarialOptions = {
            "objective": NonSaturating(),
            "penalty": R1(10.0),
            "batch_size": 32,
            "ema": EMA(half_life_kimg=10.0, ramp_up=None),
            "g_optimizer": adam(1e-3, 0.0, 0.99),
            "d_optimizer": adam(1e-3, 0.0, 0.99),
        }
        super().__init__(generator, discriminator, growth=growth, **(paper | options))
        self.use_styles(mixing, style_decay)

"""Train StyleGAN2, with lazy and path-length regularisation."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import Unpack

from lightning_gans.augment.adaptive import AdaptiveAugment
from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import Fraction, FractionBelowOne, checked
from lightning_gans.losses.lazy import Lazy
from lightning_gans.losses.objectives import NonSaturating
from lightning_gans.losses.path_length import PathLength, path_lengths
from lightning_gans.losses.penalties import R1
from lightning_gans.models.base import Batch, Terms
from lightning_gans.models.options import AdversarialOptions, adam
from lightning_gans.models.styled import StyleModule
from lightning_gans.networks import stylegan2
from lightning_gans.schedules.training_schedule import Plan


class StyleGAN2(StyleModule):
    """Train StyleGAN2. Karras et al. 2020, arXiv:1912.04958; with ADA arXiv:2006.06676.

        D: E[softplus(D(G(z)))] + E[softplus(-D(x))], every 16th update 16 gamma / 2 E|grad D(x)|^2
        G: E[softplus(-D(G(z)))], every 4th update 4 x 2 E[(|J_w^T y| - a)^2]

    with y ~ N(0, I) / sqrt(H W), J_w the Jacobian of the images by their styles and a the average length so far. A
    penalty has an optimiser step of its own, for which Adam's rate and betas are corrected (``losses.Lazy``). Networks
    do not grow.

    The defaults are those that the authors' ADA release chooses by itself for a data set (``auto``): gamma =
    0.0002 H W / batch size, a mapping network of 2 layers, half the width below 512x512, adaptive augmentation. The
    paper's configurations are experiments. With ``model.discriminator.classes=projection`` both networks take the
    class.

    What differs from the authors' code: each image has a crossover of its own; lengths are compared with their average
    before the update; R1 differentiates at the augmented images; the augmentation resamples without a wavelet filter.

    Args:
        generator: Player, of ``lightning_gans.networks.stylegan2``.
        discriminator: Player.
        path_length: Path-length penalty, ``Lazy`` or at every update; ``None``: without.
        mixing: Probability that a generated image has the styles of two latents.
        style_decay: Share that the average of styles, which truncation needs, keeps of itself at every update.
        **options: See ``AdversarialModule``.
    """

    path_average: Tensor

    @checked
    def __init__(
        self,
        generator: stylegan2.Generator,
        discriminator: stylegan2.Discriminator,
        *,
        path_length: Lazy | None = Lazy(PathLength(), 4),  # noqa: B008  (holds no state)
        mixing: Fraction = 0.9,
        style_decay: FractionBelowOne = 0.998,
        **options: Unpack[AdversarialOptions],
    ) -> None:
        batch_size = options.get("batch_size", 32)
        paper: AdversarialOptions = {
            "objective": NonSaturating(),
            "penalty": Lazy(R1(2e-4, pixels_over=batch_size), 16),
            "augment": AdaptiveAugment(),
            "batch_size": batch_size,
            "g_optimizer": adam(2.5e-3, 0.0, 0.99),
            "d_optimizer": adam(2.5e-3, 0.0, 0.99),
        }
        super().__init__(generator, discriminator, **(paper | options))
        self.use_styles(mixing, style_decay)
        self._lengths: list[Tensor] = []  # of this step
        if path_length is not None:
            if not isinstance(path_length.penalty, PathLength):
                raise ConfigError("path_length.penalty", type(path_length.penalty).__name__, "must be a PathLength")
            self.add_lazy("g", path_length)
            self.register_buffer("path_average", torch.zeros(()))

    def lazy_loss(self, player: str, batch: Batch) -> Terms:
        """Compute the penalty of a player: R1 of the discriminator, path lengths of the generator."""
        if player == "d":
            return super().lazy_loss(player, batch)
        penalty = self.lazy["g"]
        assert isinstance(penalty.penalty, PathLength)
        n = max(1, len(batch["image"]) // penalty.penalty.shrink)
        self.reader.rows = None  # every process draws as many
        with torch.autocast(self.device.type, enabled=False), torch.compiler.set_stance("force_eager"):
            styles = self.generator.styles(*self.draw_inputs(n), mixed=self.draw_mixed(n))
            images = self.generator.synthesis(styles, self.draw_noise(n))
            lengths = path_lengths(images, styles, self.normal(*images.shape))
            self._lengths.append(lengths.detach())
            return {"penalty": penalty(lengths, self.path_average)}

    def on_update_end(self, plan: Plan) -> None:
        """Move the average path length by those of this step on all processes."""
        super().on_update_end(plan)
        if self._lengths:
            mean = self.trainer.strategy.reduce(torch.cat(self._lengths).mean(), reduce_op="mean")
            self.path_average.lerp_(mean, self.lazy["g"].penalty.decay)  # type: ignore[union-attr]
            self._lengths = []

    def extra_logs(self) -> dict[str, Tensor]:
        """Return the base's logs, and the average path length."""
        return {**super().extra_logs(), **({"path_length": self.path_average.clone()} if "g" in self.lazy else {})}

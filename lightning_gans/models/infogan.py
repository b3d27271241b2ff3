"""Train InfoGAN."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import NonNegative, Positive, checked
from lightning_gans.losses.information import categorical_information, continuous_information
from lightning_gans.losses.objectives import NonSaturating
from lightning_gans.models.adversarial import AdversarialModule
from lightning_gans.models.base import Batch, Terms
from lightning_gans.models.codes import CODES
from lightning_gans.models.ema import evaluating
from lightning_gans.models.options import AdversarialOptions, adam
from lightning_gans.networks.infogan import CodeParameters
from lightning_gans.runtime.precision import full_precision
from lightning_gans.schedules.training_schedule import Plan

SMALLEST_LOG_STD = -4.0  # of Q's Gaussians


class Recogniser(Protocol):
    """Describe a discriminator whose trunk Q shares."""

    code_head: nn.Module

    def logits_and_codes(self, images: Tensor) -> tuple[Tensor, CodeParameters]:
        """Map images (N, C, H, W) to logits (N,) and the parameters of Q(c | x)."""


class InfoGAN(AdversarialModule):
    """Train InfoGAN. Chen et al. 2016, arXiv:1606.03657.

    G takes latents z and codes c: categories, and numbers uniform in [-1, 1). Q predicts the codes of generated images
    from the features of D's trunk, which bounds their mutual information, L_I = E[log Q(c | G(z, c))] + H(c) <= I(c; x)
    (its equations 5 and 6), with w one weight for categorical codes and one for continuous ones:

        D: -E[log s(D(x))] - E[log(1 - s(D(G(z, c))))] - w L_I        G: -E[log s(D(G(z, c)))] - w L_I

    as in the authors' code, where D's optimiser moves the trunk and Q. ``information_trains_trunk=false`` is the
    paper's game: D has no L_I, and G's optimiser moves Q with G. No label is used: codes are clusters in an order of
    their own, to be matched with classes by the best assignment (``evaluation.codes``). ``train/information_*`` is L_I
    in nats, entropy included: ln K at most for a category of K, and without a bound for continuous codes. Samples come
    from an average of the generator, which the paper has not: ``model.ema=null``.

    Args:
        generator: Player, G(z, categorical, continuous); has ``categorical`` and ``continuous``.
        discriminator: Player; has ``logits_and_codes`` and ``code_head``, see ``networks/infogan.py``.
        categorical_weight: Weight of L_I of the categorical codes, >= 0.
        continuous_weight: Weight of L_I of the continuous codes, >= 0.
        fixed_std: Standard deviation of Q's Gaussians, > 0, by which their term is a squared error; 1 in the authors'
            code for MNIST. ``None``: Q predicts it, as in the paper.
        information_trains_trunk: Put L_I into the discriminator's loss too.
        **options: See ``AdversarialModule``.
    """

    conditions = ("categorical", "continuous")
    condition_kinds = CODES

    @checked
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        categorical_weight: NonNegative = 1.0,
        continuous_weight: NonNegative = 0.1,
        fixed_std: Positive | None = None,
        information_trains_trunk: bool = True,
        **options: Unpack[AdversarialOptions],
    ) -> None:
        paper: AdversarialOptions = {
            "objective": NonSaturating(),
            "batch_size": 128,
            "latent": "uniform",
            "g_optimizer": adam(1e-3),
            "d_optimizer": adam(),
        }
        super().__init__(generator, discriminator, **(paper | options))
        if not hasattr(discriminator, "logits_and_codes"):
            name = f"{type(discriminator).__module__.rpartition('.')[2]}.{type(discriminator).__name__}"
            raise ConfigError("model.discriminator", name, "recognises no codes; use model/network=infogan")
        self.weights = {"categorical": categorical_weight, "continuous": continuous_weight}
        self.fixed_std, self.information_trains_trunk = fixed_std, information_trains_trunk
        self._information: Terms = {}  # nats, of the newest generated images
        if not information_trains_trunk:
            own = {id(weights) for weights in self.recogniser.code_head.parameters()}
            self._trainable["d"] = [weights for weights in self._trainable["d"] if id(weights) not in own]
            self.add_player("g", self.recogniser.code_head)

    @property
    def recogniser(self) -> Recogniser:
        """Return the discriminator, whose trunk Q shares."""
        return self.discriminator  # type: ignore[return-value]

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Compute the base's terms and, unless it is the paper's game, minus the weighted information."""
        terms = super().discriminator_loss(batch)
        return {**terms, **self.information_terms()} if self.information_trains_trunk else terms

    def generator_loss(self, batch: Batch) -> Terms:
        """Compute the base's terms and minus the weighted information of new samples."""
        return {**super().generator_loss(batch), **self.information_terms()}

    def information_terms(self) -> Terms:
        """Return minus the weighted bound for the newest generated images, by the kind of code."""
        return {kind: -self.weights[kind] * nats for kind, nats in self._information.items()}

    def logits(self, images: Tensor, *conditions: Tensor) -> Tensor:
        """Return raw logits (N,); of generated images, which have codes, note the information that Q finds."""
        if not conditions:
            return super().logits(images)
        logits, found = self.recogniser.logits_and_codes(images)
        self._information = self.information(found, *conditions)
        return full_precision(logits)

    def information(self, found: CodeParameters, categorical: Tensor, continuous: Tensor) -> Terms:
        """Return the bound L_I in nats by the kind of code, means over the images.

        Args:
            found: Parameters of Q(c | x) for N images.
            categorical: Categories (N, n) int64 that they were made from.
            continuous: Continuous codes (N, m) that they were made from.
        """
        nats = {}
        if found.logits:
            pairs = zip(found.logits, categorical.unbind(1), strict=True)
            each = [categorical_information(full_precision(logits), codes) for logits, codes in pairs]
            nats["categorical"] = torch.stack(each).sum(0).mean()
        if continuous.shape[1]:
            log_stds = full_precision(found.log_stds).clamp(min=SMALLEST_LOG_STD)
            if self.fixed_std is not None:
                log_stds = torch.full_like(log_stds, self.fixed_std).log()
            nats["continuous"] = continuous_information(continuous, full_precision(found.means), log_stds).mean()
        return nats

    @torch.no_grad()
    def recognise(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the likeliest categories (N, n) int64 and the means of the continuous codes (N, m) of images.

        Args:
            images: (N, C, H, W) in [-1, 1], on the module's device.
        """
        with evaluating(self.discriminator):
            found = self.recogniser.logits_and_codes(images)[1]
        likeliest = [logits.argmax(1) for logits in found.logits]
        none = torch.empty(len(images), 0, dtype=torch.int64, device=images.device)
        return torch.stack(likeliest, 1) if likeliest else none, full_precision(found.means)

    def on_update_end(self, plan: Plan) -> None:
        """Update as the base does, and free the graph of the information."""
        super().on_update_end(plan)
        self._information = {kind: nats.detach() for kind, nats in self._information.items()}

    def extra_logs(self) -> dict[str, Tensor]:
        """Return the information in nats of the newest generated images beside the base's logs."""
        return {**super().extra_logs(), **{f"information_{kind}": n for kind, n in self._information.items()}}

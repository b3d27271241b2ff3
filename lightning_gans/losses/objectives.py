"""Adversarial objectives of discriminator and generator, as pure functions of raw logits.

A discriminator returns logits of any shape; the objective applies the link function. Every method returns its terms by
name, each the mean over all logits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

import torch.nn.functional as F
from annotated_types import Ge, Lt
from torch import Tensor

from lightning_gans.config.types import NonNegative, Positive, checked


class Objective(ABC):
    """Compute a pair of losses for the discriminator and the generator from logits.

    Attributes:
        needs_real: True if the generator's loss reads the logits of real samples too.
        midpoint: The logit of a sample that might as well be real as generated; ``None`` where logits have no zero.
    """

    needs_real: ClassVar[bool] = False
    midpoint: float | None = 0.0

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return the discriminator's loss terms, from its logits on real and on generated samples of any shape."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Return the generator's loss terms, from logits on generated samples and, if ``needs_real``, on real ones."""


class Saturating(Objective):
    """Minimise the minimax GAN objective.

    D minimises -log s(D(x)) - log(1 - s(D(G(z)))), G minimises log(1 - s(D(G(z)))).

    Goodfellow et al. 2014, arXiv:1406.2661, equation 1; s is the logistic function.

    Args:
        label_smoothing: How far the target of reals lies below 1, from 0 to 0.5; fakes keep theirs of 0 (one-sided,
            Salimans et al. 2016, arXiv:1606.03498, section 3.4).
        d_weight: What the discriminator's terms are multiplied by, > 0; 0.5 in the released code of the first GAN.
    """

    @checked
    def __init__(self, label_smoothing: Annotated[float, Ge(0), Lt(0.5)] = 0.0, d_weight: Positive = 1.0) -> None:
        self.label_smoothing, self.d_weight = label_smoothing, d_weight

    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return the weighted cross entropies of reals against 1 - ``label_smoothing`` and of fakes against 0."""
        smoothed = F.softplus(-real) + self.label_smoothing * real  # -t log s(x) - (1 - t) log(1 - s(x))
        return {"real": self.d_weight * smoothed.mean(), "fake": self.d_weight * F.softplus(fake).mean()}

    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Return the mean log-probability that a fake is recognised."""
        return {"adversarial": -F.softplus(fake).mean()}


class NonSaturating(Saturating):
    """Minimise the non-saturating GAN objective: D as in the minimax game, G minimises -log s(D(G(z))).

    Goodfellow et al. 2014, arXiv:1406.2661, section 3.
    """

    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Return minus the mean log-probability that a fake is taken for real."""
        return {"adversarial": F.softplus(-fake).mean()}


class LeastSquares(Objective):
    """Minimise the LSGAN objective.

    D minimises (D(x) - b)^2 / 2 + (D(G(z)) - a)^2 / 2, G minimises (D(G(z)) - c)^2 / 2.

    Mao et al. 2017, arXiv:1611.04076, equation 2.

    Args:
        a: Target of fakes for the discriminator.
        b: Target of reals for the discriminator; below 1, it is one-sided label smoothing.
        c: Target of fakes for the generator.
        scale: What the squares are multiplied by, > 0: 0.5 as above, or 1.0 as in CycleGAN, arXiv:1703.10593.
    """

    @checked
    def __init__(self, a: float = 0.0, b: float = 1.0, c: float = 1.0, scale: Positive = 0.5) -> None:
        self.a, self.b, self.c, self.scale = a, b, c, scale
        self.midpoint = (a + b) / 2

    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return the scaled mean squared distances of reals to ``b`` and of fakes to ``a``."""
        real_term, fake_term = (real - self.b).square().mean(), (fake - self.a).square().mean()
        return {"real": real_term * self.scale, "fake": fake_term * self.scale}

    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Return the scaled mean squared distance of fakes to ``c``."""
        return {"adversarial": (fake - self.c).square().mean() * self.scale}


class Wasserstein(Objective):
    """Minimise the WGAN objective: the critic minimises E[D(G(z))] - E[D(x)], G minimises -E[D(G(z))].

    Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875, equation 2; needs a Lipschitz critic.

    Args:
        drift: Weight of E[D(x)^2], which keeps the critic's scores from drifting away (Karras et al. 2018,
            arXiv:1710.10196, appendix A.1: 0.001), >= 0.
    """

    midpoint = None

    @checked
    def __init__(self, drift: NonNegative = 0.0) -> None:
        self.drift = drift

    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return minus the estimated Wasserstein distance, as two terms, and the drift term if it has weight."""
        terms = {"real": -real.mean(), "fake": fake.mean()}
        return {**terms, "drift": self.drift * real.square().mean()} if self.drift else terms

    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Return minus the mean score of fakes."""
        return {"adversarial": -fake.mean()}


class Hinge(Objective):
    """Minimise the hinge GAN objective: D minimises max(0, 1 - D(x)) + max(0, 1 + D(G(z))), G minimises -D(G(z)).

    Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, equations 16 and 17.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return the mean hinge losses of reals at 1 and of fakes at -1."""
        return {"real": F.relu(1 - real).mean(), "fake": F.relu(1 + fake).mean()}

    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Return minus the mean score of fakes."""
        return {"adversarial": -fake.mean()}


class Relativistic(Objective):
    """Minimise the relativistic pairing objective.

    D minimises -log s(D(x) - D(G(z))), G minimises -log s(D(G(z)) - D(x)).

    Jolicoeur-Martineau 2019, arXiv:1807.00734, equations 3 and 4; R3GAN, arXiv:2501.05441, equation 2. Sample i of the
    reals is paired with sample i of the fakes.
    """

    needs_real = True
    midpoint = None

    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return the mean softplus of D(G(z)) - D(x) over the pairs."""
        return {"pairs": F.softplus(fake - real).mean()}

    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Return the mean softplus of D(x) - D(G(z)) over the pairs."""
        if real is None:
            raise ValueError("the relativistic objective needs the logits of real samples")
        return {"adversarial": F.softplus(real - fake).mean()}

"""Objectives: what the two players minimise, as pure functions of raw logits.

A discriminator returns logits of any shape; the objective owns the link function. Every method returns its terms by
name, each the mean over all logits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor


class Objective(ABC):
    """A pair of losses for the discriminator and the generator.

    Attributes:
        needs_real: Whether the generator's loss reads the logits of real samples too.
        midpoint: The logit of a sample that might as well be real as generated; ``None`` where logits have no zero.
    """

    needs_real: ClassVar[bool] = False
    midpoint: float | None = 0.0

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Terms of the discriminator's loss, from its logits on real and on generated samples."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Terms of the generator's loss, from the logits on generated samples and, if needed, on real ones."""


class Saturating(Objective):
    """Minimax GAN: D minimises -log s(D(x)) - log(1 - s(D(G(z)))), G minimises log(1 - s(D(G(z)))).

    Goodfellow et al. 2014, arXiv:1406.2661, equation 1; s is the logistic function.

    Args:
        label_smoothing: How far the target of reals lies below 1, from 0 to 0.5; fakes keep theirs of 0 (one-sided,
            Salimans et al. 2016, arXiv:1606.03498, section 3.4).
        d_weight: What the discriminator's terms are multiplied by, > 0; 0.5 in the released code of the first GAN.
    """

    def __init__(self, label_smoothing: float = 0.0, d_weight: float = 1.0) -> None:
        if not 0 <= label_smoothing < 0.5:
            raise ValueError(f"objective.label_smoothing={label_smoothing}: must be from 0 to below 0.5")
        if d_weight <= 0:
            raise ValueError(f"objective.d_weight={d_weight}: must be > 0")
        self.label_smoothing, self.d_weight = label_smoothing, d_weight

    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Binary cross entropy of reals against 1, or a little less, and of fakes against 0; weighted."""
        smoothed = F.softplus(-real) + self.label_smoothing * real  # -t log s(x) - (1 - t) log(1 - s(x))
        return {"real": self.d_weight * smoothed.mean(), "fake": self.d_weight * F.softplus(fake).mean()}

    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """The logarithm of the probability that a fake is recognised."""
        return {"adversarial": -F.softplus(fake).mean()}


class NonSaturating(Saturating):
    """Non-saturating GAN: D as in the minimax game, G minimises -log s(D(G(z))).

    Goodfellow et al. 2014, arXiv:1406.2661, section 3.
    """

    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Minus the logarithm of the probability that a fake is taken for real."""
        return {"adversarial": F.softplus(-fake).mean()}


class LeastSquares(Objective):
    """LSGAN: D minimises (D(x) - b)^2 / 2 + (D(G(z)) - a)^2 / 2, G minimises (D(G(z)) - c)^2 / 2.

    Mao et al. 2017, arXiv:1611.04076, equation 2.

    Args:
        a: Target of fakes for the discriminator.
        b: Target of reals for the discriminator; below 1, it is one-sided label smoothing.
        c: Target of fakes for the generator.
        scale: What the squares are multiplied by, > 0: 0.5 as above, or 1.0 as in CycleGAN, arXiv:1703.10593.
    """

    def __init__(self, a: float = 0.0, b: float = 1.0, c: float = 1.0, scale: float = 0.5) -> None:
        if scale <= 0:
            raise ValueError(f"objective.scale={scale}: must be > 0")
        self.a, self.b, self.c, self.scale = a, b, c, scale
        self.midpoint = (a + b) / 2

    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The scaled mean squared distances to ``b`` and ``a``."""
        real_term, fake_term = (real - self.b).square().mean(), (fake - self.a).square().mean()
        return {"real": real_term * self.scale, "fake": fake_term * self.scale}

    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """The scaled mean squared distance to ``c``."""
        return {"adversarial": (fake - self.c).square().mean() * self.scale}


class Wasserstein(Objective):
    """WGAN: the critic minimises E[D(G(z))] - E[D(x)], G minimises -E[D(G(z))].

    Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875, equation 2; needs a Lipschitz critic.

    Args:
        drift: Weight of E[D(x)^2], which keeps the critic's scores from drifting away (Karras et al. 2018,
            arXiv:1710.10196, appendix A.1: 0.001), >= 0.
    """

    midpoint = None

    def __init__(self, drift: float = 0.0) -> None:
        if drift < 0:
            raise ValueError(f"objective.drift={drift}: must be >= 0")
        self.drift = drift

    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Minus the estimate of the Wasserstein distance, in its two halves, and the drift's term if it has weight."""
        terms = {"real": -real.mean(), "fake": fake.mean()}
        return {**terms, "drift": self.drift * real.square().mean()} if self.drift else terms

    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Minus the mean score of fakes."""
        return {"adversarial": -fake.mean()}


class Hinge(Objective):
    """Hinge GAN: D minimises max(0, 1 - D(x)) + max(0, 1 + D(G(z))), G minimises -D(G(z)).

    Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, equations 16 and 17.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """How far reals fall below 1 and fakes rise above -1."""
        return {"real": F.relu(1 - real).mean(), "fake": F.relu(1 + fake).mean()}

    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Minus the mean score of fakes."""
        return {"adversarial": -fake.mean()}


class Relativistic(Objective):
    """Relativistic pairing: D minimises -log s(D(x) - D(G(z))), G minimises -log s(D(G(z)) - D(x)).

    Jolicoeur-Martineau 2019, arXiv:1807.00734, equations 3 and 4; R3GAN, arXiv:2501.05441, equation 2. Sample i of the
    reals is paired with sample i of the fakes.
    """

    needs_real = True
    midpoint = None

    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """How often and how far a fake is ranked above the real sample beside it."""
        return {"pairs": F.softplus(fake - real).mean()}

    def generator(self, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """How often and how far a real sample is ranked above the fake beside it."""
        if real is None:
            raise ValueError("the relativistic objective needs the logits of real samples")
        return {"adversarial": F.softplus(real - fake).mean()}

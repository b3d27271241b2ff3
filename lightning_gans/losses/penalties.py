"""Gradient penalties on the discriminator, one value per sample, averaged last."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import NonNegative, Positive, PositiveInt, checked
from lightning_gans.losses.critic import Critic, input_gradients
from lightning_gans.runtime.distributed import sum_over_processes
from lightning_gans.runtime.precision import full_precision
from lightning_gans.schedules.values import Scheduled, ends_of, value_at

Uniform = Callable[..., Tensor]


class RealFakeConditions(NamedTuple):
    """Hold what the discriminator is conditioned on at real and at generated samples: tensors (N, ...)."""

    real: tuple[Tensor, ...] = ()
    fake: tuple[Tensor, ...] = ()


UNCONDITIONAL = RealFakeConditions()


class Penalty(ABC):
    """Compute a weighted gradient penalty as a term of the discriminator's loss.

    Args:
        weight: Factor of the term, >= 0; a number, or a ``CosineValue`` over the real images seen.

    Attributes:
        needs_fakes: Whether it looks at generated samples.
        is_quotient: Whether it compares logits of two calls, and not gradients of one.
        differentiates: Sides, of ``real`` and ``fake``, at whose very samples it differentiates.
    """

    needs_fakes: ClassVar[bool] = True
    differentiates: ClassVar[tuple[str, ...]] = ()
    is_quotient: ClassVar[bool] = False

    @checked
    def __init__(self, weight: Scheduled = 10.0) -> None:
        if min(ends_of(weight)) < 0:
            raise ConfigError("weight", weight, "must be >= 0")
        self.weight = weight

    @abstractmethod
    def per_sample(
        self,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        uniform: Uniform,
        conditions: RealFakeConditions = UNCONDITIONAL,
    ) -> Tensor:
        """Return the unweighted penalty of every sample, (N,)."""

    def __call__(
        self,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        uniform: Uniform,
        conditions: RealFakeConditions = UNCONDITIONAL,
        *,
        images_seen: int = 0,
    ) -> Tensor:
        """Return the weighted mean penalty, a scalar.

        Args:
            critic: The discriminator; per-sample, so without batch norm.
            real: Real samples (N, ...).
            fake: Generated samples of the same shape, without gradient.
            uniform: ``uniform(N, ...)`` draws numbers in [0, 1).
            conditions: Of both sides; a point between or beside real samples has the real one's.
            images_seen: Real images shown before this step, for a scheduled weight.
        """
        return value_at(self.weight, images_seen) * self.per_sample(critic, real, fake, uniform, conditions).mean()


class GradientPenalty(Penalty):
    """Compute the WGAN-GP gradient penalty.

    (|grad D(x')| - 1)^2 at x' = u x + (1 - u) G(z), one u ~ U[0, 1) per sample.

    Gulrajani et al. 2017, arXiv:1704.00028, equation 3. One-sided: max(0, |grad D(x')| - 1)^2, its section 4.

    Args:
        weight: Factor of the term, lambda in the paper.
        one_sided: Punish only norms above the target.
        target: The norm that costs nothing.
    """

    @checked
    def __init__(self, weight: Scheduled = 10.0, one_sided: bool = False, target: NonNegative = 1.0) -> None:
        super().__init__(weight)
        self.one_sided, self.target = one_sided, target

    def per_sample(
        self,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        uniform: Uniform,
        conditions: RealFakeConditions = UNCONDITIONAL,
    ) -> Tensor:
        """Return the squared distance of the gradient's norm to the target, (N,)."""
        u = uniform(len(real), *[1] * (real.dim() - 1))
        between = torch.lerp(full_precision(fake), full_precision(real), u)
        norms = input_gradients(critic, between, *conditions.real).norm(dim=1)
        excess = norms - self.target
        return torch.square(excess.relu() if self.one_sided else excess)


class R1(Penalty):
    """Compute the R1 penalty.

    |grad D(x)|^2 / 2 on real samples. Mescheder et al. 2018, arXiv:1801.04406, equation 9.

    Args:
        weight: Factor of the term, gamma in papers.
        pixels_over: Batch size B, for a factor that suits the size of the images: weight x H W / B, as the released
            code of StyleGAN2-ADA (arXiv:2006.06676) chooses gamma with a weight of 0.0002. ``None``: the weight alone.
    """

    needs_fakes = False
    differentiates = ("real",)

    @checked
    def __init__(self, weight: Scheduled = 10.0, pixels_over: PositiveInt | None = None) -> None:
        super().__init__(weight)
        self.pixels_over = pixels_over

    def per_sample(
        self,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        uniform: Uniform,
        conditions: RealFakeConditions = UNCONDITIONAL,
    ) -> Tensor:
        """Return half the squared norm of the gradient at the reals, (N,), times H W / B if that is asked for."""
        factor = 1.0 if self.pixels_over is None else real.shape[-2] * real.shape[-1] / self.pixels_over
        return factor * input_gradients(critic, real, *conditions.real).square().sum(1) / 2


class R2(Penalty):
    """Compute the R2 penalty.

    |grad D(G(z))|^2 / 2 on generated samples. Mescheder et al. 2018, arXiv:1801.04406, equation 10.
    """

    differentiates = ("fake",)

    def per_sample(
        self,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        uniform: Uniform,
        conditions: RealFakeConditions = UNCONDITIONAL,
    ) -> Tensor:
        """Return half the squared norm of the gradient at the fakes, (N,)."""
        return input_gradients(critic, fake, *conditions.fake).square().sum(1) / 2


class R1R2(Penalty):
    """Compute both zero-centred penalties, R1 and R2.

    (|grad D(x)|^2 + |grad D(G(z))|^2) / 2. R3GAN, arXiv:2501.05441, equation 3.

    Args:
        weight: Factor of the term, gamma in the paper.
    """

    differentiates = ("real", "fake")

    def per_sample(
        self,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        uniform: Uniform,
        conditions: RealFakeConditions = UNCONDITIONAL,
    ) -> Tensor:
        """Return half the squared gradient norms at a real sample and the fake beside it, summed, (N,)."""
        at_real = input_gradients(critic, real, *conditions.real).square().sum(1)
        return (at_real + input_gradients(critic, fake, *conditions.fake).square().sum(1)) / 2


class ApproximateR1R2(Penalty):
    """Approximate R1 and R2 by a difference quotient along one direction of noise, without double backward.

    ((D(x + s n) - D(x)) / s)^2 / 2 on real samples, and the same with noise of its own on generated ones, n ~ N(0, 1)
    for every value. Its mean over n tends to R1R2 as s falls; one n a step adds variance. Lin et al. 2025,
    arXiv:2501.08316 (approximated R1), there on real samples and as lambda (D(x + s n) - D(x))^2 with lambda = 100 and
    s = 0.01, which is a ``weight`` of 2 lambda s^2 = 0.02 here.

    The discriminator is asked twice about a sample, so it must not draw numbers of its own, as dropout does.

    Args:
        weight: Factor of the term, gamma of R1 and R2.
        sigma: s, the noise's standard deviation, in images of [-1, 1]; of a much smaller one float32 leaves rounding.
    """

    is_quotient = True

    @checked
    def __init__(self, weight: Scheduled = 1.0, sigma: Positive = 0.01) -> None:
        super().__init__(weight)
        self.sigma = sigma

    def per_sample(
        self,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        uniform: Uniform,
        conditions: RealFakeConditions = UNCONDITIONAL,
    ) -> Tensor:
        """Return half the squared difference quotients at a real sample and the fake beside it, summed, (N,)."""
        at_real = self._quotients(critic, real, uniform, conditions.real)
        at_fake = self._quotients(critic, fake, uniform, conditions.fake)
        return (at_real.square() + at_fake.square()) / 2

    def _quotients(self, critic: Critic, samples: Tensor, uniform: Uniform, given: tuple[Tensor, ...]) -> Tensor:
        """Return (D(x + s n) - D(x)) / s of every sample, its logits summed, (N,)."""
        at = full_precision(samples)  # the same tensor if it is float32, whose logits may be known
        smallest = torch.finfo(torch.float32).tiny  # uniform numbers begin at 0, where a normal one is infinite
        noise = torch.special.ndtri(uniform(*samples.shape).clamp_min(smallest)).to(at)
        with torch.autocast(at.device.type, enabled=False):
            change = critic(at + self.sigma * noise, *given) - critic(at, *given)
        return change.reshape(len(at), -1).sum(1) / self.sigma


class Dragan(Penalty):
    """Compute the DRAGAN penalty.

    (|grad D(x')| - 1)^2 around the data, at x' = x + a (x_p - x) with one a ~ U[0, 1) per sample.

    Kodali et al. 2017, arXiv:1705.07215, and its released code: x_p = x + ``spread`` std U[0, 1), one number per value,
    where std is the standard deviation of all values of the (micro-)batch, over all processes.

    Args:
        weight: Factor of the term, lambda in the paper.
        spread: Size of the perturbation in standard deviations.
    """

    @checked
    def __init__(self, weight: Scheduled = 10.0, spread: Positive = 0.5) -> None:
        super().__init__(weight)
        self.spread = spread

    def per_sample(
        self,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        uniform: Uniform,
        conditions: RealFakeConditions = UNCONDITIONAL,
    ) -> Tensor:
        """Return the squared distance of the gradient's norm to 1, (N,)."""
        a = uniform(len(real), *[1] * (real.dim() - 1))
        step = self.spread * _deviation(real) * uniform(*real.shape)
        norms = input_gradients(critic, full_precision(real) + a * step, *conditions.real).norm(dim=1)
        return torch.square(norms - 1)


def _deviation(samples: Tensor) -> Tensor:
    """Return the population standard deviation of all values of the global batch, a scalar."""
    values = samples.detach().double()
    moments = torch.stack([values.new_tensor(values.numel()), values.sum(), values.square().sum()])
    count, total, squares = sum_over_processes(moments)
    variance = squares / count - torch.square(total / count)
    return torch.sqrt(variance.clamp_min(0)).to(full_precision(samples).dtype)

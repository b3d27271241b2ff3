"""Gradient penalties against the closed forms of linear and quadratic critics."""

import pytest
import torch

from lightning_gans.losses.critic import RememberingCritic, input_gradients
from lightning_gans.losses.penalties import (
    R1,
    R1R2,
    R2,
    ApproximateR1R2,
    Dragan,
    GradientPenalty,
    RealFakeConditions,
)
from lightning_gans.networks.mlp import Discriminator
from lightning_gans.schedules.values import CosineValue

W = torch.tensor([3.0, -4.0], dtype=torch.float32)  # |w| = 5


def uniform(*shape):
    return torch.rand(*shape)


def linear(weight):
    return lambda x: x.flatten(1) @ weight


@pytest.mark.parametrize(
    ("penalty", "value", "slope"),
    [
        (GradientPenalty(weight=10), lambda n: 10 * (n - 1) ** 2, lambda n: 20 * (n - 1)),
        (GradientPenalty(weight=2, one_sided=True), lambda n: 2 * max(0, n - 1) ** 2, lambda n: 4 * max(0, n - 1)),
        (GradientPenalty(weight=1, target=0), lambda n: n**2, lambda n: 2 * n),
        (R1(weight=3), lambda n: 1.5 * n**2, lambda n: 3 * n),
        (R2(weight=3), lambda n: 1.5 * n**2, lambda n: 3 * n),
        (R1R2(weight=3), lambda n: 3 * n**2, lambda n: 6 * n),
        (Dragan(weight=10), lambda n: 10 * (n - 1) ** 2, lambda n: 20 * (n - 1)),
    ],
)
@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_linear_critic(penalty, value, slope, scale):
    weight = (W * scale).requires_grad_(True)
    norm = 5 * scale
    loss = penalty(linear(weight), torch.randn(6, 2), torch.randn(6, 2), uniform)
    assert loss.item() == pytest.approx(value(norm), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, weight)
    expected = slope(norm) * W / 5
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


def test_quadratic_critic_tells_where_it_is_measured():
    """For D(x) = |x|^2 / 2 the gradient is x itself."""
    critic = lambda x: x.flatten(1).square().sum(1) / 2  # noqa: E731
    real, fake = torch.randn(5, 3, 2, 2), torch.randn(5, 3, 2, 2)
    torch.testing.assert_close(R1(2.0)(critic, real, fake, uniform), real.flatten(1).square().sum(1).mean())
    torch.testing.assert_close(R2(2.0)(critic, real, fake, uniform), fake.flatten(1).square().sum(1).mean())
    torch.testing.assert_close(
        R1R2(2.0)(critic, real, fake, uniform),
        R1(2.0)(critic, real, fake, uniform) + fake.flatten(1).square().sum(1).mean(),
    )
    halves = lambda n, *rest: torch.full((n, *rest), 0.25)  # noqa: E731
    between = 0.25 * real + 0.75 * fake
    expected = 10 * (between.flatten(1).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(GradientPenalty()(critic, real, fake, halves), expected)


def test_conditions_are_passed_on_and_only_images_are_interpolated():
    """For D(x, y) = y |x|^2 / 2 the gradient is y x: with each side's own y, between them with the real one's."""
    critic = lambda x, y: y * x.flatten(1).square().sum(1) / 2  # noqa: E731
    real, fake = torch.randn(5, 1, 2, 2), torch.randn(5, 1, 2, 2)
    y, other = torch.tensor([1, 2, 3, 4, 5]), torch.tensor([7, 7, 8, 8, 9])
    given = RealFakeConditions((y,), (other,))
    halves = lambda n, *rest: torch.full((n, *rest), 0.25)  # noqa: E731

    def squares(weight, samples):
        return (weight * samples.flatten(1).norm(dim=1)).square().mean() / 2

    torch.testing.assert_close(R1(1.0)(critic, real, fake, uniform, given), squares(y, real))
    torch.testing.assert_close(R2(1.0)(critic, real, fake, uniform, given), squares(other, fake))
    both = squares(y, real) + squares(other, fake)
    torch.testing.assert_close(R1R2(1.0)(critic, real, fake, uniform, given), both)
    norms = y * (0.25 * real + 0.75 * fake).flatten(1).norm(dim=1)
    expected = 10 * (norms - 1).square().mean()
    torch.testing.assert_close(GradientPenalty()(critic, real, fake, halves, given), expected)
    step = 0.25 * 0.5 * 0.25 * real.std(correction=0)  # a, spread, and the uniform number of every value
    expected = 10 * (y * (real + step).flatten(1).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(Dragan()(critic, real, fake, halves, given), expected)


def test_one_number_per_sample_and_norm_per_sample():
    shapes = []

    def watched(*shape):
        shapes.append(shape)
        return torch.rand(*shape)

    weights = torch.tensor([1.0, 3.0])  # critic whose gradient norm differs between samples
    critic = lambda x: x.flatten(1).sum(1) * weights / 2.0  # noqa: E731
    per_sample = GradientPenalty().per_sample(critic, torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2), watched)
    assert shapes == [(2, 1, 1, 1)]
    assert per_sample.tolist() == pytest.approx([0.0, 4.0])  # norms 1 and 3


def test_a_weight_may_follow_the_images_seen():
    critic = lambda x: x.flatten(1).square().sum(1) / 2  # noqa: E731
    real, fake = torch.randn(4, 1, 2, 2), torch.randn(4, 1, 2, 2)
    penalty = R1R2(CosineValue(2.0, 0.5, kimg=1))
    for images, weight in ((0, 2.0), (500, 1.25), (1000, 0.5), (2000, 0.5)):
        expected = R1R2(weight)(critic, real, fake, uniform)
        torch.testing.assert_close(penalty(critic, real, fake, uniform, images_seen=images), expected)


def test_reaches_the_critic_under_autocast_in_full_precision():
    critic = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 1))
    x = torch.randn(4, 1, 4, 4)
    plain = input_gradients(critic, x)
    with torch.autocast("cpu", torch.bfloat16):
        under = input_gradients(critic, x.bfloat16().float())
        loss = R1()(critic, x, x, uniform)
    assert under.dtype == torch.float32
    torch.testing.assert_close(input_gradients(critic, x.bfloat16().float()), under)
    assert plain.shape == (4, 16)
    loss.backward()
    assert critic[0].weight.grad.abs().sum() > 0


def test_negative_weight_is_refused():
    with pytest.raises(ValueError, match=r"^weight=-1.*>= 0"):
        R1(-1)


def test_dragan_looks_around_the_data():
    """x' = x + a 0.5 std(batch) U with one a per sample and one U per value; for |x|^2 / 2 the gradient is x'."""
    draws = []

    def watched(*shape):
        draws.append(torch.rand(*shape))
        return draws[-1]

    critic = lambda x: x.flatten(1).square().sum(1) / 2  # noqa: E731
    real = torch.randn(5, 3, 2, 2)
    value = Dragan(weight=1.0)(critic, real, torch.full_like(real, 99.0), watched)
    a, u = draws
    assert a.shape == (5, 1, 1, 1)
    assert u.shape == real.shape
    around = real + a * 0.5 * real.std(correction=0) * u
    torch.testing.assert_close(value, (around.flatten(1).norm(dim=1) - 1).square().mean())


@pytest.mark.parametrize("minibatch", ["stddev", "discrimination"])
def test_both_sides_are_judged_apart(minibatch):
    """As the losses do, so that layers which compare samples see one side at a time."""
    critic = Discriminator(image_size=None, channels=3, hidden=[8], maxout=1, minibatch=minibatch, init="he").eval()
    real, fake = torch.randn(8, 3), torch.randn(8, 3) + 2
    both = R1R2(1.0)(critic, real, fake, uniform)
    torch.testing.assert_close(both, R1(1.0)(critic, real, fake, uniform) + R2(1.0)(critic, real, fake, uniform))


ONE = 0.8413447460685429  # the standard normal distribution function at 1


def all_ones(*shape):
    """Draw uniform numbers of which normal ones are 1."""
    return torch.full(shape, ONE, dtype=torch.float64)


def test_quotient_of_a_linear_critic_is_its_slope_along_the_noise():
    """For D(x) = w x it is w n, whatever sigma and x; the gradient of its square is 2 (w n) n."""
    weight = torch.tensor([3.0, -4.0], dtype=torch.float64, requires_grad=True)
    real, fake = torch.randn(6, 2).double(), torch.randn(6, 2).double()
    for sigma in (0.01, 1.0):
        loss = ApproximateR1R2(weight=5, sigma=sigma)(linear(weight), real, fake, all_ones)
        torch.testing.assert_close(loss, torch.tensor(5.0).double())  # 5 (1 + 1) / 2, and w n = -1
        (gradient,) = torch.autograd.grad(loss, weight)
        torch.testing.assert_close(gradient, torch.tensor([-10.0, -10.0]).double())


def test_quotient_of_a_quadratic_critic_has_the_noise_of_each_value():
    """For D(x) = |x|^2 / 2 it is x n + sigma |n|^2 / 2, at each side with noise of its own."""
    drawn = []

    def watched(*shape):
        drawn.append(torch.rand(*shape, dtype=torch.float64))
        return drawn[-1]

    critic = lambda x: x.flatten(1).square().sum(1) / 2  # noqa: E731
    real, fake = torch.randn(5, 3, 2, 2).double(), torch.randn(5, 3, 2, 2).double()
    values = ApproximateR1R2(sigma=0.3).per_sample(critic, real, fake, watched)
    expected = torch.zeros(5).double()
    assert len(drawn) == 2
    for samples, numbers in zip((real, fake), drawn, strict=True):
        noise = 2**0.5 * torch.erfinv(2 * numbers - 1)
        quotient = (samples * noise).flatten(1).sum(1) + 0.3 * noise.square().flatten(1).sum(1) / 2
        expected += quotient.square() / 2
    torch.testing.assert_close(values, expected)


def test_its_mean_over_the_noise_is_the_exact_penalty():
    """Of a network with curvature: 4,000 directions, whose mean is off by 1 / sqrt(2,000) of the value."""
    torch.manual_seed(0)
    critic = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.SiLU(), torch.nn.Linear(16, 1)).double()
    real, fake = torch.randn(2, 8).double(), torch.randn(2, 8).double()
    many = [samples.repeat_interleave(4000, 0) for samples in (real, fake)]
    values = ApproximateR1R2(1.0, sigma=1e-3).per_sample(critic, *many, uniform).view(2, -1).mean(1)
    torch.testing.assert_close(values, R1R2(1.0).per_sample(critic, real, fake, uniform), rtol=0.1, atol=0)


class Once(torch.autograd.Function):
    """A square that refuses to be differentiated twice."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x.square()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, gradient):
        return 2 * context.saved_tensors[0] * gradient


def test_needs_no_double_backward():
    weight = torch.ones(2, requires_grad=True)
    critic = lambda x: (Once.apply(x) * weight).sum(1)  # noqa: E731
    real, fake = torch.randn(4, 2), torch.randn(4, 2)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        R1R2(1.0)(critic, real, fake, uniform).backward()
    ApproximateR1R2()(critic, real, fake, uniform).backward()
    assert weight.grad.abs().min() > 0


def test_compiles_as_one_graph():
    critic = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    real, fake = torch.randn(3, 4).double(), torch.randn(3, 4).double()
    penalty = ApproximateR1R2()
    compiled = torch.compile(penalty.per_sample, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(critic, real, fake, all_ones), penalty.per_sample(critic, real, fake, all_ones))


def test_infinite_noise_is_never_drawn():
    values = ApproximateR1R2().per_sample(linear(W), torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros)
    assert values.isfinite().all()


def test_logits_that_are_known_are_not_computed_again():
    calls = []

    def critic(x, y):
        calls.append(x)
        return (y * x.flatten(1).square().sum(1) / 2).float()

    real, fake, y = torch.randn(5, 1, 2, 2), torch.randn(5, 1, 2, 2), torch.arange(1.0, 6.0)
    given = RealFakeConditions((y,), (y,))
    penalty = ApproximateR1R2(sigma=0.1)
    judged = RememberingCritic(critic, critic)
    judged.judge("real", real, y), judged.judge("fake", fake, y)
    calls.clear()
    known = penalty(judged, real, fake, all_ones, given)
    assert len(calls) == 2
    torch.testing.assert_close(known, penalty(critic, real, fake, all_ones, given))
    assert len(calls) == 6
    equal = real.clone()  # known by identity
    torch.testing.assert_close(R1R2()(judged, equal, fake, uniform, given), R1R2()(critic, real, fake, uniform, given))


def test_quotient_is_computed_in_full_precision_under_autocast():
    torch.manual_seed(0)
    critic = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.SiLU(), torch.nn.Linear(16, 1))
    real, fake = torch.randn(4, 8), torch.randn(4, 8)
    plain = ApproximateR1R2()(critic, real, fake, all_ones)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(ApproximateR1R2()(critic, real, fake, all_ones), plain)

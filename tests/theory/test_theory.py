"""Theory: closed forms against sums, integrals and assignments written here, and estimates against closed forms."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from lightning_gans import theory
from lightning_gans.losses.objectives import Hinge, NonSaturating, Saturating

LINES = [0.0, 0.25, -1.0, 3.0]


# ----------------------------------------------------------------------------------------- divergences


def test_divergences_of_coins_by_hand():
    p, q = torch.tensor([0.5, 0.5]).double(), torch.tensor([0.25, 0.75]).double()
    assert theory.kl(p, q) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    m = np.array([0.375, 0.625])
    shannon = 0.5 * stats.entropy([0.5, 0.5], m) + 0.5 * stats.entropy([0.25, 0.75], m)
    assert theory.js(p, q) == pytest.approx(shannon)
    assert theory.total_variation(p, q) == pytest.approx(0.25)
    apart = torch.eye(2).double()
    assert theory.kl(apart[0], apart[1]) == math.inf
    assert theory.js(apart[0], apart[1]) == pytest.approx(math.log(2))
    assert theory.js(apart, apart).tolist() == [0, 0]


@pytest.mark.parametrize("theta", LINES)
def test_parallel_lines_as_their_samples_say(theta):
    """Histograms see no overlap at any distance but 0; the transport sees how far the lines are apart."""
    points, others = theory.line_samples(0, 400, seed=1), theory.line_samples(theta, 400, seed=2)
    assert points[:, 0].abs().max() == 0
    assert (others[:, 0] == theta).all()
    exact = theory.parallel_lines(theta)
    p, q = (theory.histogram(side, 80, -4, 4) for side in (points, others))
    if theta:
        assert theory.kl(p, q) == exact.kl == math.inf
    assert theory.js(p, q) == pytest.approx(exact.js, abs=0.03)
    assert theory.total_variation(p, q) == pytest.approx(exact.total_variation, abs=0.25 if theta == 0 else 1e-9)
    # along the line 400 points are off by about 0.03, and hypot(theta, 0.03) is nearer than that to |theta|
    assert theory.wasserstein(points, others) == pytest.approx(exact.wasserstein, abs=0.06)


def test_noise_makes_the_supports_overlap():
    """By SciPy's integrals of normal densities; the divergences fall with the noise, the transport does not."""
    theta, values = 1.0, []
    for sigma in (0.25, 1.0, 2.0):
        found = theory.noisy_parallel_lines(theta, sigma)
        p, q = stats.norm(0, sigma), stats.norm(theta, sigma)
        of_js = lambda x, p=p, q=q: sum(  # noqa: E731
            a.pdf(x) * (a.logpdf(x) - np.logaddexp(p.logpdf(x), q.logpdf(x)) + math.log(2)) / 2 for a in (p, q)
        )
        of_kl = lambda x, p=p, q=q: p.pdf(x) * (p.logpdf(x) - q.logpdf(x))  # noqa: E731
        ends = (-6 * sigma - 1, 6 * sigma + 2)
        assert found.js == pytest.approx(integrate.quad(of_js, *ends, limit=200)[0], abs=1e-7)
        assert found.kl == pytest.approx(integrate.quad(of_kl, *ends, limit=200)[0], abs=1e-5)
        assert found.total_variation == pytest.approx(2 * p.cdf(theta / 2) - 1, abs=1e-9)
        assert found.wasserstein == theta
        values.append(found)
    assert [one.js for one in values] == sorted((one.js for one in values), reverse=True)
    assert theory.noisy_parallel_lines(0, 1).js == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="sigma=0"):
        theory.noisy_parallel_lines(1, 0)


def test_the_best_logits_estimate_divergences_and_others_bound_them():
    theta, sigma, n = 1.0, 1.0, 200_000
    real, fake = theory.line_samples(0, n, sigma=sigma, seed=1), theory.line_samples(theta, n, sigma=sigma, seed=2)
    best = lambda points: (theta**2 - 2 * theta * points[:, 0]) / (2 * sigma**2)  # noqa: E731, ln p(x) - ln q(x)
    exact = theory.noisy_parallel_lines(theta, sigma)
    error = 4 / math.sqrt(n)  # four standard errors of a mean whose deviation is below 1
    assert theory.js_from_logits(best(real), best(fake)) == pytest.approx(exact.js, abs=error)
    assert theory.kl_from_logits(best(real)) == pytest.approx(exact.kl, abs=error)
    for other in (0.5 * best(real), 2 * best(real)), (best(real) + 0.5, best(real) * 3):
        assert theory.js_from_logits(other[0], -other[1]) < exact.js
    assert theory.js_from_logits(torch.zeros(3), torch.zeros(3)) == pytest.approx(0, abs=1e-6)


def test_histograms_count_cells():
    points = torch.tensor([[0.1, 0.1], [0.1, 0.6], [0.6, 0.1], [0.7, 0.2]])
    assert theory.histogram(points, 2, 0, 1).tolist() == [0.25, 0.25, 0.5, 0]
    with pytest.raises(ValueError, match="outside"):
        theory.histogram(points, 2, 0.2, 1)


# ------------------------------------------------------------------------------------------- transport


def test_earth_movers_distance_of_the_lectures_example():
    p, q = torch.tensor([3, 2, 1, 4]), torch.tensor([1, 2, 4, 3])
    assert theory.earth_movers_distance(p, q) == 5
    assert theory.earth_movers_distance(q, p) == 5
    piles = [np.repeat(np.arange(4), side) for side in (p, q)]
    assert stats.wasserstein_distance(*piles) * 10 == pytest.approx(5)  # of the shares, hence times the earth in all
    with pytest.raises(ValueError, match="equally much"):
        theory.earth_movers_distance(p, q + 1)


@pytest.mark.parametrize("power", [1, 2])
def test_transport_of_few_points_is_the_best_of_all_permutations(power):
    rng = torch.Generator().manual_seed(0)
    points, others = torch.randn(2, 6, 3, generator=rng, dtype=torch.float64)
    best = min(
        np.mean([math.dist(points[i], others[j]) ** power for i, j in enumerate(order)])
        for order in itertools.permutations(range(6))
    )
    assert theory.wasserstein(points, others, power=power) == pytest.approx(best ** (1 / power))
    assert theory.wasserstein(points, points + torch.tensor([3.0, 4.0, 0.0])) == pytest.approx(5)
    with pytest.raises(ValueError, match="must be as many"):
        theory.wasserstein(points, others[:5])


def test_slices_agree_with_scipy_and_with_a_shift_in_closed_form():
    rng = torch.Generator().manual_seed(0)
    points, others = torch.randn(2, 50, 4, generator=rng)
    directions = nn.functional.normalize(torch.randn(150, 4, generator=rng), dim=1)
    one = [stats.wasserstein_distance(points @ u, others @ u) for u in directions]
    assert theory.sliced_wasserstein(points, others, directions, power=1) == pytest.approx(np.mean(one), abs=1e-6)
    shift = torch.tensor([1.0, -2.0, 0.5, 0.0])
    expected = (directions @ shift).square().mean()
    assert theory.sliced_wasserstein(points, points + shift, directions) == pytest.approx(float(expected), rel=1e-4)
    with pytest.raises(ValueError, match="must be alike"):
        theory.sliced_wasserstein(points, others[:9], directions)


# ----------------------------------------------------------------------------------------------- games


def distances(path):
    return path.square().sum(1).sqrt()


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_simultaneous_descent_diverges_and_extragradient_converges(rate):
    for method, factor in {
        "simultaneous": math.sqrt(1 + rate**2),
        "extragradient": math.sqrt((1 - rate**2) ** 2 + rate**2),
    }.items():
        path = distances(theory.play(method, rate=rate, steps=50))
        assert (path[1:] / path[:-1]).tolist() == pytest.approx([factor] * 50)
        assert theory.contraction(method, rate) == pytest.approx(factor)
    angle = torch.atan2(*theory.play("simultaneous", rate=rate, steps=1).flip(1).T)
    assert angle.diff() == pytest.approx(math.atan(rate))


def test_alternating_descent_cycles_on_an_ellipse():
    rate = 0.3
    x, y = theory.play("alternating", rate=rate, steps=1000).T
    kept = x**2 - rate * x * y + y**2  # of the map ((1, -r), (r, 1 - r^2))
    assert (kept - kept[0]).abs().max() < 1e-9
    assert theory.contraction("alternating", rate) == pytest.approx(1)
    near = distances(torch.stack([x, y], 1) - torch.tensor([1.0, 1.0]))[10:]
    assert near.min() < 0.2  # it comes back


def test_the_average_of_a_cycle_is_the_equilibrium():
    path = theory.play("alternating", rate=0.2, steps=20_000)
    means = distances(theory.running_mean(path))
    by_numpy = np.stack([path[: t + 1].numpy().mean(0) for t in (0, 7, 400)])
    assert theory.running_mean(path)[[0, 7, 400]].numpy() == pytest.approx(by_numpy)
    assert distances(path)[-100:].min() > 1  # the players themselves stay away
    times = torch.arange(1, len(means) + 1)
    assert (means * times).max() < 2 * math.sqrt(2) * 2 / 0.2  # bounded sums: 1 / t
    diverging = distances(theory.running_mean(theory.play("simultaneous", rate=0.2, steps=500)))
    assert diverging[-1] > 10


def test_negative_momentum_converges_and_positive_does_not():
    for momentum in (-0.5, -0.2, 0.0, 0.5):
        path = distances(theory.play("negative_momentum", rate=0.4, steps=1000, momentum=momentum))
        factor = theory.contraction("negative_momentum", 0.4, momentum)
        half = len(path) // 2
        measured = (path[half:].max() / path[:half].max()) ** (1 / half)
        if momentum < 0:
            assert path[-1] < 1e-6
            assert factor < 1
        else:
            assert measured == pytest.approx(factor, abs=1e-2)
            assert factor >= 1 - 1e-12
    assert torch.equal(
        theory.play("negative_momentum", momentum=0.0, steps=20), theory.play("alternating", steps=20)
    )  # the same steps
    with pytest.raises(ValueError, match="method=newton"):
        theory.play("newton")


# --------------------------------------------------------------------------------------------- players


def test_no_discriminator_is_better_than_the_optimal_one():
    p, q = torch.tensor([0.7, 0.2, 0.1, 0.0]).double(), torch.tensor([0.1, 0.2, 0.3, 0.4]).double()
    best = theory.optimal_discriminator(p, q)
    assert best.tolist() == pytest.approx([0.875, 0.5, 0.25, 0])
    value = theory.discriminator_value(p, q, best)
    assert value == pytest.approx(float(2 * theory.js(p, q)) - math.log(4))
    rng = torch.Generator().manual_seed(0)
    for _ in range(100):
        assert theory.discriminator_value(p, q, torch.rand(4, generator=rng, dtype=torch.float64)) < value


def test_at_the_equilibrium_it_says_one_half():
    p = torch.tensor([0.7, 0.2, 0.1]).double()
    best = theory.optimal_discriminator(p, p)
    assert best.tolist() == [0.5] * 3
    assert theory.discriminator_value(p, p, best) == pytest.approx(-math.log(4))


def test_gradients_of_both_generator_losses_where_the_discriminator_wins():
    logits = torch.tensor([-20.0, -5.0, 0.0, 5.0]).double()
    s = 1 / (1 + (-logits).exp())
    saturating, other = (theory.logit_gradient(one(), logits) for one in (Saturating, NonSaturating))
    assert saturating.tolist() == pytest.approx((-s).tolist(), rel=1e-6)
    assert other.tolist() == pytest.approx((s - 1).tolist(), rel=1e-6)
    assert saturating[0].abs() < 1e-8  # vanished
    assert other[0] == pytest.approx(-1)
    assert theory.logit_gradient(Hinge(), logits).tolist() == [-1] * 4


def test_an_affine_generator_alone_collapses_as_its_closed_form_says():
    """G(z) = a z + b against the critic -|x - c|^2 / 2: gradient descent halves a and b - c at rate 1/2."""
    latents = torch.tensor([[-1.0], [1.0]]).double()  # mean 0, mean square 1
    generator = nn.Linear(1, 1).double()
    with torch.no_grad():
        generator.weight.fill_(3)
        generator.bias.fill_(1)
    critic = lambda points: -(points - 2).square().sum(1) / 2  # noqa: E731
    optimizer = torch.optim.SGD(generator.parameters(), 0.5)
    found = theory.descend_alone(generator, critic, Hinge(), latents, optimizer, 10)  # G minimises -D(G(z))
    powers = 0.5 ** torch.arange(11).double()
    assert found.spread.tolist() == pytest.approx((3 * powers).tolist())
    assert found.sensitivity.tolist() == pytest.approx((3 * powers).tolist())
    assert found.points.mean(1)[:, 0].tolist() == pytest.approx((2 - powers).tolist())


def test_a_network_alone_runs_to_one_point():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 2))
    peak = torch.tensor([0.5, -0.5])
    critic = lambda points: 2 - (points - peak).norm(dim=1)  # noqa: E731
    optimizer = torch.optim.Adam(generator.parameters(), 0.01)
    found = theory.descend_alone(generator, critic, NonSaturating(), torch.randn(64, 2), optimizer, 400)
    assert found.points.shape == (401, 64, 2)
    assert found.spread[-1] < 0.1 * found.spread[0]
    assert found.sensitivity[-1] < 0.2 * found.sensitivity[0]
    assert (found.points[-1].mean(0) - peak).norm() < 0.05

"""Clipped density and coverage, MIND: against formulas written with NumPy and SciPy."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist

from lightning_gans.metrics import ClippedCoverage, ClippedDensity, MongeDistance
from lightning_gans.metrics.clipped import expected_coverage


def gaussian(n, f, *, seed, shift=0.0):
    return torch.randn(n, f, generator=torch.Generator().manual_seed(seed)) + shift


def fed(metric, real, fake):
    metric.update(real, real=True)
    for part in fake.split(17):
        metric.update(part, real=False)
    metric.n, metric.n_real = len(fake), len(real)
    return metric


def by_scipy(real, fake, k):
    among = cdist(real, real)
    radii = np.sort(among, 1)[:, k]  # number 0 is the point itself
    short = np.minimum(radii, np.median(radii))
    np.fill_diagonal(among, np.inf)
    share = lambda distances: np.minimum((distances <= short[:, None]).sum(0) / k, 1).mean()  # noqa: E731
    density = min(1.0, share(cdist(real, fake)) / share(among))
    covered = np.minimum((cdist(real, fake) <= radii[:, None]).sum(1) / k, 1).mean()
    n, m = len(real), len(fake)
    expected = [mean(i, k, n) for i in range(m + 1)]
    return density, np.interp(covered, expected, np.arange(m + 1) / m)


def mean(i, k, n):
    """E[min(J, k)] / k of a beta-binomial J."""
    inside = np.arange(i + 1)
    return (stats.betabinom(i, k, n - k).pmf(inside) * np.minimum(inside, k)).sum() / k


@pytest.mark.parametrize(("shift", "k"), [(0.0, 5), (0.7, 3)])
def test_clipped_scores_agree_with_scipy_and_do_not_depend_on_the_slabs(shift, k, monkeypatch):
    real, fake = gaussian(61, 3, seed=1), gaussian(50, 3, seed=2, shift=shift)
    wanted = by_scipy(real.double().numpy(), fake.double().numpy(), k)
    for slab in (2**24, 100):
        monkeypatch.setattr("lightning_gans.metrics.prdc.SLAB", slab)
        found = [float(fed(one(k=k), real, fake).compute()) for one in (ClippedDensity, ClippedCoverage)]
        assert found == pytest.approx(wanted, rel=1e-6)


def test_the_mass_of_a_ball_is_beta_whatever_the_distribution():
    """Coverage before calibration of samples of the real distribution, drawn 200 times, against its expectation."""
    k, n, m = 3, 40, 30
    measured = []
    for seed in range(200):
        real, fake = gaussian(n, 2, seed=2 * seed).exp().numpy(), gaussian(m, 2, seed=2 * seed + 1).exp().numpy()
        radii = np.sort(cdist(real, real), 1)[:, k]
        measured.append(np.minimum((cdist(real, fake) <= radii[:, None]).sum(1) / k, 1).mean())
    error = 4 * np.std(measured) / np.sqrt(len(measured))
    assert expected_coverage(k, n, m)[-1] == pytest.approx(np.mean(measured), abs=error)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_scores_are_the_share_of_good_samples(share):
    real, good = gaussian(1000, 4, seed=1), gaussian(1000, 4, seed=2)
    bad = gaussian(1000, 4, seed=3, shift=50.0)
    fake = torch.cat([good[: int(1000 * share)], bad])[:1000]
    for one in (ClippedDensity, ClippedCoverage):
        assert float(fed(one(), real, fake).compute()) == pytest.approx(share, abs=0.05)


def test_outliers_and_copies_raise_neither():
    """A real outlier has a ball that holds everything; a thousand samples of one place cover no more than it."""
    real, far = gaussian(300, 4, seed=1), gaussian(300, 4, seed=2, shift=8.0)
    real[:6] += 1000
    assert fed(ClippedDensity(), real, far).compute() < 0.02
    copies = real[10:11] + 0.01 * gaussian(300, 4, seed=3)
    assert fed(ClippedCoverage(), real, copies).compute() < 0.1
    with pytest.raises(ValueError, match="clipped_density: 6 real images and 50 samples; needs 7 of each"):
        fed(ClippedDensity(), real[:6], far[:50]).compute()


def test_mind_agrees_with_numpy_and_its_shift_in_closed_form():
    real, fake = gaussian(90, 5, seed=1), gaussian(80, 5, seed=2, shift=0.4)
    metric = fed(MongeDistance(directions=4000), real, fake)
    rng = np.random.default_rng(0)  # directions of its own: the mean over directions is what is defined
    directions = rng.standard_normal((20_000, 5))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    ranks = [np.sort(side[:80].double().numpy() @ directions.T, 0) for side in (real, fake)]
    squares = ((ranks[0] - ranks[1]) ** 2).mean(0)
    error = 3 * 5 * 4 * squares.std() * (1 / 4000 + 1 / 20_000) ** 0.5
    assert float(metric.compute()) == pytest.approx(3 * 5 * squares.mean(), abs=error)
    assert metric.settings() == {"mind_n": 80, "mind_directions": 4000}
    shift = torch.tensor([1.0, -2.0, 0.0, 0.5, 0.0])
    moved = float(fed(MongeDistance(directions=20_000), real, real + shift).compute())
    assert moved == pytest.approx(3 * float(shift.square().sum()), rel=0.03)  # E[(u.s)^2] = |s|^2 / F
    assert float(fed(MongeDistance(), real, real[torch.randperm(90)]).compute()) == pytest.approx(0, abs=1e-9)


def test_mind_is_a_function_of_the_seed():
    real, fake = gaussian(50, 8, seed=1), gaussian(50, 8, seed=2)
    made = [fed(MongeDistance(directions=10), real, fake) for _ in range(3)]
    made[2].seed = 1
    found = [float(metric.compute()) for metric in made]
    assert found[0] == found[1] != found[2]

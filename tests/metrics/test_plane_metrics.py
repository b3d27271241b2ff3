"""Scores of points of the plane: modes, quality and transport."""

import math

import pytest
import torch

from lightning_gans.data.toy2d import Toy2D
from lightning_gans.extractors.mixture import mixture
from lightning_gans.extractors.points import Points
from lightning_gans.metrics import MixtureModes, WassersteinDistance


def points(n=20_000, seed=0, **options):
    return Toy2D(image_size=None, channels=2, n=n, seed=seed, **options).load()


def fed(metric, real, fake):
    for side, is_real in ((real, True), (fake, False)):
        for part in side.split(3000):
            metric.update(part, real=is_real)
    metric.n, metric.n_real = len(fake), len(real)
    return metric


@pytest.mark.parametrize(("distribution", "std", "modes"), [("ring", 0.02, 8), ("ring", 0.1, 8), ("grid", 0.05, 25)])
def test_data_of_the_set_are_perfect_but_for_the_tails(distribution, std, modes):
    """Three standard deviations of a normal distribution in the plane hold 1 - exp(-9 / 2) of it."""
    how = {"distribution": distribution, "std": std}
    found = fed(MixtureModes(**how), points(**how).images, points(seed=1, **how).images).compute()
    assert found["covered_modes"] == modes
    assert float(found["high_quality"]) == pytest.approx(1 - math.exp(-4.5), abs=0.004)
    assert 0 <= float(found["mixture_kl"]) < 0.005


def test_lost_modes_are_counted_and_their_divergence_is_known():
    real, fake = points(), points(seed=1)
    half = fed(MixtureModes(), real.images, fake.images[fake.labels < 4]).compute()
    assert half["covered_modes"] == 4
    assert float(half["mixture_kl"]) == pytest.approx(math.log(2), abs=0.02)
    rare = torch.cat([fake.images[fake.labels == 0][:1000], fake.images[fake.labels == 1][:9]])
    assert fed(MixtureModes(), real.images, rare).compute()["covered_modes"] == 1  # 0.9 % are too few
    off = fed(MixtureModes(), real.images, real.images + 0.1).compute()  # ten deviations away
    assert off["covered_modes"] == off["high_quality"] == 0


def test_real_points_of_another_set_are_refused():
    metric = fed(MixtureModes(), points(std=0.1).images, points().images)
    with pytest.raises(ValueError, match="mixture: the real points are of another set"):
        metric.compute()
    with pytest.raises(ValueError, match="must be points of the plane"):
        MixtureModes().update(torch.zeros(3, 5), real=True)


def test_standard_deviations_are_in_the_literatures_units():
    """The default's bits stay: on the ring of radius 2, halved, 0.02 is 0.01."""
    assert torch.equal(points(n=100).images, points(n=100, std=0.02).images)
    assert mixture("ring", 0.1).sigma == pytest.approx(0.05)
    assert mixture("grid", 0.05).sigma == pytest.approx(mixture("grid").sigma)
    assert mixture("moons", 0.05).sigma == pytest.approx(mixture("moons").sigma)
    assert mixture("swiss_roll", 0.25).sigma == pytest.approx(mixture("swiss_roll").sigma)
    wide = points(std=0.1)
    spread = (wide.images - mixture("ring").centres[wide.labels, 0]).std()
    assert float(spread) == pytest.approx(0.05, rel=0.02)
    assert Points("ring", 0.1).weights_hash != Points("ring").weights_hash == Points("ring", 0.02).weights_hash
    with pytest.raises(ValueError, match=r"data\.std=0"):
        mixture("ring", 0)


def test_transport_sees_a_shift_and_a_lost_half():
    real, fake = points(n=1000).images, points(n=1000, seed=1).images
    near = float(fed(WassersteinDistance(), real, fake).compute())
    assert near < 0.1
    moved = fed(WassersteinDistance(), real[:200], real[:200] + torch.tensor([3.0, 4.0]))
    assert float(moved.compute()) == pytest.approx(5, abs=1e-5)
    assert moved.settings() == {"wasserstein_n": 200, "wasserstein_power": 1}
    assert float(fed(WassersteinDistance(limit=500), real, fake.abs()).compute()) > 0.5

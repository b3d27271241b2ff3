"""Metrics against independent versions in NumPy and SciPy, torch-fidelity and torchmetrics."""

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import scipy.spatial
import scipy.stats
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torchmetrics.functional.image import structural_similarity_index_measure

from conftest import command
from lightning_gans.metrics.interval import DistanceSpread
from lightning_gans.metrics.modes import ModeCoverage
from lightning_gans.metrics.ms_ssim import WEIGHTS, PairedSimilarity, ms_ssim
from lightning_gans.metrics.path_length import EPSILON, PathLength, lerp, slerp
from lightning_gans.metrics.prdc import PRDC, NearestNeighbours
from lightning_gans.metrics.swd import PATCH, PATCHES, SlicedWasserstein, level_heights
from lightning_gans.runtime.seeding import derive_seed


def gaussian(n, features=16, seed=0, shift=0.0, scale=1.0):
    return torch.randn(n, features, generator=torch.Generator().manual_seed(seed)) * scale + shift


def pictures(n, channels=3, size=32, seed=0):
    """Smooth random pictures, (n, C, H, W) uint8."""
    noise = torch.randn(n, channels, size // 4, size // 4, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, size=(size, size), mode="bicubic")
    return (smooth * 50 + 128).clamp(0, 255).to(torch.uint8)


def fed(metric, real, fake, batch=7):
    """A metric that has seen both sides in small batches."""
    for side, values in ((True, real), (False, fake)):
        for some in values.split(batch):
            metric.update(some, real=side)
    return metric


# ---------------------------------------------------------------------------------- FID, IS, KID: torch-fidelity


def test_distances_agree_with_torch_fidelity_on_the_same_features():
    """FID, and KID with one subset of all samples, to 1e-4; ours are torchmetrics' classes."""
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    from lightning_gans.metrics.base import PrecomputedFeatures

    real, fake = gaussian(400, seed=1), gaussian(400, seed=2, shift=0.3, scale=1.4)
    statistics = [fid_features_to_statistics(side) for side in (real, fake)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    ours = fed(FrechetInceptionDistance(feature=PrecomputedFeatures(16)), real, fake).compute()
    assert float(ours) == pytest.approx(theirs, rel=1e-4)
    options = {"kid_subsets": 1, "kid_subset_size": 400, "verbose": False}
    theirs = kid_features_to_metric(fake, real, **options)["kernel_inception_distance_mean"]
    ours = fed(
        KernelInceptionDistance(feature=PrecomputedFeatures(16), subsets=1, subset_size=400), real, fake
    ).compute()[0]
    assert float(ours) == pytest.approx(theirs, rel=1e-4)


def test_inception_score_of_one_split_agrees_with_torch_fidelity():
    from torchmetrics.image.inception import InceptionScore

    from lightning_gans.metrics.base import PrecomputedFeatures

    logits = gaussian(300, 10, scale=2.0)
    metric = InceptionScore(feature=PrecomputedFeatures(10), splits=1)
    metric.update(logits)
    theirs = isc_features_to_metric(logits, splits=1)["inception_score_mean"]
    assert float(metric.compute()[0]) == pytest.approx(theirs, rel=1e-4)


# ---------------------------------------------------------------------------------- neighbours


def prdc_by_scipy(real, fake, k, k_density):
    """From the papers' formulas, point by point."""
    distance = scipy.spatial.distance.cdist
    across = distance(real, fake)

    def radius(points, k):
        return np.sort(distance(points, points), axis=1)[:, k]  # number 0 is the point itself

    dense = across <= radius(real, k_density)[:, None]
    return {
        "precision": np.mean([any(across[:, j] <= radius(real, k)) for j in range(len(fake))]),
        "recall": np.mean([any(across[i] <= radius(fake, k)) for i in range(len(real))]),
        "density": dense.sum() / k_density / len(fake),
        "coverage": np.mean([any(row) for row in dense]),
    }


def test_prdc_agrees_with_scipy_and_does_not_depend_on_the_slabs(monkeypatch):
    real, fake = gaussian(60, 4, seed=1), gaussian(50, 4, seed=2, shift=0.9)
    wanted = prdc_by_scipy(real.double().numpy(), fake.double().numpy(), 3, 5)
    assert all(0.1 < value < 0.95 for value in wanted.values())
    for slab in (2**24, 100):
        monkeypatch.setattr("lightning_gans.metrics.prdc.SLAB", slab)
        found = fed(PRDC(), real, fake).compute()
        assert {key: float(value) for key, value in found.items()} == pytest.approx(wanted, rel=1e-6)


def test_prdc_needs_more_features_than_neighbours():
    """Six on either side, for five neighbours; five do not do, on whichever side."""
    assert fed(PRDC(), gaussian(6), gaussian(6, seed=1)).compute()["coverage"] >= 0
    for real, fake in ((5, 6), (6, 5)):
        metric = fed(PRDC(), gaussian(real), gaussian(fake, seed=1))
        with pytest.raises(ValueError, match=f"prdc: {real} real images and {fake} samples; needs 6 of each"):
            metric.compute()


def test_prdc_tells_collapse_from_blur():
    """A generator of one real image is precise and forgets the rest; noise far away is neither."""
    real = gaussian(200, 8, seed=1)
    one = fed(PRDC(), real, real[:1].repeat(100, 1) + gaussian(100, 8, scale=1e-3)).compute()
    assert one["precision"] == 1
    assert one["recall"] < 0.05
    assert one["coverage"] < 0.1
    far = fed(PRDC(), real, gaussian(100, 8, shift=9.0)).compute()
    assert {float(value) for value in far.values()} == {0.0}
    same = fed(PRDC(), real, real).compute()
    assert same["precision"] == same["recall"] == same["coverage"] == 1


def test_prdc_looks_at_the_first_features_up_to_its_limit():
    real, fake = gaussian(80, 4, seed=1), gaussian(90, 4, seed=2)
    limited = fed(PRDC(limit=40), real, fake).compute()
    assert limited == fed(PRDC(), real[:40], fake[:40]).compute()
    with pytest.raises(ValueError, match="needs 6 of each"):
        fed(PRDC(), real[:5], fake).compute()


def test_prdc_of_ten_thousand_features_stays_within_three_gib(tmp_path):
    """10,000 x 10,000 distances, in a process of its own whose peak is read.

    Inception's features are 2,048 numbers each and not 32, which is 0.15 GiB more for either set.
    """
    (tmp_path / "script.py").write_text("""
import resource, torch
from lightning_gans.metrics.prdc import PRDC
features = torch.randn(10000, 32, generator=torch.Generator().manual_seed(0))
metric = PRDC()
metric.update(features, real=True)
metric.update(features.flip(0) + 0.0001, real=False)
print({name: round(float(value), 3) for name, value in metric.compute().items()})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
""")
    made = command(str(tmp_path / "script.py"))
    assert made.returncode == 0, made.stderr
    scores, peak = made.stdout.splitlines()
    assert "'coverage': 1.0" in scores
    assert float(peak) < 3


def test_nearest_neighbours_are_those_of_scipy():
    real, fake = gaussian(40, 4, seed=1), gaussian(9, 4, seed=2)
    distances, positions = fed(NearestNeighbours(k=3), real, fake).compute()
    wanted = scipy.spatial.KDTree(real.double().numpy()).query(fake.double().numpy(), k=3)
    np.testing.assert_allclose(distances.numpy(), wanted[0], rtol=1e-6)
    assert (positions.numpy() == wanted[1]).all()


# ---------------------------------------------------------------------------------- sliced Wasserstein


def swd_by_numpy(real, fake, seed):
    """The protocol of the paper with SciPy's filters; places and directions as ours are drawn."""
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]).astype(np.float64) / 256
    blur = lambda x, k: scipy.ndimage.convolve(x, k[None, None], mode="mirror")  # noqa: E731

    def pyramid(images):
        levels = [images.astype(np.float64)]
        while levels[-1].shape[-1] > 16:
            fine = levels[-1]
            levels.append(blur(fine, kernel)[:, :, ::2, ::2])
            spread = np.zeros_like(fine)
            spread[:, :, ::2, ::2] = levels[-1]
            levels[-2] = fine - blur(spread, kernel * 4)
        return levels

    def descriptors(images, level):
        size = images.shape[-1]
        rng = torch.Generator().manual_seed(derive_seed("places", seed, level))
        top, left = (torch.randint(size - PATCH + 1, (len(images), PATCHES), generator=rng).numpy() for _ in "yx")
        cut = [
            images[i, :, y : y + PATCH, x : x + PATCH]
            for i in range(len(images))
            for y, x in zip(top[i], left[i], strict=True)
        ]
        patches = np.stack(cut)
        patches = (patches - patches.mean((0, 2, 3), keepdims=True)) / patches.std((0, 2, 3), keepdims=True)
        return patches.reshape(len(patches), -1)

    scores = {}
    for level, pair in enumerate(zip(pyramid(real), pyramid(fake), strict=True)):
        one, two = (descriptors(images, level) for images in pair)
        rng = torch.Generator().manual_seed(derive_seed("directions", seed, level))
        found = []
        for _ in range(4):
            directions = torch.randn(one.shape[1], 128, generator=rng).double().numpy()
            directions /= np.linalg.norm(directions, axis=0)
            found.append(np.abs(np.sort(one @ directions, 0) - np.sort(two @ directions, 0)).mean())
        scores[f"swd_{pair[0].shape[-1]}"] = np.mean(found) * 1000
    return {**scores, "swd": np.mean(list(scores.values()))}


@pytest.mark.parametrize("channels", [1, 3])
def test_sliced_wasserstein_agrees_with_numpy(channels):
    real, fake = pictures(12, channels, 64, seed=1), pictures(12, channels, 64, seed=2).flip(2) // 2
    metric = SlicedWasserstein()
    metric.seed = 3
    found = fed(metric, real, fake).compute()
    wanted = swd_by_numpy(real.numpy(), fake.numpy(), 3)
    assert list(found) == ["swd_16", "swd_32", "swd_64", "swd"]
    assert {key: float(value) for key, value in found.items()} == pytest.approx(wanted, rel=1e-4)


def test_sliced_wasserstein_sees_the_scale_that_is_wrong():
    """Noise pixel by pixel shows on the finest level; equal sets are at distance 0; sizes are told."""
    real, other = pictures(40, 3, 64, seed=1), pictures(40, 3, 64, seed=2)
    noisy = (other.float() + torch.randn(other.shape) * 20).clamp(0, 255).to(torch.uint8)
    clean, grainy = fed(SlicedWasserstein(), real, other).compute(), fed(SlicedWasserstein(), real, noisy).compute()
    assert grainy["swd_64"] > 3 * clean["swd_64"]
    assert grainy["swd_16"] < 2 * clean["swd_16"]
    assert fed(SlicedWasserstein(), real, real).compute()["swd"] == 0
    assert fed(SlicedWasserstein(limit=40), real, torch.cat([real, noisy])).compute()["swd"] == 0
    assert level_heights(28, 28) == [28]
    assert level_heights(128, 64) == [128, 64, 32]
    with pytest.raises(ValueError, match="at least 16"):
        SlicedWasserstein().update(pictures(2, 3, 8), real=True)


# ---------------------------------------------------------------------------------- MS-SSIM


def ms_ssim_by_torchmetrics(one, two):
    """From its SSIM: its own MS-SSIM counts a mirrored border on the coarsest scale, which the definition has not."""
    options = {"sigma": 1.5, "data_range": 255.0, "reduction": "none"}
    product = torch.ones(len(one), dtype=torch.float64)
    for scale, weight in enumerate(WEIGHTS):
        contrast = structural_similarity_index_measure(one, two, return_contrast_sensitivity=True, **options)[1]
        whole = structural_similarity_index_measure(one, two, return_full_image=True, **options)[1]
        inner = whole[..., 5:-5, 5:-5].mean((1, 2, 3))
        product *= (inner if scale == 4 else contrast).clamp(min=0) ** weight
        one, two = (torch.nn.functional.avg_pool2d(images, 2) for images in (one, two))
    return product


def test_ms_ssim_agrees_with_torchmetrics_where_the_window_fits_every_scale():
    """From 176 pixels on, 11 fit into the coarsest scale and the definitions coincide."""
    one = pictures(4, 3, 176, seed=1)
    noise = torch.randn(one.shape, generator=torch.Generator().manual_seed(0))
    two = (one + noise * 25).clamp(0, 255)
    ours = ms_ssim(one, two).double()
    torch.testing.assert_close(ours, ms_ssim_by_torchmetrics(one.double(), two.double()), rtol=1e-4, atol=0)
    assert 0.3 < float(ours.mean()) < 0.99


def ms_ssim_by_scipy(one, two):
    """One pair (C, H, W), with SciPy's convolutions, the window shrinking with the image."""
    product = 1.0
    for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
        size = min(11, one.shape[-1])
        window = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / 2 / (1.5 * size / 11) ** 2)
        window = np.outer(window, window) / window.sum() ** 2
        blur = lambda x, w=window: np.stack([scipy.signal.convolve2d(c, w, mode="valid") for c in x])  # noqa: E731
        m1, m2 = blur(one), blur(two)
        v1, v2, cov = blur(one**2) - m1**2, blur(two**2) - m2**2, blur(one * two) - m1 * m2
        contrast = (2 * cov + 58.5225) / (v1 + v2 + 58.5225)
        term = contrast * (2 * m1 * m2 + 6.5025) / (m1**2 + m2**2 + 6.5025) if scale == 4 else contrast
        product *= max(term.mean(), 0) ** weight
        one, two = (
            scipy.ndimage.convolve(x, np.full((1, 2, 2), 0.25), mode="reflect")[:, ::2, ::2] for x in (one, two)
        )
    return product


def test_ms_ssim_of_small_images_shrinks_its_window():
    one = pictures(6, 3, 32, seed=1)
    two = (one.int() + 3 * torch.randint(-9, 10, one.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 255)
    pairs = zip(one.double().numpy(), two.double().numpy(), strict=True)
    wanted = [ms_ssim_by_scipy(a, b) for a, b in pairs]
    np.testing.assert_allclose(ms_ssim(one, two).numpy(), wanted, rtol=1e-4)


def test_similarity_of_pairs_does_not_depend_on_batches_and_tells_collapse():
    varied = pictures(20, seed=1)
    real, fake = varied.flip(0), varied[:1].repeat(20, 1, 1, 1)
    scores = [fed(PairedSimilarity(), real, varied, batch).compute() for batch in (1, 3, 20)]
    by_hand = float(ms_ssim(varied[0::2], varied[1::2]).double().mean())
    for score in scores:
        assert float(score["ms_ssim"]) == pytest.approx(by_hand, rel=1e-4)
        assert float(score["ms_ssim_real"]) == pytest.approx(by_hand, rel=1e-4)
    assert float(fed(PairedSimilarity(), real, fake).compute()["ms_ssim"]) == pytest.approx(1, abs=1e-6)
    odd = PairedSimilarity()
    odd.update(varied[:3], real=False)
    odd.reset()  # the third image waits for nobody any more
    odd.update(varied[:2], real=False)
    assert int(odd.fake_pairs) == 1


# ---------------------------------------------------------------------------------- modes, paths, intervals


def test_modes_are_counted_and_their_shares_compared():
    real, fake = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3]), torch.tensor([0, 0, 0, 1])

    def counted(num_classes, real, fake):
        metric = ModeCoverage()
        metric.setup(0, num_classes)
        return fed(metric, *(torch.nn.functional.one_hot(side, num_classes) for side in (real, fake))).compute()

    found = counted(5, real, fake)
    assert int(found["modes"]) == 2
    reference = np.array([2, 2, 2, 2, 1]) / 9  # the class that no real image has counts as if it had one
    assert float(found["modes_kl"]) == pytest.approx(scipy.stats.entropy([0.75, 0.25, 0, 0, 0], reference))
    even = counted(4, real, real.flip(0))
    assert int(even["modes"]) == 4
    assert float(even["modes_kl"]) == pytest.approx(0, abs=1e-12)


def test_path_length_of_a_linear_map_is_known():
    """Features that move by v per unit have length |v|^2 at every place; outliers of a hundredth do not count."""
    velocity = torch.tensor([3.0, 4.0])
    metric = PathLength()
    before = torch.zeros(200, 2)
    metric.update(before[:100], before[:100] + velocity * EPSILON)
    after = before[100:] + velocity * EPSILON
    after[0] *= 1000
    metric.update(before[100:], after)
    assert float(metric.compute()) == pytest.approx(25, rel=1e-5)


def test_arcs_keep_the_length_of_latents():
    start, end = gaussian(5, 100, seed=1), gaussian(5, 100, seed=2)
    torch.testing.assert_close(slerp(start, end, 0.0), start)
    torch.testing.assert_close(slerp(start, end, 1.0), end)
    middle = slerp(start, end, torch.full((5, 1), 0.5))
    lengths = (start.norm(dim=1) + end.norm(dim=1)) / 2
    torch.testing.assert_close(middle.norm(dim=1), lengths)
    assert (lerp(start, end, 0.5).norm(dim=1) < 0.85 * lengths).all()
    torch.testing.assert_close(slerp(start, start * 2, 0.5), start * 1.5)  # one direction: a straight line
    assert slerp(start, -start, 0.5).isfinite().all()


def test_the_bootstrap_foretells_how_distances_vary():
    """Its standard deviation is near that over sets of samples drawn anew."""
    from lightning_gans.metrics.interval import _frechet_distances, _kernel_distances

    real, everything = gaussian(1000, 6, seed=1).double(), torch.arange(150)
    sets = [gaussian(150, 6, seed=100 + i, shift=0.4, scale=1.2).double() for i in range(100)]
    told = fed(DistanceSpread(resamples=200), real.float(), sets[0].float()).compute()
    for name, distances in {"fd": _frechet_distances, "kd": _kernel_distances}.items():
        true = torch.stack([distances(real, some, [everything])[0] for some in sets]).std()
        assert 0.6 < float(told[name] / true) < 1.6, name
    from scipy.linalg import sqrtm

    one, two = np.cov(real.T.numpy()), np.cov(sets[0].T.numpy())
    wanted = np.square(real.mean(0) - sets[0].mean(0)).sum() + np.trace(one + two - 2 * sqrtm(one @ two).real)
    assert float(_frechet_distances(real, sets[0], [everything])[0]) == pytest.approx(float(wanted), rel=1e-9)
    few = real[:4]  # fewer images than features: the same by the other branch
    one = np.cov(few.T.numpy())
    wanted = np.square(few.mean(0) - sets[0].mean(0)).sum() + np.trace(one + two - 2 * sqrtm(one @ two).real)
    assert float(_frechet_distances(few, sets[0], [everything])[0]) == pytest.approx(float(wanted), rel=1e-4)


def test_reset_forgets_the_samples_and_keeps_the_real_side():
    for metric, make in ((PRDC(), gaussian), (SlicedWasserstein(), lambda n, seed: pictures(n, seed=seed))):
        real, fake, other = make(20, seed=1), make(20, seed=2), make(20, seed=3)
        first = fed(metric, real, other).compute()
        metric.reset()
        metric.update(fake, real=False)
        again = metric.compute()
        assert again == fed(type(metric)(), real, fake).compute()
        assert again != first
    assert math.isfinite(float(first["swd"]))

"""Scores of images that are no squares."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from lightning_gans.evaluation.selection import select_metrics
from lightning_gans.extractors.base import prepared
from lightning_gans.extractors.digits import DigitsExtractor
from lightning_gans.extractors.stacked import Stacked
from lightning_gans.metrics.library import make_metric
from lightning_gans.metrics.ms_ssim import PairedSimilarity, ms_ssim, ssim
from lightning_gans.metrics.paired import l1, psnr
from lightning_gans.metrics.swd import SlicedWasserstein, level_heights


def images(n, height, width, seed=0):
    """Smooth ones, (n, 3, height, width) uint8."""
    coarse = torch.rand(n, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    fine = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    return fine.mul(255).clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("compare", [l1, psnr, ssim, ms_ssim])
@pytest.mark.parametrize(("height", "width"), [(20, 48), (48, 20)])
def test_likeness_does_not_depend_on_which_way_a_pair_lies(compare, height, width):
    one, two = images(3, height, width, 1), images(3, height, width, 2)
    lying, standing = compare(one, two), compare(one.mT, two.mT)
    torch.testing.assert_close(lying, standing, rtol=1e-4, atol=1e-6)
    assert (lying != compare(one, one)).all()


def test_similarity_of_pairs_is_fed_rectangles():
    metric, some = PairedSimilarity(), images(6, 16, 40)
    metric.update(some, real=False)
    assert float(metric.compute()["ms_ssim"]) == pytest.approx(float(ms_ssim(some[::2], some[1::2]).double().mean()))


@pytest.mark.parametrize(
    ("height", "width", "heights"),
    [(32, 64, [32, 16]), (64, 32, [64, 32]), (16, 128, [16]), (48, 96, [48, 24]), (34, 66, [34, 17]), (64, 65, [64])],
)
def test_a_pyramid_halves_rectangles_while_both_sides_are_even(height, width, heights):
    assert level_heights(height, width) == heights
    real, fake = images(8, height, width, 1), images(8, height, width, 2)
    scores = {}
    for name, other in {"same": real, "other": fake}.items():
        metric = SlicedWasserstein()
        metric.update(real, real=True)
        metric.update(other, real=False)
        scores[name] = {key: float(value) for key, value in metric.compute().items()}
    assert list(scores["same"]) == [*(f"swd_{level}" for level in reversed(heights)), "swd"]
    assert set(scores["same"].values()) == {0.0}
    assert min(scores["other"].values()) > 0


def test_luma_leaves_out_the_same_edge_on_every_side():
    target = images(2, 24, 48)
    source = F.interpolate(target / 127.5 - 1, (6, 12), mode="bicubic", antialias=True, align_corners=False)
    for name in ("psnr_y", "ssim_y"):
        metric = make_metric(name)
        spoiled = target.clone()
        for edge in (spoiled[..., :4, :], spoiled[..., -4:, :], spoiled[..., :4], spoiled[..., -4:]):
            edge.zero_()
        metric.update({"image": spoiled, "target": target, "source": source})
        assert float(metric.compute()[name]) == pytest.approx({"psnr_y": 100, "ssim_y": 1}[name])


def test_extractors_squeeze_rectangles_into_their_square():
    some = images(2, 24, 60)
    assert prepared(some, 1, 32).shape == (2, 1, 32, 32)
    square = F.interpolate(some.float(), (32, 32), mode="bilinear", antialias=True, align_corners=False)
    extractor = DigitsExtractor()
    torch.testing.assert_close(extractor(some).features, extractor.unrounded(square).features, rtol=1e-4, atol=1e-4)
    assert Stacked(DigitsExtractor)(some).features.shape == (2, 192)


@pytest.mark.parametrize("metric", ["swd", "ms_ssim"])
def test_a_short_side_is_refused_by_name(metric):
    flat = SimpleNamespace(translates=False, kind="image", val_fraction=0, image_size=[8, 64])
    with pytest.raises(ValueError, match=rf"here.metrics={metric}: data.image_size=\[8, 64\]; must be >= 16"):
        select_metrics([metric], object(), flat, "here")
    assert select_metrics(
        [metric], object(), SimpleNamespace(translates=False, kind="image", val_fraction=0, image_size=[16, 64])
    )

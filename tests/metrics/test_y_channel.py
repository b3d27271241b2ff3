"""PSNR and SSIM of luma against independent computations."""

import numpy as np
import pytest
import torch

from lightning_gans.metrics.ms_ssim import ssim
from lightning_gans.metrics.paired import psnr
from lightning_gans.metrics.y_channel import luma, shaved_luma


def psnr_y(fake, real, *, border):
    return psnr(shaved_luma(fake, border), shaved_luma(real, border))


def ssim_y(fake, real, *, border):
    return ssim(shaved_luma(fake, border), shaved_luma(real, border))


def pictures(n=3, channels=3, side=32, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, side, side), generator=rng, dtype=torch.uint8)


def test_luma_lies_in_16_to_235():
    colours = {(0, 0, 0): 16.0, (255, 255, 255): 235.0, (255, 0, 0): 81.481, (0, 255, 0): 144.553, (0, 0, 255): 40.966}
    for colour, expected in colours.items():
        image = torch.tensor(colour, dtype=torch.uint8).view(1, 3, 1, 1)
        assert luma(image).item() == pytest.approx(expected)
    assert luma(torch.full((1, 1, 2, 2), 51, dtype=torch.uint8))[0, 0, 0, 0] == pytest.approx(16 + 219 * 0.2)


def test_psnr_by_its_definition_without_the_border():
    """A difference of 10 grey levels is one of 10 * 219 / 255 in luma."""
    real = torch.full((2, 3, 12, 12), 100, dtype=torch.uint8)
    fake = real + 10
    fake[1, :, :4] = 255  # in the border
    expected = 20 * np.log10(255 / (10 * 219 / 255))
    assert psnr_y(fake, real, border=4).tolist() == pytest.approx([expected, expected])
    assert psnr_y(fake, real, border=0)[1] < expected
    assert psnr_y(real, real, border=4).tolist() == [100, 100]  # not infinite, so that means stay finite


def test_psnr_of_each_image_on_its_own():
    fake, real = pictures(seed=1), pictures(seed=2)
    for k in range(3):
        y = [luma(images[k : k + 1])[0, 0, 2:-2, 2:-2].numpy() for images in (fake, real)]
        expected = 10 * np.log10(255**2 / np.mean((y[0] - y[1]) ** 2))
        assert psnr_y(fake, real, border=2)[k].item() == pytest.approx(expected)


def test_ssim_against_its_formula():
    """Gaussian window of 11 with deviation 1.5, whole windows only (Wang et al. 2004, equation 13)."""
    fake, real = pictures(1, seed=3), pictures(1, seed=4)
    a, b = (luma(images)[0, 0, 4:-4, 4:-4].numpy() for images in (fake, real))
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def mean(values):
        rows = np.lib.stride_tricks.sliding_window_view(values, (11, 11))
        return (rows * window).sum((-1, -2))

    one, two = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    covariance, variances = mean(a * b) - mean(a) * mean(b), mean(a**2) - mean(a) ** 2 + mean(b**2) - mean(b) ** 2
    upper = (2 * mean(a) * mean(b) + one) * (2 * covariance + two)
    expected = (upper / ((mean(a) ** 2 + mean(b) ** 2 + one) * (variances + two))).mean()
    assert ssim_y(fake, real, border=4).item() == pytest.approx(expected, abs=1e-6)


def test_ssim_of_each_image_on_its_own():
    fake, real = pictures(seed=5), pictures(seed=6)
    fake[0] = real[0]
    found = ssim_y(fake, real, border=3)
    assert found.shape == (3,)
    assert found[0] == pytest.approx(1)
    apart = torch.cat([ssim_y(fake[k : k + 1], real[k : k + 1], border=3).reshape(1) for k in range(3)])
    torch.testing.assert_close(found, apart)


def test_what_cannot_be_measured_is_refused():
    images = pictures(1)
    with pytest.raises(ValueError, match="border=16"):
        psnr_y(images, images, border=16)
    with pytest.raises(ValueError, match="uint8"):
        luma(images.float())
    with pytest.raises(ValueError, match="1 or 3"):
        luma(pictures(1, channels=2))

"""Multi-scale structural similarity between pairs of samples, as a measure of diversity.

Odena et al. 2017 (arXiv:1610.09585) and Karras et al. 2018 (arXiv:1710.10196) report its mean over random pairs of one
set: a generator that repeats itself scores high.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.metrics.base import GenerativeMetric

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first (Wang et al. 2003)
WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SMALLEST = 2 ** (len(WEIGHTS) - 1)


class PairedSimilarity(GenerativeMetric):
    """Compute the mean MS-SSIM of images number 0 and 1, 2 and 3, ...; that of the real images is the value to reach.

    Images count in the order of the updates; a batch of odd size leaves its last image to the next one. Each process
    pairs its own images.
    """

    name = "ms_ssim"
    feed = "images"
    scores = ("ms_ssim",)
    higher_is_better = None  # near ``ms_ssim_real`` is best
    min_size = SMALLEST
    limit = 20000
    real_sum: Tensor
    real_pairs: Tensor
    fake_sum: Tensor
    fake_pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        for side in ("real", "fake"):
            self.add_state(f"{side}_sum", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{side}_pairs", default=torch.tensor(0), dist_reduce_fx="sum")
        self._single: dict[bool, Tensor | None] = {True: None, False: None}

    def update(self, values: Tensor, real: bool) -> None:
        """Take images (N, C, H, W) uint8, H and W at least 16."""
        if min(values.shape[-2:]) < SMALLEST:
            raise ValueError(f"ms_ssim: images of {tuple(values.shape[-2:])}; must be at least {SMALLEST} pixels wide")
        single = self._single[real]
        values = values if single is None else torch.cat([single, values])
        whole = len(values) // 2 * 2
        self._single[real] = values[whole:] if len(values) > whole else None
        if whole:
            found = ms_ssim(values[:whole:2], values[1:whole:2]).double()
            if real:
                self.real_sum += found.sum()
                self.real_pairs += len(found)
            else:
                self.fake_sum += found.sum()
                self.fake_pairs += len(found)

    def reset(self) -> None:
        """Forget the generated images."""
        super().reset()
        self._single[False] = None

    def compute(self) -> dict[str, Tensor]:
        """Return ``ms_ssim`` of the samples and, if there were real images, ``ms_ssim_real``."""
        scores = {"ms_ssim": self.fake_sum / self.fake_pairs}
        if self.real_pairs:
            scores["ms_ssim_real"] = self.real_sum / self.real_pairs
        return scores


def ms_ssim(one: Tensor, two: Tensor) -> Tensor:
    """Compute the MS-SSIM of pairs of images.

    Five scales, each half the one before (2x2 means). The Gaussian window is 11x11 with sigma 1.5; where an image is
    smaller than that, window and sigma shrink with it. Negative contrast terms, whose fractional power would not be a
    number, count as zero.

    Args:
        one: (N, C, H, W) with values from 0 to 255, H and W >= 16.
        two: The same shape.

    Returns:
        (N,), 1 for equal images.
    """
    one, two = one.float(), two.float()
    product = torch.ones(len(one), device=one.device)
    for scale, weight in enumerate(WEIGHTS):
        similarity, contrast = _ssim(one, two)
        last = scale == len(WEIGHTS) - 1
        product = product * (similarity if last else contrast).clamp(min=0) ** weight
        if not last:
            one, two = F.avg_pool2d(one, 2), F.avg_pool2d(two, 2)
    return product


def ssim(one: Tensor, two: Tensor) -> Tensor:
    """Compute structural similarity (Wang et al. 2004): an 11x11 Gaussian window with sigma 1.5, whole windows only.

    Where an image is smaller than the window, the window shrinks with it.

    Args:
        one: (N, C, H, W) with values from 0 to 255.
        two: The same shape.

    Returns:
        (N,) float64, the mean over places and channels; 1 for equal images.
    """
    return _ssim(one.double(), two.double())[0]


def _ssim(one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the means of SSIM and of its contrast-structure term over the places where the window fits: (N,) each."""
    size = min(WINDOW, *one.shape[-2:])
    offsets = torch.arange(size, device=one.device, dtype=torch.float64) - (size - 1) / 2
    kernel = torch.exp(-(offsets**2) / (2 * (SIGMA * size / WINDOW) ** 2))
    kernel = (kernel / kernel.sum()).to(one.dtype)

    def blurred(images: Tensor) -> Tensor:
        flat = images.flatten(0, 1)[:, None]
        blurred = F.conv2d(F.conv2d(flat, kernel[None, None, :, None]), kernel[None, None, None])
        return blurred.view(*images.shape[:2], *blurred.shape[-2:])

    mean_one, mean_two = blurred(one), blurred(two)
    variance_one = (blurred(one * one) - mean_one**2).clamp(min=0)
    variance_two = (blurred(two * two) - mean_two**2).clamp(min=0)
    covariance = blurred(one * two) - mean_one * mean_two
    contrast = (2 * covariance + C2) / (variance_one + variance_two + C2)
    similarity = contrast * (2 * mean_one * mean_two + C1) / (mean_one**2 + mean_two**2 + C1)
    return similarity.mean((1, 2, 3)), contrast.mean((1, 2, 3))

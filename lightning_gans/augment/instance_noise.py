"""Instance noise that fades out."""

from __future__ import annotations

from torch import Tensor

from lightning_gans.augment.base import Augmentation, Draws
from lightning_gans.config.types import Positive, checked


class InstanceNoise(Augmentation):
    """Add instance noise to what the discriminator sees: x + sigma(t) N(0, I), where sigma falls linearly to 0.

    Sonderby et al. 2017, arXiv:1610.04490; Arjovsky and Bottou 2017, arXiv:1701.04862.

    Args:
        sigma: Standard deviation at the start, in units of the images' range [-1, 1].
        decay_kimg: Thousands of real images until the noise is gone; ``None``: it stays.
    """

    @checked
    def __init__(self, sigma: Positive = 0.1, decay_kimg: Positive | None = 100.0) -> None:
        super().__init__()
        self.sigma, self.decay_kimg = sigma, decay_kimg

    def check(self, shape: tuple[int, ...]) -> None:
        """Accept samples of any shape."""

    def sigma_at(self, images_seen: int) -> float:
        """Return the standard deviation after so many real images."""
        gone = images_seen / (1000 * self.decay_kimg) if self.decay_kimg else 0.0
        return self.sigma * max(0.0, 1 - gone)

    def augment(self, samples: Tensor, draws: Draws) -> Tensor:
        """Add noise to samples (N, ...), which may leave [-1, 1]."""
        return samples + self.sigma_at(draws.images_seen) * draws.normal(*samples.shape)

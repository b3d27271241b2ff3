"""Instance noise that fades out."""

from __future__ import annotations

from torch import Tensor

from lightning_gans.augment.base import Augmentation, Draws


class InstanceNoise(Augmentation):
    """x + sigma(t) N(0, I), where sigma falls linearly to 0. Sonderby et al. 2017, arXiv:1610.04490; Arjovsky 2017.

    Args:
        sigma: Standard deviation at the start, in units of the images' range [-1, 1].
        decay_kimg: Thousands of real images until the noise is gone; ``None``: it stays.
    """

    def __init__(self, sigma: float = 0.1, decay_kimg: float | None = 100.0) -> None:
        super().__init__()
        if sigma <= 0:
            raise ValueError(f"model.augment.sigma={sigma}: must be > 0")
        if decay_kimg is not None and decay_kimg <= 0:
            raise ValueError(f"model.augment.decay_kimg={decay_kimg}: must be > 0, or null")
        self.sigma, self.decay_kimg = sigma, decay_kimg

    def check(self, shape: tuple[int, ...]) -> None:
        """Any samples will do."""

    def sigma_at(self, images_seen: int) -> float:
        """Standard deviation after so many real images."""
        gone = images_seen / (1000 * self.decay_kimg) if self.decay_kimg else 0.0
        return self.sigma * max(0.0, 1 - gone)

    def forward(self, samples: Tensor, draws: Draws) -> Tensor:
        """(N, ...) -> (N, ...), no longer bound to [-1, 1]."""
        return samples + self.sigma_at(draws.images_seen) * draws.normal(*samples.shape)

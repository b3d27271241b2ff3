"""Draw conditions about what is learnt of a text (Zhang et al. 2017, arXiv:1612.03242, section 3.2)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.runtime.precision import full_precision


class ConditioningAugmentation(nn.Module):
    """Map embeddings (N, text_dim) to mean and log variance of conditions, (N, condition_dim) each, both >= 0.

    Args:
        text_dim: Length of an embedding.
        condition_dim: Length of a condition.
    """

    def __init__(self, text_dim: int, condition_dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(text_dim, 2 * condition_dim)

    def forward(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance, as the released code has them: after a ReLU."""
        mean, log_variance = full_precision(F.relu(self.fc(text))).chunk(2, 1)
        return mean, log_variance


def drawn(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Return conditions (N, condition_dim): mean + standard deviation x noise."""
    return (mean + (0.5 * log_variance).exp() * noise).to(noise.dtype)

"""Bounds of the mutual information I(c; x) of codes and images, in nats, as pure functions of what Q predicts.

L_I = E[log Q(c | x)] + H(c) <= I(c; x). Chen et al. 2016, arXiv:1606.03657, equation 5. The entropy is a constant:
it changes no gradient, and the bound is 0 for categories of which Q knows nothing.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

HALF_LOG_TWO_PI = math.log(2 * math.pi) / 2


def categorical_information(logits: Tensor, codes: Tensor) -> Tensor:
    """Return log Q(c | x) + H(c) for a code of K equally frequent categories, (N,); ln K at most.

    Args:
        logits: Raw logits (N, K) of Q.
        codes: Categories (N,) int64 that the images were made from.
    """
    return math.log(logits.shape[1]) - F.cross_entropy(logits, codes, reduction="none")


def gaussian_log_likelihood(values: Tensor, means: Tensor, log_stds: Tensor) -> Tensor:
    """Return the log density of values under independent Gaussians, (N,): the sum over the last axis.

    With a standard deviation of 1 it is a constant minus half of the squared error.

    Args:
        values: (N, n).
        means: (N, n).
        log_stds: Logarithms of the standard deviations, (N, n).
    """
    distances = (values - means) * torch.exp(-log_stds)
    return -(distances.square() / 2 + log_stds + HALF_LOG_TWO_PI).sum(-1)


def continuous_information(codes: Tensor, means: Tensor, log_stds: Tensor) -> Tensor:
    """Return log Q(c | x) + H(c) for codes that are uniform in [-1, 1), each of entropy ln 2, and a Gaussian Q: (N,).

    Unlike that of categories it has no bound.

    Args:
        codes: Codes (N, n) that the images were made from.
        means: (N, n) of Q.
        log_stds: Logarithms of its standard deviations, (N, n).
    """
    return gaussian_log_likelihood(codes, means, log_stds) + codes.shape[1] * math.log(2)

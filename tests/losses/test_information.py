"""Bounds of the mutual information against closed forms."""

import math

import torch

from lightning_gans.losses.information import (
    categorical_information,
    continuous_information,
    gaussian_log_likelihood,
)


def test_categorical_information_runs_from_nothing_to_the_logarithm_of_the_categories(float64):
    codes = torch.tensor([0, 3, 9])
    assert torch.allclose(categorical_information(torch.zeros(3, 10), codes), torch.zeros(3))
    certain = torch.full((3, 10), -1e3).scatter(1, codes[:, None], 0.0)
    assert torch.allclose(categorical_information(certain, codes), torch.full((3,), math.log(10)))  # 2.303
    p = torch.tensor([[0.2, 0.3, 0.5]])
    assert torch.allclose(categorical_information(p.log() + 7, torch.tensor([1])), torch.tensor([math.log(3 * 0.3)]))


def test_gaussian_log_likelihood_is_that_of_torchs_distribution(float64):
    values, means, log_stds = torch.randn(3, 5, 2)
    expected = torch.distributions.Normal(means, log_stds.exp()).log_prob(values).sum(1)
    torch.testing.assert_close(gaussian_log_likelihood(values, means, log_stds), expected)


def test_a_fixed_deviation_of_one_makes_it_a_squared_error(float64):
    codes, means = torch.rand(4, 2) * 2 - 1, torch.randn(4, 2)
    constant = 2 * (math.log(2) - math.log(2 * math.pi) / 2)  # entropies less the Gaussians' constants
    expected = constant - (codes - means).square().sum(1) / 2
    torch.testing.assert_close(continuous_information(codes, means, torch.zeros(4, 2)), expected)


def test_the_best_gaussian_that_knows_nothing_has_no_information_to_give(float64):
    """A uniform code and its own mean and deviation: E[log Q] + H is below 0 by the divergence of the two."""
    codes = (torch.arange(100_000, dtype=torch.float64) + 0.5)[:, None] / 50_000 - 1
    log_std = math.log(1 / math.sqrt(3))
    found = continuous_information(codes, torch.zeros_like(codes), torch.full_like(codes, log_std)).mean()
    expected = math.log(2) - math.log(2 * math.pi * math.e / 3) / 2  # H(uniform) - H(Gaussian of that variance)
    assert abs(found - expected) < 1e-8

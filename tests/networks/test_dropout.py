"""Dropout by comparing uniform numbers."""

import pytest
import torch

from lightning_gans.networks.dropout import Dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("p", [0.2, 0.5])
def test_values_are_dropped_or_scaled(p, dtype):
    """Means stay, kept values are x / (1 - p), and the share of those dropped is p within five standard deviations."""
    torch.manual_seed(0)
    n = 100_000
    x = torch.full((n,), 3.0, dtype=dtype)
    made = Dropout(p)(x)
    assert made.dtype == dtype
    assert set(made.unique().tolist()) == {0.0, (x[0] * torch.tensor(1 / (1 - p), dtype=dtype)).item()}
    dropped = made.eq(0).double().mean()
    assert abs(dropped - p) < 5 * (p * (1 - p) / n) ** 0.5


def test_nothing_is_dropped_in_evaluation_or_with_probability_0():
    x = torch.randn(4, 5)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)


def test_gradients_pass_where_values_do_and_so_do_their_own():
    torch.manual_seed(0)
    x = torch.randn(50, requires_grad=True)
    made = Dropout(0.5)(x).square()
    (first,) = torch.autograd.grad(made.sum(), x, create_graph=True)  # 2 (m x) m, with m 0 or 2
    (second,) = torch.autograd.grad(first.sum(), x)
    mask = made.ne(0).double()
    torch.testing.assert_close(first, (8 * x * mask).float())
    torch.testing.assert_close(second, (8 * mask).float())


def test_a_seed_gives_the_mask():
    masks = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        masks.append(Dropout(0.5)(torch.ones(64)))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])

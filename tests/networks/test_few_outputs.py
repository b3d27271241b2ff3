"""Convolutions to few channels against PyTorch's."""

import pytest
import torch
import torch.nn.functional as F

from lightning_gans.networks import few_outputs
from lightning_gans.networks.convolution import Conv2d

LAST, FIRST = torch.channels_last, torch.contiguous_format


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("layout", [FIRST, LAST])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("n", "size", "outputs", "kernel", "padding"),
    [(1, (9, 8), 3, (7, 7), 0), (2, (6, 5), 1, (5, 5), 2), (3, (7, 11), 2, (5, 6), 1), (2, (3, 4), 3, (9, 9), 4)],
)
def test_values_and_gradients_are_those_of_the_convolution(n, size, outputs, kernel, padding, bias, layout):
    maps = drawn(n, 4, *size).to(memory_format=layout).requires_grad_()
    weight = drawn(outputs, 4, *kernel, seed=1).to(memory_format=layout).requires_grad_()
    wanted = [maps, weight, *([drawn(outputs, seed=2).requires_grad_()] if bias else [])]
    given = wanted[2] if bias else None
    made, expected = few_outputs.convolve(maps, weight, given, padding), F.conv2d(maps, weight, given, padding=padding)
    torch.testing.assert_close(made, expected)
    by = drawn(*made.shape, seed=3)
    for mine, their in zip(*(torch.autograd.grad(of, wanted, by) for of in (made, expected)), strict=True):
        torch.testing.assert_close(mine, their)


def test_gradients_can_be_differentiated_once_more():
    of = drawn(1, 2, 5, 6).requires_grad_(), drawn(2, 2, 5, 5, seed=1).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda *of: few_outputs.convolve(*of, None, 1), of)


@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel", "taken"),
    [(64, 3, 7, True), (32, 4, 5, True), (31, 3, 7, False), (64, 5, 7, False), (64, 3, 4, False)],
)
def test_it_is_taken_for_large_kernels_from_many_channels_to_few(inputs, outputs, kernel, taken, monkeypatch):
    convolve, calls = few_outputs.convolve, []
    monkeypatch.setattr(few_outputs, "convolve", lambda *of: calls.append(1) or convolve(*of))
    layer = Conv2d(inputs, outputs, kernel)
    maps = drawn(2, inputs, 9, 9, dtype=torch.float32)
    torch.testing.assert_close(layer(maps), F.conv2d(maps, layer.weight, layer.bias), rtol=1e-4, atol=1e-5)
    assert bool(calls) is taken

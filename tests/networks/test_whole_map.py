"""Convolutions between a map and one pixel against PyTorch's, values, gradients and layouts."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from lightning_gans.networks.whole_map import MapToPixel, PixelToMap

LAST, FIRST = torch.channels_last, torch.contiguous_format
LAYOUTS = pytest.mark.parametrize("layout", [FIRST, LAST])


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def same_gradients(made, expected, inputs):
    weights = drawn(*made.shape)
    for ours, theirs in zip(*(torch.autograd.grad(of, inputs, weights) for of in (made, expected)), strict=True):
        torch.testing.assert_close(ours, theirs)


@LAYOUTS
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n", [1, 3])
def test_map_to_pixel_is_a_convolution_by_a_kernel_of_its_size(n, bias, layout):
    layer = MapToPixel(5, 2, (3, 4), bias=bias).double().to(memory_format=layout)
    x = drawn(n, 5, 3, 4).to(memory_format=layout).requires_grad_()
    made, expected = layer(x), F.conv2d(x, layer.weight, layer.bias)
    assert made.shape == (n, 2, 1, 1)
    torch.testing.assert_close(made, expected)
    same_gradients(made, expected, [x, *layer.parameters()])
    (gradient,) = torch.autograd.grad(layer(x).sum(), x)
    assert gradient.is_contiguous(memory_format=layout)


@LAYOUTS
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n", [1, 3])
def test_pixel_to_map_is_a_transposed_convolution(n, bias, layout):
    layer = PixelToMap(5, 2, (3, 4), bias=bias).double().to(memory_format=layout)
    x = drawn(n, 5, 1, 1).requires_grad_()
    made, expected = layer(x), F.conv_transpose2d(x, layer.weight, layer.bias)
    assert made.shape == (n, 2, 3, 4)
    assert made.is_contiguous(memory_format=layout)
    torch.testing.assert_close(made, expected)
    same_gradients(made, expected, [x, *layer.parameters()])


def test_gradients_can_be_differentiated_once_more():
    layer = MapToPixel(2, 1, 2).double()
    assert torch.autograd.gradgradcheck(layer, drawn(2, 2, 2, 2).requires_grad_())


def test_states_are_those_of_pytorchs_layers():
    nn.Conv2d(5, 2, (3, 4)).load_state_dict(MapToPixel(5, 2, (3, 4)).state_dict())
    nn.ConvTranspose2d(5, 2, 3).load_state_dict(PixelToMap(5, 2, 3).state_dict())


def test_spectral_norm_takes_one_step_a_pass():
    layer = spectral_norm(MapToPixel(3, 4, 2))
    plain = spectral_norm(nn.Conv2d(3, 4, 2))
    plain.load_state_dict(layer.state_dict())
    x = drawn(2, 3, 2, 2).float()
    for _ in range(3):
        torch.testing.assert_close(layer(x), plain(x))

"""Winograd's convolution against PyTorch's: values, gradients, and where it is taken."""

import pytest
import torch
import torch.nn.functional as F

from lightning_gans.losses.double_backward import CheapDoubleBackward
from lightning_gans.networks import winograd
from lightning_gans.networks.convolution import Conv2d, conv2d

LAST, FIRST = torch.channels_last, torch.contiguous_format
SHAPES = [  # images, channels, height, width, outputs, zeros on each side
    (2, 3, 8, 8, 5, 1),
    (1, 4, 9, 13, 2, 0),
    (3, 2, 5, 6, 4, 2),
    (2, 3, 3, 17, 1, 0),
    (1, 1, 1, 1, 1, 1),
]


@pytest.fixture
def everywhere(monkeypatch):
    """Take it for any number of channels and tiles, and count how often."""
    taken = []
    monkeypatch.setattr(winograd, "pays", lambda *_: taken.append(1) or True)
    return taken


def drawn(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def inputs(shape, layout=FIRST, dtype=torch.float64):
    n, channels, height, width, outputs, _ = shape
    maps, weight = drawn(n, channels, height, width, dtype=dtype), drawn(outputs, channels, 3, 3, dtype=dtype, seed=1)
    return maps.to(memory_format=layout).requires_grad_(), weight.to(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("part", [1, 600, 1 << 20])  # a row of tiles at a time, some rows or images, all at once
@pytest.mark.parametrize("layout", [FIRST, LAST])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_the_convolution(shape, layout, part, monkeypatch):
    monkeypatch.setattr(winograd, "PART", part)
    maps, weight = inputs(shape, layout)
    made, expected = (
        winograd.Convolution.apply(maps, weight, None, shape[-1]),
        F.conv2d(maps, weight, padding=shape[-1]),
    )
    torch.testing.assert_close(made, expected)
    assert made.is_contiguous(memory_format=LAST)
    by = drawn(*made.shape, seed=2)
    for wanted in ([maps], [weight], [maps, weight]):
        ours, theirs = (torch.autograd.grad(of, wanted, by, retain_graph=True) for of in (made, expected))
        for mine, their in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, their)


def test_the_multiplications_of_a_tile_are_the_papers():
    matrices = winograd._matrices(torch.float64)
    assert [tuple(matrix.shape) for matrix in matrices] == [(36, 36), (36, 9), (16, 36)]


def test_float32_is_off_by_1e_5_of_the_largest_value():
    maps, weight = inputs((2, 128, 16, 16, 128, 1), dtype=torch.float32)
    expected = F.conv2d(maps.double(), weight.double(), padding=1)
    made = winograd.convolve(maps.detach(), weight.detach(), None, 1)
    assert (made - expected).abs().max() < 5e-5 * expected.abs().max()


def test_gradients_can_be_differentiated_once_more():
    maps, weight = inputs((1, 2, 4, 5, 2, 1))
    assert torch.autograd.gradgradcheck(
        lambda *of: winograd.Convolution.apply(*of, 1), (maps, weight, drawn(2).requires_grad_())
    )


@pytest.mark.parametrize("side", [8, 9])
def test_what_follows_may_work_in_place(side, everywhere):
    layer = torch.nn.Sequential(Conv2d(2, 3, 3, padding=1), torch.nn.ReLU(inplace=True))
    layer(drawn(2, 2, side, side, dtype=torch.float32)).sum().backward()
    assert everywhere


def test_a_layer_with_a_bias_is_pytorchs(everywhere):
    layer = Conv2d(3, 4, 3, padding=1).double()
    maps = drawn(2, 3, 6, 7).requires_grad_()
    wanted = [maps, *layer.parameters()]
    made, expected = layer(maps), F.conv2d(maps, layer.weight, layer.bias, padding=1)
    assert everywhere
    torch.testing.assert_close(made, expected)
    by = drawn(*made.shape, seed=2)
    for mine, their in zip(*(torch.autograd.grad(of, wanted, by) for of in (made, expected)), strict=True):
        torch.testing.assert_close(mine, their)


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2},
        {"dilation": 2},
        {"groups": 2},
        {"padding": (1, 0)},
        {"padding": "same"},
        {"padding_mode": "reflect"},
    ],
)
def test_other_convolutions_are_pytorchs(options, everywhere):
    options = {"padding": 1, **options}
    layer, plain = Conv2d(4, 4, 3, **options), torch.nn.Conv2d(4, 4, 3, **options)
    plain.load_state_dict(layer.state_dict())
    maps = drawn(2, 4, 7, 7, dtype=torch.float32)
    assert torch.equal(layer(maps), plain(maps))
    assert not everywhere


@pytest.mark.parametrize("what", ["autocast", "export"])
def test_autocast_and_exports_take_pytorchs(what, everywhere):
    layer, maps = Conv2d(4, 4, 3, padding=1), drawn(2, 4, 8, 8, dtype=torch.float32)
    if what == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(maps).dtype == torch.bfloat16
    else:
        torch.export.export(layer, (maps,))
    assert not everywhere


@pytest.mark.parametrize(
    ("shape", "dtype", "device", "expected"),
    [
        ((2, 256, 32, 32, 256, 1), torch.float32, "cpu", True),
        ((2, 256, 32, 32, 256, 1), torch.bfloat16, "cpu", False),
        ((2, 256, 32, 32, 256, 1), torch.float32, "meta", False),
        ((2, 127, 32, 32, 256, 1), torch.float32, "cpu", False),
        ((2, 256, 32, 32, 127, 1), torch.float32, "cpu", False),
        ((1, 256, 28, 28, 256, 1), torch.float32, "cpu", False),  # 49 tiles
        ((1, 512, 32, 32, 512, 1), torch.float32, "cpu", False),  # 64, and 128 are needed
        ((2, 512, 32, 32, 512, 1), torch.float32, "cpu", True),
    ],
)
def test_it_pays_where_channels_and_tiles_are_many(shape, dtype, device, expected):
    n, channels, height, width, outputs, padding = shape
    maps = torch.empty(n, channels, height, width, dtype=dtype, device=device)
    assert winograd.pays(maps, maps.new_empty(outputs, channels, 3, 3), padding) is expected


def test_penalties_take_it_in_both_their_backward_passes(everywhere):
    def penalty(convolve):
        network = torch.nn.Sequential(Conv2d(2, 3, 3, padding=1), torch.nn.LeakyReLU(0.2), Conv2d(3, 2, 3)).double()
        for parameter in network.parameters():
            parameter.data = drawn(*parameter.shape)
        samples = drawn(2, 2, 6, 6).requires_grad_()
        if convolve is conv2d:
            with (twice := CheapDoubleBackward()):
                found = twice.gradients(network(samples).square().sum(), samples)
        else:
            (found,) = torch.autograd.grad(network(samples).square().sum(), samples, create_graph=True)
        return torch.autograd.grad(found.square().sum(), network[0].weight)[0]

    ours = penalty(conv2d)
    assert len(everywhere) > 4  # forwards, backwards and theirs
    everywhere.clear()
    torch.testing.assert_close(ours, penalty(F.conv2d))

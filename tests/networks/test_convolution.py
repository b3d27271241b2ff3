"""Our ways of a convolution against PyTorch's: values, gradients, and where they are taken."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_gans.losses.double_backward import CheapDoubleBackward
from lightning_gans.networks import columns, winograd
from lightning_gans.networks.convolution import Conv2d, ConvTranspose2d, Way, _Convolution, _Transposed, conv2d

LAST, FIRST = torch.channels_last, torch.contiguous_format
LAYOUTS = pytest.mark.parametrize("layout", [FIRST, LAST])
WINOGRAD = [  # images, channels, height, width, outputs, kernel, stride, padding
    (2, 3, 8, 8, 5, (3, 3), 1, 1),
    (1, 4, 9, 13, 2, (3, 3), 1, 0),
    (3, 2, 5, 6, 4, (3, 3), 1, 2),
    (2, 3, 3, 17, 1, (3, 3), 1, 0),
    (1, 1, 1, 1, 1, (3, 3), 1, 1),
]
COLUMNS = [
    *WINOGRAD,
    (2, 3, 8, 8, 5, (4, 4), 2, 1),
    (2, 3, 9, 7, 5, (4, 4), 2, 1),
    (1, 2, 11, 9, 3, (4, 4), 2, 2),
    (2, 3, 5, 6, 2, (2, 3), 1, 0),
    (1, 1, 2, 2, 1, (4, 4), 2, 1),
    (3, 5, 3, 4, 2, (3, 4), 1, 0),  # as large as the map
    (1, 5, 4, 4, 1, (4, 4), 1, 0),
]
WAYS = [*((winograd, case) for case in WINOGRAD), *((columns, case) for case in COLUMNS)]


@pytest.fixture(params=[winograd, columns], ids=["winograd", "columns"])
def everywhere(request, monkeypatch):
    """Take a way wherever it can be taken, and count how often."""
    taken, sizes = [], [(3, 3), (4, 4)] if request.param is columns else [(3, 3)]
    for module in (winograd, columns):
        chosen = module is request.param

        def pays(*given, chosen=chosen):
            weight = next(one for one in given[1:] if isinstance(one, torch.Tensor))
            fits = chosen and tuple(weight.shape[2:]) in sizes and (chosen is columns or given[-2] in (1, 2))
            taken.extend([1] * fits)
            return fits

        monkeypatch.setattr(module, "pays", pays)
    return SimpleNamespace(taken=taken, by=request.param)


def drawn(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def same_gradients(made, expected, *inputs):
    by = drawn(*made.shape, seed=2)
    for wanted in ([inputs[0]], [inputs[1]], [*inputs]):
        ours, theirs = (torch.autograd.grad(of, wanted, by, retain_graph=True) for of in (made, expected))
        for mine, their in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, their)


@pytest.mark.parametrize("part", [1, 600, 1 << 20])  # a row of tiles at a time, some rows or images, all at once
@pytest.mark.parametrize("bias", [True, False])
@LAYOUTS
@pytest.mark.parametrize(("by", "case"), WAYS)
def test_values_and_gradients_are_those_of_the_convolution(by, case, layout, bias, part, monkeypatch):
    monkeypatch.setattr(winograd, "PART", part)
    n, channels, height, width, outputs, kernel, stride, padding = case
    maps = drawn(n, channels, height, width).to(memory_format=layout).requires_grad_()
    weight = drawn(outputs, channels, *kernel, seed=1).to(memory_format=layout).requires_grad_()
    added = [drawn(outputs, seed=3).requires_grad_()] if bias else []
    made = _Convolution.apply(maps, weight, added[0] if bias else None, Way(by, stride, padding))
    expected = F.conv2d(maps, weight, added[0] if bias else None, stride, padding)
    torch.testing.assert_close(made, expected)
    assert made.is_contiguous(memory_format=LAST)
    same_gradients(made, expected, maps, weight, *added)


@LAYOUTS
@pytest.mark.parametrize("case", COLUMNS)
def test_values_and_gradients_are_those_of_the_transposed_convolution(case, layout):
    n, outputs, height, width, channels, kernel, stride, padding = case
    maps = drawn(n, channels, height, width).to(memory_format=layout).requires_grad_()
    weight = drawn(channels, outputs, *kernel, seed=1).to(memory_format=layout).requires_grad_()
    expected = F.conv_transpose2d(maps, weight, None, stride, padding)
    made = _Transposed.apply(maps, weight, tuple(expected.shape), Way(columns, stride, padding))
    torch.testing.assert_close(made, expected)
    assert made.is_contiguous(memory_format=LAST)
    same_gradients(made, expected, maps, weight)


def test_a_tile_of_winograds_takes_the_papers_36_products():
    matrices = winograd._matrices(torch.float64)
    assert [tuple(matrix.shape) for matrix in matrices] == [(36, 36), (36, 9), (16, 36)]


def test_winograds_float32_is_off_by_1e_5_of_the_largest_value():
    maps, weight = drawn(2, 128, 16, 16, dtype=torch.float32), drawn(128, 128, 3, 3, dtype=torch.float32, seed=1)
    expected = F.conv2d(maps.double(), weight.double(), padding=1)
    made = winograd.convolve(maps, weight, None, 1, 1)
    assert (made - expected).abs().max() < 5e-5 * expected.abs().max()


@pytest.mark.parametrize("by", [winograd, columns])
def test_gradients_can_be_differentiated_once_more(by):
    given = drawn(1, 2, 4, 5).requires_grad_(), drawn(2, 2, 3, 3, seed=1).requires_grad_(), drawn(2).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda *of: _Convolution.apply(*of, Way(by, 1, 1)), given)
    maps, weight = drawn(1, 2, 2, 3).requires_grad_(), drawn(2, 1, 4, 4, seed=1).requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda *of: _Transposed.apply(*of, (1, 1, 4, 6), Way(columns, 2, 1)), (maps, weight)
    )


@pytest.mark.parametrize("side", [8, 9])
@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
def test_layers_are_pytorchs_and_what_follows_may_work_in_place(kind, side, everywhere):
    plain = {Conv2d: nn.Conv2d, ConvTranspose2d: nn.ConvTranspose2d}[kind](3, 4, 3, padding=1).double()
    ours = kind(3, 4, 3, padding=1).double()
    ours.load_state_dict(plain.state_dict())
    found = []
    for layer in (ours, plain):
        maps = drawn(2, 3, side, side).requires_grad_()
        made = nn.Sequential(layer, nn.ReLU(inplace=True))(maps)
        found.append([made, *torch.autograd.grad(made.square().sum(), [maps, *layer.parameters()])])
    assert bool(everywhere.taken) is (kind is Conv2d or everywhere.by is columns)
    for mine, their in zip(*found, strict=True):
        torch.testing.assert_close(mine, their)


@pytest.mark.parametrize(
    "options",
    [{"stride": (1, 2)}, {"dilation": 2}, {"groups": 2}, {"padding": (1, 0)}, {"padding": "same"}]
    + [{"padding_mode": "reflect"}, {"transposed": True, "stride": 2, "output_padding": 1}],
)
def test_other_convolutions_are_pytorchs(options, everywhere):
    options = {"padding": 1, **options}
    kinds = (ConvTranspose2d, nn.ConvTranspose2d) if options.pop("transposed", False) else (Conv2d, nn.Conv2d)
    layer, plain = (kind(4, 4, 3, **options) for kind in kinds)
    plain.load_state_dict(layer.state_dict())
    maps = drawn(2, 4, 7, 7, dtype=torch.float32)
    assert torch.equal(layer(maps), plain(maps))
    assert not everywhere.taken


@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
@pytest.mark.parametrize("what", ["autocast", "export", "compile"])
def test_autocast_exports_and_compilers_take_pytorchs(what, kind, everywhere):
    layer, maps = kind(4, 4, 3, padding=1), drawn(2, 4, 8, 8, dtype=torch.float32)
    if what == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(maps).dtype == torch.bfloat16
    elif what == "export":
        torch.export.export(layer, (maps,))
    else:
        torch.compile(layer, fullgraph=True, backend="eager")(maps)
    assert not everywhere.taken


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
def test_winograd_pays_where_channels_and_tiles_are_many(shape, dtype, device, expected):
    n, channels, height, width, outputs, padding = shape
    maps = torch.empty(n, channels, height, width, dtype=dtype, device=device)
    weight = maps.new_empty(outputs, channels, 3, 3)
    assert winograd.pays(maps, weight, 1, padding) is expected
    assert winograd.pays(maps, weight, 2, padding) is False


@pytest.mark.parametrize(
    ("maps", "weight", "stride", "padding", "expected"),
    [
        ((64, 256, 8, 8), (512, 256, 4, 4), 2, 1, True),  # 1,024 places, 4 copies of a pixel
        ((160, 256, 8, 8), (512, 256, 4, 4), 2, 1, False),
        ((64, 128, 16, 16), (256, 128, 4, 4), 2, 1, False),  # half a million weights
        ((16, 512, 4, 4), (512, 512, 3, 3), 1, 1, True),  # 256 places, 9 copies
        ((16, 512, 8, 8), (512, 512, 3, 3), 1, 1, False),
        ((512, 8, 4, 4), (1, 8, 4, 4), 1, 0, True),  # as large as the map
        ((512, 8, 4, 4), (1, 8, 4, 4), 1, 1, False),
        ((2, 2048, 8, 8), (512, 2048, 3, 3), 2, 1, False),  # no multiple of the stride
        ((0, 8, 4, 4), (1, 8, 4, 4), 1, 0, False),
    ],
)
def test_columns_pay_for_large_weights_at_few_places_and_for_whole_maps(maps, weight, stride, padding, expected):
    given = torch.empty(maps), maps, torch.empty(weight), stride, padding
    assert columns.pays(*given) is expected
    assert columns.pays(given[0].bfloat16(), *given[1:]) is False


def test_penalties_take_them_in_both_backward_passes(everywhere):
    def penalty(cheap):
        network = nn.Sequential(Conv2d(2, 3, 3, padding=1), nn.LeakyReLU(0.2), Conv2d(3, 2, 3)).double()
        for parameter in network.parameters():
            parameter.data = drawn(*parameter.shape)
        samples = drawn(2, 2, 6, 6).requires_grad_()
        if cheap:
            with (twice := CheapDoubleBackward()):
                found = twice.gradients(network(samples).square().sum(), samples)
        else:
            (found,) = torch.autograd.grad(network(samples).square().sum(), samples, create_graph=True)
        return torch.autograd.grad(found.square().sum(), network[0].weight)[0]

    ours = penalty(cheap=True)
    assert len(everywhere.taken) > 4  # forwards, backwards and theirs
    torch.testing.assert_close(ours, penalty(cheap=False))


def test_conv2d_is_pytorchs_for_any_arguments():
    maps, weight = drawn(2, 4, 7, 7), drawn(6, 2, 3, 3, seed=1)
    made = conv2d(maps, weight, None, 2, "valid", 1, 2)
    assert torch.equal(made, F.conv2d(maps, weight, None, 2, "valid", 1, 2))

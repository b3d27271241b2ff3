"""Our ways of a convolution against PyTorch's: values, gradients, and where they are taken."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_gans.losses import double_backward
from lightning_gans.losses.double_backward import CheapDoubleBackward
from lightning_gans.networks import convolution, dense, winograd
from lightning_gans.networks.columns import Columns
from lightning_gans.networks.convolution import Conv2d, ConvTranspose2d, _Convolution, _Transposed, conv2d
from lightning_gans.networks.few_channels import FewChannels
from lightning_gans.networks.winograd import Winograd

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
    (2, 2, 9, 8, 3, (3, 6), 3, 0),
    (2, 1, 10, 6, 2, (2, 2), 2, 3),
    (3, 5, 3, 4, 2, (3, 4), 1, 0),
]
WAYS = [(Winograd, case) for case in WINOGRAD] + [(by, case) for by in (Columns, FewChannels) for case in COLUMNS]
WHOLE = [(3, 5, 3, 4, 2), (1, 5, 4, 4, 1), (2, 3, 1, 1, 4)]  # images, channels, height, width, outputs


@pytest.fixture(params=[Winograd, Columns, FewChannels])
def everywhere(request, monkeypatch):
    """Take a way wherever it can be taken, of any type, and count how often."""
    taken = []

    def way_of(shape, weight, stride, padding):
        if tuple(weight.shape[2:]) != (3, 3) or stride != 1:
            return None
        taken.append(1)
        return request.param(stride, padding)

    for module in (convolution, double_backward):
        monkeypatch.setattr(module, "way_of", way_of)
    return taken


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
    made = _Convolution.apply(maps, weight, added[0] if bias else None, by(stride, padding))
    expected = F.conv2d(maps, weight, added[0] if bias else None, stride, padding)
    torch.testing.assert_close(made, expected)
    assert by is FewChannels or made.is_contiguous(memory_format=LAST)
    same_gradients(made, expected, maps, weight, *added)


@LAYOUTS
@pytest.mark.parametrize(("by", "case"), WAYS)
def test_values_and_gradients_are_those_of_the_transposed_convolution(by, case, layout):
    n, outputs, height, width, channels, kernel, stride, padding = case
    maps = drawn(n, channels, height, width).to(memory_format=layout).requires_grad_()
    weight = drawn(channels, outputs, *kernel, seed=1).to(memory_format=layout).requires_grad_()
    expected = F.conv_transpose2d(maps, weight, None, stride, padding)
    made = _Transposed.apply(maps, weight, tuple(expected.shape), by(stride, padding))
    torch.testing.assert_close(made, expected)
    assert made.is_contiguous(memory_format=LAST)
    same_gradients(made, expected, maps, weight)


@LAYOUTS
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("case", WHOLE)
def test_a_kernel_as_large_as_the_map_is_a_dense_layer(case, transposed, bias, layout):
    n, channels, height, width, outputs = case
    sizes = (n, outputs, 1, 1) if transposed else (n, channels, height, width)
    maps = drawn(*sizes).to(memory_format=layout).requires_grad_()
    weight = drawn(outputs, channels, height, width, seed=1).to(memory_format=layout).requires_grad_()
    added = [drawn(channels if transposed else outputs, seed=3).requires_grad_()] if bias else []
    ours, theirs = (dense.spread, F.conv_transpose2d) if transposed else (dense.convolve, F.conv2d)
    made, expected = (compute(maps, weight, added[0] if bias else None) for compute in (ours, theirs))
    torch.testing.assert_close(made, expected)
    assert made.is_contiguous(memory_format=LAST)
    same_gradients(made, expected, maps, weight, *added)
    kind = ConvTranspose2d if transposed else Conv2d
    layer = kind(weight.shape[0], channels, (height, width)) if transposed else kind(channels, outputs, (height, width))
    layer.weight = nn.Parameter(weight)
    torch.testing.assert_close(layer.double()(maps), theirs(maps, weight, layer.bias))
    assert torch.autograd.gradgradcheck(ours, (maps[:1], weight, *added) if bias else (maps[:1], weight, None))


def test_a_tile_of_winograds_takes_the_papers_36_products():
    matrices = winograd._matrices(torch.float64)
    assert [tuple(matrix.shape) for matrix in matrices] == [(36, 36), (36, 9), (16, 36)]


def test_winograds_float32_is_off_by_1e_5_of_the_largest_value():
    maps, weight = drawn(2, 128, 16, 16, dtype=torch.float32), drawn(128, 128, 3, 3, dtype=torch.float32, seed=1)
    expected = F.conv2d(maps.double(), weight.double(), padding=1)
    made = Winograd(1, 1).convolve(maps, weight)
    assert (made - expected).abs().max() < 5e-5 * expected.abs().max()


@pytest.mark.parametrize("by", [Winograd, Columns, FewChannels])
def test_gradients_can_be_differentiated_once_more(by):
    given = drawn(1, 2, 4, 5).requires_grad_(), drawn(2, 2, 3, 3, seed=1).requires_grad_(), drawn(2).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda *of: _Convolution.apply(*of, by(1, 1)), given)
    maps, weight = drawn(1, 2, 2, 3).requires_grad_(), drawn(2, 1, 4, 4, seed=1).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda *of: _Transposed.apply(*of, (1, 1, 4, 6), Columns(2, 1)), (maps, weight))


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
    assert everywhere
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
    assert not everywhere


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
    assert not everywhere


@pytest.mark.parametrize(
    ("shape", "weight", "stride", "padding", "expected"),
    [
        ((2, 256, 32, 32), (256, 256, 3, 3), 1, 1, Winograd),
        ((2, 256, 32, 32), (256, 256, 3, 3), 2, 1, None),
        ((2, 127, 32, 32), (256, 127, 3, 3), 1, 1, None),
        ((2, 256, 32, 32), (127, 256, 3, 3), 1, 1, None),
        ((1, 256, 28, 28), (256, 256, 3, 3), 1, 1, None),  # 49 tiles
        ((1, 512, 32, 32), (512, 512, 3, 3), 1, 1, None),  # 64, and 128 are needed
        ((2, 512, 32, 32), (512, 512, 3, 3), 1, 1, Winograd),
        ((64, 256, 8, 8), (512, 256, 4, 4), 2, 1, Columns),  # 1,024 places, 4 copies of a pixel
        ((160, 256, 8, 8), (512, 256, 4, 4), 2, 1, None),
        ((64, 128, 16, 16), (256, 128, 4, 4), 2, 1, None),  # half a million weights
        ((16, 512, 4, 4), (512, 512, 3, 3), 1, 1, Columns),  # 256 places, 9 copies
        ((16, 512, 8, 8), (512, 512, 3, 3), 1, 1, None),
        ((2, 2048, 8, 8), (512, 2048, 3, 3), 2, 1, None),  # no multiple of the stride
        ((0, 2048, 4, 4), (512, 2048, 3, 3), 1, 1, None),
        ((2, 3, 64, 64), (64, 3, 4, 4), 2, 1, FewChannels),
        ((2, 1, 9, 9), (24, 1, 7, 7), 1, 0, FewChannels),
        ((2, 5, 64, 64), (64, 5, 4, 4), 2, 1, None),
        ((2, 3, 64, 64), (23, 3, 4, 4), 2, 1, None),
        ((2, 3, 64, 64), (64, 3, 3, 3), 2, 1, None),
        ((2, 3, 64, 64), (64, 3, 1, 1), 1, 0, None),
        ((2, 3, 2, 2), (64, 3, 4, 4), 2, 0, None),  # which PyTorch refuses
    ],
)
def test_ways_are_taken_where_they_pay(shape, weight, stride, padding, expected):
    found = convolution.way_of(shape, torch.empty(weight), stride, padding)
    assert found is None if expected is None else isinstance(found, expected)
    for other in (torch.empty(weight, dtype=torch.bfloat16), torch.empty(weight, device="meta")):
        assert convolution.way_of(shape, other, stride, padding) is None


@pytest.mark.parametrize(
    ("shape", "padding", "expected"),
    [((512, 8, 4, 4), 0, True), ((512, 8, 4, 4), 1, False), ((0, 8, 4, 4), 0, False), ((512, 8, 4, 5), 0, False)],
)
def test_a_layer_is_dense_where_its_kernel_is_the_whole_map(shape, padding, expected):
    assert dense.fits(shape, (1, 8, 4, 4), padding) is expected


def test_an_image_without_a_gradient_is_pytorchs(monkeypatch):
    taken = []
    monkeypatch.setattr(convolution._Convolution, "apply", lambda *given: taken.append(1) or F.conv2d(*given[:3]))
    layer, image = Conv2d(3, 32, 4, 2), drawn(2, 3, 8, 8, dtype=torch.float32)
    layer(image)
    assert not taken
    layer(image.requires_grad_())
    assert taken


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
    assert len(everywhere) > 4  # forwards, backwards and theirs
    torch.testing.assert_close(ours, penalty(cheap=False))


def test_conv2d_is_pytorchs_for_any_arguments():
    maps, weight = drawn(2, 4, 7, 7), drawn(6, 2, 3, 3, seed=1)
    made = conv2d(maps, weight, None, 2, "valid", 1, 2)
    assert torch.equal(made, F.conv2d(maps, weight, None, 2, "valid", 1, 2))

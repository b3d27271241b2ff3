"""Pictures of any size through networks of fixed strides."""

import pytest
import torch
from torch import nn

from lightning_gans.inference.tiles import TilingSpec, fitted
from lightning_gans.networks import srgan, translation_resnet, unet


def local(stride=1, scale=1, radius=2):
    """A network that looks ``radius`` pixels far, in steps of ``stride``."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 2 * radius + 1, padding=radius), nn.Tanh()]
    if stride > 1:
        layers += [nn.Conv2d(4, 4, stride, stride), nn.Tanh(), nn.ConvTranspose2d(4, 4, stride, stride)]
    if scale > 1:
        layers += [nn.Conv2d(4, 4 * scale**2, 1), nn.PixelShuffle(scale)]
    return nn.Sequential(*layers, nn.Conv2d(4, 3, 1)).requires_grad_(False)


def test_borders_are_mirrored_and_cut_off_again():
    seen = []

    def network(images):
        seen.append(images)
        return images

    picture = torch.arange(15.0).view(1, 1, 3, 5)
    tiling = TilingSpec.of(size_divisor=4, trained=8)
    assert torch.equal(fitted(network, picture, tiling), picture)
    assert seen[0].shape == (1, 1, 8, 8)
    assert seen[0][0, 0, 2].tolist() == [1, 0, 1, 2, 3, 4, 3, 2]
    assert seen[0][0, 0, :, 1].tolist() == [10, 5, 0, 5, 10, 5, 0, 5]
    for height, width in ((1, 1), (1, 40), (2, 3), (64, 7)):
        picture = torch.rand(2, 3, height, width)
        assert torch.equal(fitted(network, picture, tiling), picture)
        assert seen[-1].shape[-1] % 4 == seen[-1].shape[-2] % 4 == 0


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("stride", "scale"), [(1, 1), (4, 1), (1, 4), (2, 2)])
@pytest.mark.parametrize("size", [(96, 96), (100, 75), (47, 131), (20, 200)])
def test_a_local_network_makes_the_same_by_tiles(stride, scale, size):
    """To the last place: no seam, no shift, whatever the size."""
    network = local(stride, scale)
    picture = torch.rand(2, 3, *size) * 2 - 1
    options = {"size_divisor": stride, "trained": 32, "scale": scale}
    tiling = TilingSpec.of(**options, tile=64)
    assert tiling.is_tiled(*size)
    whole = fitted(network, picture, TilingSpec.of(**options, tile=None))
    assert whole.shape == (2, 3, size[0] * scale, size[1] * scale)
    assert (fitted(network, picture, tiling) - whole).abs().max() < 1e-6


def test_a_network_that_looks_further_differs_smoothly():
    """Where tiles disagree, the step between neighbours is a fraction of the disagreement."""
    calls = []

    def network(images):  # every tile another grey
        calls.append(float(len(calls) % 2))
        return torch.full_like(images, calls[-1])

    made = fitted(network, torch.zeros(1, 1, 64, 256), TilingSpec.of(tile=64))[0, 0]
    assert len(calls) == 5
    assert sorted(made.unique().tolist())[:: made.unique().numel() - 1] == [0, 1]
    assert made.diff(dim=1).abs().max() <= 1 / 8 + 1e-5  # overlap 16, of which 8 pixels blend


def test_only_what_is_larger_than_a_tile_is_tiled():
    tiling = TilingSpec.of(size_divisor=4, tile=32)
    assert not tiling.is_tiled(32, 30)
    assert tiling.is_tiled(32, 33)
    auto = TilingSpec.of(size_divisor=256, trained=256)
    assert not auto.is_tiled(1080, 1920)
    assert auto.is_tiled(3000, 4000)
    assert auto.tile == 1024
    assert TilingSpec.of(scale=4).tile == 256
    assert not TilingSpec.of(tile=None).is_tiled(10**5, 10**5)


@pytest.mark.parametrize("tile", [100, 256, 0, -1, True, "large", 512.0])
def test_a_tile_that_the_network_cannot_take_is_refused(tile):
    with pytest.raises(ValueError, match=r"tile=.*>= 512 and a multiple of 256"):
        TilingSpec.of(size_divisor=256, trained=256, tile=tile)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("size", [(24, 288), (300, 20), (64, 96)])
@pytest.mark.parametrize("family", ["unet", "resnet", "srgan"])
def test_networks_of_rectangles_translate_by_tiles_as_a_whole(family, size):
    """Without norm, whose statistics would be a tile's, and with less to see than a quarter of the overlap, 16."""
    torch.manual_seed(0)
    options = {"image_size": [16, 24], "source_channels": 3, "channels": 3, "base_channels": 4, "norm": None}
    if family == "unet":
        network = unet.Generator(**options, dropout=0.0, downs=2)
    elif family == "resnet":
        network = translation_resnet.Generator(**options, blocks=1, downs=1)
    else:
        network = srgan.SRResNet(channels=3, factor=2, base_channels=4, blocks=1, norm=None)
    for weights in network.parameters():  # large enough that all that is seen matters
        nn.init.normal_(weights, 0, 0.1)
    network.eval().requires_grad_(False)
    of_network = {"size_divisor": getattr(network, "size_divisor", 1), "scale": getattr(network, "scale", 1)}
    whole, tiled = (TilingSpec.of(**of_network, trained=16, tile=tile) for tile in (None, 256))
    picture = torch.rand(1, 3, *size) * 2 - 1
    expected = fitted(network, picture, whole)
    assert expected.shape == (1, 3, *(side * of_network["scale"] for side in size))
    assert expected.std() > 1e-3
    assert tiled.is_tiled(*size) == (max(size) > 256)
    torch.testing.assert_close(fitted(network, picture, tiled), expected, rtol=0, atol=1e-6)  # weights of float32

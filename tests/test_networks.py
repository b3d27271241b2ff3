"""DCGAN's networks: shapes, the paper's rules, refusals."""

import math

import pytest
import torch
from torch import nn

from lightning_gans.networks.dcgan import Discriminator, Generator
from lightning_gans.networks.layers import has_batch_norm, normalised


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_shapes_and_range(size, channels):
    generator = Generator(image_size=size, channels=channels, latent_dim=7, base_channels=4, max_channels=16)
    discriminator = Discriminator(image_size=size, channels=channels, base_channels=4, max_channels=16)
    images = generator(torch.randn(2, 7))
    assert images.shape == (2, channels, size, size)
    assert images.abs().max() <= 1
    assert discriminator(images).shape == (2,)


def test_widths_of_the_released_code_at_64():
    generator = Generator(image_size=64, channels=3)
    discriminator = Discriminator(image_size=64, channels=3)
    up = [layer.out_channels for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d)]
    down = [layer.out_channels for layer in discriminator.layers if isinstance(layer, nn.Conv2d)]
    assert up == [512, 256, 128, 64, 3]
    assert down == [64, 128, 256, 512, 1]
    assert max(layer.out_channels for layer in Generator(image_size=256, channels=3).layers[::3]) == 1024


def test_init_and_layout():
    torch.manual_seed(0)
    for network in (Generator(image_size=64, channels=3), Discriminator(image_size=64, channels=3)):
        convolutions = [m for m in network.layers if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        norms = [m for m in network.layers if isinstance(m, nn.BatchNorm2d)]
        for convolution in convolutions:
            tolerance = 4 * 0.02 / math.sqrt(2 * convolution.weight.numel())
            assert convolution.weight.std().item() == pytest.approx(0.02, abs=tolerance)
        gains = torch.cat([norm.weight for norm in norms])
        assert gains.mean().item() == pytest.approx(1, abs=0.01)
        assert gains.std().item() == pytest.approx(0.02, abs=0.005)
        assert all(norm.bias.abs().max() == 0 for norm in norms)
        followed = [a for a, b in zip(network.layers, network.layers[1:], strict=False) if b in norms]
        assert all(convolution.bias is None for convolution in followed)
    assert isinstance(network.layers[1], nn.LeakyReLU)  # no norm after D's first layer
    assert network.layers[1].negative_slope == 0.2


@pytest.mark.parametrize("norm", ["batch", "instance", "spectral", None])
def test_norms_of_the_discriminator(norm):
    network = Discriminator(image_size=16, channels=1, base_channels=4, norm=norm)
    assert has_batch_norm(network) == (norm == "batch")
    assert network(torch.randn(3, 1, 16, 16)).shape == (3,)


def test_spectral_norm_is_one_on_every_layer():
    network = Discriminator(image_size=16, channels=1, base_channels=4, norm="spectral").train()
    for _ in range(50):  # power iterations
        network(torch.randn(2, 1, 16, 16))
    for layer in network.layers:
        if isinstance(layer, nn.Conv2d):
            largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item()
            assert largest == pytest.approx(1, rel=0.02)


def test_unnormalised_convolution_stays_alone():
    convolution = nn.Conv2d(1, 2, 3)
    assert normalised(convolution, None) == [convolution]


@pytest.mark.parametrize(("size", "nearest"), [(48, 32), (33, 32), (100, 128), (4, 8), (512, 256)])
def test_wrong_size_names_the_nearest(size, nearest):
    with pytest.raises(ValueError, match=rf"data\.image_size={size}.*nearest is {nearest}$"):
        Generator(image_size=size, channels=1)


@pytest.mark.parametrize("options", [{"channels": 0}, {"latent_dim": 0}, {"base_channels": 0}])
def test_numbers_out_of_range(options):
    with pytest.raises(ValueError, match=r"must be >= 1"):
        Generator(**{"image_size": 8, "channels": 1, **options})

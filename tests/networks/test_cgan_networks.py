"""Conditional networks, against plain functions of their weights and the published counts."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.networks import cgan, cgan_dcgan, dcgan

WIDTHS = {"latent_dim": 5, "latent_width": 3, "class_width": 4, "hidden": 6}


def parameters(network):
    return sum(weights.numel() for weights in network.parameters())


def test_counts_are_those_of_the_paper():
    sizes = {"image_size": 28, "channels": 1, "num_classes": 10}
    with torch.device("meta"):
        assert parameters(cgan.Generator(**sizes)) == 2_413_984
        assert parameters(cgan.Discriminator(**sizes)) == 1_224_351


def test_dense_generator_is_the_papers_formula(float64):
    network = cgan.Generator(image_size=[2, 3], channels=1, num_classes=4, **WIDTHS).eval()
    z, y = torch.randn(7, 5), torch.tensor([0, 1, 2, 3, 0, 1, 3])
    dense = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    of_z = torch.relu(F.linear(z, dense["of_latents.0"].weight, dense["of_latents.0"].bias))
    of_y = torch.relu(dense["of_class.0"].weight.T[y] + dense["of_class.0"].bias)  # a one-hot vector takes a column
    joint = torch.relu(F.linear(torch.cat([of_z, of_y], 1), dense["joint.0"].weight, dense["joint.0"].bias))
    expected = 2 * torch.sigmoid(F.linear(joint, dense["last.0"].weight, dense["last.0"].bias)) - 1
    torch.testing.assert_close(network(z, y), expected.view(7, 1, 2, 3))


def test_dense_discriminator_is_the_papers_formula(float64):
    network = cgan.Discriminator(image_size=4, channels=2, num_classes=3, image_width=3, class_width=2, hidden=5).eval()
    x, y = torch.rand(6, 2, 4, 4) * 2 - 1, torch.tensor([0, 1, 2, 0, 1, 2])
    dense = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    of_x = F.linear((x.flatten(1) + 1) / 2, dense["of_image.0"].weight, dense["of_image.0"].bias)
    of_y = dense["of_class.0"].weight.T[y] + dense["of_class.0"].bias
    hidden = torch.cat([of_x.view(6, 3, 5).amax(2), of_y.view(6, 2, 5).amax(2)], 1)
    joint = F.linear(hidden, dense["joint.0"].weight, dense["joint.0"].bias).view(6, 5, 4).amax(2)
    expected = F.linear(joint, dense["last"].weight, dense["last"].bias).flatten()
    torch.testing.assert_close(network(x, y), expected)


def test_convolutional_networks_are_dcgans_of_images_and_one_hot_classes(float64):
    sizes = {"image_size": 16, "channels": 2, "base_channels": 4}
    y = torch.tensor([2, 0, 1])
    generator = cgan_dcgan.Generator(**sizes, num_classes=3, latent_dim=5).eval()
    plain = dcgan.Generator(**sizes, latent_dim=8).eval()
    plain.load_state_dict(generator.network.state_dict())
    z = torch.randn(3, 5)
    images = generator(z, y)
    torch.testing.assert_close(images, plain(torch.cat([z, torch.eye(3)[y]], 1)))
    discriminator = cgan_dcgan.Discriminator(**sizes, num_classes=3).eval()
    reader = dcgan.Discriminator(image_size=16, channels=5, base_channels=4).eval()
    reader.load_state_dict(discriminator.network.state_dict())
    maps = torch.zeros(3, 3, 16, 16)
    maps[range(3), y] = 1
    torch.testing.assert_close(discriminator(images, y), reader(torch.cat([images, maps], 1)))


@pytest.mark.parametrize("network", [getattr(m, n) for m in (cgan, cgan_dcgan) for n in ("Generator", "Discriminator")])
def test_data_without_classes_is_refused(network):
    with pytest.raises(ConfigError, match=r"^data\.num_classes=null: must be >= 1.*data=digits"):
        network(image_size=16, channels=1, num_classes=None)

"""InfoGAN's networks against the published counts and plain functions of their weights."""

import pytest
import torch
import torch.nn.functional as F

from lightning_gans import compose
from lightning_gans.config.errors import ConfigError
from lightning_gans.networks import infogan

SMALL = {"image_size": [8, 12], "channels": 2, "categorical": [3, 2], "continuous": 1, "base_channels": 2, "hidden": 5}


def count(network):
    return sum(weights.numel() for weights in network.parameters())


def test_counts_are_those_of_the_authors_code():
    from hydra.utils import instantiate

    config = compose("experiment=infogan_mnist")
    with torch.device("meta"):
        generator, discriminator = instantiate(config.model.generator), instantiate(config.model.discriminator)
    code_head, trunk = count(discriminator.code_head), count(discriminator.trunk)
    assert count(generator) == 6_652_481
    assert count(discriminator) - code_head == 6_559_169
    assert (code_head, trunk) == (133_262, 6_558_144)


def test_generator_takes_one_hot_categories_and_numbers_behind_the_latents(float64):
    network = infogan.Generator(**SMALL, latent_dim=4, norm=None)
    w = dict(network.named_parameters())
    z, c, k = torch.randn(6, 4), torch.tensor([[0, 1], [1, 0], [2, 1]]).repeat(2, 1), torch.rand(6, 1)
    given = torch.cat([z, torch.eye(3)[c[:, 0]], torch.eye(2)[c[:, 1]], k], 1)
    h = torch.relu(F.linear(given, w["layers.0.weight"], w["layers.0.bias"]))
    h = torch.relu(F.linear(h, w["layers.2.weight"], w["layers.2.bias"])).view(6, 4, 2, 3)
    h = torch.relu(F.conv_transpose2d(h, w["layers.5.weight"], w["layers.5.bias"], 2, 1))
    expected = torch.tanh(F.conv_transpose2d(h, w["layers.7.weight"], w["layers.7.bias"], 2, 1))
    torch.testing.assert_close(network(z, c, k), expected)


def test_discriminator_and_q_share_the_trunk(float64):
    network = infogan.Discriminator(**SMALL, code_hidden=3, norm=None)
    w = dict(network.named_parameters())
    x = torch.randn(6, 2, 8, 12)
    h = F.leaky_relu(F.conv2d(x, w["trunk.0.weight"], w["trunk.0.bias"], 2, 1), 0.1)
    h = F.leaky_relu(F.conv2d(h, w["trunk.2.weight"], w["trunk.2.bias"], 2, 1), 0.1).flatten(1)
    h = F.leaky_relu(F.linear(h, w["trunk.5.weight"], w["trunk.5.bias"]), 0.1)
    logits, codes = network.logits_and_codes(x)
    torch.testing.assert_close(logits, F.linear(h, w["head.weight"], w["head.bias"])[:, 0])
    torch.testing.assert_close(network(x), logits)
    h = F.leaky_relu(F.linear(h, w["code_head.0.weight"], w["code_head.0.bias"]), 0.1)
    q = F.linear(h, w["code_head.2.weight"], w["code_head.2.bias"])  # raw: no softmax, on none of them
    torch.testing.assert_close(torch.cat([*codes.logits, codes.means, codes.log_stds], 1), q)
    assert [part.shape[1] for part in codes.logits] == [3, 2]


def test_no_code_at_all_and_other_sizes_are_refused():
    with pytest.raises(ConfigError, match="must hold a code"):
        infogan.Generator(image_size=8, channels=1, categorical=[], continuous=0)
    with pytest.raises(ConfigError, match="multiple of 4"):
        infogan.Discriminator(image_size=10, channels=1)

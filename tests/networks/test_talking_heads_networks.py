"""Networks of talking heads against plain torch.nn.functional, and their sizes."""

import pytest
import torch
import torch.nn.functional as F

from lightning_gans.config.errors import ConfigError
from lightning_gans.networks.attention import PlainSelfAttention
from lightning_gans.networks.talking_heads import AdaptiveBlock, Discriminator, Encoder, Generator, adaptive_norm

SMALL = {"image_size": 16, "channels": 3, "source_channels": 1}


def count(network):
    return sum(weight.numel() for weight in network.parameters())


def test_sizes_at_256():
    """Of the released reading of the paper; that of D has another 512, a w' that only fine-tuning uses."""
    paper = {"image_size": 256, "channels": 3, "source_channels": 3}
    encoder, generator = Encoder(**paper), Generator(**paper)
    discriminator = Discriminator(**paper, num_videos=32)
    projection = generator.projection
    assert count(encoder) == 14_907_265
    assert count(generator) == 38_160_037
    assert (projection.weight.numel(), projection.bias.numel()) == (6_750_208, 13_184)
    assert count(discriminator) == 19_644_290 - 512
    assert (encoder.embedding_dim, discriminator.embedding_dim) == (512, 512)


def convolve(x, layer):
    """By the weights as they are used, divided by their largest singular value."""
    return F.conv2d(x, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)


def halved(x, block, first):
    h = x if first else x.relu()
    h = convolve(convolve(h, block.conv_1).relu(), block.conv_2)
    return F.avg_pool2d(h + convolve(x, block.shortcut), 2)


def test_the_encoder_sums_over_space(float64):
    encoder = Encoder(**SMALL, base_channels=4, embedding_dim=6).eval()
    frames, drawings = torch.randn(2, 3, 16, 16), torch.randn(2, 1, 16, 16)
    h = torch.cat([frames, drawings], 1)
    for i, block in enumerate(encoder.blocks):
        h = halved(h, block, i == 0)
    assert h.shape == (2, 6, 4, 4)
    torch.testing.assert_close(encoder(frames, drawings), h.sum((2, 3)).relu())


def test_the_discriminator_projects_on_the_row_of_the_video(float64):
    network = Discriminator(**SMALL, base_channels=4, embedding_dim=6, num_videos=3).eval()
    torch.nn.init.normal_(network.bias)
    frames, drawings, videos = torch.randn(2, 3, 16, 16), torch.randn(2, 1, 16, 16), torch.tensor([2, 0])
    h, features = torch.cat([frames, drawings], 1), []
    for i, block in enumerate(network.blocks[:2]):
        h = halved(h, block, i == 0)
        features.append(h)
    last = network.blocks[2]
    h = h + convolve(convolve(h.relu(), last.conv_1).relu(), last.conv_2)
    v = h.relu().sum((2, 3))
    found = network(frames, drawings, videos)
    logits = (v * (network.rows.weight[videos] + network.common)).sum(1) + network.bias
    torch.testing.assert_close(found[-1], logits)
    for mine, theirs in zip(found, [*features, h], strict=False):
        torch.testing.assert_close(mine, theirs)
    alone = (v * network.common).sum(1) + network.bias
    torch.testing.assert_close(network(frames, drawings)[-1], alone)


def test_adaptive_norm(float64):
    x, gain, bias = torch.randn(2, 3, 4, 4), torch.randn(2, 3), torch.randn(2, 3)
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
    expected = (x - mean) / (variance + 1e-5).sqrt() * gain[..., None, None] + bias[..., None, None]
    torch.testing.assert_close(adaptive_norm(x, gain, bias), expected)


def test_the_person_enters_the_generator_by_the_norms_alone(float64):
    network = Generator(**SMALL, embedding_dim=6, base_channels=4, blocks=1, first_kernel=3).eval()
    drawings, embedding = torch.randn(2, 1, 16, 16), torch.randn(2, 6)
    image = network(drawings, embedding)
    assert image.shape == (2, 3, 16, 16)
    assert image.abs().max() <= 1
    assert not torch.allclose(image, network(drawings, embedding.flip(0)))
    style = network.projection(embedding[:1])
    with torch.no_grad():
        network.projection.bias.copy_(style[0])
    torch.testing.assert_close(network(drawings[:1], torch.zeros(1, 6)), image[:1])


def test_a_residual_block_with_gains_of_one_is_one_of_instance_norm(float64):
    block = AdaptiveBlock(8, 8).eval()
    h = torch.randn(2, 8, 4, 4)
    normed = [F.instance_norm(h).relu()]
    normed.append(F.instance_norm(convolve(normed[0], block.conv_1)).relu())
    affine = iter([(torch.ones(2, 8), torch.zeros(2, 8))] * 2)
    torch.testing.assert_close(block(h, affine), convolve(normed[1], block.conv_2) + h)


def test_plain_self_attention(float64):
    layer = PlainSelfAttention(8)
    torch.nn.init.constant_(layer.gate, 0.5)
    x = torch.randn(2, 8, 3, 4)
    query, key, value = (
        torch.einsum("oc,nchw->nohw", part.weight[..., 0, 0], x).add(part.bias[:, None, None]).flatten(2)
        for part in (layer.theta, layer.phi, layer.g)
    )
    weights = torch.einsum("ncq,nck->nqk", query, key).softmax(2)
    gathered = torch.einsum("nqk,nck->ncq", weights, value).reshape(x.shape)
    torch.testing.assert_close(layer(x), x + 0.5 * gathered)


@pytest.mark.parametrize(("side", "down", "up"), [(256, [3], [2]), (64, [1], [2]), (16, [], [])])
def test_attention_stands_behind_the_map_of_its_side(side, down, up):
    """Behind the 32x32 map of a halving, and the 64x64 map of a doubling."""
    how = {"channels": 3, "source_channels": 1, "base_channels": 2, "max_channels": 4, "embedding_dim": 4}
    encoder, generator = Encoder(image_size=side, **how), Generator(image_size=side, **how)
    for layers, expected in ((encoder.blocks, down), (generator.up, up)):
        assert [i for i, layer in enumerate(layers) if isinstance(layer, PlainSelfAttention)] == expected


@pytest.mark.parametrize(("side", "halvings"), [(512, 4), (256, 4), (128, 3), (64, 2), (32, 1), (16, 1), ([64, 32], 1)])
def test_a_map_of_16_is_left_as_the_papers(side, halvings):
    generator = Generator(image_size=side, channels=3, source_channels=1, base_channels=2, max_channels=4)
    assert generator.size_divisor == 2**halvings


def test_sides_that_cannot_be_halved_are_refused():
    with pytest.raises(ConfigError, match="image_size"):
        Encoder(image_size=20, channels=3, source_channels=1)

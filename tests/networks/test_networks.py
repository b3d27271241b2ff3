"""Networks: shapes, the papers' rules, refusals; the parts that they share."""

import math

import pytest
import torch
from torch import nn

from conftest import compose
from lightning_gans.config.errors import ConfigError
from lightning_gans.networks import began, mlp, progan, r3gan, resnet
from lightning_gans.networks.dcgan import Discriminator, Encoder, Generator
from lightning_gans.networks.layers import MinibatchDiscrimination, MinibatchStddev, has_batch_norm, normalised
from lightning_gans.runtime.instantiation import instantiate


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


@pytest.mark.parametrize("norm", ["batch", "instance", "layer", "spectral", None])
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


SMALL = {"base_channels": 4, "max_channels": 8}
PAIRS = {
    "resnet": (resnet.Generator, resnet.Discriminator, SMALL, (8, 16, 32, 64, 128)),
    "r3gan": (r3gan.Generator, r3gan.Discriminator, {**SMALL, "group_size": 2}, (8, 16, 32, 64, 128)),
    "mlp": (mlp.Generator, mlp.Discriminator, {"hidden": [6, 5]}, (None, 8, 28)),
}


@pytest.mark.parametrize(("name", "size"), [(name, size) for name, pair in PAIRS.items() for size in pair[3]])
def test_shapes_of_the_others(name, size):
    make_generator, make_discriminator, options, _ = PAIRS[name]
    generator = make_generator(image_size=size, channels=2, latent_dim=7, **options).eval()
    images = generator(torch.randn(3, 7))
    assert images.shape == ((3, 2) if size is None else (3, 2, size, size))
    assert size is None or images.abs().max() <= 1
    for minibatch in (None, "stddev", "discrimination"):
        discriminator = make_discriminator(image_size=size, channels=2, minibatch=minibatch, **options)
        assert discriminator(images).shape == (3,)
    assert not has_batch_norm(discriminator)


def test_began_networks():
    generator = began.Generator(image_size=32, channels=3, latent_dim=5, base_channels=4)
    critic = began.Autoencoder(image_size=32, channels=3, latent_dim=5, base_channels=4)
    images = generator(torch.randn(2, 5))
    assert images.shape == critic(images).shape == (2, 3, 32, 32)
    widths = [layer.out_channels for layer in critic.encoder if isinstance(layer, nn.Conv2d)]
    assert widths == [4, 4, 4, 4, 8, 8, 8, 12, 12]  # 32, 16, 8: n, 2n, 3n
    early = began.Autoencoder(image_size=32, channels=3, latent_dim=5, base_channels=4, widen="down")
    widths = [layer.out_channels for layer in early.encoder if isinstance(layer, nn.Conv2d)]
    assert widths == [4, 4, 4, 8, 8, 8, 12, 12, 12]
    assert early(images).shape == images.shape
    assert {layer.out_channels for layer in generator.layers if isinstance(layer, nn.Conv2d)} == {4, 3}
    with torch.device("meta"):
        published = began.Autoencoder(image_size=64, channels=3)
    assert sum(p.numel() for p in published.parameters()) == 13_405_379


def test_a_dense_autoencoder_sees_what_a_batch_has_in_common():
    """Its code and the layer behind it are normalised over the batch; equal images leave nothing of themselves."""
    network = began.DenseAutoencoder(image_size=[8, 12], channels=2, latent_dim=5, base_channels=3)
    images = torch.randn(6, 2, 8, 12)
    made = network(images)
    assert made.shape == images.shape
    assert made.abs().max() <= 1
    maps = 3 * 4 * 6
    weights = 2 * 3 * 16 + 3 + maps * 5 + 5 + 2 * 5 + 5 * maps + maps + 2 * maps + 3 * 2 * 16 + 2
    assert sum(p.numel() for p in network.parameters()) == weights
    one, other = (network(torch.randn(1, 2, 8, 12).expand(6, -1, -1, -1)) for _ in range(2))
    torch.testing.assert_close(one, other)
    assert not torch.allclose(made[0], made[1])
    generator = began.DenseGenerator(image_size=[8, 12], channels=2, latent_dim=7, base_channels=3, hidden=5)
    assert generator(torch.randn(4, 7)).shape == (4, 2, 8, 12)
    plain = began.DenseAutoencoder(image_size=8, channels=2, latent_dim=5, base_channels=3, norm=None)
    assert not has_batch_norm(plain)
    for size in (7, 66, 2):
        with pytest.raises(ConfigError, match=f"data.image_size={size}: must have even sides from 4 to 64"):
            began.DenseAutoencoder(image_size=size, channels=1)


def test_encoder_gives_mean_and_log_variance():
    mean, log_variance = Encoder(image_size=16, channels=1, latent_dim=5, base_channels=4)(torch.randn(3, 1, 16, 16))
    assert mean.shape == log_variance.shape == (3, 5)
    assert not torch.equal(mean, log_variance)


def test_maxout_is_the_largest_piece():
    layer = mlp.Maxout(3)
    x = torch.tensor([[1.0, 5.0, 2.0, -1.0, -3.0, -2.0]])
    assert layer(x).tolist() == [[5.0, -1.0]]


def test_the_first_gan_as_published():
    generator, discriminator = mlp.Generator(image_size=28, channels=1), mlp.Discriminator(image_size=28, channels=1)
    assert [m.out_features for m in generator.layers if isinstance(m, nn.Linear)] == [1200, 1200, 784]
    assert [m.out_features for m in discriminator.layers if isinstance(m, nn.Linear)] == [1200, 1200, 1]  # 240 x 5
    assert [m.p for m in discriminator.layers if isinstance(m, nn.Dropout)] == [0.2, 0.5, 0.5]
    assert generator.layers[0].weight.abs().max() <= 0.05
    assert discriminator.layers[1].weight.abs().max() <= 0.005
    assert sum(p.numel() for p in generator.parameters()) == 2_503_984
    assert sum(p.numel() for p in discriminator.parameters()) == 1_231_441


@pytest.mark.parametrize("output", ["tanh", "sigmoid"])
def test_dense_images_start_at_a_mean(output):
    """With the last weights 0, as the logistic function of released biases gives them in [0, 1]."""
    generator = mlp.Generator(image_size=3, channels=1, latent_dim=2, hidden=[4], output=output).double()
    latents = torch.randn(2, 2, dtype=torch.double)
    logits = generator.layers[:-1](latents).view(2, 1, 3, 3)
    expected = 2 / (1 + torch.exp(-logits)) - 1 if output == "sigmoid" else torch.tanh(logits)
    torch.testing.assert_close(generator(latents), expected)
    mean = torch.linspace(-1, 1, 9, dtype=torch.double).view(1, 3, 3)  # pixels that never change included
    generator.start_at(mean)
    nn.init.zeros_(generator.layers[2].weight)
    torch.testing.assert_close(generator(latents), mean.expand(2, 1, 3, 3), rtol=0, atol=3e-7)
    assert generator.layers[2].bias.isfinite().all()


def test_resnets_of_cifar():
    """Both papers' CIFAR-10 networks by their number of blocks, widths and resolutions."""
    generator, critic = resnet.Generator(image_size=32, channels=3), resnet.Discriminator(image_size=32, channels=3)
    assert [(b.conv_1.in_channels, b.conv_1.out_channels, b.resize) for b in generator.blocks] == [(256, 256, "up")] * 3
    blocks = [block for block in critic.blocks if isinstance(block, resnet.ResBlock)]
    assert [block.resize for block in blocks] == ["down", "down", None, None]
    assert [block.shortcut is not None for block in blocks] == [True, True, False, False]
    assert blocks[0].first
    assert sum(hasattr(m, "parametrizations") for m in critic.modules()) == 11  # 8 of 3x3, 2 shortcuts, the last
    with torch.no_grad():
        for _ in range(50):
            critic(torch.randn(2, 3, 32, 32))
    for module in critic.eval().modules():
        if hasattr(module, "parametrizations"):
            assert torch.linalg.matrix_norm(module.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("experiment", ["wgan_gp_cifar10", "sngan_cifar10"])
def test_resnets_start_as_both_papers_code_does(experiment):
    """Uniform with std sqrt(4 / (fan_in + fan_out)) in the blocks' 3x3 convolutions, else sqrt(2 / ...); biases 0."""
    torch.manual_seed(0)
    model = compose(f"experiment={experiment}", "data.root=x").model
    for name, layers in (("generator", 11), ("discriminator", 11)):
        network = instantiate(model[name])
        found = [(key, layer) for key, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        assert len(found) == layers
        for key, layer in found:
            spectral = hasattr(layer, "parametrizations")
            weight = (layer.parametrizations.weight.original if spectral else layer.weight).detach().double()
            fans = weight[0].numel() + weight[:, 0].numel()
            std = math.sqrt((4 if ".conv_" in key else 2) / fans)
            share = weight.square().mean().sqrt().item() / std
            assert share == pytest.approx(1, abs=5 * math.sqrt(0.2 / weight.numel())), key  # five deviations of it
            largest = weight.abs().max().item() / (math.sqrt(3) * std)
            assert 1 - 20 / weight.numel() < largest <= 1 + 1e-6, key
            assert not layer.bias.any()


@pytest.mark.usefixtures("float64")
def test_pooling_by_mean_is_the_sum_over_the_places():
    """64 of them at 8x8."""
    summed = resnet.Discriminator(image_size=32, channels=1, base_channels=4, norm=None, pooling="sum")
    mean = resnet.Discriminator(image_size=32, channels=1, base_channels=4, norm=None, pooling="mean")
    mean.load_state_dict(summed.state_dict())
    images = torch.randn(3, 1, 32, 32)
    with torch.no_grad():
        bias = summed.dense.bias.normal_().clone()
        mean.dense.bias.copy_(bias)
        assert summed(images).std() > 1e-3
        torch.testing.assert_close((mean(images) - bias) * 64, summed(images) - bias)


@pytest.mark.parametrize(
    ("decay", "maps"), [(1.0, [64, 32, 16, 8]), (2.0, [32, 8, 2, 1]), (0.5, [64, 64, 45, 32]), (0.0, [64] * 4)]
)
def test_progan_feature_maps_follow_their_rule(decay, maps):
    """min(base / (R / 2)^decay, largest) at R = 4, 8, 16, 32, and at least one, in both networks."""
    options = {"image_size": 32, "channels": 1, "fmap_base": 128, "fmap_decay": decay, "fmap_max": 64}
    made = progan.Generator(latent_dim=8, **options)
    judged = progan.Discriminator(**options)
    assert [layer.in_channels for layer in made.to_rgb] == maps
    assert [layer[0].out_channels for layer in judged.from_rgb] == maps


@pytest.mark.usefixtures("float64")
def test_residual_block_by_hand():
    block = resnet.ResBlock(2, 3, norm=None, resize="down")
    x = torch.randn(1, 2, 4, 4)
    h = block.conv_2(torch.relu(block.conv_1(torch.relu(x))))
    pooled = nn.functional.avg_pool2d(h, 2) + nn.functional.avg_pool2d(block.shortcut(x), 2)
    torch.testing.assert_close(block(x), pooled)


def test_r3gan_blocks_start_as_the_identity_and_double_differentiate():
    block = r3gan.GroupedResidualBlock(8, group_size=4, expansion=2, depth=8)
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(block(x), x)
    first = block.layers[0].weight
    assert first.std().item() == pytest.approx((2 / 1.04) ** 0.5 * 8**-0.25 / 8**0.5, rel=0.2)
    critic = r3gan.Discriminator(image_size=16, channels=1, base_channels=4, max_channels=4, group_size=2)
    image = torch.randn(1, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(critic(image).sum(), image, create_graph=True)
    gradient.square().sum().backward()
    assert critic.layers[0].weight.grad.abs().sum() > 0


def test_group_size_must_divide():
    with pytest.raises(ValueError, match=r"group_size=5: must divide 8"):
        r3gan.Discriminator(image_size=16, channels=1, base_channels=4, group_size=5)


def test_minibatch_stddev_by_hand():
    """Four samples in two strided groups of two: (0, 2) and (1, 3)."""
    x = torch.tensor([0.0, 10.0, 2.0, 16.0]).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    out = MinibatchStddev(2)(x)
    assert out.shape == (4, 4, 2, 2)
    torch.testing.assert_close(out[:, :3], x)
    assert out[:, 3, 0, 0].tolist() == pytest.approx([1, 3, 1, 3], abs=1e-4)
    assert MinibatchStddev(4)(torch.randn(6, 2)).shape == (6, 3)  # 4 does not divide 6: groups of 3
    for n, groups in ((5, 1), (7, 1), (14, 7), (3, 1)):  # the whole batch, not each sample on its own
        made = MinibatchStddev(4)(torch.randn(n, 2))[:, 2]
        assert len(made.unique()) == groups, n
        assert made.min() > 1e-3


def test_minibatch_stddev_of_every_second_sample_is_that_of_all():
    x = torch.randn(16, 3, 2, 2)
    whole = MinibatchStddev(4)(x)
    for rank in (0, 1):
        torch.testing.assert_close(MinibatchStddev(4)(x[rank::2]), whole[rank::2])


def test_minibatch_discrimination_by_hand():
    layer = MinibatchDiscrimination(6, kernels=4, dimensions=3)
    x = torch.randn(5, 6)
    matrix = torch.einsum("nf,fkd->nkd", x, layer.tensor)
    expected = torch.zeros(5, 4)
    for i in range(5):
        for j in range(5):
            if i != j:
                expected[i] += torch.exp(-(matrix[i] - matrix[j]).abs().sum(1))
    out = layer(x)
    torch.testing.assert_close(out[:, 6:], expected)
    maps = layer(x.view(5, 6, 1, 1).expand(5, 6, 1, 1))
    torch.testing.assert_close(maps.flatten(1), out)
    close = MinibatchDiscrimination(6)(torch.ones(3, 6))
    torch.testing.assert_close(close[:, 6:], torch.full((3, 100), 2.0))  # three equal samples

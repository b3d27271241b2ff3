"""Networks from image to image: shapes, the papers' layers, receptive fields, norms and dropout."""

import pytest
import torch
from torch import nn

from lightning_gans.networks import patchgan, translation_resnet, unet
from lightning_gans.networks.dropout import NoiseDropout, seed_noise
from lightning_gans.networks.layers import set_test_statistics

U_NET = {"image_size": 32, "source_channels": 2, "channels": 3, "base_channels": 4}


def size_of(network):
    return sum(parameter.numel() for parameter in network.parameters())


def convolutions(network, kind=nn.Conv2d | nn.ConvTranspose2d):
    return [layer for layer in network.modules() if isinstance(layer, kind)]


@pytest.mark.parametrize("size", [8, 16, 64, 128, 256, 512])
@pytest.mark.parametrize("skips", [True, False])
def test_unet_shapes(size, skips):
    network = unet.Generator(**{**U_NET, "image_size": size}, max_channels=8, skips=skips)
    images = network(torch.randn(1, 2, size, size))
    assert images.shape == (1, 3, size, size)
    assert images.abs().max() <= 1
    assert network.size_divisor == size == 2 ** len(network.encoder)


def test_unet_of_the_paper_at_256():
    """Encoder C64-C128-C256-C512 x 5; decoder CD512 x 3 - C512-C256-C128-C64, inputs doubled by the skips."""
    network = unet.Generator(image_size=256, source_channels=3, channels=3)
    down, up = convolutions(network.encoder), convolutions(network.decoder)
    assert [layer.out_channels for layer in down] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [layer.out_channels for layer in up] == [512, 512, 512, 512, 256, 128, 64, 3]
    assert [layer.in_channels for layer in up] == [512, 1024, 1024, 1024, 1024, 512, 256, 128]
    normed = [any(isinstance(m, nn.BatchNorm2d) for m in block) for block in network.encoder]
    assert normed == [False, *[True] * 6, False]
    assert [any(isinstance(m, nn.BatchNorm2d) for m in block) for block in network.decoder] == [*[True] * 7, False]
    assert [any(isinstance(m, nn.Dropout) for m in block) for block in network.decoder] == [*[True] * 3, *[False] * 5]
    assert size_of(network) == 54_413_955 + 64 + 512  # and biases where there is no norm
    plain = unet.Generator(image_size=256, source_channels=3, channels=3, skips=False)
    assert [layer.in_channels for layer in convolutions(plain.decoder)] == [512, 512, 512, 512, 512, 256, 128, 64]


def test_only_skips_carry_what_the_middle_drops():
    """With the innermost map cut off, an encoder-decoder makes a constant and a U-Net does not."""
    for skips in (True, False):
        network = unet.Generator(**U_NET, skips=skips, norm=None, dropout=0.0)
        nn.init.zeros_(network.decoder[0][1].weight)
        differ = network(torch.randn(1, 2, 32, 32)) - network(torch.randn(1, 2, 32, 32))
        assert (differ.abs().max() > 0) == skips


def test_biases_before_a_norm_are_the_authors():
    """PyTorch code of CycleGAN and pix2pix: before instance norm, not before batch norm; typed ones hold for both."""
    makes = {
        unet.Generator: {**U_NET, "image_size": 32},
        translation_resnet.Generator: {"image_size": 32, "source_channels": 2, "channels": 3, "base_channels": 4},
        patchgan.Discriminator: {"image_size": 32, "channels": 3, "base_channels": 4, "receptive_field": 16},
    }
    for make, options in makes.items():
        for norm, asked, biased in (
            ("instance", None, True),
            ("batch", None, False),
            ("instance", False, False),
            ("batch", True, True),
            (None, False, True),
        ):
            layers = list(make(**options, norm=norm, bias_before_norm=asked).modules())
            before = [
                layer.bias is not None
                for layer, after in zip(layers, layers[1:], strict=False)
                if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
                and (norm is None or isinstance(after, nn.InstanceNorm2d | nn.BatchNorm2d))
            ]
            assert before
            assert set(before) == {biased}
    judge = patchgan.Discriminator(image_size=256, channels=3, norm="instance")
    assert size_of(judge) == 2_764_737
    assert size_of(patchgan.Discriminator(image_size=256, channels=3, source_channels=3)) == 2_768_705


@pytest.mark.parametrize("layers", [[0, 1, 2], [1, 2, 3], [4], []])
def test_dropout_in_the_layers_that_are_asked_for(layers):
    network = unet.Generator(**U_NET, dropout_layers=layers)
    found = [any(isinstance(layer, NoiseDropout) for layer in block) for block in network.decoder]
    assert found == [index in layers and index < 4 for index in range(5)]  # the last never


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dropout_layers": [-1]}, r"dropout_layers=\[-1\]: must be a list of integers >= 0"),
        ({"image_size": 48}, "data.image_size=48.*nearest is 32"),
        ({"image_size": 48, "downs": 5}, "data.image_size=48: must be a multiple of 32"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"channels": 0}, "channels=0"),
    ],
)
def test_unet_refusals(options, words):
    with pytest.raises(ValueError, match=words):
        unet.Generator(**{**U_NET, **options})
    assert unet.Generator(**{**U_NET, "image_size": 48}, downs=4)(torch.randn(1, 2, 48, 96)).shape == (1, 3, 48, 96)


def test_resnet_of_the_paper():
    """c7s1-64, d128, d256, R256 x 9, u128, u64, c7s1-3; six blocks below 256 pixels."""
    network = translation_resnet.Generator(image_size=256, source_channels=3, channels=3)
    widths = [layer.out_channels for layer in convolutions(network)]
    assert widths == [64, 128, *[256] * 19, 128, 64, 3]
    assert size_of(network) == 11_378_179  # as the authors' code has it, with biases before instance norm
    older = translation_resnet.Generator(image_size=256, source_channels=3, channels=3, bias_before_norm=False)
    assert size_of(older) == 11_378_179 - sum(widths[:-1])
    assert sum(isinstance(layer, nn.ReflectionPad2d) for layer in network.modules()) == 2 + 18
    norms = [layer for layer in network.modules() if isinstance(layer, nn.InstanceNorm2d)]
    assert len(norms) == 23
    assert not any(norm.affine or norm.track_running_stats for norm in norms)
    small = translation_resnet.Generator(image_size=128, source_channels=3, channels=3, base_channels=2)
    assert sum(isinstance(layer, translation_resnet.ResnetBlock) for layer in small.layers) == 6
    assert small(torch.randn(2, 3, 20, 32)).shape == (2, 3, 20, 32)
    with pytest.raises(ValueError, match=r"data\.image_size=30: must be a multiple of 4"):
        translation_resnet.Generator(image_size=30, source_channels=3, channels=3)


@pytest.mark.parametrize("field", [1, 16, 34, 70, 142, 286])
def test_receptive_fields_by_formula_and_by_gradient(field):
    size = 512 if field == 286 else 256
    network = patchgan.Discriminator(
        image_size=size, channels=1, receptive_field=field, base_channels=1, norm=None
    ).double()
    assert patchgan.receptive_field(network) == field
    for layer in convolutions(network):  # all-positive, so that nothing cancels
        nn.init.constant_(layer.weight, 0.5)
    image = torch.ones(1, 1, size, size, dtype=torch.double, requires_grad=True)
    logits = network(image)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    seen = image.grad[0, 0].nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [field, field]
    assert len(seen) == field**2


@pytest.mark.parametrize("size", [8, 64, 256])
def test_the_whole_image_gives_one_logit(size):
    network = patchgan.Discriminator(
        image_size=size, channels=2, source_channels=1, receptive_field=None, base_channels=2, norm="instance"
    )
    images = torch.randn(2, 3, size, size, requires_grad=True)
    logits = network(images)
    assert logits.shape == (2, 1, 1, 1)
    logits.sum().backward()
    assert (images.grad != 0).all()


def test_patchgan_of_the_paper():
    network = patchgan.Discriminator(image_size=256, channels=3, source_channels=3)
    assert [layer.out_channels for layer in convolutions(network)] == [64, 128, 256, 512, 1]
    assert network(torch.randn(1, 6, 256, 256)).shape == (1, 1, 30, 30)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()) == 3
    largest = patchgan.Discriminator(image_size=256, channels=3, receptive_field=286)
    assert [layer.out_channels for layer in convolutions(largest)] == [64, 128, 256, 512, 512, 512, 1]
    pixels = patchgan.Discriminator(image_size=8, channels=3, receptive_field=1)
    assert [layer.out_channels for layer in convolutions(pixels)] == [64, 128, 1]
    assert pixels(torch.randn(1, 3, 8, 8)).shape == (1, 1, 8, 8)


@pytest.mark.parametrize("field", [16, 34, 70, 142, 286])
def test_patches_must_fit(field):
    smallest = 3 << patchgan.STRIDED[field]
    options = {"channels": 1, "receptive_field": field, "base_channels": 1, "norm": "instance"}
    network = patchgan.Discriminator(image_size=smallest, **options)
    assert network(torch.randn(1, 1, smallest, smallest)).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=rf"receptive_field={field}: needs images of {smallest} pixels"):
        patchgan.Discriminator(image_size=smallest - 1, **options)
    with pytest.raises(ValueError, match="receptive_field=69: must be 1, 16, 34, 70, 142 or 286, or null"):
        patchgan.Discriminator(image_size=64, **{**options, "receptive_field": 69})


@pytest.mark.parametrize("make", [unet.Generator, translation_resnet.Generator, patchgan.Discriminator])
def test_init(make):
    torch.manual_seed(0)
    options = {} if make is patchgan.Discriminator else {"source_channels": 3}
    for layer in convolutions(make(image_size=64, channels=3, base_channels=16, norm="batch", **options)):
        n = layer.weight.numel()
        assert layer.weight.std().item() == pytest.approx(0.02, abs=4 * 0.02 / (2 * n) ** 0.5)
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.usefixtures("float64")
def test_instance_norm_makes_every_sample_alone():
    """What lets calls be batched: the second image does not change the first; batch norm's does."""
    torch.manual_seed(0)
    for make in (unet.Generator, translation_resnet.Generator):
        for norm in ("instance", None, "batch"):
            network = make(image_size=16, source_channels=2, channels=2, base_channels=4, norm=norm, dropout=0.0)
            for p in network.parameters():
                nn.init.normal_(p, 0, 0.2)
            x = torch.randn(2, 2, 16, 16)
            apart = (network(x)[:1] - network(x[:1])).abs().max().item()
            assert (apart < 1e-9) == (norm != "batch"), (make, norm)


@pytest.mark.usefixtures("float64")
def test_batch_norm_at_test_time():
    """``image``: a batch of one in training mode, whatever stands beside it; ``running``: what was collected."""
    for make in (unet.Generator, translation_resnet.Generator):
        options = {"image_size": 16, "source_channels": 2, "channels": 2, "base_channels": 4, "norm": "batch"}
        own = make(**options, dropout=0.0, test_statistics="image")
        running = make(**options, dropout=0.0, test_statistics="running")
        running.load_state_dict(own.state_dict())
        x = torch.randn(3, 2, 16, 16)
        alone = torch.cat([own.train()(image[None]) for image in x])
        torch.testing.assert_close(own.eval()(x), alone)
        assert (running.eval()(x) - alone).abs().max() > 1e-4
        torch.testing.assert_close(running.train()(x), own.train()(x))
        for statistics, chosen in ("image", own), ("running", running):
            left = make(**options, dropout=0.0)
            left.load_state_dict(chosen.state_dict())
            set_test_statistics(left, statistics)
            assert torch.equal(left.eval()(x), chosen.eval()(x))


def test_dropout_as_noise():
    layer = NoiseDropout(0.5, at_test=True)
    x = torch.ones(4, 64, 8, 8)
    assert not torch.equal(layer(x), layer(x))  # in training another mask for every sample
    layer.eval()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    once = layer(x)
    assert torch.equal(torch.get_rng_state(), state)  # takes nothing from the default generator
    assert torch.equal(once, layer(x))
    assert torch.equal(once[:1], layer(x[:1]))  # whatever stands beside an image
    assert set(once.unique().tolist()) == {0.0, 2.0}
    assert (once == 0).float().mean().item() == pytest.approx(0.5, abs=0.03)
    layer.seed = 5
    assert not torch.equal(once, layer(x))
    assert torch.equal(NoiseDropout(0.5, at_test=False).eval()(x), x)


def test_every_layer_has_noise_of_its_own():
    network = translation_resnet.Generator(
        image_size=16, source_channels=1, channels=1, base_channels=2, dropout=0.5, dropout_at_test=True
    ).eval()
    seed_noise(network, 3)
    seeds = [layer.seed for layer in network.modules() if isinstance(layer, NoiseDropout)]
    assert len(set(seeds)) == len(seeds) == 6
    x = torch.randn(1, 1, 16, 16)
    first = network(x)
    seed_noise(network, 4)
    assert not torch.equal(first, network(x))
    seed_noise(network, 3)
    assert torch.equal(first, network(x))

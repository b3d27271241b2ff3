"""Networks of rectangles: base shapes, parameters and patches in closed form, refusals by name."""

import re

import pytest
import torch
from torch import nn

from lightning_gans.networks import (
    began,
    dcgan,
    mlp,
    patchgan,
    pix2pix_hd,
    progan,
    r3gan,
    resnet,
    srgan,
    translation_resnet,
    unet,
)
from lightning_gans.networks.layers import base_shape

SMALL = {"base_channels": 4, "max_channels": 8}
FROM_LATENTS = {
    "dcgan": (dcgan, SMALL),
    "resnet": (resnet, SMALL),
    "r3gan": (r3gan, {**SMALL, "group_size": 2}),
    "mlp": (mlp, {"hidden": [6]}),
}


def shapes(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def size_of(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("size", "levels", "base"),
    [
        (64, 4, (4, 4)),
        ([64, 64], 4, (4, 4)),
        ([64, 96], 4, (4, 6)),
        ([96, 64], 4, (6, 4)),
        ([16, 24], 2, (4, 6)),
        ([72, 128], 3, (9, 16)),
        ([144, 256], 4, (9, 16)),
        ([64, 72], 3, (8, 9)),
        ([96, 128], 4, (6, 8)),
        ([56, 128], 3, (7, 16)),
        ([8, 200], 1, (4, 100)),
    ],
)
def test_base_shapes_by_hand(size, levels, base):
    assert base_shape(size, 8, 256) == (levels, base)
    assert [base[0] << levels, base[1] << levels] == ([size, size] if isinstance(size, int) else size)


@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        ([64, 100], "[64, 96]"),
        ([63, 96], "[64, 96]"),
        ([68, 128], "[64, 128]"),
        ([4, 8], "[8, 8]"),
        ([512, 1024], "[256, 512]"),
        ([0, -3], "[8, 8]"),
    ],
)
def test_other_rectangles_are_refused_with_the_nearest(size, nearest):
    with pytest.raises(ValueError, match=rf"^{re.escape(f'data.image_size={size}')}: must be .*{re.escape(nearest)}$"):
        base_shape(size, 8, 256)


def test_a_square_typed_as_a_pair_keeps_the_rules_of_squares():
    with pytest.raises(ValueError, match=r"data\.image_size=48: must be one of 8, 16, 32, 64, 128, 256; the nearest"):
        dcgan.Generator(image_size=[48, 48], channels=1)
    with pytest.raises(ValueError, match=r"data\.image_size=\[1, 2, 3\]: must be a side, or \[height, width\]"):
        dcgan.Generator(image_size=[1, 2, 3], channels=1)


@pytest.mark.parametrize("size", [[16, 24], [48, 32], [8, 20]])
@pytest.mark.parametrize("name", FROM_LATENTS)
def test_shapes_from_latents(name, size):
    module, options = FROM_LATENTS[name]
    generator = module.Generator(image_size=size, channels=2, latent_dim=7, **options).eval()
    images = generator(torch.randn(3, 7))
    assert images.shape == (3, 2, *size)
    for minibatch in (None, "stddev", "discrimination"):
        critic = module.Discriminator(image_size=size, channels=2, minibatch=minibatch, **options)
        assert critic(images).shape == (3,)
    if name == "dcgan":
        encoder = dcgan.Encoder(image_size=size, channels=2, latent_dim=5, **options)
        assert [made.shape for made in encoder(images)] == [(3, 5)] * 2


def test_only_what_touches_the_base_changes_its_shape():
    """[32, 48] is 4x6 doubled three times: every other weight is that of 32x32."""
    for name, other in (("dcgan", "layers."), ("resnet", "dense."), ("r3gan", "")):
        module, options = FROM_LATENTS[name]
        for make in ("Generator", "Discriminator"):
            square = shapes(getattr(module, make)(image_size=32, channels=3, **options))
            wide = shapes(getattr(module, make)(image_size=[32, 48], channels=3, **options))
            assert list(square) == list(wide)
            differ = {key: (square[key], wide[key]) for key in square if square[key] != wide[key]}
            if name == "resnet" and make == "Discriminator":  # it pools over space
                assert not differ
                continue
            ((key, (before, after)),) = [(k, v) for k, v in differ.items() if k != "dense.bias"]
            assert key.startswith(other)
            if name == "resnet":
                assert after[0] * 16 == before[0] * 24
            else:
                assert (before[-2:], after[-2:]) == ((4, 4), (4, 6))


def test_dcgan_of_32x48_in_closed_form():
    """latent x 4n x 4 x 6, 4n x 2n, 2n x n, n x 3 of 4x4, two numbers a normalised map, one bias a colour."""
    n, latent = 16, 10
    generator = dcgan.Generator(image_size=[32, 48], channels=3, latent_dim=latent, base_channels=n)
    weights = latent * 4 * n * 24 + 16 * (4 * n * 2 * n + 2 * n * n + n * 3) + 2 * (4 + 2 + 1) * n + 3
    assert size_of(generator) == weights
    critic = dcgan.Discriminator(image_size=[32, 48], channels=3, base_channels=n)
    assert size_of(critic) == 16 * (3 * n + n * 2 * n + 2 * n * 4 * n) + n + 2 * (2 + 4) * n + 4 * n * 24 + 1


def test_squares_typed_either_way_are_one_network():
    for module, options in FROM_LATENTS.values():
        for make in ("Generator", "Discriminator"):
            made = []
            for size in (16, [16, 16]):
                torch.manual_seed(0)
                made.append(getattr(module, make)(image_size=size, channels=2, **options).state_dict())
            assert list(made[0]) == list(made[1])
            assert all(torch.equal(made[0][key], made[1][key]) for key in made[0])


@pytest.mark.usefixtures("float64")
def test_a_generator_of_rectangles_holds_that_of_squares():
    """Convolutions are local: away from the new columns a 4x6 base whose first four are those of 4x4 makes the same."""
    square = dcgan.Generator(image_size=16, channels=1, latent_dim=3, **SMALL).eval()
    wide = dcgan.Generator(image_size=[16, 24], channels=1, latent_dim=3, **SMALL).eval()
    state, first = wide.state_dict(), square.state_dict()
    for key, value in first.items():
        if value.shape == state[key].shape:
            state[key] = value
        else:
            state[key][..., :4] = value
    wide.load_state_dict(state)
    latents = torch.randn(2, 3)
    torch.testing.assert_close(wide(latents)[..., :12], square(latents)[..., :12])


@pytest.mark.parametrize("networks", ["BEGAN", "ProGAN"])
@pytest.mark.parametrize("kind", ["Generator", "critic"])
def test_squares_only_by_name(networks, kind):
    critics = {"BEGAN": (began, "Autoencoder"), "ProGAN": (progan, "Discriminator")}
    module, critic = critics[networks]
    make = getattr(module, critic if kind == "critic" else kind)
    message = rf"^data\.image_size=\[32, 48\]: {networks} makes squares only; give one side$"
    with pytest.raises(ValueError, match=message):
        make(image_size=[32, 48], channels=3)
    assert shapes(make(image_size=[16, 16], channels=1)) == shapes(make(image_size=16, channels=1))


# ---------------------------------------------------------------------------------- from image to image


@pytest.mark.parametrize(
    ("size", "downs"), [([16, 24], 3), ([24, 16], 3), ([64, 128], 6), ([48, 64], 4), ([256, 384], 7), ([8, 1024], 3)]
)
def test_a_unet_halves_as_often_as_both_sides_do(size, downs):
    network = unet.Generator(image_size=size, source_channels=2, channels=3, base_channels=2, max_channels=4)
    assert network.size_divisor == 2**downs == 2 ** len(network.encoder)
    assert network(torch.randn(1, 2, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (unet.Generator, {}, r"data\.image_size=\[20, 30\]: must be a multiple of 8, or say downs"),
        (unet.Generator, {"downs": 2}, r"data\.image_size=\[20, 30\]: must be a multiple of 4 with downs=2"),
        (translation_resnet.Generator, {}, r"data\.image_size=\[20, 30\]: must be a multiple of 4, at least 8, with"),
        (
            lambda **options: pix2pix_hd.Generator(**options),
            {"downs": 1},
            r"data\.image_size=\[20, 30\] with model\.generator\.downs=1: must be a multiple of 4 and at least 16",
        ),
        (
            lambda source_channels, **options: srgan.Discriminator(**options),
            {},
            r"data\.image_size=\[20, 30\]: must be a multiple of 16",
        ),
        (
            lambda source_channels, **options: patchgan.Discriminator(**options),
            {"receptive_field": 70},
            r"receptive_field=70: needs images of 24 pixels and more, not data\.image_size=\[20, 30\]; choose",
        ),
    ],
)
def test_rectangles_that_do_not_fit(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(image_size=[20, 30], source_channels=3, channels=3, **options)


def test_translation_networks_have_the_weights_of_squares():
    """They know of sizes only how often they halve."""
    for make, square, rectangle in (
        (
            lambda size: unet.Generator(image_size=size, source_channels=3, channels=3, downs=3, base_channels=2),
            16,
            None,
        ),
        (lambda size: translation_resnet.Generator(image_size=size, source_channels=3, channels=3), 16, None),
        (lambda size: patchgan.Discriminator(image_size=size, channels=3), 32, [32, 48]),
        (lambda size: pix2pix_hd.Generator(image_size=size, source_channels=3, channels=3, downs=1), 16, None),
        (lambda size: pix2pix_hd.Discriminator(image_size=size, source_channels=3, channels=3), 32, None),
        (lambda size: pix2pix_hd.Encoder(image_size=size, channels=3, downs=1), 16, None),
    ):
        with torch.device("meta"):
            assert shapes(make(square)) == shapes(make(rectangle or [square, square + 8]))


def test_blocks_of_the_resnet_follow_the_shorter_side():
    for size, blocks in ((256, 9), ([256, 512], 9), ([128, 256], 6)):
        with torch.device("meta"):
            network = translation_resnet.Generator(image_size=size, source_channels=3, channels=3)
        assert sum(isinstance(m, translation_resnet.ResnetBlock) for m in network.modules()) == blocks


@pytest.mark.parametrize(("field", "strided"), [(1, 0), (16, 1), (34, 2), (70, 3)])
@pytest.mark.parametrize("size", [(64, 96), (48, 24), (72, 128)])
def test_patches_of_rectangles_by_formula(field, strided, size):
    """Each stride halves a side, rounded down; the last two convolutions of 4 with padding 1 take one each."""
    network = patchgan.Discriminator(image_size=list(size), channels=3, receptive_field=field, base_channels=2)
    patches = [side if field == 1 else (side >> strided) - 2 for side in size]
    assert network(torch.randn(1, 3, *size)).shape == (1, 1, *patches)
    assert patchgan.receptive_field(network) == field


@pytest.mark.parametrize("size", [[16, 24], [64, 32], [96, 128]])
def test_the_whole_rectangle_gives_one_logit(size):
    network = patchgan.Discriminator(image_size=size, channels=2, receptive_field=None, base_channels=2, norm=None)
    images = torch.randn(2, 2, *size, requires_grad=True)
    logits = network(images)
    assert logits.shape == (2, 1, 1, 1)
    logits.sum().backward()
    assert (images.grad != 0).all()


def test_super_resolution_of_rectangles():
    enlarge = srgan.SRResNet(channels=3, factor=4, base_channels=2, blocks=1)
    assert enlarge(torch.randn(1, 3, 6, 10)).shape == (1, 3, 24, 40)
    network = srgan.Discriminator(image_size=[32, 48], channels=3, base_channels=2, hidden=5)
    assert [m.in_features for m in network.modules() if isinstance(m, nn.Linear)] == [16 * 2 * 3, 5]
    assert network(torch.randn(2, 3, 32, 48)).shape == (2,)


@pytest.mark.parametrize("enhancer", [True, False])
def test_pix2pix_hd_of_rectangles(enhancer):
    size = {"image_size": [32, 64], "channels": 3}
    generator = pix2pix_hd.Generator(
        **size, source_channels=4, base_channels=2, blocks=1, enhancer_blocks=1, enhancer=enhancer
    )
    assert generator.size_divisor == 8  # the innermost map is 4x8
    sources = torch.randn(1, 4, 32, 64)
    assert generator(sources).shape == (1, 3, 32, 64)
    assert generator(sources, "coarse").shape == ((1, 3, 16, 32) if enhancer else (1, 3, 32, 64))
    critic = pix2pix_hd.Discriminator(**size, source_channels=4, base_channels=2, coarse=enhancer)
    found = critic(torch.randn(1, 7, 32, 64))
    assert [outputs[-1].shape[-2:] for outputs in found] == [(7, 11), (5, 7)]  # n -> n / 2 + 1 thrice, then + 1 twice
    assert pix2pix_hd.Encoder(**size, base_channels=2)(torch.randn(1, 3, 32, 64)).shape == (1, 3, 32, 64)
    with pytest.raises(ValueError, match=r"scales=4: the smallest image .* 2x4 at data\.image_size=\[16, 32\]; must"):
        pix2pix_hd.Discriminator(image_size=[16, 32], channels=3, source_channels=4, scales=4, coarse=False)

"""StyleGAN and StyleGAN2: published sizes, forwards against plain functional ones, styles in training, resume."""

import math
import os
import sys

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from conftest import (
    TINY,
    TORCHRUN,
    assert_equal_weights,
    assert_same_training,
    command,
    exact,
    newest,
    refusal,
    run,
    tiny,
    tiny_model,
)
from lightning_gans import build, compose
from lightning_gans.networks import progan, stylegan, stylegan2
from lightning_gans.networks.resampling import BINOMIAL, Blur, UpsampleSmoothly
from lightning_gans.networks.styles import MappingNetwork

V1 = {"channels": 2, "latent_dim": 6, "style_dim": 5, "mapping_layers": 3, "fmap_base": 64, "fmap_max": 8}
V2 = {"channels": 2, "channel_base": 64, "channel_max": 8}


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


def drawn(network):
    """All weights at random, so that a forward pass shows where each goes."""
    torch.manual_seed(1)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network.eval()


# ---------------------------------------------------------------------------------- published sizes


@pytest.mark.parametrize(
    ("side", "count"),
    [(1024, 26_219_627), (512, 26_179_768), (256, 26_086_229), (128, 25_843_858), (64, 25_137_935)],
)
def test_published_sizes_of_stylegan(side, count):
    with torch.device("meta"):
        generator = stylegan.Generator(image_size=side, channels=3)
        discriminator = progan.Discriminator(image_size=side, channels=3, blur=True)
    assert size(generator) == count
    assert size(generator.mapping) == 2_101_248
    assert len(generator.noises) == generator.style_layers == 2 * (int(math.log2(side)) - 1)
    if side == 1024:
        assert size(discriminator) == 23_087_249


@pytest.mark.parametrize(
    ("side", "layers", "generator", "discriminator"),
    [
        (1024, 8, 30_370_060, 29_012_513),  # configuration F of the paper
        (1024, 2, 28_794_124, 29_012_513),
        (256, 8, 24_767_458, 24_001_089),  # paper256
        (256, 2, 23_191_522, 24_001_089),
    ],
)
def test_published_sizes_of_stylegan2(side, layers, generator, discriminator):
    with torch.device("meta"):
        made = stylegan2.Generator(image_size=side, channels=3, mapping_layers=layers)
        judge = stylegan2.Discriminator(image_size=side, channels=3)
    assert (size(made), size(judge)) == (generator, discriminator)
    assert made.style_layers == 2 * int(math.log2(side)) - 2
    if side == 1024:  # as the authors' code prints its layers
        assert [size(made.layers[0]), size(made.to_rgb[0]), size(made.layers[-1])] == [2_622_465, 264_195, 25_665]
        assert [size(judge.from_rgb), size(judge.blocks[0].skip), size(judge.blocks[1])] == [128, 2048, 118_976]


# ---------------------------------------------------------------------------------- forwards in plain functional


def plain_mapping(state, z, *, layers, gain_last):
    x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for layer in range(layers):
        weight, bias = (state[f"mapping.layers.{2 * layer}.{name}"] * 0.01 for name in ("weight", "bias"))
        gain = math.sqrt(2)
        x = F.linear(x, weight * ((1 if gain_last else gain) / math.sqrt(weight.shape[1])), bias)
        x = F.leaky_relu(x, 0.2) * (gain if gain_last else 1)
    return x


def plain_blur(x, taps, padding, gain=1.0):
    """By explicit shifts."""
    taps = torch.tensor(taps) / sum(taps)
    x, n = F.pad(x, [padding] * 4), len(taps)
    height, width = (side - n + 1 for side in x.shape[-2:])
    rows = sum(tap * x[:, :, i : i + height] for i, tap in enumerate(taps))
    return gain * sum(tap * rows[..., i : i + width] for i, tap in enumerate(taps))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("resolution", [4, 8, 16])
def test_stylegans_generator_layer_by_layer(resolution):
    generator = drawn(stylegan.Generator(image_size=16, **V1))
    generator.grow(resolution, 0.3)
    state, z = generator.state_dict(), torch.randn(3, 6)
    w = plain_mapping(state, z, layers=3, gain_last=False)
    torch.testing.assert_close(generator.mapping(z), w)
    x, images = state["constant"].expand(3, -1, -1, -1), None
    for level in range(resolution.bit_length() - 2):
        for half in (0, 1):
            name = f"layers.{2 * level + half}"
            key = f"{name}.convolution{'.1' if level and not half else ''}.weight"
            if key in state:
                x = F.interpolate(x, scale_factor=2) if level and not half else x
                x = F.conv2d(x, state[key] * math.sqrt(2 / state[key][0].numel()), padding=1)
                x = plain_blur(x, [1.0, 2.0, 1.0], 1) if level and not half else x
            x = x + state[f"{name}.noise.constant"] * state[f"{name}.noise.strength"]
            x = F.leaky_relu(x + state[f"{name}.bias"][:, None, None], 0.2)
            x = x - x.mean((2, 3), keepdim=True)
            x = x * (x.square().mean((2, 3), keepdim=True) + 1e-8).rsqrt()
            style = F.linear(w, state[f"{name}.style.weight"] / math.sqrt(5), state[f"{name}.style.bias"])
            x = x * (style[:, : x.shape[1], None, None] + 1)
            x = x + style[:, style.shape[1] // 2 :, None, None]
        colours = F.conv2d(x, state[f"to_rgb.{level}.weight"] / math.sqrt(x.shape[1]), state[f"to_rgb.{level}.bias"])
        before, images = images, colours
    if resolution > 4:
        images = 0.7 * F.interpolate(before, scale_factor=2) + 0.3 * images
    torch.testing.assert_close(generator(z), images)


@pytest.mark.usefixtures("float64")
def test_stylegan2s_generator_by_weights_of_each_sample():
    """As the paper writes it: weights are modulated and demodulated for every sample, then convolved."""
    generator = drawn(stylegan2.Generator(image_size=16, latent_dim=6, style_dim=5, mapping_layers=2, **V2))
    state, z = generator.state_dict(), torch.randn(3, 6)
    w = plain_mapping(state, z, layers=2, gain_last=True)

    def modulated(x, name, *, demodulate=True, up=False):
        made, kernel = [], state[f"{name}.convolution.weight"]
        scales = F.linear(w, state[f"{name}.convolution.style.weight"] / math.sqrt(5))
        scales = scales + state[f"{name}.convolution.style.bias"]
        for features, scale in zip(x, scales, strict=True):
            weight = kernel / math.sqrt(kernel[0].numel()) * scale[:, None, None]
            if demodulate:
                weight = weight * (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
            if up:
                one = F.conv_transpose2d(features[None], weight.transpose(0, 1), stride=2)
                made.append(plain_blur(one, [1.0, 3.0, 3.0, 1.0], 1, gain=4.0))
            else:
                made.append(F.conv2d(features[None], weight, padding=kernel.shape[-1] // 2))
        return torch.cat(made)

    x, images = state["constant"].expand(3, -1, -1, -1), None
    for number in range(5):
        name = f"layers.{number}"
        x = modulated(x, name, up=number % 2 == 1)
        x = x + state[f"{name}.noise.constant"] * state[f"{name}.noise.strength"]
        x = F.leaky_relu(x + state[f"{name}.bias"][:, None, None], 0.2) * math.sqrt(2)
        if number % 2 == 0:
            name = f"to_rgb.{number // 2}"
            colours = modulated(x, name, demodulate=False) + state[f"{name}.bias"][:, None, None]
            if images is not None:  # zeros between the pixels, then the filter
                wide = torch.zeros(3, 2, 2 * images.shape[-1], 2 * images.shape[-1])
                wide[..., ::2, ::2] = images
                colours = colours + plain_blur(F.pad(wide, [1, 0, 1, 0]), [1.0, 3.0, 3.0, 1.0], 1, gain=4.0)
            images = colours
    torch.testing.assert_close(generator(z), images)


@pytest.mark.usefixtures("float64")
def test_stylegan2s_discriminator_with_classes():
    judge = drawn(stylegan2.Discriminator(image_size=16, classes="projection", num_classes=3, class_layers=2, **V2))
    state, images, classes = judge.state_dict(), torch.randn(4, 2, 16, 16), torch.tensor([0, 2, 1, 2])
    act = lambda x: F.leaky_relu(x, 0.2) * math.sqrt(2)  # noqa: E731

    def convolved(x, name, **how):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight / math.sqrt(weight[0].numel()), state.get(f"{name}.bias"), **how)

    x = act(convolved(images, "from_rgb.0"))
    for block in ("blocks.0", "blocks.1"):
        old = convolved(plain_blur(x, [1.0, 3.0, 3.0, 1.0], 1)[:, :, ::2, ::2], f"{block}.skip.1")
        x = act(convolved(x, f"{block}.layers.0", padding=1))
        x = act(convolved(plain_blur(x, [1.0, 3.0, 3.0, 1.0], 2), f"{block}.layers.3", stride=2))
        x = (x + old) / math.sqrt(2)
    deviation = (x.var(0, correction=0) + 1e-8).sqrt().mean()
    x = torch.cat([x, deviation.expand(4, 1, 4, 4)], 1)
    x = act(convolved(x, "last.1", padding=1)).flatten(1)
    x = act(F.linear(x, state["last.4.weight"] / math.sqrt(x.shape[1]), state["last.4.bias"]))
    x = F.linear(x, state["last.6.weight"] / math.sqrt(x.shape[1]), state["last.6.bias"])
    embedding = state["mapping.embedding.weight"][:, classes].t() / math.sqrt(3) + state["mapping.embedding.bias"]
    classed = plain_mapping(state, embedding, layers=2, gain_last=True)
    torch.testing.assert_close(judge(images, classes), (x * classed).sum(1) / math.sqrt(x.shape[1]))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("level", [1, 2])
def test_stylegans_discriminator_smooths_before_it_halves(level):
    judge = drawn(
        progan.Discriminator(image_size=16, channels=2, fmap_base=64, fmap_max=8, blur=True, fused_scale=True)
    )
    x, state = torch.randn(2, judge.blocks[level][0].in_channels, 8, 8), judge.blocks[level].state_dict()
    scaled = {key: value * math.sqrt(2 / value[0].numel()) for key, value in state.items() if "weight" in key}
    first, second = (key.removesuffix(".weight") for key in scaled)
    made = F.leaky_relu(F.conv2d(x, scaled[f"{first}.weight"], state[f"{first}.bias"], padding=1), 0.2)
    made = F.conv2d(plain_blur(made, [1.0, 2.0, 1.0], 1), scaled[f"{second}.weight"], padding=1)
    made = F.leaky_relu(F.avg_pool2d(made, 2) + state[f"{second}.bias"][:, None, None], 0.2)
    torch.testing.assert_close(judge.blocks[level](x), made)


@pytest.mark.usefixtures("float64")
def test_filters_differentiate_twice():
    filters = [Blur(), Blur(BINOMIAL, padding=2), Blur(BINOMIAL, padding=1, stride=2), UpsampleSmoothly()]
    for layer in filters:
        x = torch.randn(1, 2, 4, 4, requires_grad=True)
        assert gradcheck(layer, x)
        assert gradgradcheck(layer, x)


# ---------------------------------------------------------------------------------- styles


def test_the_mapping_network_learns_a_hundredth_as_fast():
    """Weights are a hundred times as large as they count, so that Adam's steps count a hundredth."""
    mapping = MappingNetwork(512, 512, 8, gain_last=False)
    assert mapping.layers[0].weight.std().item() == pytest.approx(100, rel=0.02)
    assert mapping(torch.randn(64, 512)).square().mean().item() == pytest.approx(1.0, abs=0.7)
    layer = mapping.layers[0]
    x = torch.randn(4, 512)
    before = layer(x).detach()
    with torch.no_grad():
        layer.bias.add_(1.0)
    torch.testing.assert_close(layer(x) - before, torch.full_like(before, 0.01), rtol=0, atol=1e-4)


def test_mixing_truncation_and_what_starts_at_zero():
    generator = stylegan.Generator(image_size=16, **V1)
    assert all(not noise.strength.any() for noise in generator.noises)
    assert generator.constant.eq(1).all()
    one, two = torch.randn(4, 6), torch.randn(4, 6)
    mixed = generator.styles(one, mixed=(two, torch.tensor([1, 3, 5, 6])))
    a, b = generator.mapping(one), generator.mapping(two)
    for row, crossover in enumerate([1, 3, 5, 6]):
        for layer in range(6):
            assert torch.equal(mixed[row, layer], (a if layer < crossover else b)[row])
    generator.mapping.average.normal_()
    average = generator.mapping.average
    made = generator.truncated(mixed, 0.7, 2)
    torch.testing.assert_close(made[:, :2], average + 0.7 * (mixed[:, :2] - average))
    assert torch.equal(made[:, 2:], mixed[:, 2:])
    assert torch.equal(generator.truncated(mixed, 0.5, 0), mixed)
    torch.testing.assert_close(generator.truncated(mixed, 0.0), average.expand_as(mixed))


def test_crossovers_are_within_the_layers_at_work_and_as_frequent_as_asked():
    module = tiny_model("stylegan")
    module.networks_at(0)  # 4x4: two layers
    latents, crossover = module.draw_mixed(4000)
    assert latents.shape == (4000, 8)
    assert set(crossover.tolist()) == {1, 2}
    assert (crossover == 1).float().mean().item() == pytest.approx(0.9, abs=0.02)
    module.networks_at(100)
    found = torch.bincount(module.draw_mixed(4000)[1], minlength=7) / 4000
    assert found[0] == 0
    assert found[1:6].tolist() == pytest.approx([0.9 / 5] * 5, abs=0.03)
    assert found[6].item() == pytest.approx(0.1, abs=0.02)
    assert tiny_model("stylegan", mixing=0.0).draw_mixed(3) is None


@pytest.mark.parametrize("name", ["stylegan", "stylegan2"])
def test_the_average_of_styles_follows_the_latents_of_training(name, tmp_path):
    made = build(compose(*tiny(name), "trainer.max_steps=1", "model.style_decay=0.0"), tmp_path)
    seen = []
    mapping = made.model.generator.mapping
    made.model.generator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    made.fit()
    expected = mapping(torch.cat(seen)).mean(0)
    torch.testing.assert_close(mapping.average, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(made.model.generator_ema.mapping.average, mapping.average)


def test_the_average_length_of_paths_is_kept(tmp_path):
    made = run(tmp_path, model="stylegan2")
    assert made.model.path_average > 0
    assert newest(tmp_path)["state_dict"]["path_average"] == made.model.path_average
    assert made.model.extra_logs()["g_penalty"] > 0
    without = run(tmp_path / "without", "model.path_length=null", model="stylegan2")
    assert "path_average" not in without.model.state_dict()


def test_refusals(tmp_path):
    base = tiny("stylegan2")
    penalty = "model.path_length.penalty={_target_: lightning_gans.losses.penalties.R1}"
    assert "model.path_length.penalty" in refusal(tmp_path, *base, penalty)
    assert "makes squares only" in refusal(tmp_path, *base, "data.image_size=[16,32]")
    assert "model/network=stylegan" in refusal(
        tmp_path, "model=stylegan", *TINY, "model/network=dcgan_critic", "model.discriminator.norm=null"
    )


# ---------------------------------------------------------------------------------- contracts

GROWING = ["model.growth.fade_kimg=0.024", "model.growth.stabilise_kimg=0.016", "model/penalty=lazy_r1"]
GROWING += ["model.penalty.interval=4", "callbacks.checkpoint.keep=20", "callbacks.checkpoint.every_n_train_steps=1"]
CLASSES = ["model.discriminator.classes=projection", "model.discriminator.class_layers=2"]


@pytest.fixture(scope="module")
def growing(tmp_path_factory):
    """4x4 for 2 updates, then 3 of fading and 2 of staying each; R1 at every fourth."""
    folder = tmp_path_factory.mktemp("growing")
    run(folder, *GROWING, "trainer.max_steps=10", model="stylegan")
    return folder


@pytest.mark.parametrize("stop", [3, 6, 9])
def test_resume_within_a_fade_and_a_lazy_interval_is_bit_identical(tmp_path, growing, stop):
    (tmp_path / "checkpoints").mkdir()
    content = (growing / "checkpoints" / f"step-{stop:06d}.ckpt").read_bytes()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(content)
    run(tmp_path, *GROWING, "trainer.max_steps=10", model="stylegan", resume=str(tmp_path))
    assert_same_training(newest(growing), newest(tmp_path))


def test_classes_reach_both_networks(tmp_path):
    made = run(tmp_path, *CLASSES, model="stylegan2")
    assert made.model.conditions == ("label",)
    one, two = made.model.sample(4, classes=[3]), made.model.sample(4, classes=[7])
    assert not torch.equal(one, two)
    still = build(compose(*tiny("stylegan2"), *CLASSES), tmp_path / "new").model.state_dict()
    moved = made.model.discriminator.mapping.state_dict()
    assert all(not torch.equal(moved[k], still[f"discriminator.mapping.{k}"]) for k in moved if k != "average")


TRAIN = """
import sys
from conftest import run
run(sys.argv[1] + "/one", *sys.argv[2:], model="stylegan")
"""


def test_two_processes_equal_one_across_changes_of_resolution(tmp_path):
    options = [*exact("stylegan"), *GROWING[:4], "trainer.max_steps=8", "logger=none"]
    (tmp_path / "train.py").write_text(TRAIN)
    launcher = [*TORCHRUN, str(tmp_path / "train.py"), str(tmp_path / "two")]
    made = command(*launcher, *options, "trainer.devices=2", env={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert made.returncode == 0, made.stdout + made.stderr
    run(tmp_path / "one", *options, model="stylegan")
    one, two = newest(tmp_path / "one"), newest(tmp_path / "two" / "one")
    assert one["global_step"] == two["global_step"] == 8
    assert_equal_weights(one["state_dict"], two["state_dict"])

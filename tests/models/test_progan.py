"""Progressive growing: the networks in closed form, the schedule, growing under resume and on two processes."""

import copy
import math
import os
import shutil
import sys
import warnings

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from omegaconf import OmegaConf
from PIL import Image
from torch import nn

import lightning_gans
from conftest import (
    TORCHRUN,
    assert_equal_weights,
    assert_same_training,
    command,
    differences,
    exact,
    newest,
    refusal,
    run,
    samples,
    tiny,
)
from lightning_gans import build, compose
from lightning_gans.callbacks.resolution_schedule import ResolutionSchedule
from lightning_gans.losses.objectives import Wasserstein
from lightning_gans.models.progan import ProGAN
from lightning_gans.networks.equalised import EqualisedConv2d, EqualisedLinear, FirstLayer
from lightning_gans.networks.layers import MinibatchDiscrimination, MinibatchStddev
from lightning_gans.networks.progan import Discriminator, Generator, PixelNorm, feature_maps
from lightning_gans.schedules.growth import Growth, growing_schedule

SMALL = {"channels": 2, "fmap_base": 64, "fmap_max": 8}


def networks(size=32, **options):
    torch.manual_seed(0)
    generator = Generator(image_size=size, latent_dim=6, **SMALL, **options)
    return generator, Discriminator(image_size=size, **SMALL)


PLAYERS = {"objective": Wasserstein(), "g_optimizer": torch.optim.Adam, "d_optimizer": torch.optim.Adam}

# ---------------------------------------------------------------------------------- networks


def test_published_size_at_1024():
    """To the parameter: 23.1 million each in the paper's table 2."""
    generator, discriminator = Generator(image_size=1024, channels=3), Discriminator(image_size=1024, channels=3)
    assert sum(p.numel() for p in generator.parameters()) == 23_079_115
    assert sum(p.numel() for p in discriminator.parameters()) == 23_087_249
    assert feature_maps(1024, 8192, 1.0, 512) == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert feature_maps(16, 64, 2.0, 100) == [16, 4, 1]
    dense = Discriminator(image_size=8, channels=3, fmap_base=64, fmap_max=48).blocks[0][-1]
    assert dense.in_features == 48  # the released rule, one resolution below 4x4


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
def test_every_resolution_on_the_way(size):
    generator, discriminator = networks(size)
    resolution = 4
    while resolution <= size:
        for alpha in (0.3, 1.0):
            generator.grow(resolution, alpha)
            discriminator.grow(resolution, alpha)
            images = generator(torch.randn(3, 6))
            assert images.shape == (3, 2, resolution, resolution)
            assert discriminator(images).shape == (3,)
        resolution *= 2


def test_gain_of_every_layer():
    """He's constant at run time, with the paper's exceptions; weights N(0, 1), biases 0."""
    generator, discriminator = Generator(image_size=64, channels=3), Discriminator(image_size=64, channels=3)
    for network in (generator, discriminator):
        for name, layer in network.named_modules():
            if isinstance(layer, EqualisedConv2d | EqualisedLinear | FirstLayer):
                linear = name.startswith("to_rgb") or name.endswith("blocks.0.6")  # D's logit
                gain = 1.0 if linear else math.sqrt(2)
                fan_in = layer.weight[0].numel()
                if isinstance(layer, FirstLayer):
                    gain, fan_in = math.sqrt(2) / 4, 512
                assert layer.scale == pytest.approx(gain / math.sqrt(fan_in)), name
                tolerance = 5 / math.sqrt(2 * layer.weight.numel())
                assert layer.weight.std().item() == pytest.approx(1, abs=tolerance), name
                assert layer.bias.abs().max() == 0
    assert [layer.scale for layer in discriminator.modules() if isinstance(layer, EqualisedLinear)] == [
        pytest.approx(512**-0.5)
    ]


def test_without_equalised_rates_the_first_outputs_are_the_same():
    """The factor only moves from run time into the weights."""
    one, two = networks()[0], networks(equalised_lr=False)[0]
    latents = torch.randn(4, 6)
    torch.testing.assert_close(one(latents), two(latents), rtol=1e-4, atol=1e-4)
    assert two.to_rgb[0].weight.std() < 0.6 < one.to_rgb[0].weight.std()
    assert two.to_rgb[0].scale == 1.0


@pytest.mark.usefixtures("float64")
def test_equalised_layers_compute_scaled_weights():
    layer = EqualisedConv2d(3, 5, 3)
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 3, 7, 7)
    expected = F.conv2d(x, layer.weight * math.sqrt(2 / 27), layer.bias, padding=1)
    torch.testing.assert_close(layer(x), expected)
    dense = EqualisedLinear(9, 4, gain=1.0)
    torch.testing.assert_close(dense(x.flatten(1)[:, :9]), F.linear(x.flatten(1)[:, :9], dense.weight / 3, dense.bias))
    first = FirstLayer(9, 2)
    made = torch.einsum("nl,lmhw->nmhw", x.flatten(1)[:, :9], first.weight) * math.sqrt(2) / 4 / 3
    torch.testing.assert_close(first(x.flatten(1)[:, :9]), made)


def test_pixel_norm():
    x = torch.randn(3, 5, 2, 2)
    for n, h, w in ((0, 0, 0), (2, 1, 0)):
        pixel = x[n, :, h, w]
        torch.testing.assert_close(PixelNorm()(x)[n, :, h, w], pixel / (pixel.square().mean() + 1e-8).sqrt())
    assert PixelNorm()(torch.zeros(1, 4)).abs().max() == 0
    generator = networks()[0]
    torch.testing.assert_close(
        generator(torch.ones(1, 6)), generator(3 * torch.ones(1, 6)), rtol=1e-4, atol=1e-4
    )  # too
    other = networks(normalise_latents=False, norm=None)[0]
    assert not torch.allclose(other(torch.ones(1, 6)), other(3 * torch.ones(1, 6)))


def test_fade_of_the_generator():
    """(1 - alpha) of the smaller image, every pixel four times, and alpha of the larger."""
    generator = networks()[0]
    latents = torch.randn(2, 6)
    generator.grow(8)
    old = generator(latents)
    generator.grow(16)
    new = generator(latents)
    generator.grow(16, 0.25)
    torch.testing.assert_close(
        generator(latents), 0.75 * old.repeat_interleave(2, 2).repeat_interleave(2, 3) + 0.25 * new
    )
    generator.grow(16, 0.0)
    torch.testing.assert_close(generator(latents), F.interpolate(old, scale_factor=2))


def test_fade_of_the_discriminator():
    discriminator = networks()[1]
    images = torch.randn(4, 2, 16, 16)
    discriminator.grow(8)
    small = discriminator(F.avg_pool2d(images, 2))
    discriminator.grow(16)
    large = discriminator(images)
    discriminator.grow(16, 0.0)
    torch.testing.assert_close(discriminator(images), small)
    discriminator.grow(16, 1 - 1e-7)
    torch.testing.assert_close(discriminator(images), large, rtol=1e-4, atol=1e-4)


def test_only_active_blocks_are_computed():
    """Layers of other resolutions are not even called, and get no gradient."""
    generator, discriminator = networks(32)
    called = set()
    for network in (generator, discriminator):
        for layer in network.modules():
            layer.register_forward_hook(lambda layer, *_: called.add(layer))
    for resolution, alpha in ((4, 1.0), (8, 0.5), (8, 1.0), (16, 0.5), (32, 1.0)):
        called.clear()
        for network in (generator, discriminator):
            network.zero_grad()
            network.grow(resolution, alpha)
        discriminator(generator(torch.randn(4, 6))).sum().backward()
        level, fading = resolution.bit_length() - 3, alpha < 1
        colours = {level, level - 1} if fading else {level}
        for k in range(4):
            for network, rgb in ((generator, generator.to_rgb), (discriminator, discriminator.from_rgb)):
                for layer, active in ((network.blocks[k], k <= level), (rgb[k], k in colours)):
                    assert (layer in called) is active
                    assert all((p.grad is not None) is active for p in layer.parameters())


@pytest.mark.parametrize(
    ("minibatch", "kind"), [("stddev", MinibatchStddev), ("discrimination", MinibatchDiscrimination)]
)
def test_samples_are_compared_in_the_last_block(minibatch, kind):
    """By their deviation at its start, by discrimination before the last dense layer, as in the authors' code."""
    discriminator = Discriminator(image_size=8, minibatch=minibatch, **SMALL)
    last = discriminator.blocks[0]
    at = next(i for i, layer in enumerate(last) if isinstance(layer, kind))
    if minibatch == "stddev":
        assert at == 0
        assert last[1].in_channels == 8 + 1
    else:
        assert at == len(last) - 2
        assert last[-1].in_features == 8 + last[at].extra
    assert discriminator(torch.randn(4, 2, 8, 8)).shape == (4,)
    alone = Discriminator(image_size=8, minibatch=None, **SMALL)
    assert not any(isinstance(layer, MinibatchStddev | MinibatchDiscrimination) for layer in alone.modules())
    images = torch.randn(4, 2, 8, 8)
    torch.testing.assert_close(alone(images)[:1], alone(images[:1]), rtol=1e-4, atol=1e-4)  # each on its own


def test_fused_blocks_average_before_bias_and_rectifier():
    """As the authors' fused convolution, of stride 2 with the mean of four shifted kernels; its bias and rectifier."""
    torch.manual_seed(0)
    fused = Discriminator(image_size=8, fused_scale=True, **SMALL).double()
    for parameter in fused.parameters():
        nn.init.normal_(parameter)
    block = fused.blocks[1]
    first, second = (layer for layer in block if isinstance(layer, EqualisedConv2d))
    x = torch.randn(3, 8, 8, 8, dtype=torch.double)

    def act(maps, layer):
        return F.leaky_relu(maps + layer.bias[:, None, None], 0.2)

    middle = act(F.conv2d(x, first.weight * first.scale, padding=1), first)
    kernel = F.pad(second.weight * second.scale, (1, 1, 1, 1))
    kernel = (kernel[..., 1:, 1:] + kernel[..., :-1, 1:] + kernel[..., 1:, :-1] + kernel[..., :-1, :-1]) / 4
    expected = act(F.conv2d(middle, kernel, stride=2, padding=1), second)
    torch.testing.assert_close(block(x), expected)
    plain = Discriminator(image_size=8, **SMALL).double()
    plain.load_state_dict(fused.state_dict())
    torch.testing.assert_close(
        plain.blocks[1](x), F.avg_pool2d(act(F.conv2d(middle, second.weight * second.scale, padding=1), second), 2)
    )
    images = torch.randn(4, 2, 8, 8, dtype=torch.double)
    assert (plain(images) - fused(images)).abs().max() > 1e-3


def test_no_bias_before_batch_norm():
    """The authors' first release takes it away there; layers without batch norm keep theirs."""
    for norm, asked, biased in (("batch", False, False), ("batch", True, True), ("pixel", False, True)):
        generator = Generator(image_size=8, norm=norm, bias_before_norm=asked, **SMALL)
        layers = [m for m in generator.blocks.modules() if isinstance(m, EqualisedConv2d | FirstLayer)]
        assert {layer.bias is not None for layer in layers} == {biased}
        assert all(layer.bias is not None for layer in generator.to_rgb)
        assert generator(torch.randn(2, 512)).shape == (2, 2, 8, 8)


def test_norms_of_the_baseline():
    generator = Generator(image_size=8, norm="batch", **SMALL)
    discriminator = Discriminator(image_size=8, norm="layer", **SMALL)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in generator.modules()) == 4
    assert sum(isinstance(layer, nn.GroupNorm) for layer in discriminator.blocks.modules()) == 4
    assert not any(isinstance(layer, nn.GroupNorm) for layer in discriminator.from_rgb.modules())
    assert not any(isinstance(layer, PixelNorm) for block in generator.blocks for layer in block)
    assert discriminator(generator(torch.randn(3, 512))).shape == (3,)


def test_baseline_has_rectifiers_and_a_tanh():
    generator = networks(slope=0.0, tanh=True, norm=None)[0]
    generator.to_rgb[1].bias.data.fill_(9.0)
    generator.grow(8, 0.5)
    latents = torch.randn(2, 6)
    images = generator(latents)
    assert images.abs().max() <= 1
    generator.bound = nn.Identity()
    assert torch.equal(images, generator(latents).tanh())  # of what is mixed
    x = generator.blocks[0](torch.randn(2, 6))
    assert x.min() == 0
    with pytest.raises(ValueError, match=r"slope=1"):
        networks(slope=1.0)


# row: what differs from the row before, in the authors' released configuration
ROWS = {
    "a": {"n_critic": 5, "batch_size": 64, "generator.norm": "batch", "generator.slope": 0.0, "generator.tanh": True},
    "b": {"growth.fade_kimg": 3.84},
    "c": {"batch_size": 16},
    "d": {"n_critic": 1, "generator.norm": None, "generator.slope": 0.2, "generator.tanh": False},
    "e": {"discriminator.minibatch": "stddev"},
    "f": {"generator.equalised_lr": True, "discriminator.equalised_lr": True, "g_optimizer.lr": 1e-3},
    "g": {"generator.norm": "pixel"},
}
OF_D = {"generator.normalise_latents": True, "discriminator.norm": None, "objective.drift": 0.001}
OF_D |= {"g_optimizer.betas": [0.0, 0.99], "d_optimizer.betas": [0.0, 0.99]}
ROWS["d"] |= OF_D
ROWS["f"] |= {"d_optimizer.lr": 1e-3}


def test_rows_of_the_ablation_change_one_thing_each():
    flat, before = {}, {}
    for row, changes in ROWS.items():
        model = OmegaConf.to_container(compose(f"experiment=progan_ablation_{row}").model)
        nodes = {key: value for key, value in model.items() if isinstance(value, dict)}
        flat = {key: value for key, value in model.items() if key not in nodes}
        flat |= {f"{name}.{key}": value for name, node in nodes.items() for key, value in node.items()}
        for key, value in changes.items():
            assert flat[key] == value, (row, key)
        if before:
            changed = {key for key in flat if before.get(key) != flat[key] and not key.startswith("growth")}
            assert changed - {"d_optimizer.lr"} <= set(changes), row
        before = flat
    star = compose("experiment=progan_ablation_e_star").model
    assert star.discriminator.minibatch == "discrimination"


def test_noise_follows_the_logits_of_reals():
    """0.2 max(0, d - 0.5)^2 at every 3x3 and 4x4 convolution, in training only."""
    torch.manual_seed(0)
    discriminator = Discriminator(image_size=8, noise=True, **SMALL)
    images = torch.randn(4, 2, 8, 8)
    quiet = discriminator(images)
    assert torch.equal(quiet, discriminator(images))  # the average starts at 0
    for _ in range(3):
        discriminator.follow(torch.tensor(2.0))  # within [0, 1]
    average = 1 - 0.9**3
    discriminator.follow(torch.tensor(-3.0))
    average *= 0.9
    assert discriminator.logit_average.item() == pytest.approx(average)
    discriminator.logit_average.fill_(average := 0.9)
    assert discriminator.logit_average.item() == pytest.approx(average)
    assert not torch.equal(discriminator(images), quiet)
    assert discriminator.noise.strength.item() == pytest.approx(0.2 * (average - 0.5) ** 2)
    layers = [layer for block in discriminator.blocks for layer in block]
    places = [layers[i + 1].kernel_size[0] for i, layer in enumerate(layers) if layer is discriminator.noise]
    assert places == [3, 4, 3, 3]
    ones = discriminator.noise(torch.ones(1000, 100, 2, 1))
    assert ones.std().item() == pytest.approx(discriminator.noise.strength.item() * 10, rel=0.02)
    assert torch.equal(ones[:, :, 0], ones[:, :, 1])  # one number per sample and channel
    assert torch.equal(discriminator.eval()(images), quiet)


@pytest.mark.parametrize("kind", [Generator, Discriminator])
@pytest.mark.parametrize(("size", "nearest"), [(4, 8), (48, 32), (2048, 1024)])
def test_wrong_sizes(kind, size, nearest):
    with pytest.raises(ValueError, match=rf"data\.image_size={size}.*nearest is {nearest}$"):
        kind(image_size=size, channels=3)


# ---------------------------------------------------------------------------------- the schedule


def test_phases_of_the_paper():
    """800 thousand images to stabilise and to fade in, with its batches, to 1024x1024."""
    growth = Growth(batch_sizes={256: 14, 512: 6, 1024: 3}, lr_factors={512: 1.5})
    phases = growing_schedule(growth, 1024, 16, 1).phases
    assert [phase.resolution for phase in phases] == [
        4,
        *[side for side in (8, 16, 32, 64, 128, 256, 512, 1024) * 1 for _ in range(2)],
    ]
    assert [phase.fading for phase in phases] == [False, *[True, False] * 8]
    assert {phase.resolution: phase.batch_size for phase in phases} == {
        **dict.fromkeys((4, 8, 16, 32, 64, 128), 16),
        256: 14,
        512: 6,
        1024: 3,
    }
    assert [phase.lr_factor for phase in phases[-5:]] == [1.0, 1.5, 1.5, 1.5, 1.5]
    assert phases[0].steps == phases[1].steps == 50_000
    assert phases[-2].steps == math.ceil(800_000 / 3)
    assert phases[-1].steps is None
    for before, after in zip(phases, phases[1:], strict=False):
        assert after.first == before.first + before.steps


def test_alpha_is_the_share_of_the_fade_at_the_middle_of_the_step():
    growth = Growth(start=8, fade_kimg={16: 0.08, 32: 0.0}, stabilise_kimg={8: 0.03, 16: 0.01})
    phases = growing_schedule(growth, 32, 10, 2).phases
    assert [(p.name, p.resolution, p.fading, p.first, p.steps) for p in phases] == [
        ("8x8", 8, False, 0, 2),  # 30 images by 20, rounded up
        ("16x16 fading in", 16, True, 2, 4),
        ("16x16", 16, False, 6, 1),
        ("32x32", 32, False, 7, None),
    ]
    assert {(p.batch_size, p.n_critic) for p in phases} == {(10, 2)}
    assert [phases[1].alpha(step) for step in range(2, 6)] == [0.125, 0.375, 0.625, 0.875]
    assert phases[0].alpha(1) == phases[2].alpha(6) == phases[3].alpha(100) == 1.0


@pytest.mark.parametrize("which", ["fade_kimg", "stabilise_kimg"])
def test_lengths_hold_below_the_smallest_resolution_given(which):
    """No resolution is skipped in silence because only a later one was named."""
    lengths = {"fade_kimg": 8.0, "stabilise_kimg": 8.0}
    assert Growth(**{**lengths, which: {16: 8.0}}).phases(32, 16, 1) == Growth(**lengths).phases(32, 16, 1)


def test_a_budget_that_ends_too_early_is_told(tmp_path):
    """The default schedule to 16x16: 800 thousand at 4, 8 fading, 8 and 16 fading, then as many again at 16x16."""
    with pytest.warns(UserWarning, match=r"max_steps=200000: ends in .* '16x16 fading in'; .* 3200 .*max_kimg=4000,"):
        build(compose("model=progan", "tuned=none", "data.image_size=16", "trainer.max_steps=200000"), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(compose("model=progan", "tuned=none", "data.image_size=16", "max_kimg=4000"), tmp_path)
        build(compose("model=progan", "tuned=none", "model/growth=none", "trainer.max_steps=5"), tmp_path)


@pytest.mark.parametrize("family", ["progan", "stylegan"])
def test_growth_is_switched_off_by_one_word(family, tmp_path):
    """Though the family's file and the tuned one say how it would grow."""
    run = build(compose(f"model={family}", "data=digits", "model/growth=none", "trainer.max_steps=5"), tmp_path)
    assert run.cfg.model.growth is None


REFUSED = [
    ("model.growth.fade_kimg={}", ["model.growth.fade_kimg={}", "numbers by resolution"]),
    ("model.growth.start=5", ["model.growth.start=5", "nearest is 4"]),
    ("model.growth.start=64", ["model.growth.start=64", "data.image_size=16"]),
    ("model.growth.fade_kimg=-1", ["model.growth.fade_kimg=-1", ">= 0"]),
    ("model.growth.fade_kimg={4: 1.0, 9: 1.0}", ["fade_kimg, resolution=9", "nearest is 8"]),
    ("model.growth.batch_sizes={8: 0}", ["model.growth.batch_sizes={8: 0}", ">= 1"]),
    ("model.growth.lr_factors={8: 0.0}", ["model.growth.lr_factors={8: 0.0}", "> 0"]),
    ("+model.growth.batch_sizes.8=4", ["model.growth.batch_sizes.8=4", "say model.growth.batch_sizes={8: 4}"]),
    ("model.growth.fade_kimg=true", ["model.growth.fade_kimg=true", "must be a number"]),
    ("model.ema.half_life_kimg=5", ["half_life_kimg=5", "decay=0.999", "must be null"]),
    ("model.ema.decay=1", ["model.ema.decay=1", "below 1"]),
    ("model.discriminator.group_size=1", ["discriminator.group_size=1", ">= 2"]),
    ("model.generator.fmap_decay=1000", ["fmap_decay=1000", "from 0 to 16"]),
    ("model.penalty.target=-1", ["penalty.target=-1", ">= 0"]),
    ("model.growth.batch_sizes={8: many}", ["model.growth.batch_sizes", "must be integers"]),
    ("model.compile=true", ["model.compile=true", "model.growth"]),
    ("model/network=dcgan_critic", ["model.generator=Generator", "model/network=progan"]),
    ("data.image_size=20", ["data.image_size=20", "nearest is 16"]),
]


@pytest.mark.parametrize(("override", "named"), REFUSED, ids=[override for override, _ in REFUSED])
def test_refusals_name_the_key(tmp_path, override, named):
    options = [option for option in tiny("progan") if "network" not in override or "generator" not in option]
    if "network" in override:
        options = [option for option in options if "discriminator" not in option]
    said = refusal(tmp_path, *options, override)
    for words in named:
        assert words in said, said


def test_passes_are_counted_by_one_batch_size(tmp_path):
    decay = (
        "model.g_scheduler={_target_: lightning_gans.schedules.learning_rate.EpochDecay"
        ", _partial_: true, batch_size: 8}"
    )
    assert refusal(tmp_path, *tiny("progan"), decay) == "built"
    said = refusal(tmp_path, *tiny("progan"), decay, "model.growth.batch_sizes={8: 16}")
    assert "model.g_scheduler=EpochDecay" in said
    assert "model.growth.batch_sizes" in said


def test_batches_of_every_phase_divide_by_the_processes(tmp_path):
    said = refusal(tmp_path, *tiny("progan"), "model.growth.batch_sizes={16: 7}", "trainer.devices=2")
    assert "batch_sizes, at 16=7: must divide by 2 processes" in said


def test_batches_of_the_generator_divide_by_the_processes_too(tmp_path):
    """The size of its own that a schedule of batches does not hide."""
    options = ["model.growth.batch_sizes={16: 8}", "model.g_batch_size=9", "trainer.devices=2"]
    assert "model.g_batch_size=9: must divide by 2 processes" in refusal(tmp_path, *tiny("progan"), *options)


# ---------------------------------------------------------------------------------- the module

# Batches of 4: three updates at 4x4, four that fade 8x8 in, two at 8x8, four that fade 16x16 in, then 16x16.
GROWING = [
    "model.batch_size=4",
    "model.growth.fade_kimg=0.016",
    "model.growth.stabilise_kimg={4: 0.012, 8: 0.008}",
    "callbacks.checkpoint.every_n_train_steps=1",
    "callbacks.checkpoint.keep=null",
]
STAYS = "model.growth.stabilise_kimg"
LINEAR = "{_target_: torch.optim.lr_scheduler.LinearLR, _partial_: true, end_factor: 0.1, total_iters: 9}"


def test_a_step_at_every_phase(tmp_path):
    """Resolution, alpha, images and rates on the dashboard; images at the resolution of the step."""
    made = build(
        compose(*tiny("progan"), *GROWING, "model.growth.lr_factors={8: 2.0, 16: 3.0}", "trainer.max_steps=14"),
        tmp_path,
    )
    seen, turns = [], made.model.update_order

    def watched(batch, plan):
        phase = made.model.schedule.phase(made.model.iteration)
        rates = [o.param_groups[0]["lr"] for o in made.model.player_optimizers().values()]
        seen.append((phase.resolution, made.model.generator.alpha, tuple(batch["image"].shape), *rates))
        return turns(batch, plan)

    made.model.update_order = watched
    made.fit()
    alphas = [0.125, 0.375, 0.625, 0.875]
    expected = [(4, 1.0)] * 3 + [(8, a) for a in alphas] + [(8, 1.0)] * 2 + [(16, a) for a in alphas] + [(16, 1.0)]
    assert [(resolution, alpha) for resolution, alpha, *_ in seen] == expected
    assert [shape for _, _, shape, *_ in seen] == [(4, 1, resolution, resolution) for resolution, _ in expected]
    factors = {4: 1, 8: 2, 16: 3}
    for resolution, _, _, *rates in seen:
        assert rates == pytest.approx([1e-3 * factors[resolution]] * 2)
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    shown = [(float(r["train/resolution"]), float(r["train/alpha"])) for r in rows if r["train/resolution"]]
    assert shown == expected
    assert [float(r["train/kimg"]) for r in rows if r["train/kimg"]] == pytest.approx([0.004 * i for i in range(1, 15)])


def test_real_images_are_faded_like_generated_ones(tmp_path):
    model = build(compose(*tiny("progan")), tmp_path).model
    images = torch.randn(2, 1, 8, 8)
    model.discriminator.grow(8, 0.25)
    small = F.avg_pool2d(images, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(model.fade_reals(images), 0.75 * small + 0.25 * images)
    model.discriminator.grow(8)
    assert model.fade_reals(images) is images


def test_samples_have_the_size_of_the_data_at_every_phase(tmp_path):
    """A 4x4 image is shown as 16x16, its pixels repeated; what is linear is clamped."""
    made = build(compose(*tiny("progan")), tmp_path)
    made.model.generator_ema.to_rgb[0].bias.data.fill_(3.0)
    images = made.model.sample(2)
    assert images.shape == (2, 1, 16, 16)
    assert images.max() == 1
    made.model.generator_ema.to_rgb[0].bias.data.zero_()
    images = made.model.sample(2)
    blocks = images.unfold(2, 4, 4).unfold(3, 4, 4).flatten(-2)
    assert torch.equal(blocks, blocks[..., :1].expand_as(blocks))


@pytest.mark.parametrize("stop", [2, 3, 5, 7, 8, 9, 10, 13], ids=lambda step: f"after_{step}")
def test_resume_in_every_phase_is_bit_identical(tmp_path, growing, stop):
    """Inside 4x4, before the change, inside both fades, at their ends, between them."""
    (tmp_path / "checkpoints").mkdir()
    content = (growing / "checkpoints" / f"step-{stop:06d}.ckpt").read_bytes()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(content)
    run(tmp_path, "trainer.max_steps=15", *GROWING, model="progan", resume=str(tmp_path))
    assert_same_training(newest(growing), newest(tmp_path))


@pytest.mark.parametrize(
    ("stop", "options", "named"),
    [
        (5, ["model.batch_size=8"], ["model.batch_size=8:", "update 5", "4x4 from update 0, 4 images", "0, 8 images"]),
        (2, ["model.batch_size=5"], ["model.batch_size=5:", "0, 4 images each", "0, 5 images each", "accumulate"]),
        (8, ["model.growth.batch_sizes={8: 5}"], ["model.growth=", "8x8 fading in from update 3 for 4 updates, 4"]),
        (14, ["model.batch_size=2"], ["model.batch_size=2:", "4x4 from update 0, 4 images", "0, 2 images"]),
        (8, ["model.n_critic=2"], ["model.n_critic=2:", "4x4 from update 0, 4 images each", "0, 8 images each"]),
        (4, ["model.growth.fade_kimg=0.032"], ["model.growth=", "from update 3 for 4 updates", "for 8 updates"]),
        (
            9,
            [f"{STAYS}={{4: 0.012, 8: 0.004}}"],
            ["model.growth=", "had nothing more", "16x16 fading in from update 8"],
        ),
        (4, ["model.growth=null"], ["model.growth=None:", "4x4 from update 0", "16x16 from update 0"]),
    ],
    ids=lambda value: str(value),
)
def test_a_schedule_that_would_jump_is_refused_on_resume(tmp_path, growing, stop, options, named):
    checkpoint = growing / "checkpoints" / f"step-{stop:06d}.ckpt"
    with pytest.raises(ValueError, match="keeps its schedule") as error:
        run(tmp_path, *GROWING, *options, "trainer.max_steps=20", model="progan", resume=str(checkpoint))
    for words in named:
        assert words in str(error.value)
    assert not (tmp_path / "config.yaml").exists()


def test_what_is_still_to_come_may_change_on_resume(tmp_path, growing):
    """A longer stay, a larger batch where the schedule has ended, and the next phase where one has just ended."""
    longer = ["model.growth.stabilise_kimg={4: 0.012, 8: 0.1}", "trainer.max_steps=14"]
    checkpoint = str(growing / "checkpoints" / "step-000008.ckpt")
    made = run(tmp_path / "a", *GROWING, *longer, model="progan", resume=checkpoint)
    assert made.model.generator.resolution == 8
    checkpoint = str(growing / "checkpoints" / "step-000015.ckpt")
    made = run(
        tmp_path / "b", *GROWING, "model.batch_size=8", "trainer.max_steps=16", model="progan", resume=checkpoint
    )
    assert made.model.images_seen == 15 * 4 + 8
    checkpoint = str(growing / "checkpoints" / "step-000009.ckpt")
    changed = ["model.growth.batch_sizes={16: 2}", "model.growth.fade_kimg={8: 0.016, 16: 0.008}"]
    made = run(tmp_path / "c", *GROWING, *changed, "trainer.max_steps=11", model="progan", resume=checkpoint)
    assert made.model.images_seen == 9 * 4 + 2 * 2
    assert made.model.generator.alpha == 1.5 / 4


@pytest.mark.parametrize("scheduler", ["null", LINEAR], ids=["constant", "schedule"])
def test_a_rate_typed_on_resume_holds(tmp_path, scheduler):
    """The first resumed step, a later one and the next resolution have the rate of a run that always had it."""

    def rates(folder, steps, *options, resume=None):
        options = [f"model.g_scheduler={scheduler}", "model.growth.lr_factors={8: 2.0, 16: 3.0}", *options]
        made = build(compose(*tiny("progan"), *GROWING, *options, f"trainer.max_steps={steps}"), folder)
        seen, turns = [], made.model.update_order
        group = lambda: made.model.player_optimizers()["g"].param_groups[0]  # noqa: E731
        made.model.update_order = lambda *arguments: seen.append(group()["lr"]) or turns(*arguments)
        made.fit(resume)
        return seen

    rates(tmp_path / "part", 5)
    resumed = rates(tmp_path / "part", 12, "model.g_optimizer.lr=4e-3", resume=str(tmp_path / "part"))
    assert resumed == pytest.approx(rates(tmp_path / "whole", 12, "model.g_optimizer.lr=4e-3")[5:])


@pytest.fixture(scope="module")
def growing(tmp_path_factory):
    """A training through all phases with a checkpoint after every step."""
    folder = tmp_path_factory.mktemp("growing")
    run(folder, "trainer.max_steps=15", *GROWING, model="progan")
    return folder


def test_moments_are_forgotten_where_a_fade_begins_and_ends(growing, tmp_path):
    """Adam's step count of a weight that is always active starts anew; what is not active has no state."""

    def counts(content, player=0):
        states = content["optimizer_states"][player]
        return {i: int(state["step"]) for i, state in states["state"].items()}

    def at(folder, step):
        return torch.load(folder / "checkpoints" / f"step-{step:06d}.ckpt", weights_only=True)

    for player in (0, 1):
        whole = len(at(growing, 15)["optimizer_states"][player]["param_groups"][0]["params"])
        before, after, later = (counts(at(growing, step), player) for step in (3, 4, 7))
        ends = [set(counts(at(growing, step), player).values()) for step in (8, 9, 10, 13, 14)]
        assert ends == [{1}, {2}, {1}, {4}, {1}]
        assert set(before.values()) == {3}
        assert set(after.values()) == {1}
        assert set(later.values()) == {4}
        assert len(before) < len(after) < whole
    run(tmp_path, "trainer.max_steps=4", *GROWING, "model.growth.reset_optimizers=false", model="progan")
    assert set(counts(at(tmp_path, 4)).values()) == {1, 4}


def test_the_ends_of_phases_are_kept(tmp_path):
    """Beside the newest checkpoint."""
    run(tmp_path, *GROWING, "callbacks.checkpoint.keep=1", "trainer.max_steps=15", model="progan")
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("step-*.ckpt"))
    assert kept == [f"step-{step:06d}.ckpt" for step in (3, 7, 9, 13, 15)]


MIX = [
    *GROWING,
    *("model.growth.lr_factors={8: 2.0, 16: 0.5}", "model.growth.batch_sizes={8: 8, 16: 4}"),
    *("model.n_critic=2", "model.accumulate=2", f"model.g_scheduler={LINEAR}", "trainer.max_steps=10"),
]


@pytest.mark.parametrize("stop", [1, 2, 3, 5, 8])
def test_resume_with_everything_that_changes_by_phase(tmp_path, mixed, stop):
    """Batches, rates under a schedule, several critic updates and micro-batches: bit for bit in every phase."""
    checkpoint = mixed / "checkpoints" / f"step-{stop:06d}.ckpt"
    run(tmp_path, *MIX, model="progan", resume=str(checkpoint))
    assert_same_training(newest(mixed), newest(tmp_path))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Such a training through all phases."""
    folder = tmp_path_factory.mktemp("mixed")
    made = run(folder, *MIX, model="progan")
    assert [phase.batch_size for phase in made.model.schedule.phases] == [4, 8, 8, 4, 4]
    assert made.model.schedule.phases[-1].first < 10
    return folder


def test_a_batch_of_the_generators_own_is_the_same_in_every_phase(tmp_path):
    """Also where the discriminator's is smaller than a share of it would be."""
    options = ["model.growth.batch_sizes={8: 2}", "model.g_batch_size=6", "trainer.max_steps=7"]
    made = build(compose(*tiny("progan"), *GROWING, *options, "model.accumulate=2"), tmp_path)
    seen, draw = [], made.model.draw_inputs
    made.model.draw_inputs = lambda n: seen.append((made.model.generator.resolution, n)) or draw(n)
    made.fit()
    assert seen == [(4, n) for n in (2, 2, 3, 3)] * 3 + [(8, n) for n in (1, 1, 3, 3)] * 4


def test_logged_rates_are_those_of_their_step(tmp_path):
    run(tmp_path, *GROWING, "model.growth.lr_factors={8: 2.0}", "trainer.max_steps=5", model="progan")
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    rates = {int(float(r["train/resolution"])): float(r["train/g_lr"]) for r in rows if r["train/g_lr"]}
    assert rates == {4: pytest.approx(1e-3), 8: pytest.approx(2e-3)}


def test_the_schedule_is_shown_as_a_table(tmp_path, capsys):
    run(tmp_path / "grows", *GROWING, "model.growth.batch_sizes={16: 8}", "trainer.max_steps=1", model="progan")
    rows = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert ["4x4", "0", "4", "0.012"] in rows
    assert ["16x16", "fading", "in", "9", "8", "0.016"] in rows
    assert ["16x16", "11", "8", "to", "the", "end"] in rows
    run(tmp_path / "whole", "model.growth=null", "trainer.max_steps=1", model="progan")
    assert "to the end" not in capsys.readouterr().err


def test_networks_grow_under_a_plain_trainer(tmp_path):
    """The callback comes from the family: no callback of a run is needed, and none of them is there."""
    made = build(compose(*tiny("progan"), *GROWING, "model.growth.lr_factors={16: 3.0}"), tmp_path)
    module, seen = made.model, []
    module.update_order = lambda batch, plan, turns=module.update_order: (
        seen.append((module.generator.resolution, module.discriminator.alpha)) or turns(batch, plan)
    )
    trainer = Trainer(
        max_steps=10, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(module, made.data)
    assert [type(callback) for callback in module.configure_callbacks()] == [ResolutionSchedule]
    assert seen == [(4, 1.0)] * 3 + [(8, a) for a in (0.125, 0.375, 0.625, 0.875)] + [(8, 1.0)] * 2 + [(16, 0.125)]
    assert module.player_optimizers()["g"].param_groups[0]["lr"] == pytest.approx(3e-3)


def test_what_only_plans_growth_is_refused():
    with pytest.raises(ValueError, match="growth=Growth: must be a ResolutionSchedule"):
        ProGAN(*networks(), growth=Growth(), **PLAYERS)


@pytest.mark.parametrize(("image_size", "side"), [(16, 16), (128, 64)])
def test_grids_are_of_the_current_resolution_or_as_large_as_can_be_seen(tmp_path, image_size, side):
    options = [f"data.image_size={image_size}", samples(n=1), "trainer.max_steps=1", "data.limit=8"]
    run(tmp_path, *options, model="progan")
    with Image.open(tmp_path / "samples" / "step-000001.png") as grid:
        assert grid.size == (side + 4, side + 4)


def test_the_disk_has_room_for_the_ends_of_phases(tmp_path, monkeypatch):
    """Whose checkpoints stay, beside the newest ones."""
    made = build(compose(*tiny("progan"), *GROWING, "callbacks.checkpoint.keep=1", "trainer.max_steps=15"), tmp_path)
    weights = sum(tensor.numel() * 4 for tensor in [*made.model.parameters(), *made.model.buffers()])
    free = type("Usage", (), {"free": 3 * weights * 8 - 1})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(ValueError, match="of disk are free"):
        made.fit()
    free.free += 1
    made.fit()


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_no_untrained_block_is_sampled(tmp_path, steps):
    """Without a fade a block has its full weight at once: at a phase's end the step after it is not yet the matter."""
    options = ["model.growth.fade_kimg=0", "model.growth.stabilise_kimg=0.012", f"trainer.max_steps={steps}"]
    made = run(tmp_path, "model.batch_size=4", *options, model="progan")
    resolution = 4 if steps <= 3 else 8
    loaded = lightning_gans.load(tmp_path)
    for model in (made.model, loaded):
        assert {model.generator_ema.resolution, model.discriminator.resolution} == {resolution}
    assert torch.equal(made.model.sample(2), loaded.sample(2))


def test_checkpoint_knows_its_resolution(growing):
    """Loaded alone, at a fade: the alpha of its last step, the same samples."""
    module = lightning_gans.load(growing / "checkpoints" / "step-000005.ckpt")
    assert (module.generator_ema.resolution, module.generator_ema.alpha) == (8, 0.375)
    assert module.images_seen == 20
    again = build(compose(*tiny("progan"), *GROWING), growing / "again").model
    again.load_state_dict(module.state_dict())
    assert torch.equal(again.sample(3), module.sample(3))


def test_the_average_is_the_published_one(tmp_path):
    """0.999 per update in every phase, whatever its batch: a new block does not make it forget the others."""
    batches = "model.growth.batch_sizes={4: 8, 8: 4}"
    made = build(compose(*tiny("progan"), *GROWING, batches, "trainer.max_steps=11"), tmp_path)
    model, betas = made.model, []
    update = model.ema.update
    assert model.ema.ramp_up is None

    def watched(average, live, images, seen, updates):
        before = average.blocks[0][0].weight.clone()
        update(average, live, images, seen, updates)
        moved, way = average.blocks[0][0].weight - before, live.blocks[0][0].weight - before
        betas.append(1 - ((moved * way).sum() / way.square().sum()).item())

    model.ema.update = watched
    made.fit()
    assert betas == pytest.approx([0.999] * 11, abs=1e-4)
    for experiment in ("celebahq1024", "celebahq1024_1gpu", "lsun256", "cifar10"):
        assert compose(f"experiment=progan_{experiment}", "data.root=x").model.ema.decay == 0.999


def test_without_growth_everything_is_trained_at_once(tmp_path):
    made = run(tmp_path, "model.growth=null", "trainer.max_steps=2", model="progan")
    assert [phase.resolution for phase in made.model.schedule.phases] == [16]
    assert made.model.plan(0).resolution == 16
    used = [int(i) for i, state in newest(tmp_path)["optimizer_states"][0]["state"].items() if state["step"] == 2]
    whole = dict(made.model.generator.named_parameters())
    idle = {name for i, name in enumerate(whole) if i not in used}
    assert idle == {name for name in whole if name.startswith(("to_rgb.0.", "to_rgb.1."))}  # colours of smaller images


def fit(folder, *options):
    """A tiny training whose noise, if there is any, is felt from the first step on."""
    made = build(compose(*tiny("progan"), *options), folder)
    if made.model.discriminator.noise is not None:
        made.model.discriminator.logit_average.fill_(1.0)
    made.fit()
    return made


def test_least_squares_with_noise(tmp_path):
    """The average follows the logits of reals, is saved and resumed."""
    options = ["model/objective=least_squares", "model/penalty=none", "model.discriminator.noise=true", *GROWING]
    average = fit(tmp_path / "whole", *options, "trainer.max_steps=6").model.discriminator.logit_average
    assert 0.5 < average < 1
    fit(tmp_path / "part", *options, "trainer.max_steps=4")
    run(tmp_path / "part", *options, "trainer.max_steps=6", model="progan", resume=str(tmp_path / "part"))
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "part"))
    assert newest(tmp_path / "part")["state_dict"]["discriminator.logit_average"] == average


def test_logistic_loss_with_r1(tmp_path):
    made = run(tmp_path, "model/objective=non_saturating", "model/penalty=r1", "trainer.max_steps=3", model="progan")
    assert set(made.model.terms) == {"d_real", "d_fake", "d_penalty", "g_adversarial"}


def test_wasserstein_terms_of_the_paper(tmp_path):
    made = run(tmp_path, "trainer.max_steps=1", model="progan")
    assert set(made.model.terms) == {"d_real", "d_fake", "d_drift", "d_penalty", "g_adversarial"}
    assert made.model.objective.drift == 0.001
    assert made.model.penalty.weight == 10


@pytest.mark.parametrize(
    "options",
    [
        ["model/augment=diffaugment", "model.accumulate=2"],
        ["model/augment=adaptive", "model/objective=non_saturating"],
        ["model/objective=relativistic", "model/penalty=r1_r2", "model.reuse_fakes=true"],
        ["model.discriminator.minibatch=discrimination", "model.n_critic=2", "model/augment=instance_noise"],
        ["model.generator.norm=batch", "model.discriminator.norm=layer", "model.ema.ramp_up=null"],
        ["model.g_scheduler={_target_: torch.optim.lr_scheduler.ExponentialLR, _partial_: true, gamma: 0.5}"],
    ],
    ids=lambda options: options[0],
)
def test_growing_with_other_parts(tmp_path, options):
    """Through all phases; the averaged generator samples at the end."""
    factors = "model.growth.lr_factors={16: 3.0}"
    made = run(tmp_path, *GROWING, *options, factors, "trainer.max_steps=14", model="progan")
    assert made.model.iteration == 14
    assert all(torch.isfinite(term) for term in made.model.terms.values())
    assert torch.isfinite(made.model.sample(4)).all()
    rates = [optimizer.param_groups[0]["lr"] for optimizer in made.model.player_optimizers().values()]
    decay = 0.5**14 if "ExponentialLR" in options[0] else 1.0
    assert rates == pytest.approx([3e-3 * decay, 3e-3])


TRAIN = """
import sys
from test_progan import fit
fit(sys.argv[1], *sys.argv[2:], "trainer.devices=2")
"""
NOISY = ["model/objective=least_squares", "model/penalty=none", "model.discriminator.noise=true"]


@pytest.mark.parametrize("others", [[], NOISY], ids=["wasserstein", "noise"])
def test_two_processes_equal_one_across_changes_of_resolution(tmp_path, others):
    """Through all phases, with other batches at 16x16; groups of the minibatch deviation are those of one process."""
    options = [*exact("progan"), *GROWING, *others, "model.batch_size=8", "model.growth.batch_sizes={16: 16}"]
    options += ["trainer.max_steps=9", "logger=none"]
    (tmp_path / "train.py").write_text(TRAIN)
    launcher = [*TORCHRUN, str(tmp_path / "train.py")]
    made = command(*launcher, str(tmp_path / "two"), *options, env={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert made.returncode == 0, made.stdout + made.stderr
    fit(tmp_path / "one", *options)
    one, two = newest(tmp_path / "one"), newest(tmp_path / "two")
    assert lightning_gans.load(tmp_path / "two").schedule.phase(8).resolution == 16
    start = copy.deepcopy(build(compose(*tiny("progan"), *options), tmp_path / "new").model.state_dict())
    assert_equal_weights(one["state_dict"], two["state_dict"])
    moved = 0
    for name, value in one["state_dict"].items():
        if isinstance(value, torch.Tensor):
            moved += not torch.equal(value, start[name])
    assert moved > 50
    assert differences(one["optimizer_states"][0]["state"].keys(), two["optimizer_states"][0]["state"].keys()) == []

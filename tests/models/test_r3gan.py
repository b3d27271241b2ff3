"""R3GAN against its released code: counts, resampling, and a recipe whose numbers follow the images seen."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lightning_gans
from conftest import assert_same_training, compose, newest, refusal, run, tiny
from lightning_gans.checkpoints import files
from lightning_gans.checkpoints.integrity import CHECKSUM, FORMAT
from lightning_gans.losses.penalties import R1R2
from lightning_gans.models.ema import EMA
from lightning_gans.models.r3gan import R3GAN
from lightning_gans.networks import r3gan
from lightning_gans.runtime.instantiation import instantiate


@pytest.mark.parametrize(
    ("experiment", "maps", "counts"),
    [
        ("cifar10", [768, 768, 768, 768], (20_732_160, 20_683_776)),
        ("ffhq64", [384, 768, 768, 768, 768], (22_429_824, 22_381_440)),
        ("ffhq256", [96, 192, 384, 768, 768, 768, 768], (23_057_952, 23_009_568)),
    ],
)
def test_experiments_have_the_published_networks(experiment, maps, counts):
    model = compose(f"experiment=r3gan_{experiment}", *(["data.root=x"] if "ffhq" in experiment else [])).model
    with torch.device("meta"):
        pair = [instantiate(model[name]) for name in ("generator", "discriminator")]
    assert tuple(sum(weight.numel() for weight in network.parameters()) for network in pair) == counts
    for network, expected in zip(pair, (maps[::-1], maps), strict=True):
        blocks = [layer for layer in network.layers if isinstance(layer, r3gan.GroupedResidualBlock)]
        assert [block.layers[-1].out_channels for block in blocks[::2]] == expected


def taps(gain):
    """The outer product of [1, 3, 3, 1] with itself, of sum ``gain``."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
    return gain * torch.outer(row, row) / 64


@pytest.mark.parametrize("side", [1, 4, 5])
def test_upsampling_is_a_transposed_convolution_that_sees_zeros(side):
    x = torch.randn(2, 3, side, side, dtype=torch.float64)
    made = r3gan.Upsample(3, 3).double()(x)
    expected = torch.cat([F.conv_transpose2d(x[:, c : c + 1], taps(4)[None, None], None, 2, 1) for c in range(3)], 1)
    assert made.shape == (2, 3, 2 * side, 2 * side)
    assert (made - expected).abs().max() < 1e-6
    corner = made[..., 0, 0]
    torch.testing.assert_close(corner, x[..., 0, 0] * 9 / 16)  # three quarters each way, and nothing from beyond
    again = r3gan.Upsample(3, 3, "edge").double()(x)
    torch.testing.assert_close(again[..., 0, 0], x[..., 0, 0])
    if side > 2:
        torch.testing.assert_close(again[..., 1:-1, 1:-1], made[..., 1:-1, 1:-1])


@pytest.mark.parametrize("side", [2, 8])
def test_downsampling_sees_zeros_too(side):
    """By sums written out, and as the adjoint of the upsampling with a quarter of its gain."""
    x = torch.randn(2, 3, side, side, dtype=torch.float64)
    made = r3gan.Downsample(3, 3).double()(x)
    padded = F.pad(x, (1, 1, 1, 1))
    expected = torch.zeros_like(made)
    for i in range(4):
        for j in range(4):
            expected += taps(1)[i, j] * padded[..., i : i + side : 2, j : j + side : 2]
    assert (made - expected).abs().max() < 1e-6
    y = torch.randn_like(made)
    torch.testing.assert_close(4 * (made * y).sum(), (x * r3gan.Upsample(3, 3).double()(y)).sum())


def test_the_change_of_width_is_done_at_the_smaller_size():
    x = torch.randn(1, 2, 4, 4)  # the same layers in another order, to rounding
    up, down = r3gan.Upsample(2, 3), r3gan.Downsample(2, 3)
    plain_up, plain_down = r3gan.Upsample(3, 3), r3gan.Downsample(2, 2)
    torch.testing.assert_close(up(x), plain_up(F.conv2d(x, up.change.weight)))
    torch.testing.assert_close(down(x), F.conv2d(plain_down(x), down.change.weight))


OLD = ["model.generator.base_levels=2", "model.discriminator.base_levels=2", "model.generator.padding=edge"]


def test_a_checkpoint_that_does_not_name_newer_options_is_what_it_was(tmp_path):
    made = run(tmp_path, *OLD, "model.generator.max_channels=8", "model.discriminator.max_channels=8", model="r3gan")
    content = newest(tmp_path)
    for kind in ("resolved", "source"):
        model = content["config"][kind]["model"]
        for network in ("generator", "discriminator"):
            for key in ("base_levels", "padding"):
                model[network].pop(key, None)
        for player in "gd":
            model[f"{player}_scheduler"] = {
                "_target_": "lightning_gans.schedules.learning_rate.CosineDecay",
                "_partial_": True,
                "updates": 39063,
                "final": 0.25,
                "floor": 0.0,
            }
    del content[FORMAT], content[CHECKSUM]
    path = tmp_path / "older.ckpt"
    torch.save(content, path)
    loaded = lightning_gans.load(path)
    widths = [
        layer.layers[-1].out_channels
        for layer in loaded.generator.layers
        if isinstance(layer, r3gan.GroupedResidualBlock)
    ]
    assert widths == [8, 8, 4, 4, 4, 4]  # 4x4, 8x8, 16x16
    assert torch.equal(loaded.sample(3), made.model.eval().sample(3))
    assert files.read(path)["config"]["source"]["model"]["generator"]["padding"] == "edge"  # for resume


WEIGHT = (
    "model.penalty.weight={_target_: lightning_gans.schedules.values.CosineValue, start: 2.0, end: 0.5, kimg: 0.064}"
)
AVERAGE = (
    "model.ema.half_life_kimg={_target_: lightning_gans.schedules.values.CosineValue"
    ", start: 0.0, end: 0.1, kimg: 0.064}"
)
RECIPE = [
    *("model/augment=scheduled", "model.augment.p.kimg=0.064", WEIGHT, AVERAGE, "model.ema.ramp_up=null"),
    *(f"model.{player}_scheduler.{key}" for player in "gd" for key in ("kimg=0.064", "beta2=0.99")),
    "model.batch_size=8",
]


def cosine(start, end, images):
    return end + (start - end) * (1 + math.cos(math.pi * min(1, images / 64))) / 2


def test_the_recipe_follows_the_images_seen(tmp_path):
    """Gamma, beta2, rate, probability of the augmentation and half-life of the average, step by step."""
    found, unweighted, betas_of_average = [], [], []

    class WatchedPenalty(R1R2):
        def per_sample(self, *arguments):
            unweighted.append(super().per_sample(*arguments))
            return unweighted[-1]

    class WatchedAverage(EMA):
        def beta(self, *arguments):
            betas_of_average.append(super().beta(*arguments))
            return betas_of_average[-1]

    class Watched(R3GAN):
        def discriminator_loss(self, batch):
            terms = super().discriminator_loss(batch)
            group = self.player_optimizers()["d"].param_groups[0]
            weight = (terms["penalty"] / unweighted[-1].mean()).item()
            found.append((weight, group["betas"], group["lr"], self.augment.p.item()))
            return terms

    made = lightning_gans.build(compose(*tiny("r3gan"), *RECIPE, "trainer.max_steps=10"), tmp_path)
    for part, kind in ((made.model, Watched), (made.model.penalty, WatchedPenalty), (made.model.ema, WatchedAverage)):
        part.__class__ = kind
    made.fit()
    for step, (weight, betas, rate, p) in enumerate(found):
        assert weight == pytest.approx(cosine(2.0, 0.5, 8 * step), rel=1e-5)
        assert betas == (0.0, pytest.approx(cosine(0.9, 0.99, 8 * step)))
        assert rate == pytest.approx(cosine(2e-4, 5e-5, 8 * step))
        assert p == pytest.approx(cosine(0.0, 0.55, 8 * step), abs=1e-6)
        half_life = cosine(0.0, 100.0, 8 * step)
        assert betas_of_average[step] == pytest.approx(0.5 ** (8 / half_life) if step else 0.0)
    assert len(found) == 10


def test_the_recipe_resumes_as_if_unbroken(tmp_path):
    run(tmp_path / "whole", *RECIPE, "trainer.max_steps=7", model="r3gan")
    run(tmp_path / "part", *RECIPE, "trainer.max_steps=4", model="r3gan")
    run(tmp_path / "part", *RECIPE, "trainer.max_steps=7", model="r3gan", resume=str(tmp_path / "part"))
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "part"))
    assert newest(tmp_path / "whole")["optimizer_states"][1]["param_groups"][0]["betas"][1] > 0.97
    loaded = lightning_gans.load(tmp_path / "part")  # what it names is trusted
    assert (loaded.penalty.weight.end, loaded.ema.half_life_kimg.end) == (0.5, 0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["model.generator.base_levels=0"], "base_levels=0: must be >= 1"),
        (["model.generator.padding=reflect"], "model.generator.padding=reflect"),
        (["model.g_scheduler.updates=5"], "model.g_scheduler.updates=5: beside kimg=20000.0; say one of the two"),
        (["model.g_scheduler.beta2=1.0"], "model.g_scheduler.beta2=1.0: must be from 0 to below 1, or null"),
        ([WEIGHT.replace("0.5", "-0.5")], "penalty.weight=2.0 to -0.5: must be >= 0"),
        ([WEIGHT.replace("kimg: 0.064", "kimg: 0")], "kimg=0: must be > 0"),
        (["model/augment=scheduled", "model.augment.p.end=1.5"], "model.augment.p=0.0 to 1.5: must be from 0 to 1"),
        (
            ["model/augment=scheduled", "model.augment.target=0.6"],
            "model.augment.p=0.0 to 0.55: model.augment.target=0.6",
        ),
        (["model/augment=scheduled", "model.augment.cutout=2"], "model.augment.cutout=2: must be from 0 to 1"),
        ([AVERAGE.replace("end: 0.1", "end: 0.0")], "model.ema.half_life_kimg=0.0 to 0.0: must be > 0"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(tmp_path, options, message):
    assert message in refusal(tmp_path, *tiny("r3gan"), *options)


def test_weights_start_by_the_released_rule():
    """N(0, gain^2 / fan_in), gain 1 outside of blocks; He's rule times depth^(-1/4) in blocks, whose last one is 0."""
    generator = r3gan.Generator(image_size=16, channels=3, base_channels=64, max_channels=128, group_size=16)
    for layer in generator.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.any():
            inside = layer.bias is not None  # before an activation of a block
            gain = math.sqrt(2 / 1.04) * 6**-0.25 if inside else 1.0  # three resolutions of two blocks
            weight = layer.weight.detach()
            std = gain / math.sqrt(weight[0].numel())
            assert weight.square().mean().sqrt().item() == pytest.approx(std, rel=5 / math.sqrt(2 * weight.numel()))

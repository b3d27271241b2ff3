"""Augmentations against what they promise, as functions of the numbers they draw."""

import math

import pytest
import torch
from torch import nn

from conftest import newest, refusal, run, tiny
from lightning_gans.augment.adaptive import AdaptiveAugment
from lightning_gans.augment.diffaugment import DiffAugment
from lightning_gans.augment.instance_noise import InstanceNoise
from lightning_gans.schedules.values import CosineValue


class Fixed:
    """Draws that the test decides."""

    images_seen = 0

    def __init__(self, uniform=0.5, normal=0.0):
        self.u, self.n = uniform, normal

    def uniform(self, n, *shape):
        return torch.as_tensor(self.u).expand(n, *shape).clone()

    def normal(self, n, *shape):
        return torch.as_tensor(self.n).expand(n, *shape).clone()


class Random(Fixed):
    def uniform(self, n, *shape):
        return torch.rand(n, *shape)

    def normal(self, n, *shape):
        return torch.randn(n, *shape)


def test_an_augmentation_alone_draws_from_torchs_generator():
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    for augment in (DiffAugment(), InstanceNoise(), AdaptiveAugment(p=1.0)):
        torch.manual_seed(1)
        once = augment(images)
        torch.manual_seed(1)
        assert torch.equal(augment(images), once)
        assert once.shape == images.shape
        assert not torch.equal(augment(images), once)


def test_instance_noise_decays_linearly_to_nothing():
    noise = InstanceNoise(sigma=0.2, decay_kimg=10)
    assert [noise.sigma_at(k * 1000) for k in (0, 5, 10, 20)] == pytest.approx([0.2, 0.1, 0, 0])
    assert InstanceNoise(sigma=0.2, decay_kimg=None).sigma_at(10**9) == 0.2
    draws = Fixed(normal=1.0)
    draws.images_seen = 5000
    torch.testing.assert_close(noise(torch.zeros(2, 3), draws), torch.full((2, 3), 0.1))


def test_colour():
    images = torch.rand(4, 3, 8, 8) * 2 - 1
    color = DiffAugment(["color"])
    torch.testing.assert_close(color(images, Fixed(0.5)), images)  # +0, times 1, times 1
    grey = color(images, Fixed(torch.tensor([0.5, 0.0, 0.5]).view(3, 1, 1, 1)))
    torch.testing.assert_close(grey, images.mean(1, keepdim=True).expand_as(images))
    brighter = color(images, Fixed(torch.tensor([1.0, 0.5, 0.5]).view(3, 1, 1, 1)))
    torch.testing.assert_close(brighter, images + 0.5)
    contrast = color(images, Fixed(torch.tensor([0.5, 0.5, 1.0]).view(3, 1, 1, 1)))
    mean = images.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(contrast, mean + 1.5 * (images - mean))


@pytest.mark.parametrize(("u", "shift"), [(0.0, -2), (0.5, 0), (0.999, 2)])
def test_translation_fills_with_zero(u, shift):
    images = torch.rand(2, 1, 16, 16) + 1
    moved = DiffAugment(["translation"])(images, Fixed(u))
    expected = torch.zeros_like(images)
    rows = slice(max(0, shift), 16 + min(0, shift)), slice(max(0, -shift), 16 - max(0, shift))
    expected[:, :, rows[1], rows[1]] = images[:, :, rows[0], rows[0]]
    torch.testing.assert_close(moved, expected)


def test_cutout_takes_a_square_of_half_the_side():
    images = torch.ones(200, 2, 8, 8)
    cut = DiffAugment(["cutout"])(images, Random())
    missing = (cut == 0).all(1).flatten(1).sum(1)
    assert missing.max() == 16  # 4 x 4 where it lies wholly inside
    assert missing.min() >= 4  # at a corner a quarter of it
    middle = DiffAugment(["cutout"])(images[:1], Fixed(0.5))
    assert (middle == 0)[0, 0].nonzero().min(0).values.tolist() == [2, 2]


def test_every_sample_has_its_own_and_gradients_pass():
    images = torch.rand(16, 3, 8, 8, requires_grad=True)
    for augment in (DiffAugment(), AdaptiveAugment(p=1.0), InstanceNoise()):
        out = augment(images, Random())
        assert out.shape == images.shape
        assert not torch.equal(out[0], out[1])
        (gradient,) = torch.autograd.grad(out.square().sum(), images)
        assert (gradient.flatten(1).abs().sum(1) > 0).all()


def test_adaptive_does_nothing_at_p_zero():
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(AdaptiveAugment(p=0.0)(images, Random()), images, rtol=0, atol=1e-4)


def test_adaptive_does_about_p_of_everything():
    torch.manual_seed(0)
    images = torch.rand(1, 3, 16, 16).expand(2000, -1, -1, -1) * 2 - 1
    augment = AdaptiveAugment(p=0.1)
    changed = (augment(images, Random()) - images).abs().flatten(1).amax(1) > 1e-4
    # mirror and quarter turns do nothing in half and a quarter of the draws, the luma flip in half
    doing = [0.05, 0.075, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.1, 0.1]
    assert changed.float().mean().item() == pytest.approx(1 - math.prod(1 - p for p in doing), abs=0.05)


@pytest.mark.parametrize("channels", [1, 3])
def test_adaptive_inverts_grey_and_colour(channels):
    images = torch.rand(1, channels, 8, 8)

    class Gates(Fixed):
        def uniform(self, n, *shape):
            numbers = torch.ones(n, *shape)
            if shape[0] == 7:
                numbers[:, 2:4] = 0.0
            return numbers

    inverted = AdaptiveAugment(p=0.5)(images, Gates())
    torch.testing.assert_close(inverted.mean(1), -images.mean(1), rtol=0, atol=1e-4)  # the luma axis is turned round


def test_adaptive_is_exact_under_autocast():
    images = torch.rand(4, 3, 64, 64) * 2 - 1
    augment = AdaptiveAugment(p=1.0)
    outputs = []
    for dtype in (None, torch.bfloat16):
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            outputs.append(augment(images, Random()))
    assert outputs[1].dtype == torch.float32
    torch.testing.assert_close(*outputs)


@pytest.mark.parametrize("model", ["wgan", "r3gan", "began"])
def test_adaptive_needs_logits_with_a_sign(tmp_path, model):
    said = refusal(tmp_path, *tiny(model), "model/augment=adaptive")
    assert "model.augment=AdaptiveAugment: follows the sign of logits" in said


def test_adaptive_knows_where_least_squares_are_undecided(tmp_path):
    model = run(tmp_path, "model/augment=adaptive", "trainer.max_steps=1", model="lsgan").model
    seen = []
    model.augment.update_statistics = lambda logits: seen.append(logits)
    model.logits = lambda images: torch.full((len(images),), 0.5)
    model.discriminator_loss({"image": torch.zeros(8, 1, 16, 16)})
    assert seen[0].abs().max() == 0


def test_a_resumed_run_keeps_its_state(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match=r"model\.augment: an adaptive augmentation is state"):
        run(tmp_path, "model/augment=adaptive", resume=str(tmp_path))


def test_adaptive_mirrors_and_turns_exactly():
    images = torch.rand(1, 1, 8, 8)

    class Gates(Fixed):
        def uniform(self, n, *shape):
            numbers = torch.ones(n, *shape)  # every gate closed
            if shape[0] == 14:
                numbers[:, self.gate] = 0.0
                numbers[:, self.gate + 1] = self.value
            return numbers

    augment, draws = AdaptiveAugment(p=0.5), Gates()
    draws.gate, draws.value = 0, 0.2
    torch.testing.assert_close(augment(images, draws), images.flip(-1), rtol=0, atol=1e-4)
    draws.gate, draws.value = 2, 0.3  # a quarter turn
    turned = augment(images, draws)
    assert any(torch.allclose(turned, images.rot90(k, (2, 3)), atol=1e-4) for k in (1, 3))


@pytest.mark.parametrize("size", [(8, 12), (12, 8)])
def test_adaptive_turns_rectangles_without_squeezing_them(size):
    """The middle square of a turned rectangle is its middle square turned; shifts are whole pixels on either side."""
    images, middle = torch.rand(1, 1, *size), [slice((side - 8) // 2, (side + 8) // 2) for side in size]

    class Gates(Fixed):
        def uniform(self, n, *shape):
            numbers = torch.ones(n, *shape)
            if shape[0] == 14:
                for place, value in self.values.items():
                    numbers[:, place] = value
            return numbers

    augment, draws = AdaptiveAugment(p=0.5), Gates()
    draws.values = {2: 0.0, 3: 0.3}  # a quarter turn
    turned = augment(images, draws)[0, 0][tuple(middle)]
    square = images[0, 0][tuple(middle)]
    assert any(torch.allclose(turned, square.rot90(k), atol=1e-4) for k in (1, 3))
    draws.values = {4: 0.0, 5: 1.0, 6: 0.0}  # by an eighth of each side: right along one, up along the other
    moved = augment(images, draws)
    down, across = (round(0.125 * side) for side in size)
    torch.testing.assert_close(moved[..., down:, :-across], images[..., :-down, across:], rtol=0, atol=1e-4)
    cut = AdaptiveAugment(p=1.0, colour=0.0, cutout=1.0)._cut(images, Fixed(0.5)) == 0
    assert cut[0, 0].nonzero().amin(0).tolist() == [side // 4 for side in size]
    assert cut.sum() == size[0] * size[1] // 4


def test_colour_and_cutout_are_shares_of_p():
    """With p = 1: no colour changes at a share of 0, and every sample loses a square of half the side at 1."""
    images = torch.rand(64, 3, 16, 16) + 1

    class OnlyColour(Random):
        def uniform(self, n, *shape):
            return torch.ones(n, *shape) if shape == (14,) else super().uniform(n, *shape)  # nothing moves

    torch.testing.assert_close(AdaptiveAugment(p=1.0, colour=0.0)(images, OnlyColour()), images)
    half = AdaptiveAugment(p=1.0, colour=0.5)(images, OnlyColour())
    whole = AdaptiveAugment(p=1.0)(images, OnlyColour())
    changed = [((made - images).abs().amax((1, 2, 3)) > 1e-4).float().mean().item() for made in (half, whole)]
    assert changed[1] == 1
    assert 0.8 < changed[0] <= 1  # 1 - 0.5^5 or so
    cut = AdaptiveAugment(p=1.0, colour=0.0, cutout=1.0)(images, OnlyColour())
    missing = (cut == 0).all(1).flatten(1).sum(1)
    assert missing.max() == 64  # 8 x 8 where it lies wholly inside
    assert missing.min() >= 16  # at a corner a quarter of it
    torch.testing.assert_close(cut, images * (cut != 0))
    some = AdaptiveAugment(p=0.5, colour=0.0, cutout=0.5)(images.repeat(16, 1, 1, 1), OnlyColour())
    share = (some == 0).flatten(1).any(1).float().mean().item()
    assert share == pytest.approx(0.25, abs=0.07)  # five deviations of 1,024 samples
    middle = AdaptiveAugment(p=1.0, colour=0.0, cutout=1.0)
    assert (middle._cut(images[:1], Fixed(0.5)) == 0)[0, 0].nonzero().min(0).values.tolist() == [4, 4]


def test_a_probability_may_follow_the_images_seen():
    augment, draws = AdaptiveAugment(target=None, p=CosineValue(0.0, 0.6, kimg=1)), Random()
    for images, p in ((0, 0.0), (500, 0.3), (1000, 0.6), (5000, 0.6)):
        draws.images_seen = images
        augment(torch.rand(2, 3, 8, 8), draws)
        augment.update_statistics(torch.ones(8))
        augment.on_update_end(4, 8)
        assert augment.p.item() == pytest.approx(p, abs=1e-6)
    assert not augment.signs.any()


@pytest.mark.parametrize(("logit", "direction"), [(1.0, 1), (-1.0, -1)])
def test_p_follows_the_signs_of_the_real_logits(logit, direction):
    augment = AdaptiveAugment(target=0.6, interval=4, kimg=0.5, p=0.5)
    for iteration in range(1, 9):
        augment.update_statistics(torch.full((16,), logit))
        augment.on_update_end(iteration, 16)
        moves = iteration // 4
        assert augment.p.item() == pytest.approx(0.5 + direction * moves * 64 / 500)
    for iteration in range(9, 100):
        augment.update_statistics(torch.full((16,), logit))
        augment.on_update_end(iteration, 16)
    assert augment.p.item() == (1.0 if direction > 0 else 0.0)


def test_p_is_state(tmp_path):
    """It moves in training, stands in the checkpoint and goes on when resumed."""
    options = ["model/augment=adaptive", "model.augment.kimg=0.1", "model.augment.p=0.5", "model.augment.target=1"]
    run(tmp_path / "whole", *options, "trainer.max_steps=8")
    run(tmp_path / "part", *options, "trainer.max_steps=5")
    made = run(tmp_path / "part", *options, "trainer.max_steps=8", resume=str(tmp_path / "part"))
    states = [newest(tmp_path / name)["state_dict"] for name in ("whole", "part")]
    assert states[0]["augment.p"] != 0.5
    assert made.trainer.logged_metrics["train/augment_p"] == states[0]["augment.p"]
    for name, value in states[0].items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, states[1][name]), name


def test_both_players_see_augmented_samples(tmp_path):
    made = run(tmp_path, "model/augment=instance_noise", "trainer.max_steps=1")
    seen = []

    class Watching(nn.Module):
        def forward(self, images):
            seen.append(images)
            return images.flatten(1).sum(1)

    class Mark(nn.Module):
        def forward(self, images, draws):
            return images + 100

        def update_statistics(self, logits):
            """Nothing to see."""

    model = made.model
    model.augment = type(
        "Mark", (nn.Module,), {"forward": lambda self, x, draws: x + 100, "update_statistics": lambda *_: None}
    )()
    model.discriminator, model.reuse_fakes = Watching(), False
    batch = {"image": torch.zeros(8, 1, 16, 16)}
    model.discriminator_loss(batch)
    model.generator_loss(batch)
    assert len(seen) == 3
    assert all(images.min() >= 99 for images in seen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["model/augment=diffaugment", "model.augment.policy=[]"],
            "model.augment.policy=[]: must be a list of color, translation or cutout, not empty",
        ),
        (["model/augment=diffaugment", "model.augment.policy=[colour]"], "model.augment.policy"),
        (["model/augment=instance_noise", "model.augment.sigma=0"], "model.augment.sigma=0"),
        (["model/augment=adaptive", "model.augment.p=2"], "model.augment.p=2"),
    ],
)
def test_values_out_of_range(tmp_path, options, message):
    assert message in refusal(tmp_path, *tiny(), *options)


def test_images_only():
    with pytest.raises(ValueError, match=r"model\.augment=DiffAugment: needs images"):
        DiffAugment().check((2,))
    InstanceNoise().check((2,))

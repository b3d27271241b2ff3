"""Lazy regularisation and path lengths: closed forms, the optimiser's correction, resume within an interval."""

import pytest
import torch

from conftest import assert_same_training, newest, run, watched
from lightning_gans.losses.lazy import Lazy, corrected, corrected_factory
from lightning_gans.losses.path_length import PathLength, path_lengths
from lightning_gans.losses.penalties import R1, GradientPenalty

LAZY = [
    "model/penalty=lazy_r1",
    "model.penalty.interval=3",
    "model.discriminator.norm=null",
    "model.reuse_fakes=false",
]


def test_a_lazy_penalty_is_due_every_k_updates_and_k_times_as_strong():
    critic = lambda x: x.square().sum(1) / 2  # noqa: E731
    real = torch.randn(6, 3)
    lazy = Lazy(R1(2.0), interval=4)
    assert [step for step in range(10) if lazy.is_due(step)] == [0, 4, 8]
    torch.testing.assert_close(lazy(critic, real, real, torch.rand), 4 * real.square().sum(1).mean())
    assert not lazy.needs_fakes
    assert Lazy(GradientPenalty()).needs_fakes


def test_rates_and_betas_are_corrected_by_the_share_of_steps():
    share = 16 / 17
    weights = [torch.nn.Parameter(torch.zeros(1))]
    made = corrected_factory(lambda w: torch.optim.Adam(w, lr=2e-3, betas=(0.0, 0.99)), 16)(weights)
    for options in (made.defaults, made.param_groups[0]):
        assert options["lr"] == pytest.approx(2e-3 * share)
        assert options["betas"] == pytest.approx((0.0, 0.99**share))
    assert corrected({"lr": 1.0, "momentum": 0.9}, 1) == {"lr": 0.5, "momentum": 0.9}


def test_r1_by_the_size_of_images():
    """0.0002 H W / B, as StyleGAN2-ADA chooses gamma."""
    critic = lambda x: x.flatten(1).square().sum(1) / 2  # noqa: E731
    real = torch.randn(4, 1, 8, 16)
    gamma = 2e-4 * 8 * 16 / 32
    made = R1(2e-4, pixels_over=32)(critic, real, real, torch.rand)
    torch.testing.assert_close(made, gamma / 2 * real.flatten(1).square().sum(1).mean())


def test_path_lengths_of_a_linear_generator():
    """For images A w of one layer J is A: |A^T y| / sqrt(H W); of two equal layers the root mean square."""
    torch.manual_seed(0)
    matrix, noise = torch.randn(3 * 4 * 5, 7), torch.randn(2, 3, 4, 5)
    for layers in (1, 2):
        styles = torch.randn(2, layers, 7, requires_grad=True)
        images = (styles.sum(1) @ matrix.t()).view(2, 3, 4, 5)
        expected = (noise.flatten(1) @ matrix).norm(dim=1) / 20**0.5
        torch.testing.assert_close(path_lengths(images, styles, noise), expected, rtol=1e-4, atol=1e-4)
    made = PathLength(weight=3.0)(torch.tensor([1.0, 5.0]), torch.tensor(2.0))
    assert made.item() == pytest.approx(3 * (1 + 9) / 2)


def test_the_penalty_has_updates_of_its_own(tmp_path):
    made, watch = watched(tmp_path, *LAZY, "trainer.max_steps=5")
    assert [player for player, _ in watch.changes] == [*"ddg", *"dg", *"dg", *"ddg", *"dg"]
    assert made.trainer.global_step == 5
    assert made.model.extra_logs()["d_penalty"] > 0  # of update 4, when it was last due
    (rate,) = {group["lr"] for group in made.trainer.optimizers[1].param_groups}
    assert rate == pytest.approx(2e-4 * 3 / 4)
    assert made.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(2e-4)


@pytest.mark.parametrize("stop", [2, 4])
def test_resume_within_an_interval_is_bit_identical(tmp_path, stop):
    run(tmp_path / "whole", *LAZY, "trainer.max_steps=5")
    run(tmp_path / "part", *LAZY, f"trainer.max_steps={stop}")
    run(tmp_path / "part", *LAZY, "trainer.max_steps=5", resume=str(tmp_path / "part"))
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "part"))


def test_a_rate_typed_on_resume_is_corrected_too(tmp_path):
    run(tmp_path, *LAZY, "trainer.max_steps=1")
    typed = ["model.d_optimizer.lr=1e-3", "model.d_optimizer.betas=[0.5,0.9]"]
    made = run(tmp_path, *LAZY, *typed, "trainer.max_steps=2", resume=str(tmp_path))
    group = made.trainer.optimizers[1].param_groups[0]
    assert group["lr"] == pytest.approx(1e-3 * 3 / 4)
    assert group["betas"] == pytest.approx((0.5**0.75, 0.9**0.75))


def test_a_lazy_update_steps_weights_that_the_penalty_says_nothing_of(tmp_path):
    """Their gradient is 0, as it was when zeros came back through the network: moments fall as those of the others."""
    made = run(tmp_path, *LAZY, "trainer.max_steps=4")  # two lazy updates
    _, optimizer = made.trainer.optimizers
    steps = {int(state["step"]) for state in optimizer.state.values()}
    assert steps == {4 + 2}
    assert len(optimizer.state) == len(list(made.model.discriminator.parameters()))

"""SRGAN: networks, losses in closed form, two phases."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conftest import assert_same_training, newest, refusal, run, tiny
from lightning_gans import build, compose, load
from lightning_gans.losses.objectives import NonSaturating
from lightning_gans.models.srgan import SCALE, SRGAN
from lightning_gans.networks.srgan import Discriminator, SRResNet
from lightning_gans.runtime.instantiation import instantiate

MODEL = "srgan"


def family(**options):
    sgd = lambda parameters: torch.optim.SGD(parameters, 0.1)  # noqa: E731
    torch.manual_seed(0)
    networks = [
        SRResNet(channels=3, base_channels=4, blocks=1, norm=None),
        Discriminator(image_size=16, channels=3, base_channels=2, hidden=4, norm=None),
    ]
    options = {"objective": NonSaturating(), "perceptual_weights": None, **options}
    return SRGAN(*networks, g_optimizer=sgd, d_optimizer=sgd, batch_size=2, **options)


def batch(n=2):
    rng = torch.Generator().manual_seed(1)
    sizes = {"source": 4, "target": 16}
    return {key: torch.rand(n, 3, side, side, generator=rng) * 2 - 1 for key, side in sizes.items()}


# ------------------------------------------------------------------------------ networks


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_images_grow_by_the_factor(factor):
    network = SRResNet(channels=3, factor=factor, base_channels=4, blocks=1)
    assert network(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * factor, 7 * factor)
    shuffles = [layer for layer in network.modules() if isinstance(layer, nn.PixelShuffle)]
    assert 2 ** len(shuffles) == network.scale == factor


def test_the_papers_generator():
    """16 blocks of two 3x3 convolutions of 64 maps with batch norm, two doublings, 9x9 at both ends."""
    with torch.device("meta"):
        network = SRResNet(channels=3)
    count = sum(p.numel() for p in network.parameters())
    convolution, norm = 64 * 64 * 9 + 64, 2 * 64
    blocks = 16 * (2 * (convolution + norm) + 1) + convolution + norm
    doublings = 2 * (64 * 256 * 9 + 256 + 1)
    assert count == (3 * 64 * 81 + 64 + 1) + blocks + doublings + (64 * 3 * 81 + 3)


def test_the_papers_discriminator():
    with torch.device("meta"):
        network = Discriminator(image_size=96, channels=3)
        assert network(torch.zeros(2, 3, 96, 96)).shape == (2,)
    layers = [layer for layer in network.layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert [layer.stride[0] for layer in layers] == [1, 2] * 4
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in network.layers) == 7
    dense = [layer for layer in network.layers if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in dense] == [(6 * 6 * 512, 1024), (1024, 1)]


def test_the_input_is_brought_to_the_papers_range():
    network = SRResNet(channels=1, base_channels=2, blocks=1)
    seen = []
    network.first.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    network(torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 1, 3))
    assert seen[0].flatten().tolist() == [0.0, 0.5, 1.0]


def test_only_evaluation_clips():
    network = SRResNet(channels=3, base_channels=4, blocks=1)
    nn.init.constant_(network.last.bias, 5.0)
    image = torch.rand(1, 3, 4, 4)
    assert network(image).max() > 1
    assert network.eval()(image).max() == 1


def test_a_residual_generator_starts_from_bicubic_interpolation():
    network = SRResNet(channels=3, base_channels=4, blocks=1, residual=True)
    image = torch.rand(1, 3, 6, 5) - 0.5
    torch.testing.assert_close(network(image), F.interpolate(image, (24, 20), mode="bicubic"))


# ------------------------------------------------------------------------------ losses


def test_the_first_phase_is_the_mean_squared_error_alone():
    model, images = family(mse_updates=3), batch()
    terms = model.generator_loss(images)
    expected = (model.generator(images["source"]) - images["target"]).square().mean()
    assert set(terms) == {"mse"}
    torch.testing.assert_close(terms["mse"], expected)
    assert [player for player, _ in model.update_order(images, model.plan(0))] == ["g"]
    assert not model._stashed
    model.iteration = 2
    assert model.pretraining
    model.iteration = 3
    assert not model.pretraining
    assert [player for player, _ in model.update_order(images, model.plan(3))] == ["g", "d"]


def test_the_second_phase_is_content_and_a_thousandth_of_the_objective():
    model, images = family(mse_updates=0), batch()
    fake, real = model.generator(images["source"]), images["target"]
    terms = model.generator_loss(images)
    torch.testing.assert_close(terms["adversarial"], 1e-3 * F.softplus(-model.discriminator(fake)).mean())
    torch.testing.assert_close(terms["content"], F.mse_loss(fake, real))  # without VGG19
    found = model.discriminator_loss(images)
    torch.testing.assert_close(found["real"], F.softplus(-model.discriminator(real)).mean())
    torch.testing.assert_close(found["fake"], F.softplus(model.discriminator(fake)).mean())
    assert not model._stashed


def test_content_in_features_over_twelve_and_three_quarters(monkeypatch):
    model, images = family(mse_updates=0), batch()
    monkeypatch.setattr(type(model.perceptual), "on", True)
    model.perceptual.forward = lambda seen: [3 * seen]
    fake, real = model.generator(images["source"]), images["target"]
    expected = F.mse_loss(3 * fake, 3 * real) / SCALE**2
    torch.testing.assert_close(model.generator_loss(images)["content"], expected)
    assert SCALE == 12.75
    assert model.perceptual.layers == ("relu5_4",)


# ------------------------------------------------------------------------------ phases


PHASES = ["model.mse_updates=3"]


def test_a_budget_that_trains_no_gan_is_told(tmp_path):
    """As the family's and the trainer's defaults together would; SRResNet alone can be asked for."""
    with pytest.warns(UserWarning, match="max_steps=2: ends in the phase 'mse'; 'adversarial' begins at update 3,"):
        build(compose(*tiny(MODEL), *PHASES, "trainer.max_steps=2"), tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="trainer.max_steps")
        for updates in (3, 4):
            build(compose(*tiny(MODEL), *PHASES, f"trainer.max_steps={updates}"), tmp_path)


def test_a_budget_in_passes_that_trains_no_gan_is_told(tmp_path):
    """Once it is known how many images there are."""
    options = [option for option in tiny(MODEL) if "max_steps" not in option]
    with pytest.warns(UserWarning, match="trainer.max_steps=1: ends in the phase 'mse'"):
        run(tmp_path, *options, *PHASES, "data.limit=8", "max_epochs=1", tiny_options=False)


@pytest.mark.parametrize("stop", [2, 3, 4])
def test_resumes_exactly_in_each_phase(tmp_path, stop):
    """In the first, between both, and in the second; the last two as SRResNet that a GAN phase follows."""
    run(tmp_path / "whole", *PHASES, "trainer.max_steps=6", model=MODEL)
    run(tmp_path / "part", *PHASES, f"trainer.max_steps={stop}", model=MODEL)
    run(tmp_path / "part", *PHASES, "trainer.max_steps=6", model=MODEL, resume=str(tmp_path / "part"))
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "part"))


def test_the_discriminator_rests_in_the_first_phase(tmp_path):
    made = run(tmp_path, *PHASES, "trainer.max_steps=3", "callbacks.checkpoint.every_n_train_steps=1", model=MODEL)
    assert set(made.model.terms) == {"g_mse"}
    states = [torch.load(tmp_path / f"checkpoints/step-{k:06d}.ckpt")["state_dict"] for k in (2, 3)]
    still = [name for name in states[0] if torch.is_tensor(states[0][name]) and torch.equal(*(s[name] for s in states))]
    assert all(name in still for name in states[0] if name.startswith("discriminator."))
    assert "generator.last.weight" not in still
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert "train/g_mse" in rows[0]
    run(tmp_path, *PHASES, "trainer.max_steps=5", model=MODEL, resume=str(tmp_path))
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert {"train/g_mse", "train/g_content", "train/g_adversarial", "train/d_real"} <= set(rows[0].split(","))
    assert len(rows) == 1 + 5


def test_the_end_of_the_first_phase_is_kept(tmp_path):
    """SRResNet, beside the newest two."""
    options = ["callbacks.checkpoint.every_n_train_steps=2", "trainer.max_steps=9"]
    run(tmp_path, *PHASES, *options, model=MODEL)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["last.ckpt", "step-000003.ckpt", "step-000008.ckpt", "step-000009.ckpt"]
    run(tmp_path, *PHASES, "trainer.max_steps=11", model=MODEL, resume=str(tmp_path))
    assert (tmp_path / "checkpoints" / "step-000003.ckpt").is_file()


def test_a_checkpoint_enlarges(tmp_path):
    made = run(tmp_path, model=MODEL)
    loaded = load(tmp_path)
    assert loaded.scale == 4
    source = made.data.examples(range(2))["source"]
    images = loaded.translate(source)
    assert images.shape == (2, 3, 16, 16)
    assert images.abs().max() <= 1
    assert torch.equal(images, made.model.eval().translate(source))
    assert loaded.translate(torch.rand(1, 3, 5, 9)).shape == (1, 3, 20, 36)


def test_the_schedule_of_the_paper():
    """1e-4 through the first phase, however long it is, and 100,000 updates of the second, then 1e-5."""

    for player, first in (("g", 1_000_000), ("d", 1_000_000), ("g", 2_500), ("d", 0)):
        config = compose("model=srgan", "data=photo_patches", "tuned=none", f"model.mse_updates={first}").model
        optimizer = instantiate(config[f"{player}_optimizer"])([nn.Parameter(torch.zeros(1))])
        schedule = instantiate(config[f"{player}_scheduler"])(optimizer)
        rates = [schedule.factor(t) * 1e-4 for t in (0, first, first + 99_999, first + 100_000, first + 199_999)]
        assert rates == pytest.approx([1e-4] * 3 + [1e-5] * 2)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("model.mse_updates=-1", "model.mse_updates=-1: must be >= 0"),
        ("model.content_weight=-1", "model.content_weight=-1"),
        ("model.adversarial_weight=0", "model.adversarial_weight=0: must be > 0"),
        ("model.generator.factor=3", "must be one of 2, 4, 8"),
        ("model.generator.factor=2", "model.generator makes images (3, 8, 8); data has targets (3, 16, 16)"),
        ("data.image_size=24", "data.image_size=24: must be a multiple of 16"),
        ("model.discriminator.norm=instance", "must be >= 32 with norm=instance"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, override, named):
    assert named in refusal(tmp_path, *tiny(MODEL), override)


def test_pairs_of_equal_size_are_refused_by_kind(tmp_path):
    message = refusal(tmp_path, *tiny(MODEL), "data=digit_edges", "+data.factor=4")
    assert "super_resolution" in message or "data.factor" in message

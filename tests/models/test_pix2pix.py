"""pix2pix: its losses, its noise, what it refuses."""

import pytest
import torch

import lightning_gans
from conftest import refusal, run, tiny
from lightning_gans import build, compose


@pytest.fixture
def module(tmp_path):
    return build(compose(*tiny("pix2pix")), tmp_path).model


def pairs(n=2, size=16):
    torch.manual_seed(0)
    return {"source": torch.rand(n, 3, size, size) * 2 - 1, "target": torch.rand(n, 3, size, size) * 2 - 1}


class Counting(torch.nn.Module):
    """Logits of 1 at the first call, of 2 at the second, ..."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        self.seen.append(images)
        return images[:, :1] * 0 + len(self.seen)


def test_losses_by_hand(module):
    """With the discriminator's logits and the translation known."""
    module.generator = torch.nn.Identity()
    module.discriminator = judge = Counting()
    batch = pairs()
    terms = module.generator_loss(batch)
    assert terms["adversarial"].item() == pytest.approx(torch.nn.functional.softplus(torch.tensor(-1.0)).item())
    expected = 100 * (batch["source"] - batch["target"]).abs().mean()
    torch.testing.assert_close(terms["l1"], expected)
    terms = module.discriminator_loss(batch)
    assert torch.equal(judge.seen[0], torch.cat([batch["source"], batch["source"]], 1))  # source, then the translation
    assert torch.equal(judge.seen[1], torch.cat([batch["source"], batch["target"]], 1))
    assert torch.equal(judge.seen[2], judge.seen[0])  # the same translation again
    assert terms["real"].item() == pytest.approx(torch.nn.functional.softplus(torch.tensor(-2.0)).item() / 2)
    assert terms["fake"].item() == pytest.approx(torch.nn.functional.softplus(torch.tensor(3.0)).item() / 2)


def test_the_discriminator_learns_nothing_about_the_generator(module):
    batch = pairs()
    module.generator_loss(batch)
    sum(module.discriminator_loss(batch).values()).backward()
    assert all(p.grad is None for p in module.generator.parameters())
    assert all(p.grad is not None for p in module.discriminator.parameters())


def test_noise_is_a_function_of_the_seed(module):
    module.eval().double()
    torch.nn.init.normal_(module.generator.decoder[-1][1].weight)
    source = pairs()["source"].double()
    state = torch.get_rng_state()
    first = module.translate(source)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, module.translate(source))
    assert not torch.equal(first, module.translate(source, seed=1))
    torch.testing.assert_close(first[:1], module.translate(source[:1]))  # whatever stands beside an image
    assert not module.training


def test_noise_at_test_time_is_an_option(tmp_path):
    module = build(compose(*tiny("pix2pix"), "model.generator.dropout_at_test=false"), tmp_path).model
    source = pairs()["source"]
    assert torch.equal(module.translate(source), module.translate(source, seed=1))


@pytest.mark.parametrize(
    "options",
    [
        ["model/objective=least_squares_whole", "model.generator.norm=instance", "model.discriminator.norm=instance"],
        ["model/objective=hinge", "model.generator.skips=false", "model.discriminator.receptive_field=null"],
        ["model/objective=relativistic", "model.discriminator.receptive_field=1", "model.accumulate=2"],
        ["model.ema={_target_: lightning_gans.models.ema.EMA}", "model.generator.norm=null"],
        ["data.load_size=20", "data.flip=true", "data.source_channels=1"],
    ],
    ids=lambda options: options[0],
)
def test_variants_train(tmp_path, options):
    made = run(tmp_path, *options, model="pix2pix")
    assert all(torch.isfinite(term) for term in made.model.terms.values())
    channels = made.data.source_channels
    assert lightning_gans.load(tmp_path).translate(torch.zeros(1, channels, 16, 16)).shape == (1, 3, 16, 16)


def test_the_residual_generator(tmp_path):
    options = ["model=pix2pix", "model/network=pix2pix_resnet", "data=digit_edges", "model.generator.base_channels=4"]
    options += ["model.discriminator.receptive_field=16", "model.discriminator.base_channels=4", "trainer.max_steps=2"]
    options += ["trainer.accelerator=cpu", "callbacks.evaluation=null", "callbacks.samples=null", "data.image_size=16"]
    made = run(tmp_path, *options, tiny_options=False)
    assert made.model.size_divisor == 4
    assert made.model.translate(torch.zeros(1, 3, 8, 20)).shape == (1, 3, 8, 20)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["data=digit_domains"], "Pix2Pix takes paired"),
        (["data=digits"], "data=digit_edges"),
        (["model.l1_weight=-1"], "model.l1_weight=-1"),
        (["data.image_size=24"], "data.image_size=24: must be one of"),
        (["model.discriminator.receptive_field=70"], "receptive_field=70: needs images of 24 pixels"),
        (["model.discriminator.receptive_field=33"], "model.discriminator.receptive_field=33"),
        (["model.generator.channels=1"], "(1, 16, 16)"),
        (["model.generator.dropout=2"], "dropout=2"),
    ],
    ids=lambda x: str(x)[:40],
)
def test_refusals(tmp_path, options, words):
    assert words in refusal(tmp_path, *tiny("pix2pix"), *options)

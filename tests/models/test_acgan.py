"""AC-GAN's losses, counted by hand, and its switches."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conftest import refusal, run, tiny
from lightning_gans import build, compose
from lightning_gans.losses.objectives import Hinge, NonSaturating, Relativistic
from lightning_gans.models.acgan import ACGAN
from lightning_gans.networks import acgan

K = 3


class Maker(nn.Module):
    """Put the class into an image's first value, the latents into the others."""

    latent_dim, num_classes = 4, K

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, latents, classes):
        return self.scale * torch.cat([classes[:, None].to(latents.dtype), latents], 1)


class Judge(nn.Module):
    """Read logits off linearly."""

    def __init__(self):
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.real, self.classes = (nn.Parameter(torch.randn(n, 5, generator=rng)) for n in (1, K))

    def heads(self, images):
        return (images @ self.real.T)[:, 0], images @ self.classes.T

    def forward(self, images, classes=None):
        return self.heads(images)[0]


def module(objective=None, **options):
    rates = {f"{player}_optimizer": lambda weights: torch.optim.SGD(weights, 0.1) for player in "gd"}
    return ACGAN(Maker(), Judge(), objective=objective or NonSaturating(), batch_size=6, **rates, **options)


BATCH = {
    "image": torch.randn(6, 5, generator=torch.Generator().manual_seed(1)),
    "label": torch.tensor([0, 1, 2, 2, 1, 0]),
}


def cross_entropy(logits, classes):
    """-log of the softmax's entry, written out."""
    return -(logits.gather(1, classes[:, None])[:, 0] - logits.exp().sum(1).log()).mean()


@pytest.mark.parametrize("classify_fakes", [True, False])
def test_losses_are_the_papers(classify_fakes):
    model = module(class_weight=0.7, g_class_weight=0.2, classify_fakes=classify_fakes)
    terms = model.discriminator_loss(BATCH)
    judge, fake, classes = model.discriminator, model._fake, model._fake_conditions[0]
    (real_logits, real_classes), (fake_logits, fake_classes) = judge.heads(BATCH["image"]), judge.heads(fake)
    expected = {
        "real": F.softplus(-real_logits).mean(),
        "fake": F.softplus(fake_logits).mean(),
        "class_real": 0.7 * cross_entropy(real_classes, BATCH["label"]),
        **({"class_fake": 0.7 * cross_entropy(fake_classes, classes)} if classify_fakes else {}),
    }
    torch.testing.assert_close(terms, expected)
    assert torch.equal(fake[:, 0], classes.float())  # of fakes: what the generator was given, not the batch's
    terms = model.generator_loss(BATCH)
    fake_logits, fake_classes = judge.heads(model._fake)
    expected = {
        "adversarial": F.softplus(-fake_logits).mean(),
        "class": 0.2 * cross_entropy(fake_classes, model._fake_conditions[0]),
    }
    torch.testing.assert_close(terms, expected)
    for term in terms.values():
        (gradient,) = torch.autograd.grad(term, model.generator.scale, retain_graph=True)
        assert gradient != 0


@pytest.mark.parametrize("objective", [Hinge(), Relativistic()])
def test_other_objectives_leave_the_class_term(objective):
    model = module(objective)
    terms = model.generator_loss(BATCH)
    logits = model.discriminator.heads(model._fake)[1]
    torch.testing.assert_close(terms["class"], cross_entropy(logits, model._fake_conditions[0]))
    assert model.g_class_weight == 1.0
    assert {"class_real", "class_fake"} < model.discriminator_loss(BATCH).keys()


def test_labels_of_fakes_are_drawn_by_the_sets_frequencies():
    model = module()
    model.conditioning.label.counts.copy_(torch.tensor([0, 3, 1]))
    share = torch.bincount(model.draw_inputs(4000)[1], minlength=K) / 4000
    torch.testing.assert_close(share, torch.tensor([0.0, 0.75, 0.25]), rtol=0, atol=0.05)


def test_counts_are_those_of_the_code_that_is_compared_with():
    with torch.device("meta"):
        networks = [make(image_size=32, channels=3, num_classes=10) for make in (acgan.Generator, acgan.Discriminator)]
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [1_593_888, 1_663_867]


def test_heads_share_features_and_give_raw_logits():
    network = acgan.Discriminator(image_size=16, channels=1, num_classes=4, base_channels=2, norm=None, dropout=0.0)
    images = torch.randn(3, 1, 16, 16)
    real, classes = network.heads(images)
    assert real.shape == (3,)
    assert classes.shape == (3, 4)
    assert torch.equal(network(images, torch.zeros(3, dtype=torch.long)), real)
    features = network.layers(images)
    torch.testing.assert_close(classes, features @ network.classes.weight.T + network.classes.bias)
    assert not torch.allclose(classes.exp().sum(1), torch.ones(3))


def test_the_class_is_concatenated_and_embedded():
    network = acgan.Generator(image_size=16, channels=1, num_classes=4, latent_dim=3, base_channels=2)
    z, y = torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 3])
    seen = []
    network.layers.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(z, y)
    weight, bias = network.dense.weight, network.dense.bias
    torch.testing.assert_close(seen[0][:, :, 0, 0], z @ weight[:, :3].T + weight[:, 3:].T[y] + bias)


@pytest.mark.parametrize(
    "options", [["model/penalty=r1_r2", "model.discriminator.norm=null"], ["model/augment=adaptive"]]
)
def test_penalties_and_augmentations_train(tmp_path, options):
    made = run(tmp_path, *options, "trainer.max_steps=2", model="acgan")
    assert {"d_class_real", "d_class_fake", "g_class"} < made.model.terms.keys()
    assert all(torch.isfinite(term) for term in made.model.terms.values())


def test_networks_without_a_classifier_are_refused(tmp_path):
    said = refusal(tmp_path, *tiny("acgan")[:1], "data=digits", "model/network=cgan_dcgan")
    assert said.endswith("model.discriminator=cgan_dcgan.Discriminator: does not classify; use model/network=acgan")
    assert build(compose("model=acgan", "data=digits", "tuned=none"), tmp_path).model.generator.latent_dim == 100

"""A penalty at samples that the loss judges shares the graph of the loss's logits."""

import pytest
import torch

import lightning_gans
from conftest import DOUBLE, assert_equal_weights, newest, sgd, tiny
from lightning_gans import compose
from lightning_gans.losses import penalties
from lightning_gans.losses.critic import RememberingCritic, input_gradients

NETWORKS = {
    "stddev": ["model=dcgan", "model.discriminator.norm=null", "model.discriminator.minibatch=stddev"],
    "r3gan": ["model=r3gan"],
    "projection": ["model=dcgan", "model.discriminator.norm=layer", "model.discriminator.classes=projection"],
    "accumulated": ["model=r3gan", "model.accumulate=2", "model.n_critic=2"],
    "augmented": ["model=r3gan", "model/augment=scheduled", "model.augment.p.start=0.9"],
}
SIDES = {"r1": 1, "r2": 1, "r1_r2": 2}


def fitted(folder, network, *options):
    """A short run, and how often the discriminator was called in it."""
    model, *others = NETWORKS[network]
    family = model.partition("=")[2]
    words = [*tiny(family), *others, DOUBLE, *sgd(0.05, family), "trainer.max_steps=3", *options]
    made, calls = lightning_gans.build(compose(*words), folder), []
    made.model.discriminator.register_forward_hook(lambda *_: calls.append(1))
    made.fit()
    return made, len(calls)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("penalty", SIDES)
def test_a_shared_graph_saves_calls_and_changes_nothing(tmp_path, monkeypatch, network, penalty):
    options = [f"model/penalty={penalty}", "model.penalty.weight=0.1"]
    shared, calls = fitted(tmp_path / "shared", network, *options)
    for kind in (penalties.R1, penalties.R2, penalties.R1R2):
        monkeypatch.setattr(kind, "differentiates", ())
    alone, more = fitted(tmp_path / "alone", network, *options)
    updates = 3 * shared.model.n_critic * shared.model.accumulate
    assert more - calls == updates * SIDES[penalty]
    assert_equal_weights(*(newest(tmp_path / name)["state_dict"] for name in ("shared", "alone")))
    for name, term in shared.model.terms.items():
        torch.testing.assert_close(term, alone.model.terms[name])


@pytest.mark.parametrize(("penalty", "calls"), [("none", 4), ("r1_r2", 4), ("gradient_penalty", 5), ("dragan", 5)])
def test_calls_of_an_update(tmp_path, penalty, calls):
    """Two of the discriminator's and two of the generator's, whose loss is relativistic."""
    assert fitted(tmp_path, "r3gan", f"model/penalty={penalty}")[1] == 3 * calls


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_logits_of_autocast_are_not_differentiated_by_samples(tmp_path, precision):
    """They are made again in full precision."""
    _, calls = fitted(tmp_path, "r3gan", "model/penalty=r1_r2", f"trainer.precision={precision}")
    assert calls == 3 * (4 if precision == "32-true" else 6)


def test_only_the_sides_asked_for_are_differentiable():
    critic = RememberingCritic(torch.sum, lambda samples: samples.square().sum(1), ("real",))
    real, fake = torch.ones(2, 3), torch.ones(2, 3)
    assert critic.judge("real", real).requires_grad
    assert not critic.judge("fake", fake).requires_grad
    assert not real.requires_grad, "the batch is not ours to change"
    assert critic.known(real, ()).twice is not None
    assert critic.known(fake, ()).twice is None
    assert critic.known(real.clone(), ()) is None
    assert critic(fake).tolist() == [3.0, 3.0]  # the loss's
    assert critic(fake.clone()) == 6.0  # the penalty's own


def test_other_conditions_are_other_logits():
    critic = RememberingCritic(weighed, weighed, ("real",))
    real, y, z = torch.ones(2, 3), torch.tensor([1.0, 2.0]), torch.tensor([5.0, 6.0])
    critic.judge("real", real, y)
    assert input_gradients(critic, real, y)[:, 0].tolist() == [2.0, 4.0]
    assert input_gradients(critic, real, z)[:, 0].tolist() == [10.0, 12.0]
    assert critic(real, z).tolist() == [15.0, 18.0]


def weighed(samples, y):
    return y * samples.square().sum(1)


@pytest.mark.parametrize("penalty", ["r1", "gradient_penalty", "dragan", "approximate_r1_r2"])
def test_losses_that_judge_in_their_own_way(tmp_path, penalty):
    """AC-GAN's keeps the classes' losses of every call, of which its loss makes two."""
    words = [*tiny("acgan"), "model.discriminator.norm=layer", "model.discriminator.dropout=0"]
    made = lightning_gans.build(compose(*words, f"model/penalty={penalty}", "trainer.max_steps=2"), tmp_path)
    made.fit()
    assert made.model.terms["d_penalty"] > 0


def test_any_function_may_be_a_penalty(tmp_path):
    made = lightning_gans.build(compose(*tiny("r3gan"), "model/penalty=none", "trainer.max_steps=1"), tmp_path)
    made.model.penalty = lambda critic, real, fake, uniform, conditions, images_seen: critic(real).square().mean()
    made.fit()
    assert made.model.terms["d_penalty"] > 0

"""SAGAN and BigGAN: orthogonal regularisation, gates, accumulation, the papers' values."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import lightning_gans
from conftest import compose, newest, run, tiny_model, watched
from lightning_gans.losses.critic import input_gradients
from lightning_gans.models.biggan import overlap
from lightning_gans.models.updates import decay_groups, once_an_update
from lightning_gans.networks.attention import SelfAttention


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 2, 3, 3), (20, 2, 1, 1)])
def test_the_overlap_is_the_sum_over_pairs_of_filters(float64, shape):
    weight = torch.randn(shape, requires_grad=True)
    rows = weight.flatten(1)
    pairs = [(i, j) for i in range(len(rows)) for j in range(len(rows)) if i != j]
    expected = sum((rows[i] @ rows[j]) ** 2 for i, j in pairs)
    torch.testing.assert_close(overlap(weight), expected)
    (gradient,) = torch.autograd.grad(overlap(weight), weight)
    gram = (rows @ rows.T) * (1 - torch.eye(len(rows)))
    torch.testing.assert_close(gradient.flatten(1), 4 * gram @ rows)


def test_the_generator_minimises_the_overlaps_of_all_layers_but_the_embedding():
    module = tiny_model("biggan", orthogonal=0.5)
    named = dict(module.generator.named_parameters())
    expected = 0.0
    for name, weight in named.items():
        if weight.ndim > 1 and name != "shared.weight":
            rows = weight.detach().flatten(1)
            expected += ((rows @ rows.T) * (1 - torch.eye(len(rows)))).square().sum()
    with torch.no_grad():
        terms = module.generator_loss({"image": torch.zeros(8, 1, 16, 16)})
    assert terms.keys() == {"adversarial", "orthogonal"}
    assert len(module._layers) == sum(weight.ndim > 1 for weight in named.values()) - 1
    torch.testing.assert_close(terms["orthogonal"], 0.5 * expected, rtol=1e-4, atol=1e-6)
    off = tiny_model("biggan", orthogonal=0.0)
    assert off.generator_loss({"image": torch.zeros(8, 1, 16, 16)}).keys() == {"adversarial"}


def test_gates_are_trained_and_never_decay(tmp_path):
    decayed = [
        *("~model.g_optimizer.betas", "model.g_optimizer._target_=torch.optim.SGD"),
        *("+model.g_optimizer.weight_decay=0.5", "model.g_optimizer.lr=0.1"),
    ]
    made, watch = watched(tmp_path, *decayed, model="sagan")
    moved = {name for player, names in watch.changes for name in names}
    gates = {name for name in moved if name.endswith("gate")}
    assert gates == {"generator.attention.0.gate", "discriminator.attention.0.gate"}
    groups = made.model.player_optimizers()["g"].param_groups
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    (gate,) = groups[1]["params"]
    assert gate is made.model.generator.attention["0"].gate
    plain = nn.Linear(2, 2)
    assert decay_groups(plain, list(plain.parameters())) == list(plain.parameters())


def test_a_resumed_run_with_another_decay_leaves_gates_alone(tmp_path):
    run(tmp_path / "a", "+model.g_optimizer.weight_decay=0.1", "trainer.max_steps=2", model="biggan")
    options = ["+model.g_optimizer.weight_decay=0.2", "trainer.max_steps=3"]
    again = run(tmp_path / "a", *options, model="biggan", resume=tmp_path / "a")
    assert [group["weight_decay"] for group in again.model.player_optimizers()["g"].param_groups] == [0.2, 0.0]


def test_statistics_of_micro_batches_move_once_by_their_mean(float64):
    norm, batches = nn.BatchNorm1d(3), [torch.randn(n, 3) + n for n in (4, 5, 6)]
    norm.running_mean.copy_(torch.tensor([1.0, 2, 3]))
    mean = torch.stack([x.mean(0) for x in batches]).mean(0)
    variance = torch.stack([x.var(0) for x in batches]).mean(0)
    expected = [0.9 * before + 0.1 * new for before, new in ((norm.running_mean, mean), (norm.running_var, variance))]
    for x in once_an_update([norm], batches):
        norm(x)
    torch.testing.assert_close([norm.running_mean, norm.running_var], expected)
    assert norm.momentum == 0.1


def test_power_iterations_run_in_the_first_micro_batch_alone(float64):
    layer = spectral_norm(nn.Linear(5, 4))
    weight = layer.parametrizations.weight.original.detach()
    expected = F.normalize(weight @ layer.parametrizations.weight[0]._v, dim=0)
    with torch.no_grad():
        for x in once_an_update([layer], [torch.randn(2, 5) for _ in range(3)]):
            layer(x)
    torch.testing.assert_close(layer.parametrizations.weight[0]._u, expected)
    assert layer.parametrizations.weight[0].training
    layer.eval()
    for _ in once_an_update([layer], [1, 2]):
        assert not layer.parametrizations.weight[0].training  # what is frozen stays so
    assert not layer.parametrizations.weight[0].training


def test_an_update_of_four_micro_batches_moves_states_as_one_does(tmp_path):
    """The weights of D's first update differ by batch norm of G alone; its spectral norm does not see the batch."""
    states = []
    for parts in (1, 4):
        how = [f"model.accumulate={parts}", "trainer.max_steps=1", "model.n_critic=1", "model.g_optimizer.lr=1e-12"]
        run(tmp_path / str(parts), *how, "model.d_optimizer.lr=1e-12", "trainer.precision=64-true", model="biggan")
        states.append(newest(tmp_path / str(parts))["state_dict"])
    for name in states[0]:
        if name.endswith(("._u", "._v")):
            torch.testing.assert_close(states[1][name], states[0][name], rtol=1e-6, atol=1e-6)


def test_values_of_the_papers():
    sagan, biggan = (compose(f"model={name}", "tuned=none").model for name in ("sagan", "biggan"))
    assert [sagan[f"{player}_optimizer"].lr for player in "gd"] == [1e-4, 4e-4]
    assert [biggan[f"{player}_optimizer"].lr for player in "gd"] == [5e-5, 2e-4]
    assert (sagan.batch_size, sagan.n_critic, biggan.batch_size, biggan.n_critic) == (256, 1, 2048, 2)
    assert (biggan.ema.decay, biggan.ema.start, biggan.orthogonal) == (0.9999, 20000, 1e-4)
    cifar = compose("experiment=biggan_cifar10", "tuned=none").model
    assert (cifar.batch_size, cifar.n_critic, cifar.orthogonal, cifar.ema.start) == (50, 4, 0.0, 1000)


@pytest.mark.parametrize("family", ["sagan", "biggan"])
def test_truncation_is_an_option_of_both(family, tmp_path):
    run(tmp_path, "trainer.max_steps=2", model=family)
    module = lightning_gans.load(tmp_path)
    whole, cut = module.sample(4, classes=[3]), module.sample(4, classes=[3], truncation=0.2)
    assert not torch.allclose(whole, cut, atol=1e-4)
    with pytest.raises(ValueError, match=r"truncation=0.5: DCGAN .*model=biggan, sagan has it"):
        tiny_model("dcgan").sample(1, truncation=0.5)
    assert any(isinstance(layer, SelfAttention) for layer in module.generator.modules())


def test_penalties_differentiate_attention_twice(float64):
    module = tiny_model("sagan", penalty="r1")
    critic, images = module.discriminator, torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        critic.attention["0"].gate.fill_(0.5)
    gradients = input_gradients(critic, images, torch.tensor([1, 2]))
    (second,) = torch.autograd.grad(gradients.square().sum(), critic.attention["0"].g.parametrizations.weight.original)
    assert second.abs().max() > 0

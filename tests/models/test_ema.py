"""The averaged generator."""

import math

import pytest
import torch
from torch import nn

import lightning_gans
from conftest import MODELS, compose, needs, newest, run, tiny
from lightning_gans import build
from lightning_gans.models.ema import EMA, evaluating, measure_batch_norm
from lightning_gans.schedules.values import CosineValue


def test_half_life_is_in_images_whatever_the_batch():
    for images in (10, 50, 250):
        average, live = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            average.weight.fill_(1.0)
            live.weight.fill_(0.0)
        for _ in range(1000 // images):
            EMA(half_life_kimg=1.0, ramp_up=None).update(average, live, images, 10**9, 10**6)
        assert average.weight.item() == pytest.approx(0.5, rel=1e-4)


def test_until_its_start_the_average_is_the_newest_generator():
    average, live, ema = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False), EMA(None, None, decay=0.9, start=3)
    with torch.no_grad():
        for updates in range(1, 6):
            live.weight.fill_(float(updates))
            ema.update(average, live, 10, 10 * updates, updates)
            expected = {4: 0.9 * 3 + 0.1 * 4, 5: 0.9 * 3.1 + 0.1 * 5}.get(updates, updates)
            assert average.weight.item() == pytest.approx(expected)


def test_ramp_up_bounds_the_half_life_by_the_images_seen():
    ema = EMA(half_life_kimg=10, ramp_up=0.05)
    assert ema.beta(64, 64) == pytest.approx(0.5 ** (64 / 3.2))
    assert ema.beta(64, 10**7) == pytest.approx(0.5 ** (64 / 10_000))
    assert EMA(10, None).beta(64, 64) == pytest.approx(math.exp(-math.log(2) * 64 / 10_000))


def test_the_half_life_may_follow_the_images_seen_before_the_update():
    ema = EMA(CosineValue(0.0, 1.0, kimg=1), ramp_up=None)
    assert ema.beta(50, 50) == 0.0  # nothing to average yet
    assert ema.beta(50, 550) == pytest.approx(0.5 ** (50 / 500))
    assert ema.beta(50, 5000) == pytest.approx(0.5 ** (50 / 1000))


AVERAGING = [model for model in MODELS if compose(*needs(f"model={model}"), f"model={model}").model.ema]
PUBLISHED = {"r3gan", "progan", "biggan", "stylegan", "stylegan2"}  # their papers average


@pytest.mark.parametrize("model", AVERAGING)
def test_without_an_average_every_family_is_its_paper(model, tmp_path):
    """It trains, samples from the generator as it is, and loads; families whose papers do not average say so."""
    made = run(tmp_path, "model.ema=null", "trainer.max_steps=3", model=model)
    state = newest(tmp_path)["state_dict"]
    assert made.model.generator_ema is None
    assert not any("ema" in name for name in state)
    assert made.model.sampler is made.model.generator
    assert torch.equal(lightning_gans.load(tmp_path).sample(2), made.model.eval().sample(2))
    said = " ".join((type(made.model).__doc__ or "").split())
    assert ("which the paper has not: ``model.ema=null``" in said) is (model not in PUBLISHED)


def test_average_moves_is_saved_and_leaves_the_discriminator_alone(tmp_path):
    made = run(tmp_path, "model.ema.half_life_kimg=0.01")
    names = made.model.state_dict()
    assert any(name.startswith("generator_ema.") for name in names)
    assert not any("discriminator_ema" in name for name in names)
    live, average = made.model.generator, made.model.generator_ema
    pairs = list(zip(live.parameters(), average.parameters(), strict=True))
    assert all(not torch.equal(a, b) for a, b in pairs)
    optimised = {id(p) for optimizer in made.trainer.optimizers for g in optimizer.param_groups for p in g["params"]}
    assert not any(id(p) in optimised for p in average.parameters())
    assert not average.training
    assert made.model.train().generator_ema.training is False


def test_batch_norm_statistics_are_those_of_the_averaged_weights():
    """Measured statistics equal the population's: normalised outputs have mean 0 and variance 1."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, affine=False))
    network[1].running_mean.fill_(100.0)
    batches = [(torch.randn(64, 3) * 2 + 1,) for _ in range(8)]
    network.eval()
    measure_batch_norm(network, iter(batches))
    out = network(torch.cat([x for (x,) in batches]))
    torch.testing.assert_close(out.mean(0), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(out.var(0), torch.ones(4), atol=0.03, rtol=0)
    assert network[1].momentum == 0.1
    assert not network[1].training


def test_sampling_measures_once_per_update_and_restores_modes(tmp_path):
    made = run(tmp_path)
    module = made.model
    module._stats_step = None
    module.sample(2)
    first = module.generator_ema.layers[1].running_mean.clone()
    module.sample(2)
    assert torch.equal(first, module.generator_ema.layers[1].running_mean)
    module.train()
    with evaluating(module.generator):
        assert not module.generator.layers[1].training
    assert module.generator.layers[1].training


def test_without_average_the_live_generator_samples(tmp_path):
    made = build(compose(*tiny(), "model.ema=null"), tmp_path)
    assert made.model.sampler is made.model.generator
    assert made.model.sample(2).shape == (2, 1, 16, 16)

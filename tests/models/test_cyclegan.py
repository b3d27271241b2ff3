"""CycleGAN: its losses, joined calls, the history of fakes, what it refuses."""

import os
import sys

import pytest
import torch

import lightning_gans
from conftest import TORCHRUN, command, differences, newest, refusal, run, tiny
from lightning_gans import build, compose

POOL = "model.pool.size=5"


@pytest.fixture
def module(tmp_path):
    return build(compose(*tiny("cyclegan"), "model.pool.size=0", "model.cycle_weight=10"), tmp_path).model


def images(n=2, size=16, channels=(3, 3)):
    torch.manual_seed(0)
    source, target = (torch.rand(n, c, size, size) * 2 - 1 for c in channels)
    return {"source": source, "target": target}


class Plus(torch.nn.Module):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, x):
        return x + self.number


class Mean(torch.nn.Module):
    def forward(self, x):
        return x.mean(1)


def test_losses_by_hand(module):
    """G adds 1, F adds 3, D_B sees the mean + 5 and D_A the mean + 7."""
    module.generator.a2b, module.generator.b2a = Plus(1.0), Plus(3.0)
    module.discriminator, module.discriminator_back = (
        torch.nn.Sequential(torch.nn.Flatten(), Mean(), Plus(number)) for number in (5.0, 7.0)
    )
    batch = images()
    a, b = (batch[key].mean((1, 2, 3)) for key in ("source", "target"))
    terms = {name: term.item() for name, term in module.generator_loss(batch).items()}
    expected = {
        "adversarial_b": (a + 1 + 5 - 1).square().mean().item(),
        "adversarial_a": (b + 3 + 7 - 1).square().mean().item(),
        **{"cycle_a": 40.0, "cycle_b": 40.0, "identity_a": 15.0, "identity_b": 5.0},
    }
    assert terms == pytest.approx(expected, rel=1e-5)
    terms = {name: term.item() for name, term in module.discriminator_loss(batch).items()}
    expected = {
        "real_b": (b + 5 - 1).square().mean().item() / 2,
        "fake_b": (a + 1 + 5).square().mean().item() / 2,
        "real_a": (a + 7 - 1).square().mean().item() / 2,
        "fake_a": (b + 3 + 7).square().mean().item() / 2,
    }
    assert terms == pytest.approx(expected, rel=1e-5)


def gradients(module, batch):
    module.zero_grad()
    losses = {**module.generator_loss(batch)}
    sum(losses.values()).backward()
    players = [p.grad.clone() for p in module.generator.parameters()]
    module.zero_grad()
    for name, term in module.discriminator_loss(batch).items():
        losses[f"d_{name}"] = term
    sum(term for name, term in losses.items() if name.startswith("d_")).backward()
    return losses, [*players, *(p.grad.clone() for p in module.discriminator.parameters())]


def test_joined_calls_change_nothing(module):
    """Values and gradients are those of single calls, to rounding."""
    module = module.double()
    batch = {key: value.double() for key, value in images().items()}
    assert module.joins_calls
    joined = gradients(module, batch)
    module.joins_calls = False
    single = gradients(module, batch)
    for name, term in joined[0].items():
        torch.testing.assert_close(term, single[0][name], rtol=1e-9, atol=1e-12)
    for one, other in zip(joined[1], single[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


def test_calls_are_joined_where_it_is_exact(module, tmp_path):
    calls = []
    for network in (module.generator.a2b, module.generator.b2a, module.discriminator, module.discriminator_back):
        network.register_forward_hook(lambda network, inputs, _: calls.append((network, len(inputs[0]))))
    module.generator_loss(images())
    module.discriminator_loss(images())
    counted = {network: [n for one, n in calls if one is network] for network, _ in calls}
    assert counted[module.generator.a2b] == counted[module.generator.b2a] == [4, 2]
    assert counted[module.discriminator] == [2, 4]
    apart = build(compose(*tiny("cyclegan"), "model.generator.norm=batch"), tmp_path).model
    assert not apart.joins_calls


@pytest.mark.parametrize(
    "options",
    [
        ["data.source_channels=1", "model.identity_weight=0"],
        ["model.generator.norm=batch", "model.discriminator.norm=batch"],
        ["model.accumulate=2", POOL],
        ["model/objective=relativistic", POOL],
        ["model.ema={_target_: lightning_gans.models.ema.EMA}"],
        ["data.load_size=20", "data.flip=true", "model.discriminator.receptive_field=null"],
    ],
    ids=lambda options: options[0],
)
def test_variants_train(tmp_path, options):
    made = run(tmp_path, *options, model="cyclegan")
    assert all(torch.isfinite(term) for term in made.model.terms.values())
    loaded = lightning_gans.load(tmp_path)
    there = loaded.translate(torch.zeros(2, made.data.source_channels, 16, 24))
    assert there.shape == (2, 3, 16, 24)
    assert loaded.translate(there, direction="b2a").shape == (2, made.data.source_channels, 16, 24)
    sampling = loaded.generator if loaded.generator_ema is None else loaded.generator_ema
    assert loaded.network_of("b2a") is sampling.b2a


def test_u_nets_both_ways(tmp_path):
    options = ["model=cyclegan", "model/network=cyclegan_unet", "data=digit_domains", "data.image_size=16"]
    options += ["model.generator.base_channels=4", "model.generator.max_channels=8", "model.discriminator.norm=null"]
    options += ["model.discriminator.receptive_field=16", "trainer.max_steps=2", "trainer.accelerator=cpu"]
    made = run(tmp_path, *options, "callbacks.evaluation=null", "callbacks.samples=null", tiny_options=False)
    assert made.model.size_divisor == 16
    assert type(made.model.generator.b2a).__module__.endswith("unet")


def test_the_pool_resumes_and_matters(tmp_path):
    """Bit for bit after a stop; another history is another training."""
    options = [POOL, "model.batch_size=2", "model.generator.norm=null"]
    run(tmp_path / "whole", *options, "trainer.max_steps=8", model="cyclegan")
    run(tmp_path / "part", *options, "trainer.max_steps=5", model="cyclegan")
    stopped = newest(tmp_path / "part")["state_dict"]
    assert stopped["pool.images"].shape == stopped["pool_back.images"].shape == (5, 3, 16, 16)
    assert stopped["pool._extra_state"] == stopped["pool_back._extra_state"] == 5
    assert not torch.equal(stopped["pool.images"], stopped["pool_back.images"])
    run(tmp_path / "part", *options, "trainer.max_steps=8", model="cyclegan", resume=str(tmp_path / "part"))
    whole, part = newest(tmp_path / "whole"), newest(tmp_path / "part")
    assert differences(whole["state_dict"], part["state_dict"]) == []
    assert differences(whole["optimizer_states"], part["optimizer_states"]) == []
    run(tmp_path / "off", *options, "model.pool.size=0", "trainer.max_steps=8", model="cyclegan")
    off = newest(tmp_path / "off")["state_dict"]
    assert not torch.equal(off["discriminator.layers.0.weight"], whole["state_dict"]["discriminator.layers.0.weight"])


PROCESSES = """
import sys, torch
import torch.distributed as dist
from conftest import run
from lightning.pytorch import Callback

class Compare(Callback):
    def on_train_batch_end(self, trainer, module, *_):
        for pool in (module.pool, module.pool_back):
            both = [torch.empty_like(pool.images) for _ in range(2)]
            dist.all_gather(both, pool.images)
            assert torch.equal(*both), "pools differ"
        mine = torch.full((2, 1, 1, 1), float(module.global_rank)) + torch.tensor([0.0, 10.0]).view(2, 1, 1, 1)
        order = module.gather_fakes(mine).flatten().tolist()
        assert order == [0.0, 1.0, 10.0, 11.0], order

import conftest
build = conftest.build
def with_callback(*arguments):
    made = build(*arguments)
    made.trainer.callbacks.append(Compare())
    return made
conftest.build = with_callback
made = run(sys.argv[1], "trainer.devices=2", "model.pool.size=5", "trainer.max_steps=3", model="cyclegan")
assert made.model.pool.kept == 5
"""


def test_two_processes_keep_one_pool(tmp_path):
    (tmp_path / "processes.py").write_text(PROCESSES)
    launcher = [*TORCHRUN, str(tmp_path / "processes.py")]
    made = command(*launcher, str(tmp_path / "run"), env={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert made.returncode == 0, made.stdout + made.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["data=digit_edges"], "CycleGAN takes unpaired"),
        (["data.source_channels=1"], "model.identity_weight=0.5: needs domains of one shape"),
        (["model.identity_weight=-1"], "model.identity_weight=-1"),
        (["model.pool.size=-1"], "pool.size=-1"),
        (["model.pool.channels=1"], "model.pool holds images (1, 16, 16)"),
        (["model.generator_back.channels=1"], "model.generator_back makes images (1, 16, 16)"),
        (["model.generator_back.source_channels=1"], "model.generator_back does not take"),
        (["data.image_size=18"], "data.image_size=18: must be a multiple of 4"),
    ],
    ids=lambda x: str(x)[:40],
)
def test_refusals(tmp_path, options, words):
    assert words in refusal(tmp_path, *tiny("cyclegan"), *options)


@pytest.mark.parametrize(
    ("model", "data"), [("cyclegan", "horse2zebra"), ("cyclegan", "monet2photo"), ("pix2pix", "maps")]
)
def test_published_sets_by_model_and_data_alone(model, data, tmp_path):
    """One pair a process, 200 passes, the rate linear to 0 over the second half of them."""
    for devices, pairs in (("1", 1), ("4", 4), ("2", 2)):
        options = [f"model={model}", f"data={data}", f"data.root={tmp_path}", f"trainer.devices={devices}"]
        with torch.device("meta"):  # shapes are enough
            made = build(compose(*options, "trainer.accelerator=cpu"), tmp_path)
        assert made.model.batch_size == pairs
        assert made.cfg.max_epochs == 200
        schedule = made.model.scheduler_factories["g"](torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1))
        schedule.learn(1000)
        assert (schedule.constant, schedule.updates) == (100000 // pairs, 100000 // pairs)
    cfg = compose("model=cyclegan", "data=horse2zebra")
    assert (cfg.data.image_size, cfg.data.load_size, cfg.data.flip) == (256, 286, True)
    assert cfg.model.pool.size == cfg.model.pool_back.size == 50

"""The step: who moves, what counts, what stands still."""

import ast
import copy
import csv
import functools
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins import MixedPrecision
from torch import nn

import lightning_gans
from conftest import (
    DOUBLE,
    NO_BATCH_NORM,
    assert_equal_weights,
    differences,
    evaluation,
    newest,
    refusal,
    run,
    samples,
    sgd,
    tiny,
    watched,
)
from lightning_gans import build, compose
from lightning_gans.models.batches import split
from lightning_gans.models.updates import make_optimizer
from lightning_gans.schedules.training_schedule import Plan

SOURCES = sorted(Path(lightning_gans.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("reuse", ["true", "false"])
@pytest.mark.parametrize("n_critic", [1, 3])
def test_the_discriminator_moves_n_critic_times_and_then_the_generator(tmp_path, n_critic, reuse):
    _, watch = watched(tmp_path, f"model.n_critic={n_critic}", f"model.reuse_fakes={reuse}", "trainer.max_steps=2")
    assert [player for player, _ in watch.changes] == (["d"] * n_critic + ["g"]) * 2


def test_one_step_is_one_generator_update_everywhere(tmp_path):
    """n_critic=5 over max_steps, checkpoint interval, schedule, logger axis, grids and scores."""
    made, watch = watched(
        tmp_path,
        "model.n_critic=5",
        "trainer.max_steps=6",
        "callbacks.checkpoint.every_n_train_steps=2",
        "callbacks.checkpoint.keep=null",
        samples(every_n_train_steps=3),
        evaluation(every_n_train_steps=3),
        "trainer.log_every_n_steps=2",
        "model.g_scheduler={_target_: torch.optim.lr_scheduler.LinearLR, _partial_: true, start_factor: 1.0, "
        "end_factor: 0.0, total_iters: 6}",
        "model.d_scheduler={_target_: torch.optim.lr_scheduler.LinearLR, _partial_: true, start_factor: 1.0, "
        "end_factor: 0.0, total_iters: 12}",
    )
    assert made.trainer.global_step == made.model.iteration == watch.steps == 6
    assert [player for player, _ in watch.changes].count("g") == 6
    assert [player for player, _ in watch.changes].count("d") == 30
    assert made.model.images_seen == 6 * 5 * 8
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["best.ckpt", "last.ckpt", "step-000002.ckpt", "step-000004.ckpt", "step-000006.ckpt"]
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["step-000003.png", "step-000006.png"]
    assert sorted(path.name for path in (tmp_path / "scores").iterdir()) == ["step-000003.json", "step-000006.json"]
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    train = [row for row in rows if row["train/g_adversarial"]]
    assert [int(float(row["step"])) for row in train] == [2, 4, 6]
    assert [int(float(row["step"])) for row in rows if row["fd_digits"]] == [3, 6]
    assert [float(row["train/g_lr"]) for row in train] == pytest.approx([2e-4 * (1 - k / 6) for k in (1, 3, 5)])
    assert [float(row["train/d_lr"]) for row in train] == pytest.approx([2e-4 * (1 - k / 12) for k in (1, 3, 5)])
    assert [float(row["train/kimg"]) for row in train] == pytest.approx([0.08, 0.16, 0.24])
    content = newest(tmp_path)
    assert content["global_step"] == 6
    assert content["state_dict"]["_extra_state"] == {"iteration": 6, "images_seen": 240, "measured": True}


def test_terms_are_weighted_and_logged_by_name(tmp_path):
    made = run(
        tmp_path,
        "model.discriminator.norm=null",
        "model.penalty={_target_: lightning_gans.losses.penalties.R1, weight: 2.0}",
    )
    assert set(made.model.terms) == {"d_real", "d_fake", "d_penalty", "g_adversarial"}
    assert all(term.grad_fn is None for term in made.model.terms.values())
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/d_real", "train/d_fake", "train/d_penalty", "train/g_adversarial"} <= set(header)


def clipped_norms(tmp_path, *overrides, plugins=()):
    made = build(compose(*tiny(), "trainer.max_steps=2", *overrides), tmp_path)
    norms = []

    def note(optimizer, *_):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(torch.nn.utils.get_total_norm(gradients).item())

    factories = made.model.optimizer_factories

    def hooked(factory):
        def make(parameters):
            optimizer = factory(parameters)
            optimizer.register_step_post_hook(note)
            return optimizer

        return make

    made.model.optimizer_factories = {player: hooked(factory) for player, factory in factories.items()}
    if plugins:
        made.trainer.strategy.precision_plugin = plugins[0]
    made.fit()
    return norms


def test_clipping_holds_at_the_step(tmp_path):
    assert all(norm > 2e-4 for norm in clipped_norms(tmp_path / "free"))
    assert clipped_norms(tmp_path / "clipped", "model.clip_grad=1e-4") == pytest.approx([1e-4] * 4, rel=0.02)


def scaler_plugin(**options):
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", **options))


def test_clipping_sees_unscaled_gradients_under_the_scaler(tmp_path):
    norms = clipped_norms(tmp_path, "model.clip_grad=1e-4", plugins=[scaler_plugin(init_scale=1024.0)])
    assert norms == pytest.approx([1e-4] * 4, rel=0.02)


@pytest.mark.parametrize("growth_interval", [2000, 1])  # 1: the scale changes between the two players' steps
def test_scaler_leaves_the_right_gradients_to_both_players(tmp_path, growth_interval):
    """Gradients at the step with a scaler equal those without; an overflow in D skips D's step alone."""
    plain = clipped_norms(tmp_path / "plain", "trainer.precision=bf16-mixed")
    full = clipped_norms(tmp_path / "full")
    scaled = clipped_norms(
        tmp_path / "scaled", plugins=[scaler_plugin(init_scale=256.0, growth_interval=growth_interval)]
    )
    assert scaled == pytest.approx(full, rel=0.03)
    assert plain == pytest.approx(full, rel=0.2)


def test_overflow_skips_one_step_and_halves_the_scale(tmp_path):
    made = build(compose(*tiny(), "trainer.max_steps=2"), tmp_path)
    plugin = scaler_plugin(init_scale=64.0)
    made.trainer.strategy.precision_plugin = plugin
    loss = made.model.discriminator_loss
    before = copy.deepcopy(made.model.state_dict())
    made.model.discriminator_loss = lambda batch: {k: v * float("inf") for k, v in loss(batch).items()}
    made.trainer.callbacks = [c for c in made.trainer.callbacks if type(c).__name__ != "StabilityGuard"]
    made.fit()
    after = made.model.state_dict()
    moved = {n for n, _ in made.model.named_parameters() if not torch.equal(before[n], after[n])}
    assert not any(name.startswith("discriminator") for name in moved)
    assert any(name.startswith("generator.") for name in moved)
    assert plugin.scaler.get_scale() == 16.0  # two overflows


def test_accumulation_sums_to_the_gradient_of_the_whole_batch(tmp_path):
    """With given latents and no batch statistics, micro-batches change nothing but rounding."""
    states = []
    for accumulate in (1, 4):
        made = build(
            compose(
                *tiny(),
                DOUBLE,
                *NO_BATCH_NORM,
                *sgd(0.1),
                "model.reuse_fakes=false",
                f"model.accumulate={accumulate}",
            ),
            tmp_path / str(accumulate),
        )
        latents = torch.randn(8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        calls = iter(range(10**6))
        made.model.draw_inputs = lambda n, z=latents, c=calls: (z[(next(c) % (8 // n)) * n :][:n],)
        made.fit()
        states.append(made.model.state_dict())
    assert_equal_weights(*states)


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
@pytest.mark.parametrize("channels_last", ["true", "false"])
def test_precision_and_memory_format_train_alike(tmp_path, precision, channels_last):
    made = run(tmp_path, f"trainer.precision={precision}", f"model.channels_last={channels_last}")
    assert all(torch.isfinite(p).all() for p in made.model.parameters())
    weight = made.model.generator.layers[3].weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == (channels_last == "true")


@pytest.mark.slow
def test_compiled_training_equals_eager_with_a_penalty(tmp_path):
    penalty = "model.penalty={_target_: lightning_gans.losses.penalties.GradientPenalty}"
    options = [DOUBLE, "model.discriminator.norm=null", penalty, "trainer.max_steps=2", "model.channels_last=false"]
    options += sgd(0.01)
    eager = run(tmp_path / "eager", *options)
    compiled = run(tmp_path / "compiled", *options, "model.compile=true")
    assert not any("_orig_mod" in name for name in compiled.model.state_dict())
    assert_equal_weights(eager.model.state_dict(), compiled.model.state_dict())


@pytest.mark.slow
def test_compiled_spectral_norm_equals_eager(tmp_path):
    """Its vectors change at every forward pass, of which a step has several before a backward."""
    options = [DOUBLE, "trainer.max_steps=2", "model.n_critic=1", "model.channels_last=false", *sgd(0.01, "sngan")]
    eager = run(tmp_path / "eager", *options, model="sngan")
    compiled = run(tmp_path / "compiled", *options, "model.compile=true", model="sngan")
    assert_equal_weights(eager.model.state_dict(), compiled.model.state_dict())


def test_random_numbers_are_a_function_of_seed_and_step(tmp_path):
    one, two = run(tmp_path / "one"), run(tmp_path / "two")
    assert differences(newest(tmp_path / "one")["state_dict"], newest(tmp_path / "two")["state_dict"]) == []
    other = run(tmp_path / "other", "seed=1")
    assert not torch.equal(one.model.generator.layers[0].weight, other.model.generator.layers[0].weight)
    assert two.model.seed == 0


def test_plan_counts_images():
    assert Plan(n_critic=5, batch_size=64).images == 320
    batch = {"image": torch.arange(12).view(6, 2), "label": torch.arange(6)}
    pieces = split(batch, 3)
    assert [piece["label"].tolist() for piece in pieces] == [[0, 1], [2, 3], [4, 5]]
    assert torch.equal(torch.cat([piece["image"] for piece in pieces]), batch["image"])


def test_max_kimg_says_the_budget_in_images(tmp_path):
    made = run(tmp_path, "max_kimg=0.1", "model.n_critic=2")  # 100 images at 16 a step
    assert made.model.iteration == 7


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.n_critic=0", r"model\.n_critic=0: must be >= 1"),
        ("model.batch_size=0", r"model\.batch_size=0: must be >= 1"),
        ("model.accumulate=3", r"model\.accumulate=3: must divide model\.batch_size=8"),
        ("model.clip_grad=0", r"model\.clip_grad=0.*> 0, or null"),
        ("model.accumulate=2", r"model\.reuse_fakes=true.*accumulate=1"),
        ("model.ema.half_life_kimg=0", r"half_life_kimg=0.*> 0"),
        ("model.ema.ramp_up=-1", r"ramp_up=-1.*> 0"),
        (
            "model.penalty={_target_: lightning_gans.losses.penalties.R1}",
            r"model\.penalty=R1.*batch norm.*discriminator\.norm",
        ),
    ],
)
def test_values_out_of_range(tmp_path, override, message):
    assert re.search(message, refusal(tmp_path, *tiny(), override))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_no_backward_behind_lightnings_back(path):
    """``loss.backward()`` would skip the gradient scaler; two attribute names trigger Lightning's checkpoint code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            fitted = (
                ("extractors", "fitting.py"),
                ("text", "trained.py"),
            )  # a classifier, an encoder, without a scaler
            allowed = path.parts[-2:] in fitted
            assert node.attr != "backward" or allowed, f"{path}:{node.lineno}"
            assert node.attr not in ("saved_models", "layer"), f"{path}:{node.lineno}"


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_one_kernel_steps_a_weight_unless_options_say_how(kind):
    def stepped(**options):
        torch.manual_seed(0)
        module = LightningModule()
        module.layers = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3))
        weights = list(module.layers.parameters())
        optimizer = make_optimizer(module, functools.partial(kind, lr=0.1, weight_decay=0.01, **options), weights)
        for _ in range(5):
            module.layers(torch.randn(4, 5)).square().sum().backward()
            optimizer.step()
        return weights, optimizer.param_groups[0]["fused"]

    (weights, is_fused), (expected, separate) = stepped(), stepped(foreach=False)
    assert is_fused
    assert not separate
    torch.testing.assert_close(weights, expected)


@pytest.mark.parametrize(("precision", "expected"), [("16-mixed", None), ("bf16-mixed", True)])
def test_no_kernel_unscales_gradients_that_were_clipped(precision, expected):
    module = LightningModule()
    module.layers = nn.Linear(2, 2)
    module._trainer = SimpleNamespace(precision=precision)
    optimizer = make_optimizer(module, functools.partial(torch.optim.Adam), list(module.parameters()))
    assert optimizer.param_groups[0]["fused"] is expected

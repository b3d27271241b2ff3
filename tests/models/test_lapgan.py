"""LAPGAN: the pyramid, the networks' sizes, the losses in closed form, scales, levels one by one, samples."""

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

import lightning_gans
from conftest import assert_same_training, newest, refusal, run, tiny, tiny_model
from lightning_gans import build, compose
from lightning_gans.images.pixels import to_uint8
from lightning_gans.images.pyramid import collapse, enlarge, gaussian_pyramid, laplacian_pyramid
from lightning_gans.networks import lapgan
from lightning_gans.weights import export

CLASSES = "model.discriminator.classes=plane"


def smoothing(n):
    """The matrix (n, n) of [1, 4, 6, 4, 1] / 16, mirrored at both ends."""
    matrix = torch.zeros(n, n)
    for i in range(n):
        for offset, weight in zip(range(-2, 3), (1, 4, 6, 4, 1), strict=True):
            j = abs(i + offset)
            matrix[i, j if j < n else 2 * (n - 1) - j] += weight / 16
    return matrix


@pytest.mark.parametrize("size", [(16, 16), (8, 24), (4, 4)])
def test_the_pyramid_is_burt_and_adelsons_and_rebuilds_its_image(float64, size):
    images = torch.rand(3, 2, *size) * 2 - 1
    coarse, fine = gaussian_pyramid(images, 2)
    down, across = (smoothing(side) for side in size)
    torch.testing.assert_close(coarse, (down @ images @ across.T)[..., ::2, ::2])
    spaced = torch.zeros_like(images)
    spaced[..., ::2, ::2] = coarse
    torch.testing.assert_close(enlarge(coarse), 4 * down @ spaced @ across.T)
    torch.testing.assert_close(enlarge(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 8, 8))
    assert fine is images
    levels = 2 if min(size) == 4 else 3
    pyramid = laplacian_pyramid(images.float(), levels)
    assert [one.shape[-2:] for one in pyramid] == [tuple(s >> k for s in size) for k in reversed(range(levels))]
    assert (collapse(pyramid) - images.float()).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("classes", "coarse", "fine"),
    [(None, (1_792_992, 477_001), (218_179, 116_545)), ("plane", (1_804_992, 483_001), (232_579, 129_409))],
)
def test_networks_have_the_published_sizes(classes, coarse, fine):
    how = {"image_size": 32, "channels": 3, "classes": classes, "num_classes": 10}
    networks = lapgan.Generator(**how), lapgan.Discriminator(**how)
    for level, counts in ((0, coarse), (2, fine)):
        assert tuple(sum(p.numel() for p in network.levels[level].parameters()) for network in networks) == counts
    assert networks[0].latent_dim == 100 + 16**2 + 32**2
    assert networks[1].levels[2].layers[-1].in_features == 64 * 12 * 12


@pytest.mark.parametrize("classes", [None, "plane"])
def test_a_sample_is_each_levels_residual_on_what_the_one_before_made(float64, classes):
    how = {"image_size": [8, 12], "channels": 2, "classes": classes, "num_classes": 3, "planes": 4, "hidden": 5}
    network = lapgan.Generator(**how, levels=2, coarse_latent_dim=6)
    for standard in network.standards:
        standard.mean.normal_()
        standard.std.uniform_()
    latents, labels = torch.rand(3, 6 + 96), torch.tensor([0, 2, 1])
    given = (labels,) if classes else ()
    one_hot = F.one_hot(labels, 3).double()
    first, _, second, _, third = network.levels[0].layers
    hidden = F.relu(F.linear(torch.cat([latents[:, :6], *[one_hot] * len(given)], 1), first.weight, first.bias))
    hidden = F.linear(F.relu(F.linear(hidden, second.weight, second.bias)), third.weight, third.bias)
    coarse = network.standards[0].mean + network.standards[0].std * hidden.view(3, 2, 4, 6)
    maps = [enlarge(coarse), latents[:, 6:].view(3, 1, 8, 12)]
    if given:
        plane = network.levels[1].plane.dense
        maps.append(F.linear(one_hot, plane.weight, plane.bias).view(3, 1, 8, 12))
    first, _, second, _, third = network.levels[1].layers
    out = F.relu(F.conv2d(torch.cat(maps, 1), first.weight, first.bias, padding=3))
    out = F.conv2d(F.relu(F.conv2d(out, second.weight, second.bias, padding=3)), third.weight, third.bias, padding=2)
    expected = enlarge(coarse) + network.standards[1].mean + network.standards[1].std * out
    torch.testing.assert_close(network(latents, *given), expected)
    torch.testing.assert_close(network.pyramid(latents, *given)[0], coarse)


def test_a_discriminator_sees_the_sum_and_the_class(float64):
    network = lapgan.Discriminator(image_size=16, channels=1, levels=2, planes=3, classes="plane", num_classes=4)
    image, labels = torch.rand(2, 1, 16, 16), torch.tensor([3, 0])
    fine = network.levels[1]
    first, second, dense, plane = fine.layers[0], fine.layers[2], fine.layers[5], fine.plane.dense
    maps = torch.cat([image, F.linear(F.one_hot(labels, 4).double(), plane.weight, plane.bias).view(2, 1, 16, 16)], 1)
    out = F.relu(F.conv2d(F.relu(F.conv2d(maps, first.weight, first.bias)), second.weight, second.bias, stride=2))
    expected = F.linear(out.flatten(1), dense.weight, dense.bias)[:, 0]
    torch.testing.assert_close(fine(image, labels), expected)
    torch.testing.assert_close(network.eval()(image, labels)[:, 1], expected)
    assert lapgan.Discriminator(image_size=8, channels=1)(torch.rand(2, 1, 8, 8)).shape == (2, 3)  # padded levels


@pytest.fixture
def conditional(tmp_path):
    return build(compose(*tiny("lapgan"), CLASSES, "model.discriminator.dropout=0.0"), tmp_path).model


def test_losses_are_the_papers_at_every_level_and_the_class_agrees(conditional):
    """Fine levels start from the batch's own coarse images and take their labels; the coarsest one draws classes."""
    model = conditional
    images, labels = torch.rand(8, 1, 16, 16) * 2 - 1, torch.arange(8)
    inputs = model.draw_inputs(8)
    model.draw_inputs = lambda n: inputs
    latents, drawn = inputs
    reals, parts = gaussian_pyramid(images, 3), model.generator.split(latents)
    batch, d_terms = {"image": images, "label": labels}, {}
    g_terms = model.generator_loss(batch)
    d_terms = model.discriminator_loss(batch)
    assert set(g_terms) == {f"adversarial_{side}x{side}" for side in (4, 8, 16)}
    for level, side in enumerate((4, 8, 16)):
        classes = labels if level else drawn
        fake = model.generator.at(level, parts[level], reals[level - 1] if level else None, classes)
        judge = model.discriminator.levels[level]
        of_real, of_fake = judge(reals[level], labels), judge(fake, classes)
        torch.testing.assert_close(d_terms[f"real_{side}x{side}"], F.softplus(-of_real).mean())
        torch.testing.assert_close(d_terms[f"fake_{side}x{side}"], F.softplus(of_fake).mean())
        torch.testing.assert_close(g_terms[f"adversarial_{side}x{side}"], F.softplus(-of_fake).mean())


def test_levels_learn_from_real_coarse_images_each_alone(conditional):
    """No gradient of a level's loss reaches another one."""
    batch = {"image": torch.rand(8, 1, 16, 16) * 2 - 1, "label": torch.arange(8)}
    conditional.generator_loss(batch)["adversarial_16x16"].backward()
    moved = [any(p.grad is not None for p in level.parameters()) for level in conditional.generator.levels]
    assert moved == [False, False, True]


def test_scales_are_those_of_the_training_images(tmp_path):
    made = run(tmp_path, "trainer.max_steps=1", model="lapgan")
    images = made.data.train_images.fetch(torch.arange(50))["image"].double() / 127.5 - 1
    for network in (made.model.generator, made.model.generator_ema):
        for standard, values in zip(network.standards, laplacian_pyramid(images, 3), strict=True):
            torch.testing.assert_close(standard.mean, values.mean(0).float())
            torch.testing.assert_close(standard.std, values.std(0, correction=0).float(), rtol=1e-4, atol=1e-6)
    before = newest(tmp_path)["state_dict"]["generator.standards.2.std"]
    run(tmp_path, "trainer.max_steps=2", "data.limit=40", model="lapgan", resume=str(tmp_path))  # measured once
    assert torch.equal(newest(tmp_path)["state_dict"]["generator.standards.2.std"], before)
    again = run(tmp_path / "tuned", f"init={tmp_path}", "data.limit=40", model="lapgan")
    assert torch.equal(again.model.generator.standards[2].std, before)  # a fine-tuned network keeps what it knows


def test_a_plain_loaders_first_batch_gives_the_scales():
    model = tiny_model("lapgan")
    images = torch.rand(24, 1, 16, 16) * 2 - 1
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    Trainer(max_steps=2, **quiet).fit(model, DataLoader([{"image": one} for one in images], batch_size=8))
    expected = laplacian_pyramid(images[:8].double(), 3)[1].mean(0).float()
    torch.testing.assert_close(model.generator.standards[1].mean, expected)


ONE_BY_ONE = ["model.level_updates=2", "trainer.max_steps=6"]


def test_levels_may_learn_one_after_the_other(tmp_path):
    """Coarsest first; a run that is resumed in the middle of a level ends with the same bits."""
    made = build(compose(*tiny("lapgan"), *ONE_BY_ONE), tmp_path / "whole")
    assert [made.model.schedule.phase(step).name for step in range(6)] == ["4x4", "4x4", "8x8", "8x8", "16x16", "16x16"]
    assert made.model.schedule.ends == (2, 4)
    states = []
    start = made.model.on_train_batch_start

    def record(batch, batch_idx):
        states.append({name: p.detach().clone() for name, p in made.model.generator.named_parameters()})
        start(batch, batch_idx)

    made.model.on_train_batch_start = record
    made.fit()
    for step, (before, after) in enumerate(zip(states, states[1:], strict=False)):
        moved = {int(name.split(".")[1]) for name in before if not torch.equal(before[name], after[name])}
        assert moved == {step // 2}
    run(tmp_path / "part", *ONE_BY_ONE, "trainer.max_steps=3", model="lapgan")
    run(tmp_path / "part", *ONE_BY_ONE, model="lapgan", resume=str(tmp_path / "part"))
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "part"))


def test_together_or_one_by_one_a_level_has_the_same_loss(tmp_path):
    options = [*tiny("lapgan"), "model.discriminator.dropout=0.0"]
    models = [build(compose(*options, *more), tmp_path).model for more in ([], ONE_BY_ONE)]
    models[1].load_state_dict(models[0].state_dict())
    inputs, batch = models[0].draw_inputs(8), {"image": torch.rand(8, 1, 16, 16) * 2 - 1}
    for model in models:
        model.draw_inputs = lambda n: inputs
    whole, alone = (model.generator_loss(batch) for model in models)
    assert set(alone) == {"adversarial_4x4"}
    torch.testing.assert_close(alone["adversarial_4x4"], whole["adversarial_4x4"])


def test_class_conditional_samples_previews_and_refined_images(tmp_path):
    run(tmp_path, CLASSES, model="lapgan")
    model = lightning_gans.load(tmp_path)
    assert model.conditions == ("label",)
    inputs = model.sampling_inputs(range(2), 5, classes=[3, 7])
    images = model.sample(2, seed=5, classes=[3, 7])
    torch.testing.assert_close(images, model.sampler.pyramid(*inputs)[-1].clamp(-1, 1))
    sheet = model.preview(None, n=4, seed=5)  # a sample a row: its three levels
    assert sheet.shape == (1, 2 + 4 * 18, 2 + 3 * 18 + 2)
    shown = to_uint8(model.sample(4, seed=5, classes=range(10)))
    assert torch.equal(sheet[:, 20:36, 38:54], shown[1])
    coarsest = to_uint8(model.sampler.pyramid(*model.sampling_inputs(range(1), 5, classes=[0]))[0].clamp(-1, 1))
    assert torch.equal(sheet[:, 2:18:4, 2:18:4], coarsest[0])
    reals, labels = torch.rand(2, 1, 16, 16) * 2 - 1, torch.tensor([3, 7])
    found = model.refine(reals, labels, seed=5)
    part = model.sampler.split(inputs[0])[2]
    torch.testing.assert_close(found, model.sampler.at(2, part, gaussian_pyramid(reals, 2)[0], labels).clamp(-1, 1))
    two = model.refine(reals, labels, levels=2, seed=5)
    assert not torch.equal(two, found)
    with pytest.raises(ValueError, match="levels=3: must be from 1 to 2"):
        model.refine(reals, labels, levels=3)
    if export.is_able():
        told = export.export_file(model, tmp_path / "g.onnx")
        assert list(told.inputs) == ["latents", "label"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["data.image_size=6"], "data.image_size=6: must be a multiple of 4, at least 8 with levels=3"),
        (["model/network=dcgan"], "has no levels; use model/network=lapgan"),
        (["model.discriminator.levels=2"], "model.discriminator.levels=2: must be that of model.generator, 3"),
        (["model.g_batch_size=64"], "model.g_batch_size=64: must be null"),
        (["model.generator.levels=1"], "model.generator.levels=1: must be >= 2"),
        (["model.level_updates=0"], "model.level_updates=0: must be >= 1, or null"),
        ([CLASSES, "data.num_classes=null"], "data.num_classes=null: must be >= 1 for a conditional network"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, options, said):
    assert said in refusal(tmp_path, "model=lapgan", "data=digits", "tuned=none", *options)

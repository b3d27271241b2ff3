"""pix2pixHD: networks, losses in closed form, phases, instances, clusters."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from conftest import newest, refusal, run, tiny
from lightning_gans import build, compose, load
from lightning_gans.losses.objectives import LeastSquares
from lightning_gans.models.pix2pix_hd import Pix2PixHD
from lightning_gans.networks.pix2pix_hd import (
    Discriminator,
    Encoder,
    Generator,
    count_downs,
    edges,
    halved,
    instance_means,
)
from lightning_gans.runtime.instantiation import instantiate

MODEL = "pix2pix_hd"


def generator(**options):
    sizes = {"image_size": 32, "source_channels": 3, "channels": 3, "base_channels": 4, "blocks": 1}
    return Generator(**{**sizes, **options})


def discriminator(**options):
    return Discriminator(**{"image_size": 32, "source_channels": 3, "channels": 3, "base_channels": 4, **options})


def family(made_by=None, judged_by=None, **options):
    sgd = lambda parameters: torch.optim.SGD(parameters, 0.1)  # noqa: E731
    made_by = made_by or generator(feature_channels=3 if "encoder" in options else 0)
    options = {"objective": LeastSquares(scale=1.0), "perceptual_weights": None, **options}
    return Pix2PixHD(made_by, judged_by or discriminator(), g_optimizer=sgd, d_optimizer=sgd, batch_size=2, **options)


# ------------------------------------------------------------------------------ networks


@pytest.mark.parametrize(
    ("size", "scale", "expected"), [(256, 2, 4), (128, 2, 4), (64, 2, 3), (32, 2, 2), (16, 2, 1), (8, 1, 1), (40, 2, 2)]
)
def test_halvings_follow_the_image_size(size, scale, expected):
    """As the paper's four where a 4x4 map is left."""
    assert count_downs(size, None, "model.generator", scale) == expected
    assert size // (scale << expected) >= 4


def test_what_is_too_small_is_refused_by_name(tmp_path):
    for size, unit in ((8, 4), (30, 4)):
        with pytest.raises(ValueError, match=rf"data\.image_size={size}: must be a multiple of {unit} and at least 16"):
            generator(image_size=size)
    with pytest.raises(ValueError, match=r"data\.image_size=32 with model\.generator\.downs=3: .* at least 64"):
        generator(downs=3)
    assert generator(downs=2).size_divisor == 8
    assert "data.image_size=8" in refusal(tmp_path, *tiny(MODEL), "data.image_size=8")
    with pytest.raises(ValueError, match=r"discriminator\.scales=3: .* in the coarse phase is 2x2"):
        discriminator(image_size=16, scales=3)
    assert len(discriminator(image_size=16, scales=3, coarse=False).scales) == 3


def test_the_papers_network_at_256():
    """Global generator: 64, 128, ..., 1024 maps, 9 blocks; enhancer: 32 maps, 3 blocks. 182.7 million weights."""
    with torch.device("meta"):
        network = Generator(image_size=256, source_channels=36, channels=3)
        shapes = [tuple(layer.weight.shape) for layer in network.trunk if isinstance(layer, nn.Conv2d)]
        small = network(torch.zeros(1, 36, 256, 256), "coarse")
        whole = network(torch.zeros(1, 36, 256, 256))
    widths = [shape[0] for shape in shapes]
    assert widths == [64, 128, 256, 512, 1024]
    assert network.size_divisor == 32
    assert small.shape == (1, 3, 128, 128)
    assert whole.shape == (1, 3, 256, 256)
    assert network.enhancer_down[1].weight.shape == (32, 36, 7, 7)
    parts = {part: sum(p.numel() for p in getattr(network, part).parameters()) for part in ("trunk", "coarse_image")}
    blocks = 9 * 2 * (1024 * 1024 * 9 + 1024)
    halvings = sum(9 * n * 2 * n for n in (64, 128, 256, 512))
    biases = 64 + sum(2 * n + n for n in (64, 128, 256, 512))  # of the first, of halvings and of doublings
    assert parts["trunk"] == blocks + 2 * halvings + 64 * 36 * 49 + biases
    assert parts["coarse_image"] == 3 * 64 * 49 + 3
    assert sum(parts.values()) == 182_546_755  # as the authors' code has it, with biases before instance norm


def test_biases_before_instance_norm_are_the_authors():
    """All convolutions have one; ``bias_before_norm=False`` leaves those that a norm follows without."""
    for make in (generator, discriminator, lambda **options: Encoder(image_size=32, channels=3, **options)):
        for asked in (True, False):
            layers = [layer for layer in make(bias_before_norm=asked).modules() if not list(layer.children())]
            for layer, after in zip(layers, [*layers[1:], None], strict=True):
                if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                    assert (layer.bias is not None) == (asked or not isinstance(after, nn.InstanceNorm2d))


def test_every_normalised_map_has_more_than_one_pixel():
    """Instance norm of one pixel is zero, whatever came in."""
    sides = []

    def note(layer, inputs):
        sides.append(min(inputs[0].shape[-2:]))

    for size in (16, 24, 32, 64):
        sides.clear()
        networks = [generator(image_size=size), discriminator(image_size=size, scales=2)]
        for network in networks:
            for layer in network.modules():
                if isinstance(layer, nn.InstanceNorm2d):
                    layer.register_forward_pre_hook(note)
        networks[0](torch.rand(1, 3, size, size))
        assert min(sides) >= 4
        networks[1](torch.rand(1, 6, size // 2, size // 2))
        assert min(sides) >= 2


def test_stages_reach_the_parts_that_learn():
    network, images = generator(), torch.rand(1, 3, 32, 32)
    learning = {}
    for stage in ("coarse", "enhancer", "joint"):
        network.zero_grad(set_to_none=True)
        network(images, stage).sum().backward()
        learning[stage] = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None}
    assert learning["coarse"] == {"trunk", "coarse_image"}
    assert learning["enhancer"] == {"enhancer_down", "enhancer_up"}
    assert learning["joint"] == {"trunk", "enhancer_down", "enhancer_up"}
    assert network(images, "coarse").shape[-1] == 16
    torch.testing.assert_close(network(images, "enhancer"), network(images, "joint"))


def test_discriminators_see_ever_smaller_images():
    network = discriminator(scales=3, layers=2)
    found = network(torch.rand(2, 6, 32, 32))
    assert [len(scale) for scale in found] == [4, 4, 4]  # two of stride 2, one of stride 1, logits
    assert [scale[0].shape[-1] for scale in found] == [17, 9, 5]
    assert all(scale[-1].shape[1] == 1 for scale in found)
    ones = torch.ones(1, 2, 8, 8)
    torch.testing.assert_close(halved(ones), torch.ones(1, 2, 4, 4))  # nothing of the border


def test_edges_are_where_a_neighbour_differs():
    numbers = torch.zeros(1, 1, 4, 5, dtype=torch.int64)
    numbers[0, 0, 1:3, 2:] = 7
    expected = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [0, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
    assert torch.equal(edges(numbers)[0, 0], expected.float())
    assert edges(torch.full((2, 1, 3, 3), 5)).sum() == 0


def test_features_are_averaged_over_each_instance_of_each_image():
    features = torch.rand(2, 3, 4, 4)
    instances = torch.randint(0, 3, (2, 1, 4, 4), generator=torch.Generator().manual_seed(0)) * 1000
    means, rows = instance_means(features, instances)
    painted = means[rows].movedim(-1, 1)
    for n in range(2):
        for number in (0, 1000, 2000):
            where = instances[n, 0] == number
            expected = features[n][:, where].mean(1)
            torch.testing.assert_close(painted[n][:, where], expected[:, None].expand(3, int(where.sum())))


# ------------------------------------------------------------------------------ losses


def test_feature_matching_in_closed_form():
    """4 / (layers + 1) / scales times the sum over layers and scales; the logits do not count."""
    model = family(judged_by=discriminator(layers=3, scales=2))
    fake = [[torch.full((1, 1, 2, 2), 3.0)] * 4 + [torch.full((1, 1, 2, 2), 100.0)] for _ in range(2)]
    real = [[torch.full((1, 1, 2, 2), 1.0)] * 4 + [torch.zeros(1, 1, 2, 2)] for _ in range(2)]
    assert model.matching(fake, real).item() == pytest.approx(4 / 4 / 2 * 2 * 4 * 2.0)


def test_losses_are_the_papers():
    """Least squares summed over scales, D halved, feature matching times 10 on detached real features."""
    torch.manual_seed(0)
    model = family(coarse_updates=0, enhancer_updates=0)
    batch = {"source": torch.rand(2, 3, 32, 32) * 2 - 1, "target": torch.rand(2, 3, 32, 32) * 2 - 1}
    terms = model.generator_loss(batch)
    fake = model.generator(batch["source"])
    judge = lambda images: model.discriminator(torch.cat([batch["source"], images], 1))  # noqa: E731
    of_fake, of_real = judge(fake), judge(batch["target"])
    torch.testing.assert_close(terms["adversarial"], sum((scale[-1] - 1).square().mean() for scale in of_fake))
    torch.testing.assert_close(terms["matching"], 10 * model.matching(of_fake, of_real))
    assert set(terms) == {"adversarial", "matching"}
    found = model.discriminator_loss(batch)
    torch.testing.assert_close(found["real"], sum((scale[-1] - 1).square().mean() for scale in of_real) / 2)
    torch.testing.assert_close(found["fake"], sum(scale[-1].square().mean() for scale in of_fake) / 2)
    assert not model._stashed


def test_the_perceptual_loss_weighs_layers_as_the_paper(monkeypatch):
    model = family(coarse_updates=0, enhancer_updates=0)
    monkeypatch.setattr(type(model.perceptual), "on", True)
    model.perceptual.forward = lambda images: [(k + 1) * images.mean((1, 2, 3)) for k in range(5)]
    batch = {"source": torch.rand(2, 3, 32, 32), "target": torch.rand(2, 3, 32, 32)}
    found = model.generator_loss(batch)["perceptual"]
    apart = (model.generator(batch["source"]).mean((1, 2, 3)) - batch["target"].mean((1, 2, 3))).abs().mean()
    expected = 10 * apart * sum(w * (k + 1) for k, w in enumerate((1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)))
    torch.testing.assert_close(found, expected)


def test_the_coarse_phase_learns_at_half_the_size():
    model = family(coarse_updates=1)
    batch = {"source": torch.rand(2, 3, 32, 32), "target": torch.rand(2, 3, 32, 32)}
    model.generator_loss(batch)
    assert model._stashed[0]["fake"].shape == (2, 3, 16, 16)
    condition, real = model.pair(batch)
    torch.testing.assert_close(real, F.avg_pool2d(batch["target"], 3, 2, 1, count_include_pad=False))
    assert condition.shape == (2, 3, 16, 16)
    model.discriminator_loss(batch)


# ------------------------------------------------------------------------------ phases


def test_phases_are_functions_of_the_step():
    model = family(coarse_updates=3, enhancer_updates=2)
    assert [model.stage_of(step) for step in range(7)] == ["coarse"] * 3 + ["enhancer"] * 2 + ["joint"] * 2
    alone = family(generator(enhancer=False), coarse_updates=3)
    assert alone.stage_of(0) == "joint"


def moved(tmp_path, steps):
    """Parts of the generator whose weights the last of so many steps changed."""
    options = ["model.coarse_updates=2", "model.enhancer_updates=2", "callbacks.checkpoint.every_n_train_steps=1"]
    folder = tmp_path / str(steps)
    run(folder, *options, f"trainer.max_steps={steps}", "callbacks.checkpoint.keep=null", model=MODEL)
    states = [torch.load(folder / f"checkpoints/step-{k:06d}.ckpt")["state_dict"] for k in (steps - 1, steps)]
    names = [name for name, value in states[0].items() if isinstance(value, torch.Tensor)]
    changed = [name for name in names if not torch.equal(states[0][name], states[1][name])]
    return {name.split(".")[1] for name in changed if name.startswith("generator.")}


def test_each_phase_moves_its_part(tmp_path):
    """The global generator stands still to the bit while the enhancer learns alone."""
    assert moved(tmp_path, 2) == {"trunk", "coarse_image"}
    assert moved(tmp_path, 4) == {"enhancer_down", "enhancer_up"}
    assert moved(tmp_path, 5) == {"trunk", "enhancer_down", "enhancer_up"}


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_resumes_exactly_in_each_phase(tmp_path, stop):
    from conftest import assert_same_training

    options = ["model.coarse_updates=2", "model.enhancer_updates=2"]
    run(tmp_path / "whole", *options, "trainer.max_steps=6", model=MODEL)
    run(tmp_path / "part", *options, f"trainer.max_steps={stop}", model=MODEL)
    run(tmp_path / "part", *options, "trainer.max_steps=6", model=MODEL, resume=str(tmp_path / "part"))
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "part"))


def test_a_budget_that_ends_early_is_told(tmp_path):
    """Before any training is spent; nothing is said of one that reaches the last phase."""
    with pytest.warns(UserWarning, match="max_steps=2: ends in the phase 'enhancer'; 'joint' begins at update 2,"):
        build(compose(*tiny(MODEL), "trainer.max_steps=2"), tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="trainer.max_steps")
        build(compose(*tiny(MODEL), "trainer.max_steps=3"), tmp_path)


def test_translations_come_from_the_phase_of_the_last_update():
    """After the last coarse update the enhancer has learnt nothing yet."""
    model = family(coarse_updates=3, enhancer_updates=2)
    source = torch.rand(1, 3, 32, 32) * 2 - 1
    model.iteration = 3
    coarse = F.interpolate(model.eval().generator(source, "coarse"), (32, 32), mode="bilinear")
    torch.testing.assert_close(model.translate(source), coarse)
    model.iteration = 4
    torch.testing.assert_close(model.translate(source), model.generator(source))
    with pytest.raises(ValueError, match="multiples of 8"):
        model.translate(torch.rand(1, 3, 32, 36))
    with pytest.raises(ValueError, match="direction=b2a"):
        model.translate(source, direction="b2a")


@pytest.mark.parametrize("player", ["g", "d"])
def test_the_schedule_starts_anew_with_each_training(player):
    """At the border of the phases, wherever it lies."""

    def rates(steps, *options):
        config = compose("model=pix2pix_hd", "data=digit_edges", "tuned=none", *options).model
        schedule = instantiate(config[f"{player}_scheduler"])(torch.optim.SGD([nn.Parameter(torch.zeros(1))]))
        return [round(schedule.factor(step), 4) for step in steps]

    papers = rates([0, 297_499, 446_250, 594_999, 595_000, 892_500, 1_041_250, 1_190_000])
    assert papers == [1, 1, 0.5, 0, 1, 1, 0.5, 0]
    shorter = rates([500, 750, 999, 1000, 1000 + 300_000], "model.coarse_updates=1000", "model.enhancer_updates=34750")
    assert shorter == [1, 0.5, 0.002, 1, 1]
    assert rates([0, 595_000 // 2], "model.coarse_updates=0") == [1, 1]


def test_the_papers_budget_is_that_of_its_schedule():
    config = compose("experiment=pix2pix_hd_cityscapes", "data.root=x")
    assert config.trainer.max_steps == sum(map(sum, config.model.g_scheduler.trainings)) == 300 * 2975
    factory = instantiate(config.model.d_scheduler)
    schedule = factory(torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0))
    enhancer = [schedule.factor(passes * 2975) for passes in (200, 250, 275, 300)]
    assert enhancer == [1, 1, 0.5, 0]  # 50 + 50 passes, as released


@pytest.mark.parametrize(
    ("experiment", "size", "enhancer", "smallest"),
    [("cityscapes", [1024, 2048], True, (256, 512)), ("cityscapes_512", [512, 1024], False, (256, 512))],
)
def test_the_recipes_keep_the_shape_of_the_papers_pictures(experiment, size, enhancer, smallest):
    """Twice as wide as high, never squeezed; widths, halvings and scales as released, whatever the size."""
    config = compose(f"experiment=pix2pix_hd_{experiment}", "data.root=x")
    assert config.data.image_size == size
    assert config.data.resize != "stretch"
    assert config.trainer.max_steps == sum(map(sum, config.model.g_scheduler.trainings))
    with torch.device("meta"):
        made, judge, encoder = (instantiate(config.model[n]) for n in ("generator", "discriminator", "encoder"))
    assert made.has_enhancer == enhancer
    assert made.size_divisor == (32 if enhancer else 16)
    assert not any(side % made.size_divisor for side in size)
    features = made.trunk.to("meta")(torch.zeros(1, 35 + 1 + 3, *(side >> enhancer for side in size), device="meta"))
    assert features.shape == (1, 64, *(side >> enhancer for side in size))
    images = made(torch.zeros(1, 39, *size, device="meta"))
    assert images.shape == (1, 3, *size)
    assert encoder(images).shape == (1, 3, *size)
    seen = torch.zeros(1, 39, *size, device="meta")
    found = judge(seen)
    assert len(found) == (3 if enhancer else 2)
    assert found[-1][0].shape[-2:] == tuple(side // 2 + 1 for side in smallest)
    convolutions = [m for m in made.trunk.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    widths = [64, 128, 256, 512, 1024]
    assert [m.out_channels for m in convolutions] == [*widths, *[1024] * 18, *widths[-2::-1]]


# ------------------------------------------------------------------------------ labels, instances, features


def label_maps(n=2, side=32, labels=4):
    """Every label in every image."""
    squares = (side // 8) ** 2
    numbers = torch.stack([torch.randperm(squares) % labels for _ in range(n)]).view(n, side // 8, -1)
    return F.one_hot(numbers.repeat_interleave(8, 1).repeat_interleave(8, 2), labels).permute(0, 3, 1, 2).float()


def labelled(**options):
    """A family whose sources are one-hot label maps of four labels."""
    made_by = generator(source_channels=4, instance_edges=True, feature_channels=3)
    judged_by = discriminator(source_channels=4, instance_edges=True)
    encoder = Encoder(image_size=32, channels=3, base_channels=4)
    return family(made_by, judged_by, encoder=encoder, num_labels=4, clusters=2, **options)


def test_label_maps_and_instances():
    model, source = labelled(), label_maps()
    assert torch.equal(model.labels({"source": source})[:, 0], source.argmax(1))
    assert torch.equal(model.condition({"source": source})[:, 4:], edges(source.argmax(1, keepdim=True)))
    instance = torch.arange(32 * 32).view(1, 1, 32, 32).expand(2, 1, 32, 32)
    assert model.condition({"source": source, "instance": instance})[:, 4:].min() == 1
    batch = {"source": source, "target": torch.rand(2, 3, 32, 32)}
    assert model.encoded(batch).shape == (2, 3, 32, 32)
    terms = model.generator_loss(batch)
    terms["matching"].backward()
    assert all(p.grad is not None for p in model.encoder.parameters())


class Examples:
    """Training images whose colours are a function of the label: one of two looks."""

    train_images = range(6)

    def training_examples(self, indices):
        source = label_maps(1)
        look = 0.8 if indices[0] % 2 else -0.8
        return {"source": source, "target": look * source[:, :3] + 0.05 * indices[0]}


class Averages(nn.Module):
    """An encoder that gives back the image."""

    feature_channels = 3

    def forward(self, images):
        return images


def test_clusters_are_those_of_the_training_images_by_label(monkeypatch):
    model = labelled()
    monkeypatch.setattr(model, "encoder", Averages())
    monkeypatch.setattr(Pix2PixHD, "trainer", type("One", (), {"world_size": 1}))
    model.measure_clusters(Examples())
    assert model.cluster_counts.tolist() == [2, 2, 2, 2]
    for label in range(3):
        expected = torch.zeros(2, 3)
        expected[0, label], expected[1, label] = -0.8, 0.8
        offset = torch.tensor([0.1, 0.15])  # means of 0, 0.1, 0.2 and of 0.05, 0.15, 0.25
        found = model.clusters[label][model.clusters[label][:, label].argsort()]
        torch.testing.assert_close(found, expected + offset[:, None])


def test_a_seed_picks_one_cluster_for_each_label():
    model = labelled().eval()
    model.iteration = 1_000_000
    model.clusters.copy_(torch.randn_like(model.clusters))
    model.cluster_counts.fill_(2)
    source = label_maps()
    looks = {round(model.translate(source, seed=seed).double().sum().item(), 3) for seed in range(20)}
    assert 4 < len(looks) <= 16
    assert torch.equal(model.translate(source, seed=3), model.translate(source, seed=3))
    model.cluster_counts.zero_()  # labels that were never seen
    assert torch.equal(model.chosen_clusters(5), model.clusters[:, 0])


def test_clusters_are_in_the_checkpoint(tmp_path):
    made = run(tmp_path, model=MODEL)
    assert made.model.cluster_counts.item() > 0
    loaded = load(tmp_path)
    assert torch.equal(loaded.clusters, made.model.clusters)
    source = made.data.examples(range(4))["source"]
    assert torch.equal(loaded.translate(source, seed=1), made.model.eval().translate(source, seed=1))
    assert made.model.translate(source).shape == (4, 3, 16, 16)


def test_networks_that_do_not_fit_are_refused(tmp_path):
    options = [option for option in tiny(MODEL) if "encoder" not in option]
    message = refusal(tmp_path, *options, "model.generator.feature_channels=3")
    assert "model.generator.feature_channels=3: model.encoder gives 0; say model/encoder=features" in message
    assert "the data has neither instances" in refusal(tmp_path, *tiny(MODEL), "model.generator.instance_edges=true")
    for key in ("coarse_updates", "enhancer_updates", "matching_weight", "perceptual_weight"):
        assert f"model.{key}=-1" in refusal(tmp_path, *tiny(MODEL), f"model.{key}=-1")
    message = refusal(tmp_path, *tiny(MODEL), "model.discriminator.instance_edges=true")
    assert "model.discriminator.instance_edges=true: must be that of model.generator" in message
    assert "model.num_labels=5: model.generator takes 3 channels" in refusal(
        tmp_path, *tiny(MODEL), "model.num_labels=5"
    )
    build(compose(*options, "model.generator.enhancer=false"), tmp_path)


def test_label_maps_of_objects_from_folders(tmp_path):
    """Labels one-hot, the edges of their objects, features of each object; a seed changes the look."""
    rng = np.random.default_rng(0)
    for number in range(6):
        labels = np.repeat(np.repeat(rng.permutation(16).reshape(4, 4) % 3, 8, 0), 8, 1).astype(np.uint8)
        objects = np.repeat(np.repeat(np.arange(16).reshape(4, 4), 8, 0), 8, 1).astype(np.uint8)
        look = 200 if number % 2 else 60
        picture = np.stack([labels * 40, labels * 0 + look, objects * 10], -1).astype(np.uint8)
        for folder, image in (("train_label", labels), ("train_inst", objects), ("train_img", picture)):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / "data" / folder / f"{number}.png")
    options = [
        *("data=label_maps", f"data.root={tmp_path / 'data'}", "data.num_labels=3", "data.instance=train_inst"),
        *("data.image_size=32", "data.load_size=null", "data.num_workers=0", "model.generator.instance_edges=true"),
    ]
    made = run(tmp_path / "run", *options, "model.batch_size=2", model=MODEL)
    assert made.model.num_labels == 3
    assert made.model.clusters.shape == (3, 3, 3)
    assert made.model.cluster_counts.tolist() == [3, 3, 3]
    batch = made.data.examples([0])
    assert made.model.condition(batch).shape == (1, 4, 32, 32)
    assert made.model.condition(batch)[0, 3].sum() > made.model.condition({"source": batch["source"]})[0, 3].sum()
    loaded = load(tmp_path / "run")
    looks = [loaded.translate(batch["source"], seed=seed, instance=batch["instance"]) for seed in range(6)]
    assert looks[0].shape == (1, 3, 32, 32)
    assert any(not torch.equal(looks[0], look) for look in looks[1:])

"""StackGAN: its pairs and terms by hand, parameters as published, stages, captions in and out."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.optim import SGD

import lightning_gans
from conftest import command_here, newest, refusal, run, tiny, tiny_model
from lightning_gans import build, compose
from lightning_gans.data.captions import captions_of
from lightning_gans.evaluation.evaluator import Evaluator
from lightning_gans.evaluation.own_feeds import captioned
from lightning_gans.images.pixels import to_uint8
from lightning_gans.inference.texts import caption_sheet, read_captions
from lightning_gans.metrics import AttributeAccuracy, RPrecision
from lightning_gans.models.stackgan import Spoken, divergence
from lightning_gans.networks.stackgan import Discriminator, Generator
from lightning_gans.schedules.learning_rate import RepeatedHalving


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stackgan")
    return run(folder, model="stackgan"), folder


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("gf", "df", "blocks", "expected"),
    [
        (192, 96, 2, (20_020_832, 12_407_425, 37_130_480, 159_889_538)),  # COCO
        (128, 64, 4, (10_301_248, 5_715_713, 26_290_080, 71_269_122)),  # birds, flowers
    ],
)
def test_networks_have_the_published_numbers_of_parameters(gf, df, blocks, expected):
    with torch.device("meta"):
        generator = Generator(image_size=256, channels=3, base_channels=gf, blocks=blocks)
        discriminator = Discriminator(image_size=256, channels=3, base_channels=df)
    stages = generator.stage1, discriminator.stage1, generator.stage2, discriminator.stage2
    assert tuple(map(count, stages)) == expected


@pytest.mark.parametrize(
    ("small", "downs", "inner"), [(64, None, 16), (32, None, 16), (16, None, 16), (8, None, 8), (16, 2, 4)]
)
def test_stage_two_works_on_maps_of_16_as_the_papers(small, downs, inner):
    how = {"text_dim": 4, "condition_dim": 3, "noise_dim": 2, "base_channels": 4, "blocks": 1, "downs": downs}
    generator = Generator(image_size=2 * small, channels=1, stage1_size=small, **how)
    encoded = generator.stage2.encoder(torch.zeros(2, 1, small, small))
    assert encoded.shape == (2, 16, inner, inner)
    generator.stage = 2
    made = generator.made(torch.zeros(2, generator.latent_dim), torch.zeros(2, 4))
    assert made.images.shape == (2, 1, 2 * small, 2 * small)


def test_a_gain_is_of_the_first_weights_of_conditions_means_alone():
    states = []
    for gain in (1.0, 5.0):
        torch.manual_seed(0)
        how = {"text_dim": 400, "condition_dim": 8, "noise_dim": 4, "base_channels": 4, "blocks": 1}
        states.append(Generator(image_size=16, channels=1, condition_gain=gain, **how).state_dict())
    means = {"stage1.ca.fc.weight", "stage2.ca.fc.weight"}
    for name, value in states[0].items():
        expected = value.clone()
        if name in means:
            assert value.std() == pytest.approx(400**-0.5, rel=0.05)
            expected[:8] *= 5
        assert torch.equal(states[1][name], expected), name


@pytest.mark.parametrize("norm", [None, "spectral"])
def test_a_projection_adds_a_product_of_features_and_condition(norm):
    how = {"image_size": 16, "channels": 1, "stage1_size": 8, "condition_dim": 3, "base_channels": 2, "norm": norm}
    torch.manual_seed(0)
    network = Discriminator(**how, projection=True).eval()
    images, condition = torch.randn(4, 1, 8, 8), torch.randn(4, 3)
    judge = network.judge
    features = judge.features(images)
    kept, judge.projection = judge.projection, None
    plain = network(images, condition)
    judge.projection = kept
    weight = kept.weight if norm is None else kept.weight / torch.linalg.matrix_norm(kept.weight, 2)
    expected = torch.einsum("nfhw,fd,nd->n", features, weight, condition) / 16  # the mean over 4x4 places
    torch.testing.assert_close(network(images, condition) - plain, expected, rtol=1e-2 if norm else 1e-4, atol=1e-5)
    assert Discriminator(**how).judge.projection is None


def test_the_divergence_is_that_of_gaussians(float64):
    mean, log_variance = torch.randn(4, 3), torch.randn(4, 3)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0, 1))
    torch.testing.assert_close(divergence(mean, log_variance, "mean"), expected.mean())
    torch.testing.assert_close(divergence(mean, log_variance, "sum"), expected.sum(1).mean())


def test_pairs_weigh_as_in_the_released_code():
    module = tiny_model("stackgan")
    real, fake, wrong, alone, alone_fake = torch.randn(5, 6).unbind()
    is_wrong = torch.tensor([1, 1, 0, 1, 1, 0]).bool()
    bce = F.binary_cross_entropy_with_logits
    ones, zeros = torch.ones(6), torch.zeros(6)
    mismatched = F.softplus(wrong[is_wrong]).sum() / 6  # rows without a wrong caption count 0
    first = module.matching_terms(real, fake, wrong, is_wrong)
    torch.testing.assert_close(sum(first.values()), bce(real, ones) + (bce(fake, zeros) + mismatched) / 2)
    second = module.matching_terms(real, fake, wrong, is_wrong, (alone, alone_fake))
    expected = (bce(real, ones) + bce(alone, ones)) / 2 + (bce(fake, zeros) + mismatched + bce(alone_fake, zeros)) / 3
    torch.testing.assert_close(sum(second.values()), expected)
    none = module.matching_terms(real, fake, wrong, torch.zeros(6).bool())
    assert none["wrong"] == 0


def speaking(module, known, used):
    """What is said of a batch: vectors are the number of the first caption in use."""
    return Spoken(used[:, :1].float().expand(-1, 3), used, known)


@pytest.mark.parametrize("classes", [False, True])
def test_a_wrong_caption_is_never_true_of_the_picture(classes):
    """Captions 0 to 4, several pictures each; with classes none of the same class either."""
    module = tiny_model("stackgan")
    rng = torch.Generator().manual_seed(0)
    known = torch.stack([torch.randperm(5, generator=rng)[:2] for _ in range(40)])
    labels = torch.arange(40) % 3
    batch = {"label": labels} if classes else {}
    seen = set()
    for step in range(20):
        module._global_rng().manual_seed(step)
        vectors, is_wrong = module.wrong_text(batch, speaking(module, known, known[:, :1]))
        wrong = vectors[:, 0].long()
        assert is_wrong.all()
        assert not (wrong[:, None] == known).any()
        if classes:
            for i in range(40):
                of_others = {int(known[j, 0]) for j in range(40) if labels[j] != labels[i]}
                assert int(wrong[i]) in of_others
        seen |= {(i, int(w)) for i, w in enumerate(wrong)}
    assert len(seen) > 80  # they vary


def test_a_picture_whose_captions_are_everyones_has_no_wrong_one():
    module = tiny_model("stackgan")
    known = torch.tensor([[0, 1], [0, -1], [1, -1]])
    _, is_wrong = module.wrong_text({}, speaking(module, known, known[:, :1]))
    assert is_wrong.tolist() == [False, True, True]


def test_captions_in_use_are_drawn_among_those_there_are_and_averaged():
    module = tiny_model("stackgan", captions=2)
    module.text.vectors = torch.eye(6)
    known = torch.tensor([[0, 1, 2], [3, -1, -1], [4, 5, -1]])
    found = set()
    for step in range(40):
        module._global_rng().manual_seed(step)
        said = module.spoken({"caption": known})
        for i, row in enumerate(said.used.tolist()):
            chosen = [number for number in row if number >= 0]
            expected = torch.eye(6)[chosen].mean(0)
            torch.testing.assert_close(said.text[i], expected)
            found.add((i, tuple(sorted(chosen))))
    assert found == {(0, pair) for pair in itertools.combinations(range(3), 2)} | {(1, (3,)), (2, (4, 5))}


def test_equal_vectors_of_a_plain_loader_are_one_caption():
    module = tiny_model("stackgan")
    vectors = torch.randn(3, 6)[[0, 1, 0, 2]]
    numbers = module.spoken({"text": vectors}).known[:, 0].tolist()
    assert numbers[0] == numbers[2]
    assert len(set(numbers)) == 3


def test_the_discriminator_is_told_the_mean_and_does_not_move_it(trained):
    module = trained[0].model
    module.set_stage(1)
    for parameter in (*module.generator.parameters(), *module.discriminator.parameters()):
        parameter.requires_grad_(True)
    batch = {"image": torch.rand(4, 1, 8, 8) * 2 - 1, "caption": captions_of(trained[0].data.train_images).numbers[:4]}
    module.text.vectors = module.text.vectors.float()
    loss = sum(module.discriminator_loss(batch).values())
    gradients = torch.autograd.grad(loss, list(module.generator.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in gradients)
    module.set_stage(2)


def test_stage_one_stands_still_in_stage_two_and_the_other_in_stage_one(tmp_path):
    made = build(compose(*tiny("stackgan"), "trainer.max_steps=2"), tmp_path / "one")
    before = {name: p.detach().clone() for name, p in made.model.named_parameters()}
    made.fit()
    moved = {name for name, p in made.model.named_parameters() if not torch.equal(before[name], p)}
    assert not any(".stage2." in name for name in moved if not name.startswith("generator_ema"))
    assert any(name.startswith("generator.stage1.") for name in moved)
    first = {name: p.detach().clone() for name, p in made.model.named_parameters()}
    assert made.model.generator.stage == 1
    longer = build(compose(*tiny("stackgan"), "trainer.max_steps=4"), tmp_path / "one")
    longer.fit(resume=str(tmp_path / "one"))
    same = [name for name, p in longer.model.named_parameters() if torch.equal(first[name], p)]
    assert {name for name in first if name.startswith(("generator.stage1.", "discriminator.stage1."))} <= set(same)
    assert longer.model.generator.stage == 2
    loaded = lightning_gans.load(tmp_path / "one")
    assert (loaded.generator.stage, loaded.generator_ema.stage) == (2, 2)


def test_stages_are_an_option_of_sampling(trained):
    loaded = lightning_gans.load(trained[1])
    one, two, last = (
        loaded.sample(3, text=["a seven", "a thin one upright"], **how) for how in ({"stage": 1}, {"stage": 2}, {})
    )
    assert torch.equal(two, last)
    assert not torch.equal(one, two)
    blocks = one.unflatten(3, (8, 2)).unflatten(2, (8, 2))
    assert torch.equal(blocks[:, :, :, :1].expand_as(blocks), blocks)  # 8x8, enlarged
    with pytest.raises(ValueError, match="stage=3"):
        loaded.sample(1, stage=3)


def test_a_sample_is_a_function_of_seed_index_and_caption(trained):
    module = lightning_gans.load(trained[1])
    seven, other = module.sample(2, text=["a seven"], seed=3), module.sample(2, text=["an eight", "a seven"], seed=3)
    torch.testing.assert_close(seven[1], other[1], rtol=0, atol=1e-5)
    assert not torch.allclose(seven[0], other[0], atol=1e-5)
    assert module.sample(1, text=["一枚の絵"]).shape == (1, 1, 16, 16)
    with pytest.raises(ValueError, match="must be a sentence"):
        module.sample(1, text=[" "])


def test_the_encoder_travels_in_the_checkpoint(trained):
    state = newest(trained[1])["state_dict"]
    assert bool(state["conditioning.text.encoder.is_trained"])
    loaded = lightning_gans.load(trained[1])
    texts = ["a seven", "a bright zero"]
    assert torch.equal(loaded.text.parse(texts), trained[0].model.text.parse(texts))


def test_data_without_captions_is_refused(tmp_path):
    options = [option for option in tiny("stackgan") if not option.startswith("data.drawings")]
    made = build(compose(*options, "data=digits"), tmp_path)
    with pytest.raises(ValueError, match="has no captions"):
        made.fit()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["model.discriminator.condition_dim=4"],
            "model.discriminator.condition_dim=4: must be that of model.generator, 5",
        ),
        (["model.text_encoder.dim=9"], "model.generator.text_dim=6: model.text_encoder.dim is 9"),
        (["model.generator.stage1_size=16"], "stage1_size=16: must be a power of two from 8, below data.image_size=16"),
        (["model/objective=relativistic"], "choose another"),
        (["model.latent=uniform"], "latent=uniform: must be normal"),
        (["model.g_batch_size=4"], "must be null"),
    ],
)
def test_networks_and_options_that_do_not_fit_are_refused(tmp_path, options, told):
    assert told in refusal(tmp_path, *tiny("stackgan"), *options)


def test_published_vectors_need_no_encoder(tmp_path):
    small = {"text_dim": 6, "condition_dim": 5, "noise_dim": 4, "base_channels": 4, "blocks": 1}
    module = lightning_gans.create_model("stackgan", image_size=16, channels=1, text_encoder="none", generator=small)
    assert module.text.encoder is None
    with pytest.raises(ValueError, match="no text encoder"):
        module.sample(1, text=["a bird"])
    module.text.fit(torch.randn(7, 6))
    assert module.sample(2).shape == (2, 1, 16, 16)


def test_rates_are_halved_and_begin_again_in_stage_two():
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = RepeatedHalving(optimizer, phases=[[6, 2], [9, 3]])
    assert [schedule.factor(step) for step in range(15)] == [
        *(1, 1, 0.5, 0.5, 0.25, 0.25),
        *(1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25),
    ]
    with pytest.raises(ValueError, match="pairs of updates and interval"):
        RepeatedHalving(optimizer, phases=[[6]])


# ------------------------------------------------------------------------------ use


def test_sample_writes_captions_in_turn_and_a_sheet(trained, tmp_path, monkeypatch, capsys):
    path = tmp_path / "captions.txt"
    path.write_text("a seven\n\nan eight\n", "utf-8")
    checkpoint = f"checkpoint={trained[1]}"
    options = {"listed": ['text=["a seven","an eight"]'], "filed": [f"captions={path}"]}
    for out, given in options.items():
        arguments = [checkpoint, f"out={out}", "n=3", *given]
        assert command_here("lightning_gans.sample", *arguments, cwd=tmp_path, monkeypatch=monkeypatch) == 0, (
            capsys.readouterr()
        )
        assert len(list((tmp_path / out).glob("0*.png"))) == 3
    assert (tmp_path / "listed" / "grid.png").read_bytes() == (tmp_path / "filed" / "grid.png").read_bytes()
    assert read_captions(str(path)) == ["a seven", "an eight"]
    arguments = [checkpoint, "out=both", "text=x", f"captions={path}"]
    assert command_here("lightning_gans.sample", *arguments, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert "say one of the two" in capsys.readouterr().err


def test_a_sheet_shows_both_stages_side_by_side(trained):
    module = lightning_gans.load(trained[1])
    sheet = caption_sheet(module, 2, ["a seven"])
    alone = [to_uint8(module.sample(2, text=["a seven"], stage=stage)) for stage in (1, 2)]
    height, width = sheet.shape[1:]
    pairs = [image for pair in zip(*alone, strict=True) for image in pair]
    columns = [sheet[:, :, i * width // 4 : (i + 1) * width // 4] for i in range(4)]
    for column, image in zip(columns, pairs, strict=True):
        assert any(torch.equal(column[:1, y : y + 16, x : x + 16], image) for y in range(4) for x in range(4)), height


@pytest.mark.parametrize(
    ("mode", "text", "shape"),
    [("text", '["a one","a two","a six"]', 6), ("arithmetic", '["a one","a two","a six"]', 4)],
)
def test_sentences_are_walked_between_and_added(trained, tmp_path, monkeypatch, capsys, mode, text, shape):
    arguments = [f"checkpoint={trained[1]}", "out=o", f"mode={mode}", f"text={text}", "rows=2", "steps=3"]
    assert command_here("lightning_gans.interpolate", *arguments, cwd=tmp_path, monkeypatch=monkeypatch) == 0, (
        capsys.readouterr()
    )
    assert (tmp_path / "o" / f"{mode}.png").is_file()
    arguments = [f"checkpoint={trained[1]}", "out=p", f"mode={mode}", 'text=["a one"]']
    assert command_here("lightning_gans.interpolate", *arguments, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert "sentences" in capsys.readouterr().err


# ------------------------------------------------------------------------------ scores


def test_attribute_accuracy_counts_what_a_judge_finds():
    metric = AttributeAccuracy()
    metric.heads = {"digit": 3, "size": 2}
    asked = torch.tensor([[0, 1], [1, 1], [2, 0], [0, 0]])
    metric.found_in_samples, metric.found_in_reals, metric.asked = [asked.clone()], [asked.clone()], [asked]
    metric.found_in_samples[0][0, 0] = 1
    found = metric.compute()
    order = metric.shuffled(4)
    assert (order != torch.arange(4)).all()
    assert found["attribute_accuracy"] == 7 / 8
    assert found["attribute_accuracy_real"] == 1
    assert found["attribute_accuracy_shuffled"] == (metric.found_in_samples[0] == asked[order]).double().mean()
    assert metric.by_attribute == {"digit": 0.75, "size": 1.0}
    asked[0, 0] = asked[1, 1] = -1  # not told by these captions
    metric._computed = None  # since nothing was added
    found = metric.compute()
    assert found["attribute_accuracy"] == 1
    assert found["attribute_accuracy_shuffled"] < 1


def test_r_precision_is_one_where_each_fits_and_chance_where_none_is_read():
    metric = RPrecision()
    texts = torch.eye(300).double()
    metric.of_samples, metric.of_reals, metric.of_texts = [texts], [texts], [texts]
    found = metric.compute()
    assert (found["r_precision"], found["r_precision_real"], found["r_precision_shuffled"]) == (1, 1, 0)
    metric = RPrecision()
    metric.of_samples = [torch.rand(300, 300, generator=torch.Generator().manual_seed(0)).double()]
    metric.of_reals, metric.of_texts = [texts], [texts]
    assert metric.compute()["r_precision"] < 0.05  # 1 of 100, give or take


def test_scored_samples_are_of_the_captions_that_they_are_scored_by(trained):
    module, data = trained[0].model, trained[0].data
    numbers, examples = range(5, 8), [0, 7, 14]  # a batch that does not begin at a multiple of its length
    made, real, attributes, texts, _ = captioned(module, data, examples, numbers, 0, {})
    assert len(set(texts)) == 3
    assert torch.equal(attributes, data.example_images.entries("attributes")[examples])
    assert torch.equal(real.cpu(), to_uint8(data.examples(examples)["image"]))
    for i, image, text in zip(numbers, made, texts, strict=True):
        (alone,) = module.samples([i], seed=0, text=[text])
        assert (image.int() - to_uint8(alone)[0].int()).abs().max() <= 1


def test_scores_of_captions_have_their_shuffled_control(trained):
    card = Evaluator(None, n=40, metrics=["attribute_accuracy", "r_precision"])(trained[0].model, trained[0].data)
    for name in ("attribute_accuracy", "r_precision"):
        assert {name, f"{name}_real", f"{name}_shuffled"} <= set(card["scores"])
    assert card["captions"] == "test"
    assert set(card["attribute_accuracy_by"]) == {"digit", "stroke", "slant", "size", "brightness"}
    with pytest.raises(ValueError, match="needs a family that draws captions"):
        Evaluator(None, n=40, metrics=["r_precision"])(trained[0].data, trained[0].data)
    assert np.isfinite(list(card["scores"].values())).all()

"""The semi-supervised GAN: its losses in closed form, whose labels it reads, the accuracy."""

import json

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

import lightning_gans
from conftest import command_here, refusal, run, tiny
from lightning_gans import build, compose
from lightning_gans.data.labelled import balanced_indices
from lightning_gans.evaluation.selection import select_metrics
from lightning_gans.networks.semi_supervised import Discriminator

QUIET = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}


def made(folder, *options):
    quiet = ["model.discriminator.input_noise=0", "model.discriminator.hidden_noise=0"]
    return build(compose(*tiny("semi_supervised"), *quiet, *options), folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return run(tmp_path_factory.mktemp("semi"), "model.test_every_n_train_steps=2", model="semi_supervised")


def test_labelled_examples_are_balanced_and_drawn_by_the_seed():
    labels = torch.tensor([0] * 30 + [1] * 30 + [2] * 2)
    chosen = balanced_indices(labels, 10, 1)
    assert torch.bincount(labels[chosen]).tolist() == [4, 4, 2]  # a small class gives all that it has
    assert chosen.unique().equal(chosen)
    assert balanced_indices(labels, 10, 1).equal(chosen)
    assert not balanced_indices(labels, 10, 2).equal(chosen)
    assert balanced_indices(labels, 62, 0).equal(torch.arange(62))
    with pytest.raises(ValueError, match="labels=63: the training set has 62 examples"):
        balanced_indices(labels, 63, 0)


def test_logit_of_being_real_is_that_of_k_plus_one_classes(float64):
    """The softmax over l_1 ... l_K and a last logit of 0."""
    network = Discriminator(image_size=4, channels=1, num_classes=3, hidden=[6, 5]).eval()
    x = torch.randn(7, 1, 4, 4)
    logits, features = network.classes_and_features(x)
    assert features.shape == (7, 5)
    extended = torch.cat([logits, torch.zeros(7, 1)], 1).softmax(1)
    torch.testing.assert_close(torch.sigmoid(network(x)), 1 - extended[:, -1])
    network.train()
    assert not torch.equal(network(x), network(x))  # noise, in training only


def test_the_discriminators_loss_is_the_papers(tmp_path):
    model = made(tmp_path).model
    reals, fakes = torch.rand(2, 8, 1, 16, 16) * 2 - 1
    labels = torch.tensor([0, 3, -1, -1, 9, -1, -1, -1])  # without an image set a batch's own
    model.make_fakes = lambda n: setattr(model, "_fake", fakes[:n])
    terms = model.discriminator_loss({"image": reals, "label": labels})
    logits = [model.discriminator.classes_and_features(x)[0] for x in (reals, fakes)]
    extended = [torch.cat([x, torch.zeros(8, 1)], 1).log_softmax(1) for x in logits]
    known = labels >= 0
    supervised = F.cross_entropy(logits[0][known], labels[known])
    real = -torch.log1p(-extended[0][:, -1].exp()).mean() / 2
    fake = -extended[1][:, -1].mean() / 2
    for name, value in (("supervised", supervised), ("real", real), ("fake", fake)):
        torch.testing.assert_close(terms[name], value, rtol=1e-4, atol=1e-5)
    batch = {"image": reals, "label": torch.full((8,), -1)}
    assert model.discriminator_loss(batch)["supervised"].item() == 0  # none is labelled
    model.unsupervised_weight = 0.0
    assert set(model.discriminator_loss(batch)) == {"supervised"}


def test_the_generator_matches_mean_features(tmp_path):
    model = made(tmp_path).model
    reals, fakes = torch.rand(2, 8, 1, 16, 16) * 2 - 1
    model.make_fakes = lambda n: setattr(model, "_fake", fakes[:n])
    found = model.generator_loss({"image": reals})["matching"]
    real, fake = (model.discriminator.classes_and_features(x)[1].mean(0) for x in (reals, fakes))
    torch.testing.assert_close(found, (real - fake).square().sum() / len(real))
    model.feature_matching = False
    adversarial = model.generator_loss({"image": reals})["adversarial"]
    torch.testing.assert_close(adversarial, F.softplus(-model.discriminator(fakes)).mean())


def test_labels_of_batches_are_not_read_beside_an_image_set(tmp_path):
    """Wrong ones change nothing: the labelled images are the chosen ones."""
    states = []
    for is_wrong in (False, True):
        one = made(tmp_path / str(is_wrong), "trainer.max_steps=2")
        start = one.model.on_train_batch_start

        def spoil(batch, batch_idx, start=start, is_wrong=is_wrong):
            batch["label"] = (batch["label"] + is_wrong) % 10
            start(batch, batch_idx)

        one.model.on_train_batch_start = spoil
        one.fit()
        states.append(one.model.state_dict())
        labels = one.data.train_images.entries("label")
        assert one.model._labelled[1].equal(labels[balanced_indices(labels, 20, 0)])
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0] if isinstance(states[0][k], torch.Tensor))


def test_accuracy_is_that_on_the_held_out_images(trained):
    model, data = trained.model, trained.data
    assert sorted(model.test.history) == [2, 4]
    batch = data.examples(range(10))
    assert data.n_examples == 10
    expected = (model.classify(batch["image"]).argmax(1) == batch["label"]).double().mean().item()
    assert model.test.history[4] == expected
    assert trained.trainer.callback_metrics["accuracy"].item() == pytest.approx(expected)


def test_accuracy_comes_from_the_checkpoint_alone(trained, tmp_path, monkeypatch, capsys):
    given = [f"checkpoint={trained.folder}", "n=20", f"out={tmp_path}"]
    scores = {}
    for name, options in (("default", []), ("alone", ["metrics=[accuracy]"]), ("held_out", ["data.held_out=true"])):
        assert command_here("lightning_gans.evaluate", *given, *options, cwd=tmp_path, monkeypatch=monkeypatch) == 0
        assert "accuracy " in capsys.readouterr().out
        card = json.loads((tmp_path / "last.scores.json").read_text())
        assert (card["classified"], card["accuracy_n"]) == ("held-out", 10)
        scores[name] = card["scores"]
    assert {one["accuracy"] for one in scores.values()} == {trained.model.test.history[4]}
    assert set(scores["default"]) >= {"accuracy", "fd_digits"}
    assert set(scores["alone"]) == {"accuracy"}


def test_accuracy_is_refused_where_there_is_none(trained, tmp_path):
    run(tmp_path / "dcgan", "trainer.max_steps=1")
    plain, whole = lightning_gans.load(tmp_path / "dcgan"), made(tmp_path, "data.val_fraction=0").data
    for module, data, said in (
        (plain, trained.data, "needs a family that classifies"),
        (trained.model, whole, "hold some out"),
    ):
        with pytest.raises(ValueError, match=said):
            select_metrics(["accuracy"], module, data)
        assert "accuracy" not in [metric.name for metric in select_metrics(None, module, data)]


def test_a_plain_trainer_uses_the_labels_of_its_batches(tmp_path):
    model = made(tmp_path).model
    data = [(torch.rand(1, 16, 16) * 2 - 1, i % 10 if i < 8 else -1) for i in range(16)]
    batches = DataLoader([{"image": x, "label": torch.tensor(y)} for x, y in data], batch_size=8)
    with pytest.warns(UserWarning, match="no test images"):
        Trainer(max_steps=2, **QUIET).fit(model, batches)
    assert model.iteration == 2
    assert model.test.history == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["data.num_classes=null"], "data.num_classes=null: must be >= 1"),
        (["model/network=dcgan"], "does not classify; use model/network=semi_supervised"),
        (["model.g_batch_size=50"], "must be null with model.feature_matching=true"),
        (["model.accumulate=50", "model.labelled_batch_size=20"], "must be a multiple of model.accumulate=50"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, options, said):
    assert said in refusal(tmp_path, "model=semi_supervised", "data=digits", *options)

"""Scores by class against independent versions on few images, and their way through an evaluation."""

import json

import numpy as np
import pytest
import scipy.linalg
import torch

import lightning_gans
from conftest import command_here, evaluation, run, tiny
from lightning_gans import build, compose
from lightning_gans.evaluation.evaluator import Evaluator
from lightning_gans.extractors.digits import DigitsExtractor
from lightning_gans.images.pixels import to_uint8
from lightning_gans.metrics.class_accuracy import ClassAccuracy
from lightning_gans.metrics.class_frechet import ClassFrechet
from lightning_gans.metrics.class_ms_ssim import ClassSimilarity
from lightning_gans.metrics.gan_train_test import GANTrainTest
from lightning_gans.metrics.ms_ssim import ms_ssim

NAMES = ["class_accuracy", "class_frechet", "class_ms_ssim", "gan_train_test"]


def fed(metric, real, fake, batch=5):
    """A metric that has seen pairs of values and classes of both sides in small batches."""
    for side, (values, labels) in ((True, real), (False, fake)):
        for some, classes in zip(values.split(batch), labels.split(batch), strict=True):
            metric.update(some, classes, side)
    return metric


def labelled(n, *shape, classes=3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, *shape, generator=rng), torch.arange(n) % classes


def test_accuracy_counts_right_samples():
    logits = torch.eye(3)[torch.tensor([0, 1, 2, 2, 1, 0])]
    metric = fed(
        ClassAccuracy(), (logits, torch.tensor([0, 1, 2, 2, 1, 0])), (logits, torch.tensor([0, 1, 2, 0, 1, 2]))
    )
    assert {k: v.item() for k, v in metric.compute().items()} == {"class_accuracy": 4 / 6, "class_accuracy_real": 1.0}
    assert metric.settings()["class_accuracy_by_class"] == [0.5, 1.0, 0.5]
    metric.reset()
    metric.update(logits, logits.argmax(1), False)  # real ones are remembered
    assert metric.compute()["class_accuracy"] == 1


def test_frechet_distance_by_class_agrees_with_scipy():
    real, fake = labelled(60, 4, seed=1), labelled(45, 4, seed=2)
    metric = fed(ClassFrechet(), real, fake)
    expected = []
    for c in range(3):
        a, b = (values[labels == c].double().numpy() for values, labels in (real, fake))
        first, second = np.cov(a.T), np.cov(b.T)
        root = scipy.linalg.sqrtm(first @ second).real
        expected.append(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root))
    assert metric.compute().item() == pytest.approx(np.mean(expected), rel=1e-6)
    assert metric.settings()["class_frechet_by_class"] == pytest.approx(expected, rel=1e-4)


def test_classes_with_too_few_images_do_not_count():
    values, labels = labelled(12, 4, classes=4)
    few = values[:9], labels[:9].clamp(max=2)
    metric = fed(ClassFrechet(), (values, labels), few)
    metric.compute()
    assert metric.settings()["class_frechet_by_class"][3] is None
    with pytest.raises(ValueError, match="class_frechet: no class has 2 samples and 2 real images"):
        fed(ClassFrechet(), (values[:3], labels[:3]), few).compute()


def pictures(n, classes=3, seed=0):
    """Bars at the place of the class, of random brightness, on noise: (n, 1, 16, 16) uint8, and the classes."""
    rng = torch.Generator().manual_seed(seed)
    images, labels = torch.randint(0, 60, (n, 1, 16, 16), generator=rng), torch.arange(n) % classes
    for image, c in zip(images, labels.tolist(), strict=True):
        image[0, :, 5 * c : 5 * c + 4] += int(torch.randint(100, 190, (1,), generator=rng))
    return images.to(torch.uint8), labels


def test_similarity_is_that_of_pairs_of_one_class():
    real, (images, labels) = pictures(30, seed=1), pictures(24, seed=2)
    found = fed(ClassSimilarity(), real, (images, labels)).compute()
    for key, (values, classes) in {"class_ms_ssim": (images, labels), "class_ms_ssim_real": real}.items():
        means = []
        for c in range(3):
            own = values[classes == c]
            first, second = torch.combinations(torch.arange(len(own))).T
            means.append(ms_ssim(own[first], own[second]).mean())
        assert found[key].item() == pytest.approx(torch.stack(means).mean().item(), abs=0.02)  # of all pairs
    one = images[:3].repeat(4, 1, 1, 1), labels[:3].repeat(4)  # a picture a class
    assert fed(ClassSimilarity(), real, one).compute()["class_ms_ssim"].item() == pytest.approx(1)


def test_gan_train_and_gan_test():
    """Good samples teach and are known; those of other classes than they say are and do neither."""
    real, (images, labels) = pictures(120, seed=1), pictures(90, seed=2)
    found = fed(GANTrainTest(epochs=20, width=8), real, (images, labels)).compute()
    assert found["gan_train_real"] > 0.9
    assert min(found["gan_train"], found["gan_test"]) > 0.9
    wrong = fed(GANTrainTest(epochs=20, width=8), real, (images, (labels + 1) % 3)).compute()
    assert wrong["gan_train_real"] == found["gan_train_real"]
    assert max(wrong["gan_train"], wrong["gan_test"]) < 0.1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("cgan")
    metrics = "[frechet, class_accuracy, class_frechet, class_ms_ssim]"
    run(made, evaluation(every_n_train_steps=4, n=40, metrics=metrics), model="cgan")
    return made


def test_a_training_is_scored_by_class(folder):
    """Accuracy by hand: the extractor on samples, whose classes are the conditions that they were drawn with."""
    card = json.loads((folder / "scores" / "step-000004.json").read_text())
    module, extractor = lightning_gans.load(folder), DigitsExtractor()
    labels = module.conditioning.sample(range(40), 0, {})[0]
    right = extractor(to_uint8(module.sample(40))).logits.argmax(1).eq(labels).double().mean()
    assert card["scores"]["class_accuracy_digits"] == pytest.approx(right.item(), abs=0.03)  # a sample, by rounding
    assert card["scores"]["class_accuracy_digits_real"] > 0.9
    assert card["extractor_accuracy"] == extractor.accuracy == 0.9972
    assert {"class_fd_digits", "class_ms_ssim", "class_ms_ssim_real"} < card["scores"].keys()
    assert len(card["class_frechet_by_class"]) == len(card["class_ms_ssim_by_class"]) == 10


def test_cached_real_features_keep_their_classes(folder):
    module, data = lightning_gans.load(folder), build(compose(*tiny("cgan")), folder / "unused").data
    metrics = ["class_accuracy", "class_frechet"]
    cards = [Evaluator(DigitsExtractor(), n=40, metrics=metrics)(module, data)["scores"] for _ in range(2)]
    assert cards[0] == cards[1]
    scored = json.loads((folder / "scores" / "step-000004.json").read_text())["scores"]
    assert cards[0]["class_fd_digits"] == pytest.approx(scored["class_fd_digits"], rel=1e-3)


def test_what_has_no_classes_is_refused_by_name(tmp_path, monkeypatch, capsys):
    run(tmp_path / "dcgan", "trainer.max_steps=1")
    given = ["lightning_gans.evaluate", f"checkpoint={tmp_path / 'dcgan'}", "n=20"]
    for name in NAMES:
        assert command_here(*given, f"metrics=[{name}]", cwd=tmp_path, monkeypatch=monkeypatch) == 1
        assert f"metrics={name}: needs samples of known classes; DCGAN has none" in capsys.readouterr().err
    data = build(compose(*tiny("cgan"), "data.num_classes=10"), tmp_path / "unused").data
    extractor = DigitsExtractor()
    extractor.num_classes = 1000
    with pytest.raises(ValueError, match="needs a classifier of 10 classes; extractor digits has 1000: train one"):
        Evaluator(extractor, n=20, metrics=["class_accuracy"])(data, data)

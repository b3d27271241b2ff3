"""Scores: names, agreement with independent formulas, cards, budgets."""

import json
import math

import numpy as np
import pytest
import scipy.linalg
import torch

from conftest import command, run
from lightning_gans.data.digits import Digits as DigitImages
from lightning_gans.images import to_uint8
from lightning_gans.metrics.cache import RealCache
from lightning_gans.metrics.evaluation import Evaluator, check, share
from lightning_gans.metrics.extractors import Classifier, Digits, Inception, Stacked, as_channels
from lightning_gans.metrics.names import DEFAULT, METRICS, is_bound, is_frechet, is_higher_better
from lightning_gans.metrics.sources import Pictures, folder


@pytest.fixture(scope="module")
def digits():
    return DigitImages(image_size=32, channels=1)


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return run(tmp_path_factory.mktemp("run"), "data.image_size=32").model


def frechet(a, b):
    """Closed form by scipy, independent of torchmetrics."""
    mean = np.square(a.mean(0) - b.mean(0)).sum()
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return mean + np.trace(one + two - 2 * scipy.linalg.sqrtm(one @ two).real)


def chosen(data, n):
    """The n real images that are scored: a random choice that never changes."""
    return data.train_images.images[Pictures(data, n).order[:n]]


def features_of(images):
    found = Digits()(images)
    return found.features.double().numpy(), found.logits.double().softmax(1).numpy()


def test_digits_extractor_knows_its_digits(digits):
    """As it ships; the script in the repository prints its accuracy on digits that it has not seen."""
    held = digits.train_images
    predicted = Digits()(held.images).logits.argmax(1)
    assert (predicted == held.labels).float().mean() > 0.99
    by_class = [(predicted[held.labels == k] == k).float().mean() for k in range(10)]
    assert min(by_class) > 0.97


def test_frechet_and_inception_score_agree_with_their_formulas(module, digits):
    card = Evaluator(Digits(), n=300, n_real=400, seed=5)(module, digits)
    fakes = to_uint8(torch.cat(list(module.samples(range(300), seed=5))))
    real, _ = features_of(chosen(digits, 400))
    fake, probabilities = features_of(fakes)
    assert card["scores"]["fd_digits"] == pytest.approx(frechet(real, fake), rel=1e-4)
    assert card["n"] == 300
    assert card["n_real"] == 400
    one_split = math.exp((probabilities * (np.log(probabilities) - np.log(probabilities.mean(0)))).sum(1).mean())
    assert card["scores"]["is_digits"] == pytest.approx(one_split, rel=0.1)  # ours is the mean of ten splits
    assert set(card["scores"]) == {"fd_digits", "is_digits", "is_digits_std", "kd_digits", "kd_digits_std"}


def test_kernel_distance_of_all_images_agrees_with_its_formula(module, digits):
    """With fewer than a thousand samples every subset is all of them: the unbiased estimate of all images."""
    card = Evaluator(Digits(), n=60, n_real=60, metrics=["kernel"])(module, digits)
    assert set(card["scores"]) == {"kd_digits"}  # one subset has no spread
    real, _ = features_of(chosen(digits, 60))
    fake, _ = features_of(to_uint8(torch.cat(list(module.samples(range(60))))))
    kernel = lambda a, b: (a @ b.T / 64 + 1) ** 3  # noqa: E731
    m = 60
    within = sum(k.sum() - np.trace(k) for k in (kernel(real, real), kernel(fake, fake))) / (m * (m - 1))
    assert card["scores"]["kd_digits"] == pytest.approx(within - 2 * kernel(real, fake).mean(), rel=1e-4)
    assert card["kernel_subset_size"] == 60


def test_the_same_images_score_nothing(digits):
    class Copy:
        """Returns the real images as its samples."""

        device, iteration, images_seen, generator_ema = torch.device("cpu"), 0, 0, None

        def prepare_sampling(self):
            pass

        def samples(self, indices, *, seed, batch_size):
            for start in range(0, len(indices), batch_size):
                index = torch.tensor(indices[start : start + batch_size])
                yield digits.train_images.images[index].float() / 127.5 - 1

    card = Evaluator(Digits(), n=1797, metrics=["frechet"])(Copy(), digits)
    assert abs(card["scores"]["fd_digits"]) < 1e-3


def test_scores_do_not_depend_on_the_batch_size_nor_disturb_randomness(module, digits):
    evaluators = [Evaluator(Digits(), n=50, n_real=100, batch_size=size) for size in (7, 64)]
    before = torch.random.get_rng_state()
    one, two = [evaluator(module, digits)["scores"] for evaluator in evaluators]
    assert torch.equal(before, torch.random.get_rng_state())
    assert one == pytest.approx(two, rel=1e-4)


def test_a_time_budget_shortens_and_says_so(module, digits):
    card = Evaluator(Digits(), n=100_000, n_real=100, time_budget_s=0.5)(module, digits)
    assert 2 <= card["n"] < 100_000
    assert card["seconds"] < 20


def test_the_card_says_what_the_number_is(module, digits):
    card = Evaluator(Digits(), n=20, n_real=30, seed=9)(module, digits)
    assert card["extractor"] == "digits"
    assert len(card["weights"]) == 16
    assert card["seed"] == 9
    assert card["step"] == 4
    assert card["images_seen"] == 32
    assert card["averaged"] is True
    assert card["data"] == "Digits"
    assert card["split"] == "train"
    assert "32x32" in card["resize"]
    json.dumps(card)


def test_names_are_honest():
    assert [Digits.key(Digits, metric) for metric in ("frechet", "inception_score", "kernel")] == [
        "fd_digits",
        "is_digits",
        "kd_digits",
    ]
    published = Inception.__new__(Inception)
    torch.nn.Module.__init__(published)
    published.weights_hash = "6726825d0af5f729"
    assert [published.key(metric) for metric in DEFAULT] == ["fid", "is", "kid"]
    assert published.key("precision") == "precision_inception"  # the published ones are by VGG
    published.weights_hash = "0123456789abcdef"
    assert published.key("frechet") == "fd_inception_01234567"


def test_extractors_take_any_channels_and_only_uint8():
    images = torch.randint(0, 256, (4, 3, 20, 20), dtype=torch.uint8)
    assert Digits()(images).features.shape == (4, 64)
    assert as_channels(images[:, :1], 3).shape == (4, 3, 20, 20)
    assert as_channels(images[:, :2], 3).shape == (4, 3, 20, 20)
    assert as_channels(torch.cat([images, images[:, :1]], 1), 3).shape == (4, 3, 20, 20)
    with pytest.raises(ValueError, match="must be uint8"):
        Digits()(images.float())


def test_rounding_is_to_nearest():
    assert to_uint8(torch.tensor([-1.0, -0.5, 0.0, 0.001, 1.0, 3.0])).tolist() == [0, 64, 128, 128, 255, 255]


def test_inception_by_path(tmp_path, monkeypatch):
    """Seeded random weights in torch-fidelity's layout, by path: features, logits, hash; a wrong path is named."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    monkeypatch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state, **_: None)
    torch.save({}, tmp_path / "weights.pth")
    torch.manual_seed(0)
    extractor = Inception(weights=str(tmp_path / "weights.pth"))
    found = extractor(torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8))
    assert found.features.shape == (2, 2048)
    assert found.logits.shape == (2, 1008)
    assert len(extractor.weights_hash) == 16
    with pytest.raises(FileNotFoundError, match=r"extractor\.weights=nowhere\.pth"):
        Inception(weights="nowhere.pth")

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save(Evil(), tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="not a file of weights"):
        Inception(weights=str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 1}, "n=1"),
        ({"n_real": 1}, "n_real=1"),
        ({"metrics": ["fid"]}, "metrics=fid: must be among frechet, inception_score, kernel"),
        ({"metrics": ["prdc"], "n": 5}, "n=5: must be >= 6"),
        ({"metrics": ["interval", "modes"]}, "metrics=interval: is one of frechet or kernel"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_what_cannot_be_scored_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        check(**{"n": 10, "n_real": None, "metrics": ["frechet"], "batch_size": 8, **options})


def test_evaluate_refuses_before_it_loads(tmp_path):
    made = command("lightning_gans.evaluate", "checkpoint=nowhere.ckpt", cwd=tmp_path)
    assert made.returncode == 1
    assert "nowhere.ckpt: no checkpoint there" in made.stderr
    made = command("lightning_gans.evaluate", cwd=tmp_path)
    assert made.returncode == 1
    assert "checkpoint: missing" in made.stderr
    assert not list(tmp_path.iterdir())

"""Scores: names, agreement with independent formulas, cards, budgets."""

import itertools
import json
import math
import threading
import warnings
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import torch
from PIL import Image

import lightning_gans
from conftest import command, evaluation, run, two_scripts
from lightning_gans.data.digits import Digits as DigitImages
from lightning_gans.evaluation.cache import RealCache
from lightning_gans.evaluation.evaluator import Evaluator
from lightning_gans.evaluation.selection import DEFAULT, check_options, score_names
from lightning_gans.evaluation.sources import RealImages, folder
from lightning_gans.extractors.base import as_channels
from lightning_gans.extractors.classifier import ClassifierExtractor
from lightning_gans.extractors.digits import DIGITS_WEIGHTS, DigitsExtractor
from lightning_gans.extractors.inception import Inception
from lightning_gans.extractors.stacked import Stacked
from lightning_gans.images.files import save
from lightning_gans.images.pixels import to_uint8
from lightning_gans.metrics.base import is_higher_better, is_qualifier
from lightning_gans.metrics.kernel import KernelDistance
from lightning_gans.metrics.library import make_metric, package_metrics
from lightning_gans.models.conditions import Conditions
from lightning_gans.runtime.distributed import rank_slice

OTHERS = ("path_length_w", "mixture", "wasserstein", "attribute_accuracy", "r_precision")  # of styles, points, captions
OF_SAMPLES = [m.name for m in package_metrics() if m.data_kinds is None and m.feed != "pairs" and m.name not in OTHERS]
IN_SUBSETS = [KernelDistance(subset_size=50) if name == "kernel" else name for name in OF_SAMPLES]


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
    return data.train_images.images[RealImages(data, n).order[:n]]


def features_of(images):
    found = DigitsExtractor()(images)
    return found.features.double().numpy(), found.logits.double().softmax(1).numpy()


def test_digits_extractor_knows_its_digits(digits):
    """As it ships; the script in the repository prints its accuracy on digits that it has not seen."""
    held = digits.train_images
    predicted = DigitsExtractor()(held.images).logits.argmax(1)
    assert (predicted == held.labels).float().mean() > 0.99
    by_class = [(predicted[held.labels == k] == k).float().mean() for k in range(10)]
    assert min(by_class) > 0.97


def test_frechet_and_inception_score_agree_with_their_formulas(module, digits):
    card = Evaluator(DigitsExtractor(), n=300, n_real=400, seed=5)(module, digits)
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
    card = Evaluator(DigitsExtractor(), n=60, n_real=60, metrics=["kernel"])(module, digits)
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
        conditioning, sampling_options = Conditions((), torch.nn.Identity()), {}

        def prepare_sampling(self):
            pass

        def sampling_network(self, options):
            return None

        def sampling_inputs(self, indices, seed):
            return (torch.tensor(list(indices)),)

        def generate(self, batches, network):
            for (index,) in batches:
                yield digits.train_images.images[index].float() / 127.5 - 1

    card = Evaluator(DigitsExtractor(), n=1797, metrics=["frechet"])(Copy(), digits)
    assert abs(card["scores"]["fd_digits"]) < 1e-3


def test_scores_do_not_depend_on_the_batch_size_nor_disturb_randomness(module, digits):
    evaluators = [Evaluator(DigitsExtractor(), n=50, n_real=100, batch_size=size) for size in (7, 64)]
    before = torch.random.get_rng_state()
    one, two = [evaluator(module, digits)["scores"] for evaluator in evaluators]
    assert torch.equal(before, torch.random.get_rng_state())
    assert one == pytest.approx(two, rel=1e-4)


def test_a_time_budget_shortens_and_says_so(module, digits, monkeypatch):
    looks = itertools.count()  # a second passes between any two
    clock = SimpleNamespace(monotonic=lambda: float(next(looks)))
    monkeypatch.setattr("lightning_gans.evaluation.evaluator.time", clock)
    card = Evaluator(DigitsExtractor(), n=100_000, n_real=100, batch_size=16, time_budget_s=3.5)(module, digits)
    assert card["n"] == 4 * 16  # after the fourth batch the time is up


def test_the_card_says_what_the_number_is(module, digits):
    card = Evaluator(DigitsExtractor(), n=20, n_real=30, seed=9)(module, digits)
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
    metrics = [make_metric(name) for name in DEFAULT]
    assert score_names(metrics, DigitsExtractor()) == ["fd_digits", "is_digits", "kd_digits"]
    published = Inception.__new__(Inception)
    torch.nn.Module.__init__(published)
    published.weights_hash = "6726825d0af5f729"
    assert score_names(metrics, published) == ["fid", "is", "kid"]
    assert published.key("precision") == "precision_inception"  # the published ones are by VGG
    published.weights_hash = "0123456789abcdef"
    assert published.key("fd", "fid") == "fd_inception_01234567"


def test_extractors_take_any_channels_and_only_uint8():
    images = torch.randint(0, 256, (4, 3, 20, 20), dtype=torch.uint8)
    assert DigitsExtractor()(images).features.shape == (4, 64)
    assert as_channels(images[:, :1], 3).shape == (4, 3, 20, 20)
    assert as_channels(images[:, :2], 3).shape == (4, 3, 20, 20)
    assert as_channels(torch.cat([images, images[:, :1]], 1), 3).shape == (4, 3, 20, 20)
    with pytest.raises(ValueError, match="must be uint8"):
        DigitsExtractor()(images.float())


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
        (
            {"metrics": ["fid"]},
            "metrics=fid: must be among accuracy, attribute_accuracy, class_accuracy, class_frechet, class_ms_ssim",
        ),
        ({"metrics": ["prdc"], "n": 5}, "n=5: must be >= 6"),
        ({"metrics": ["interval", "modes"]}, "metrics=interval: is one of frechet or kernel"),
    ],
)
def test_what_cannot_be_scored_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        check_options(**{"n": 10, "n_real": None, "metrics": ["frechet"], **options})
    with pytest.raises(ValueError, match="batch_size=0: must be >= 1"):
        Evaluator(None, metrics=["swd"], batch_size=0)


def test_evaluate_refuses_before_it_loads(tmp_path):
    made = command("lightning_gans.evaluate", "checkpoint=nowhere.ckpt", cwd=tmp_path)
    assert made.returncode == 1
    assert "nowhere.ckpt: no checkpoint there" in made.stderr
    made = command("lightning_gans.evaluate", cwd=tmp_path)
    assert made.returncode == 1
    assert "checkpoint: missing" in made.stderr
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------- every metric at once


def test_every_metric_in_one_card(module, digits):
    card = Evaluator(DigitsExtractor(), n=60, n_real=80, metrics=OF_SAMPLES)(module, digits)
    scores = card["scores"]
    assert {key for key in scores if not is_qualifier(key)} == {
        *("fd_digits", "is_digits", "kd_digits", "precision_digits", "recall_digits", "density_digits"),
        *("coverage_digits", "modes_digits", "modes_kl_digits", "ppl_digits", "swd_16", "swd_32", "swd", "ms_ssim"),
        *("mind_digits", "clipped_density_digits", "clipped_coverage_digits"),
    }
    assert all(math.isfinite(value) for value in scores.values())
    assert scores["fd_digits_low"] < scores["fd_digits"] < scores["fd_digits_high"]
    assert scores["ms_ssim_real"] < scores["ms_ssim"]  # an untrained generator makes much the same
    assert 1 <= scores["modes_digits"] <= 10
    assert {"prdc_n": 60, "prdc_n_real": 80, "k": 3, "k_density": 5, "swd_n": 60}.items() <= card.items()
    assert [
        is_higher_better(key, package_metrics())
        for key in ("is", "precision_digits", "modes_digits", "modes_kl_digits", "fid")
    ] == [*(True, True, True, False, False)]


def test_metrics_of_pixels_need_no_extractor(module, digits):
    card = Evaluator(None, n=20, n_real=20, metrics=["swd", "ms_ssim"])(module, digits)
    assert "extractor" not in card
    assert set(card["scores"]) == {"swd_16", "swd_32", "swd", "ms_ssim", "ms_ssim_real"}
    with pytest.raises(ValueError, match="need an extractor"):
        Evaluator(None, metrics=["prdc"])


def test_path_length_follows_its_definition(module):
    """On 250 paths by hand, from the same latents, in the same batches; the two lowest and highest are left out."""
    from lightning_gans.metrics.path_length import EPSILON, slerp
    from lightning_gans.runtime.seeding import derive_seed

    extractor, n, size = DigitsExtractor(), 250, 50
    evaluator = Evaluator(extractor, n=n, metrics=["path_length"], batch_size=size, seed=4)
    found = evaluator(module, DigitImages(image_size=32, channels=1))["scores"]["ppl_digits"]
    rng, steps = torch.Generator(), []
    for chosen in torch.arange(n).split(size):
        ends = [module.sampling_inputs(chosen.tolist(), derive_seed("path", name, 4))[0] for name in ("start", "end")]
        at = torch.stack(
            [torch.rand(1, generator=rng.manual_seed(derive_seed("at", 4, int(i)))) for i in chosen]
        ).double()
        with torch.no_grad():
            images = [module(slerp(*ends, where)) for where in (at, at + EPSILON)]
            before, after = (extractor.unrounded((image + 1) * 127.5).features.double() for image in images)
        steps += (((after - before) / EPSILON) ** 2).sum(1).tolist()
    kept = sorted(steps)[2:-2]
    assert found == pytest.approx(np.mean(kept), rel=1e-4)
    assert np.mean(steps) != pytest.approx(np.mean(kept), rel=1e-3)  # or leaving out could not be seen


TWO_PROCESSES = """
import json, sys
import torch
import torch.distributed as dist
import lightning_gans
from lightning_gans.data.digits import Digits as Images
from lightning_gans.evaluation.evaluator import Evaluator
from lightning_gans.extractors.digits import DigitsExtractor
from lightning_gans.metrics.kernel import KernelDistance
from lightning_gans.metrics.library import package_metrics

others = ("kernel", "path_length_w", "mixture", "wasserstein", "attribute_accuracy", "r_precision")
fitting = [metric for metric in package_metrics() if metric.data_kinds is None and metric.feed != "pairs"]
metrics = [metric for metric in fitting if metric.name not in others]
metrics.append(KernelDistance(subset_size=50))
torch.set_num_threads(1)
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
module, images = lightning_gans.load(folder), Images(image_size=32, channels=1, limit=200)
evaluator = Evaluator(DigitsExtractor(), n=130, n_real=162, batch_size=16, metrics=metrics, cache=sys.argv[3])
cards = [evaluator(module, images), evaluator(module, images)]
assert cards[0]["scores"] == cards[1]["scores"], cards
if rank == 1:
    print(json.dumps(cards[0]))
"""


def test_two_processes_give_the_scores_of_one(tmp_path, monkeypatch):
    """All metrics, with unequal numbers of batches and random subsets smaller than the sets; twice on one evaluator."""
    run(tmp_path, "data.image_size=32")
    (tmp_path / "script.py").write_text(TWO_PROCESSES)
    two = json.loads(two_scripts(tmp_path / "script.py", tmp_path, tmp_path / "cache")[1])
    module, images = lightning_gans.load(tmp_path), DigitImages(image_size=32, channels=1, limit=200)
    options = {"n": 130, "n_real": 162, "batch_size": 16, "metrics": IN_SUBSETS}
    one = Evaluator(DigitsExtractor(), cache=None, **options)(module, images)
    assert two["n"] == one["n"] == 130
    assert two["n_real"] == one["n_real"] == 162
    assert two["scores"] == pytest.approx(one["scores"], rel=1e-3, abs=1e-6)
    # What two processes kept is what one process reads.
    assert len(list((tmp_path / "cache").iterdir())) == 1
    again = Evaluator(DigitsExtractor(), cache=str(tmp_path / "cache"), **options)(module, images)
    assert again["scores"] == pytest.approx(one["scores"], rel=1e-3, abs=1e-6)


def test_shares_cover_everything_once_and_keep_pairs_together():
    for total, world in ((10, 1), (11, 2), (37, 4), (8, 4)):
        shares = [rank_slice(total, rank, world) for rank in range(world)]
        assert [i for some in shares for i in some] == list(range(total))
        assert all(some.start % 2 == 0 and len(some) for some in shares)


def test_scores_equal_torch_fidelitys_on_the_same_images(module, digits):
    """From images to numbers, with our small extractor registered there."""
    import torch_fidelity
    from torch.utils.data import TensorDataset
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    class Registered(FeatureExtractorBase):
        def __init__(self, name, features_list, **_):
            super().__init__(name, features_list)
            self.ours = DigitsExtractor()

        def forward(self, images):
            found = self.ours(images)
            return tuple({"64": found.features, "logits": found.logits}[name] for name in self.features_list)

        @staticmethod
        def get_provided_features_list():
            return "64", "logits"

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "logits" if metric == "isc" else "64"

        @staticmethod
        def can_be_compiled():
            return False

        @staticmethod
        def get_dummy_input_for_compile():
            return None

    class Images(TensorDataset):
        def __getitem__(self, i):
            return super().__getitem__(i)[0]

    torch_fidelity.register_feature_extractor("ours", Registered)
    real, fake = chosen(digits, 200), to_uint8(torch.cat(list(module.samples(range(200)))))
    theirs = torch_fidelity.calculate_metrics(
        input1=Images(fake),
        input2=Images(real),
        feature_extractor="ours",
        fid=True,
        kid=True,
        kid_subsets=1,
        kid_subset_size=200,
        cuda=False,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
    )
    ours = Evaluator(DigitsExtractor(), n=200, n_real=200, metrics=["frechet", "kernel"])(module, digits)["scores"]
    assert ours["fd_digits"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert ours["kd_digits"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)


# ---------------------------------------------------------------------------------- the cache


class Counting(DigitsExtractor):
    """Counts the images it looks at."""

    looked_at = 0

    def extract(self, images):
        Counting.looked_at += len(images)
        return super().extract(images)


def looked_at(module, data, cache, extractor=None, **options):
    """How many images an evaluation extracts features of, and its scores."""
    Counting.looked_at = 0
    evaluator = Evaluator(extractor or Counting(), n=10, **{"metrics": ["frechet", "modes"], "cache": cache, **options})
    return Counting.looked_at, evaluator(module, data)["scores"], Counting.looked_at


def test_real_features_are_read_once_and_found_again(module, tmp_path):
    data, cache = DigitImages(image_size=32, channels=1, limit=50), str(tmp_path / "kept")
    assert looked_at(module, data, cache)[2] == 60
    _, scores, count = looked_at(module, data, cache)
    assert count == 10  # the samples alone
    assert scores == looked_at(module, data, None)[1]
    (file,) = (tmp_path / "kept").iterdir()
    file.write_bytes(file.read_bytes()[:100])  # damaged: made anew
    assert looked_at(module, data, cache)[1:] == (scores, 60)
    assert looked_at(module, data, cache)[1:] == (scores, 10)
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_a_changed_set_split_size_resize_or_extractor_never_hits(module, tmp_path):
    data, cache = DigitImages(image_size=32, channels=1, limit=50), str(tmp_path / "kept")
    looked_at(module, data, cache)

    class OtherResize(Counting):
        resize = "nearest"

    class OtherWeights(Counting):
        def __init__(self):
            super().__init__()
            self.weights_hash = "0" * 16

    class InBf16(Counting):
        bf16 = True

    class OtherSplit(DigitImages):
        description = "test"

    class OtherContent(DigitImages):
        def load(self):
            held = super().load()
            held.images[7, 0, 3, 3] += 1
            return held

    options = {"image_size": 32, "channels": 1, "limit": 50}
    for other in ({"limit": 49}, {"image_size": 16}, {"channels": 3}):
        assert looked_at(module, DigitImages(**{**options, **other}), cache)[2] > 10, other
    for kind in (OtherSplit, OtherContent):
        assert looked_at(module, kind(**options), cache)[2] == 60, kind
    for extractor in (OtherResize(), OtherWeights(), InBf16()):
        assert looked_at(module, data, cache, extractor)[2] == 60, extractor
    assert looked_at(module, data, cache, n_real=40)[2] == 50
    assert looked_at(module, data, cache)[2] == 10


def test_what_was_cut_short_is_not_kept(module, tmp_path):
    data = DigitImages(image_size=32, channels=1)
    card = Evaluator(DigitsExtractor(), n=10, batch_size=8, time_budget_s=1e-9, cache=str(tmp_path))(module, data)
    assert card["n_real"] == 8
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_costs_nothing_else(module, tmp_path):
    (tmp_path / "file").write_text("in the way")
    data = DigitImages(image_size=32, channels=1, limit=50)
    assert looked_at(module, data, str(tmp_path / "file"))[2] == 60


def test_the_cache_lies_in_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert RealCache("auto").path({}).parent == tmp_path / "lightning_gans"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RealCache("auto").path({}).parent == tmp_path / ".cache" / "lightning_gans"


def test_one_evaluator_meets_another_set_anew(module):
    evaluator = Evaluator(DigitsExtractor(), n=20, metrics=["frechet", "ms_ssim"], cache=None)
    sets = [DigitImages(image_size=32, channels=1, limit=limit) for limit in (40, 60)]
    cards = [evaluator(module, data) for data in (sets[0], sets[1], sets[0])]
    assert cards[0]["scores"] == cards[2]["scores"] != cards[1]["scores"]
    assert cards[1]["n_real"] == 60


# ---------------------------------------------------------------------------------- extractors


def test_stacked_digits_are_a_thousand_modes(digits):
    """Three digits in three channels: the class is their number, read digit by digit."""
    held = digits.train_images
    triples = torch.cat([held.images[0:30], held.images[30:60], held.images[60:90]], 1)
    extractor = Stacked(DigitsExtractor)
    found = extractor(triples)
    assert extractor.name == "stacked_digits"
    assert extractor.key("fd") == "fd_stacked_digits"
    assert found.features.shape == (30, 192)
    labels = held.labels[0:30] * 100 + held.labels[30:60] * 10 + held.labels[60:90]
    assert (found.logits.argmax(1) == labels).float().mean() > 0.9
    torch.testing.assert_close(found.logits.exp().sum(1), torch.ones(30))
    with pytest.raises(ValueError, match="1 channels; it takes 3"):
        extractor(held.images[:2])


def test_inception_is_torch_fidelitys_layer_for_layer(tmp_path, monkeypatch):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    monkeypatch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state, **_: None)
    torch.save({}, tmp_path / "random_weights.pth")
    torch.manual_seed(0)
    extractor = Inception(weights=str(tmp_path / "random_weights.pth"))
    images = torch.randint(0, 256, (2, 3, 40, 40), dtype=torch.uint8)
    theirs = extractor.network(images)
    ours = extractor(images)
    torch.testing.assert_close(ours.features, theirs[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.logits, theirs[1], rtol=1e-4, atol=1e-5)


def test_a_classifier_is_trained_and_scores_by_its_name(tmp_path, module, digits):
    made = command("lightning_gans.train_extractor", "out=my classifier.pt", "epochs=2", "width=8", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "on 360 images that it has not seen" in made.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["my classifier.pt"]
    extractor = ClassifierExtractor(weights=str(tmp_path / "my classifier.pt"))
    assert extractor.key("fd") == "fd_classifier_digits"
    assert 0.5 < extractor.accuracy <= 1
    predicted = extractor(digits.train_images.images).logits.argmax(1)
    assert (predicted == digits.train_images.labels).float().mean() > extractor.accuracy - 0.1
    card = Evaluator(extractor, n=10, n_real=10, metrics=["frechet"])(module, digits)
    assert card["extractor_accuracy"] == extractor.accuracy
    assert set(card["scores"]) == {"fd_classifier_digits"}
    with pytest.raises(FileNotFoundError, match=r"extractor\.weights=nowhere\.pt"):
        ClassifierExtractor(weights="nowhere.pt")
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="not made by python -m lightning_gans"):
        ClassifierExtractor(weights=str(tmp_path / "other.pt"))


def test_the_digits_weights_come_from_the_same_trainer():
    from lightning_gans.training.train_digits import train

    before = torch.random.get_rng_state()
    network, accuracy = train(epochs=3)
    assert torch.equal(before, torch.random.get_rng_state())
    assert accuracy > 0.8
    assert network.state_dict().keys() == torch.load(DIGITS_WEIGHTS, weights_only=True).keys()


# ---------------------------------------------------------------------------------- folders


@pytest.fixture
def folders(tmp_path, digits):
    """Two folders of thirty pictures, ten of them in common."""
    for name, numbers in {"a": range(30), "b": range(20, 50)}.items():
        for i in numbers:
            save(digits.train_images.images[i], tmp_path / name / f"{i}.png")
    return tmp_path


def picture(path):
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


def test_two_folders_are_compared_without_a_model(folders):
    options = ["reference=a", "extractor=digits", "metrics=[frechet,kernel,prdc,ms_ssim]"]
    made = command("lightning_gans.evaluate", *options, "candidate=b", "out=scores", cwd=folders)
    assert made.returncode == 0, made.stderr
    card = json.loads((folders / "scores" / "candidate.scores.json").read_text())
    assert card["n"] == card["n_real"] == 30
    assert card["image_size"] == card["candidate"]["image_size"] == 32
    assert card["scores"]["fd_digits"] > 1
    images = [torch.stack([picture(path) for path in sorted((folders / name).iterdir())]) for name in "ab"]
    (real, _), (fake, _) = (features_of(some) for some in images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.linalg.LinAlgWarning)  # which not every version of SciPy gives
        wanted = frechet(real, fake)
    assert card["scores"]["fd_digits"] == pytest.approx(wanted, rel=1e-3)
    same = command("lightning_gans.evaluate", *options, "candidate=a", cwd=folders)
    assert same.returncode == 0, same.stderr
    lines = dict(line.split()[:2] for line in same.stdout.splitlines())
    assert abs(float(lines["fd_digits"])) < 1e-2
    assert float(lines["precision_digits"]) == float(lines["coverage_digits"]) == 1
    assert sorted(path.name for path in folders.iterdir()) == ["a", "b", "scores"]


def test_folders_of_rectangles_are_compared(tmp_path, digits):
    """At their own size, or at one that is typed as [height, width]."""
    for name, numbers in {"a": range(30), "b": range(20, 50)}.items():
        for i in numbers:
            save(digits.train_images.images[i, :, :16], tmp_path / name / f"{i}.png")
    for sizes in (None, [16, 32]):
        assert folder(str(tmp_path / "a"), "reference", image_size=sizes, channels=3).shape == (3, 16, 32)
    options = ["reference=a", "candidate=b", "extractor=digits", "metrics=[frechet]", "out=scores"]
    for typed, size in {"null": [16, 32], "[8,16]": [8, 16], "[8,8]": 8}.items():
        made = command("lightning_gans.evaluate", *options, f"image_size={typed}", cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        card = json.loads((tmp_path / "scores" / "candidate.scores.json").read_text())
        assert card["image_size"] == card["candidate"]["image_size"] == size
        assert card["scores"]["fd_digits"] > 1


def test_a_checkpoint_is_compared_with_a_folder(folders):
    run(folders / "run", "data.image_size=32")
    options = ["checkpoint=run", "reference=a", "n=20", "metrics=[frechet]", "out=scores"]
    made = command("lightning_gans.evaluate", *options, cwd=folders)
    assert made.returncode == 0, made.stderr
    card = json.loads((folders / "scores" / "last.scores.json").read_text())
    assert card["data"] == "Folder"
    assert card["n_real"] == 30
    assert card["reference_root"] == "a"


def test_folders_of_other_sizes_are_told(folders, digits):
    save(digits.train_images.images[0, :, :20], folders / "a" / "flat.png")
    with pytest.raises(ValueError, match=r"reference=.*not of one size: .*32x20 \(flat\.png\); say image_size"):
        folder(str(folders / "a"), "reference", image_size=None, channels=3)
    assert len(folder(str(folders / "a"), "reference", image_size=16, channels=3).train_images) == 31
    with pytest.raises(FileNotFoundError, match="candidate=nowhere"):
        folder("nowhere", "candidate", image_size=None, channels=3)
    (folders / "empty").mkdir()
    with pytest.raises(ValueError, match="candidate=.*no images"):
        folder(str(folders / "empty"), "candidate", image_size=None, channels=3)


def test_sizes_are_those_of_the_images_that_are_read(tmp_path, digits):
    """Under links too; neither of what is hidden nor of what a Mac's zip has beside its pictures."""
    size = {"image_size": None, "channels": 1}
    save(digits.train_images.images[0], tmp_path / "elsewhere" / "0.png")
    save(digits.train_images.images[0, :, :16, :16], tmp_path / "linked" / ".thumbs" / "0.png")
    (tmp_path / "linked" / "more").symlink_to(tmp_path / "elsewhere")
    data = folder(str(tmp_path / "linked"), "reference", **size)
    assert (data.image_size, len(data.train_images)) == (32, 1)
    with zipfile.ZipFile(tmp_path / "mac.zip", "w") as archive:
        archive.write(tmp_path / "elsewhere" / "0.png", "0.png")
        archive.write(tmp_path / "linked" / ".thumbs" / "0.png", "__MACOSX/0.png")
    assert folder(str(tmp_path / "mac.zip"), "reference", **size).image_size == 32
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "a.png").write_text("no picture")
    with pytest.raises(ValueError, match="candidate=.*none of its 1 files can be read, such as a.png"):
        folder(str(tmp_path / "damaged"), "candidate", **size)
    save(digits.train_images.images[0], tmp_path / "damaged" / "b.png")
    with pytest.raises(ValueError, match=r"candidate=.*cannot read a.png .*\. on_error=skip leaves such files out"):
        folder(str(tmp_path / "damaged"), "candidate", **size)
    with pytest.warns(UserWarning, match="left out"):
        assert len(folder(str(tmp_path / "damaged"), "candidate", **size, on_error="skip").train_images) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "checkpoint: missing"),
        (["candidate=a"], "needs reference=DIR"),
        (["candidate=a", "reference=b", "checkpoint=c"], "say one of the two"),
        (["checkpoint=c", "reference=a", "data.held_out=true"], "reference=a: not with data.held_out=true"),
        (["checkpoint=c", "image_size=32"], "image_size=32: not with a checkpoint"),
        (["checkpoint=c", "extractor=classifier"], "extractor.weights: missing"),
        (["checkpoint=c", "extractor=digitz"], "Did you mean 'digits'"),
        (["checkpoint=c", "metrics=[fid]"], "error: metrics=fid: must be among"),
        (["candidate=a", "reference=b", "image_size=0"], "error: image_size=0: must be >= 1"),
        (["candidate=a", "reference=b", "image_size=[8,0]"], "error: image_size=[8, 0]: must be >= 1"),
        (["candidate=a", "reference=b", "image_size=[8]"], "error: image_size=[8]: must be a side, or [height, width]"),
        (["candidate=a", "reference=b", "channels=5"], "error: channels=5: must be from 1 to 4"),
        (["candidate=a", "reference=b", "on_error=go"], "error: on_error=go: must be stop or skip"),
        (["checkpoint=c", "n=0"], "error: n=0: must be >= 2"),
    ],
)
def test_evaluate_tells_mistakes_in_one_line(tmp_path, options, message):
    made = command("lightning_gans.evaluate", *options, cwd=tmp_path)
    assert made.returncode == 1
    (line,) = [line for line in made.stderr.splitlines() if line.strip()]
    assert message in line


# ---------------------------------------------------------------------------------- in training


def test_the_cards_of_a_run_are_its_curve(tmp_path):
    """Updates, images and seconds, over two sessions; cards after the step that was resumed are forgotten."""
    options = [evaluation(every_n_train_steps=2, metrics="[frechet]"), "callbacks.checkpoint.every_n_train_steps=2"]
    run(tmp_path, *options, "trainer.max_steps=6", "callbacks.checkpoint.keep=null")
    run(tmp_path, *options, "trainer.max_steps=8", resume=str(tmp_path / "checkpoints" / "step-000002.ckpt"))
    cards = {path.name: json.loads(path.read_text()) for path in sorted((tmp_path / "scores").iterdir())}
    assert list(cards) == [f"step-00000{step}.json" for step in (2, 4, 6, 8)]
    assert [card["images_seen"] for card in cards.values()] == [16, 32, 48, 64]
    seconds = [card["train_seconds"] for card in cards.values()]
    assert seconds == sorted(seconds)
    (tmp_path / "scores" / "step-000010.json").write_text("{}")
    run(tmp_path, *options, "trainer.max_steps=9", resume=str(tmp_path))
    assert not (tmp_path / "scores" / "step-000010.json").exists()
    assert (tmp_path / "scores" / "step-000009.json").exists()


def test_without_weights_the_scores_that_need_none_go_on(tmp_path, monkeypatch):
    from lightning_gans.extractors import digits as extractors_digits

    def fail(self):
        raise ConnectionError("no network")

    monkeypatch.setattr(extractors_digits.DigitsExtractor, "__init__", fail)
    with pytest.warns(UserWarning, match="goes on without frechet: no network"):
        run(tmp_path, evaluation(every_n_train_steps=2, metrics="[frechet, ms_ssim]"))
    card = json.loads((tmp_path / "scores" / "step-000004.json").read_text())
    assert set(card["scores"]) == {"ms_ssim", "ms_ssim_real"}


def test_fingerprints_tell_contents_apart(folders, digits):
    """Of files that are read when they are asked for, and of parts of a set."""
    from lightning_gans.data.folder import Folder

    def of(name, **options):
        data = Folder(root=str(folders / name), **{"image_size": 32, "channels": 1, "memory_gb": 0, **options})
        return data.train_images.fingerprint()

    first = of("a")
    others = [of("b"), of("a", limit=29), of("a", image_size=16), of("a", channels=3), of("a", resize="stretch")]
    others += [of("a", val_fraction=0.5), of("a", val_fraction=0.5, seed=1)]
    save(digits.train_images.images[99], folders / "a" / "0.png")
    others.append(of("a"))
    assert len({first, *others}) == 9
    assert of("a") == others[-1]


@pytest.mark.parametrize(("memory_gb", "ahead"), [(0, True), (1, False)])
def test_threads_read_files_ahead_and_leave_memory_alone(folders, monkeypatch, memory_gb, ahead):
    """Beside a network that computes, a thread that indexes memory costs twice what it takes."""
    from lightning_gans.data.folder import Folder

    data = Folder(root=str(folders / "a"), image_size=32, channels=1, memory_gb=memory_gb, limit=29)
    real, readers = RealImages(data), set()
    fetch = real.images.fetch
    monkeypatch.setattr(real.images, "fetch", lambda index: readers.add(threading.current_thread()) or fetch(index))
    whole = torch.cat([batch["image"] for batch in real.batches(range(29), 4)])
    assert torch.equal(whole, fetch(real.order)["image"])
    assert real.images.is_in_memory is not ahead
    assert (threading.current_thread() not in readers) is ahead


def test_points_are_scored_by_features_alone():
    from lightning_gans.data.toy2d import Toy2D
    from lightning_gans.extractors.points import Points

    points = Toy2D(distribution="ring", image_size=None, channels=2, n=500)
    card = Evaluator(Points("ring"), n=None, metrics=["frechet", "prdc", "modes"], cache=None)(points, points)
    assert card["scores"]["modes_points"] == 8
    assert card["scores"]["precision_points"] == 1
    with pytest.raises(ValueError, match="metrics=swd: compares images; the data has points"):
        Evaluator(Points("ring"), metrics=["swd"], cache=None)(points, points)

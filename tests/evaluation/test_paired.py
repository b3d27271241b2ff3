"""Scores of translations: pairs, the output domain, and what is refused."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from conftest import command_here, evaluation, run, two_scripts
from lightning_gans.callbacks.evaluation import Evaluation
from lightning_gans.data.digits import Digits as DigitImages
from lightning_gans.data.translation.digit_domains import DigitDomains
from lightning_gans.data.translation.digit_edges import DigitEdges
from lightning_gans.data.translation.photo_patches import PhotoPatches
from lightning_gans.evaluation.evaluator import Evaluator
from lightning_gans.evaluation.selection import available_metrics, metrics_for, select_metrics
from lightning_gans.evaluation.sources import RealImages, TranslatedImages
from lightning_gans.extractors.digits import DigitsExtractor
from lightning_gans.extractors.inception import Inception
from lightning_gans.images.pixels import to_uint8
from lightning_gans.losses.objectives import LeastSquares
from lightning_gans.metrics.base import best_by, is_higher_better, is_qualifier
from lightning_gans.metrics.library import as_metrics, make_metric, package_metrics
from lightning_gans.metrics.ms_ssim import ssim
from lightning_gans.metrics.paired import PairMean, l1, psnr
from lightning_gans.models.translation import TranslationModule


def images(n=3, channels=3, side=32, seed=0):
    """Smooth ones, as photographs are, uint8."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, side // 4, side // 4, generator=rng)
    fine = F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
    return (fine + 0.1 * torch.rand(n, channels, side, side, generator=rng)).mul(230).clamp(0, 255).to(torch.uint8)


def names(metrics):
    return [metric.name for metric in metrics]


def by_skimage(one, two):
    """PSNR and SSIM of each pair, (N,) both."""
    pairs = [(a.permute(1, 2, 0).numpy(), b.permute(1, 2, 0).numpy()) for a, b in zip(one, two, strict=True)]
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    similar = [structural_similarity(a, b, channel_axis=2, **options) for a, b in pairs]
    return [peak_signal_noise_ratio(a, b, data_range=255) for a, b in pairs], similar


@pytest.mark.parametrize(("channels", "side"), [(1, 16), (3, 32), (3, 12)])
def test_psnr_and_ssim_agree_with_scikit_image(channels, side):
    one = images(channels=channels, side=side)
    two = (one.int() + torch.randint(-20, 21, one.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 255)
    two = two.to(torch.uint8)
    ratio, similarity = by_skimage(one, two)
    assert psnr(one, two).tolist() == pytest.approx(ratio, rel=1e-4)
    assert ssim(one, two).tolist() == pytest.approx(similarity, abs=1e-4)


def test_luma_scores_agree_with_scikit_image_and_stand_beside_bicubic():
    """Of Y by BT.601 without as many pixels at the edges as the factor."""
    target, made = images(seed=1), images(seed=2)
    source = F.interpolate(target.float() / 127.5 - 1, (8, 8), mode="bicubic", antialias=True, align_corners=False)
    bicubic = F.interpolate(source, (32, 32), mode="bicubic", antialias=True, align_corners=False)

    def y(pictures):
        rgb = pictures.permute(0, 2, 3, 1).double().numpy() / 255
        return torch.from_numpy(16 + rgb @ np.array([65.481, 128.553, 24.966]))[:, None, 4:-4, 4:-4]

    for name, index in (("psnr_y", 0), ("ssim_y", 1)):
        metric = make_metric(name)
        metric.update({"image": made, "target": target, "source": source})
        scores = metric.compute()
        assert list(scores) == [name, f"{name}_bicubic"]
        assert float(scores[name]) == pytest.approx(np.mean(by_skimage(y(made), y(target))[index]), abs=1e-4)
        expected = np.mean(by_skimage(y(to_uint8(bicubic)), y(target))[index])
        assert float(scores[f"{name}_bicubic"]) == pytest.approx(expected, abs=1e-4)
        assert scores[f"{name}_bicubic"] > scores[name]


def test_equal_images_score_best_and_finitely():
    one = images(side=16)
    assert l1(one, one).tolist() == [0] * 3
    assert psnr(one, one).tolist() == [100] * 3
    assert ssim(one, one).tolist() == pytest.approx([1] * 3)
    assert l1(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 51)).item() == pytest.approx(0.2)


def test_means_do_not_depend_on_batches():
    one, two = images(7, seed=1), images(7, seed=2)
    whole, parts = make_metric("psnr"), make_metric("psnr")
    whole.update({"image": one, "target": two})
    for start in (0, 3, 4):
        end = {0: 3, 3: 4, 4: 7}[start]
        parts.update({"image": one[start:end], "target": two[start:end]})
    assert float(whole.compute()["psnr"]) == pytest.approx(float(parts.compute()["psnr"]))
    assert float(whole.compute()["psnr"]) == pytest.approx(float(psnr(one, two).mean()))


def test_lpips_is_torchmetrics_own(monkeypatch):
    """By AlexNet with random weights; grey images as three equal channels."""
    torch.manual_seed(0)
    layers = torchvision.models.alexnet(weights=None).features
    monkeypatch.setattr(torchvision.models, "alexnet", lambda **options: SimpleNamespace(features=layers))
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    one, two = images(4, 1, 64, seed=1), images(4, 1, 64, seed=2)
    metric = make_metric("lpips")
    metric.load_weights()
    metric.update({"image": one, "target": two})
    own = LearnedPerceptualImagePatchSimilarity(net_type="alex")
    own.update(*(some.expand(-1, 3, -1, -1) / 127.5 - 1 for some in (one, two)))
    assert float(metric.compute()["lpips"]) == pytest.approx(float(own.compute()), rel=1e-4)
    assert float(metric.compute()["lpips"]) > 0
    assert isinstance(metric, PairMean)


# ---------------------------------------------------------------------------------- of a module


class Fading(TranslationModule):
    """Forwards the source, somewhat darker; backwards black."""

    directions = ("a2b", "b2a")

    def __init__(self, channels=3, scale=1):
        options = {"g_optimizer": torch.optim.SGD, "d_optimizer": torch.optim.SGD, "batch_size": 1}
        networks = nn.Conv2d(channels, channels, 1), nn.Conv2d(2 * channels, 1, 1)
        super().__init__(*networks, objective=LeastSquares(), **options)
        self.scale = scale

    def translate(self, source, *, direction="a2b", seed=0):
        if direction == "b2a":
            return source * 0 - 1
        return (F.interpolate(source, scale_factor=self.scale) if self.scale > 1 else source) * 0.9


@pytest.fixture(scope="module")
def edges():
    return DigitEdges(image_size=32, channels=3, source_channels=3)


def test_translations_of_the_examples_are_compared_with_their_targets(edges):
    card = Evaluator(DigitsExtractor(), n=None, metrics=["frechet", "l1", "psnr", "ssim"], cache=None)(Fading(), edges)
    batch = edges.examples(range(297))
    made, target = to_uint8(batch["source"] * 0.9), to_uint8(batch["target"])
    ratio, similarity = by_skimage(made, target)
    assert card["scores"]["psnr"] == pytest.approx(np.mean(ratio), rel=1e-4)
    assert card["scores"]["ssim"] == pytest.approx(np.mean(similarity), abs=1e-4)
    assert card["scores"]["l1"] == pytest.approx((made.double() - target.double()).abs().mean().item() / 255)
    assert {"n": 297, "n_real": 1500, "translated": "test", "direction": "a2b"}.items() <= card.items()


def test_scores_of_pairs_alone_read_no_training_images_and_name_none():
    class Untouched(DigitEdges):
        def load(self):
            pytest.fail("the training images were read")

    sizes = {"image_size": 32, "channels": 3, "source_channels": 3}
    data = Untouched(**sizes)
    evaluator = Evaluator(None, n=20, metrics=["l1", "psnr"], cache=None)
    cards = [evaluator(Fading(), data) for _ in range(2)]
    assert cards[0]["scores"] == cards[1]["scores"]
    assert {"n": 20, "n_real": 0, "data": "Untouched", "image_size": 32, "translated": "test"}.items() <= cards[
        0
    ].items()
    assert not {"split", "content"} & cards[0].keys()
    with pytest.raises(ValueError, match="evaluation: 1 samples; must be >= 2"):
        Evaluator(None, n=2, metrics=["l1"])(
            Fading(), DigitEdges(image_size=32, channels=3, source_channels=3, limit=1)
        )


def test_embedded_photographs_ask_for_no_extractor(tmp_path, monkeypatch):
    """A first training on them downloads nothing."""
    monkeypatch.setattr(Inception, "__init__", lambda *_, **__: pytest.fail("weights were asked for"))
    for choice, model, scores in (
        ("photo_patches", "srgan", {"psnr_y", "psnr_y_bicubic", "ssim_y", "ssim_y_bicubic", "psnr"}),
        ("photo_colors", "pix2pix", {"l1", "psnr", "ssim"}),
    ):
        options = [f"data={choice}", "data.image_size=16", "data.limit=20", "trainer.max_steps=1", evaluation()]
        run(tmp_path / model, *options, model=model)
        card = json.loads((tmp_path / model / "scores" / "step-000001.json").read_text())
        assert set(card["scores"]) == scores


def test_evaluate_says_what_was_compared(tmp_path, monkeypatch, capsys):
    run(tmp_path / "run", *small("trainer.max_steps=1"), model="pix2pix")
    for metrics, words in (
        ("[l1,ssim]", "20 translations (test) against their targets"),
        ("[frechet]", "20 real images"),
    ):
        arguments = ["checkpoint=run", "n=100", f"metrics={metrics}", "out=scores", "device=cpu"]
        assert command_here("lightning_gans.evaluate", *arguments, cwd=tmp_path, monkeypatch=monkeypatch) == 0
        assert words in capsys.readouterr().out


def test_evaluate_ends_without_an_extractor_that_was_asked_for(tmp_path, monkeypatch, capsys):
    """Without one that the data names the other scores go on."""

    def offline(self, *arguments, **options):
        raise OSError("no network")

    run(tmp_path / "run", *small("trainer.max_steps=1"), model="pix2pix")
    monkeypatch.setattr(DigitsExtractor, "__init__", offline)
    arguments = ["checkpoint=run", "n=10", "out=scores", "device=cpu"]
    assert command_here("lightning_gans.evaluate", *arguments, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    told = capsys.readouterr()
    assert "without frechet: no network" in told.err
    assert "ssim" in told.out
    arguments.append("extractor=digits")
    assert command_here("lightning_gans.evaluate", *arguments, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert capsys.readouterr().err.strip() == "error: no network"


def test_the_output_domain_is_that_of_the_targets(edges):
    """Targets against targets are at no distance, sources are."""

    class Knows(Fading):
        def translate_batch(self, batch, *, direction="a2b", seed=0):
            return batch["target" if direction == "a2b" else "source"]

    data = DigitEdges(image_size=32, channels=3, source_channels=3)
    data.source.load_test = lambda spec: data.train_images
    for direction in ("a2b", "b2a"):
        evaluator = Evaluator(DigitsExtractor(), n=None, metrics=["frechet"], direction=direction, cache=None)
        assert abs(evaluator(Knows(), data)["scores"]["fd_digits"]) < 1e-2
    assert (
        Evaluator(DigitsExtractor(), n=None, metrics=["frechet"], cache=None)(Fading(), data)["scores"]["fd_digits"]
        > 10
    )


def test_scores_depend_on_neither_batches_nor_the_order_of_the_files(edges):
    options = {"n": 50, "metrics": ["frechet", "l1", "psnr"], "cache": None}
    one, two = (Evaluator(DigitsExtractor(), batch_size=size, **options)(Fading(), edges)["scores"] for size in (7, 64))
    assert one == pytest.approx(two, rel=1e-4)
    chosen = TranslatedImages(Fading(), edges, 50, 0, "a2b").order[:50]
    assert chosen.max() > 200  # not the first ones


def test_two_domains_have_each_their_own_number():
    data = DigitDomains(image_size=32, channels=3, source_channels=3, look="coloured", limit=100)
    there, back = RealImages(data), RealImages(data, direction="b2a")
    assert there.metadata()["content"] != back.metadata()["content"]
    shown = [next(side.batches(range(4), 4))["image"] for side in (there, back)]
    assert shown[0].shape == shown[1].shape == (4, 3, 32, 32)
    assert torch.equal(shown[1][:, 0], shown[1][:, 2])  # the plain digits are grey
    assert not torch.equal(shown[0][:, 0], shown[0][:, 2])
    assert names(select_metrics(None, Fading(), data)) == [
        "frechet",
        "kernel",
        "l1",
        "psnr",
        "ssim",
    ]  # its test images match


def test_super_resolution_is_scored_by_luma_beside_bicubic():
    data = PhotoPatches(image_size=32, channels=3, source_channels=3, factor=4, limit=40)
    metrics = select_metrics(None, Fading(scale=4), data)
    assert names(metrics) == ["psnr_y", "ssim_y", "psnr", "frechet"]
    card = Evaluator(None, n=20, metrics=metrics[:3])(Fading(scale=4), data)
    assert set(card["scores"]) == {"psnr_y", "psnr_y_bicubic", "ssim_y", "ssim_y_bicubic", "psnr"}
    assert 15 < card["scores"]["psnr_y_bicubic"] < 50
    assert best_by(card["scores"], metrics) == "psnr_y"


@pytest.mark.parametrize(
    ("metric", "kind", "pairs", "translates", "message"),
    [
        ("psnr", "image", False, False, "compares translations with their targets"),
        (
            "ssim",
            "unpaired",
            False,
            True,
            "compares pairs; data of kind unpaired has no targets of its translations",
        ),
        ("psnr_y", "paired", True, True, "needs data of kind super_resolution; this is of kind paired"),
        ("path_length", "paired", True, True, "walks between latents; translations have none"),
        ("swd", "points", False, False, "compares images; the data has points"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(metric, kind, pairs, translates, message):
    with pytest.raises(ValueError, match=f"here.metrics={metric}: {message}"):
        metrics_for(kind, [metric], pairs=pairs, translates=translates, where="here")


def test_defaults_and_directions_by_kind():
    def chosen(kind, pairs, translates=True):
        return names(metrics_for(kind, None, pairs=pairs, translates=translates))

    assert chosen("labelled", False, False) == ["frechet", "inception_score", "kernel"]
    assert chosen("unpaired", False) == ["frechet", "kernel"]
    assert chosen("paired", True) == ["frechet", "l1", "psnr", "ssim"]
    known = package_metrics()
    assert [is_higher_better(name, known) for name in ("psnr", "ssim", "psnr_y", "l1", "lpips", "ms_ssim")] == [
        *(True, True, True, False, False, False)
    ]
    assert is_qualifier("psnr_y_bicubic")
    assert best_by(["l1", "psnr", "fd_digits"], known) == "fd_digits"
    assert best_by(["psnr", "fid"], known) == "fid"
    assert best_by(["l1", "psnr"], known) == "l1"
    assert best_by(["is_std"], known) is None


def test_images_without_latents_or_pairs_are_refused(edges):
    with pytest.raises(ValueError, match="metrics=psnr: compares translations"):
        Evaluator(None, metrics=["psnr"])(
            DigitImages(image_size=32, channels=1), DigitImages(image_size=32, channels=1)
        )
    with pytest.raises(ValueError, match="direction=b2b: Fading translates a2b, b2a only"):
        Evaluator(None, metrics=["psnr"], direction="b2b")(Fading(), edges)
    with pytest.raises(ValueError, match="^direction=there: must be a2b or b2a"):
        Evaluation(direction="there")


def test_held_out_targets_can_be_compared_with(edges):
    """The examples stay what they were; without a test part they are the held-out images themselves."""
    for has_test in (False, True):
        whole = DigitEdges(image_size=32, channels=3, source_channels=3, limit=40, val_fraction=0.25)
        if not has_test:
            whole.source.load_test = lambda spec: None
        card = Evaluator(DigitsExtractor(), n=None, metrics=["frechet", "l1"], cache=None)(Fading(), whole.val())
        assert card["n_real"] == 10
        assert card["split"].startswith("held-out part of")
        assert (card["n"], card["translated"]) == ((40, "test") if has_test else (10, "held-out"))


def test_small_images_are_refused_by_lpips():
    data = DigitEdges(image_size=16, channels=3, source_channels=3)
    with pytest.raises(ValueError, match="here.metrics=lpips: data.image_size=16; must be >= 32"):
        select_metrics(["lpips"], Fading(), data, "here")


# ---------------------------------------------------------------------------------- two processes

TWO_PROCESSES = """
import json, sys
import torch
import torch.distributed as dist
from test_paired import Fading, score
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}/meeting", rank=int(sys.argv[1]), world_size=2)
print(json.dumps(score()))
"""


def score():
    data = DigitEdges(image_size=32, channels=3, source_channels=3, limit=120)
    metrics = ["frechet", "kernel", "l1", "psnr", "ssim", "swd"]
    return Evaluator(DigitsExtractor(), n=83, batch_size=16, metrics=metrics, cache=None)(Fading(), data)


def test_two_processes_give_the_scores_of_one(tmp_path):
    (tmp_path / "script.py").write_text(TWO_PROCESSES)
    cards = [json.loads(out) for out in two_scripts(tmp_path / "script.py", tmp_path)]
    one = score()
    assert cards[0]["scores"] == cards[1]["scores"]
    assert cards[0]["n"] == one["n"] == 83
    assert cards[0]["scores"] == pytest.approx(one["scores"], rel=1e-3)
    for name in ("l1", "psnr", "ssim"):
        assert cards[0]["scores"][name] == pytest.approx(one["scores"][name], rel=1e-9)


# ---------------------------------------------------------------------------------- in training


def small(*options):
    return [
        *("data=digit_edges", "data.image_size=16", "model.generator.base_channels=4", "data.limit=20"),
        *("model.discriminator.base_channels=4", "model.discriminator.receptive_field=16", "trainer.max_steps=2"),
        *options,
    ]


def test_a_training_scores_its_translations_and_keeps_the_best(tmp_path):
    options = [evaluation(every_n_train_steps=1), "callbacks.checkpoint.monitor=ssim"]
    run(tmp_path, *small(*options), model="pix2pix")
    cards = [json.loads(path.read_text()) for path in sorted((tmp_path / "scores").iterdir())]
    assert set(cards[0]["scores"]) == {"fd_digits", "l1", "psnr", "ssim"}
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    states = [state for name, state in best["callbacks"].items() if name.startswith("Checkpoint")]
    assert states[0]["best"] == -max(card["scores"]["ssim"] for card in cards)
    with pytest.raises(ValueError, match="monitor=psnr_y: must be among fd_digits, l1, psnr, ssim"):
        run(tmp_path / "b", *small(evaluation(), "callbacks.checkpoint.monitor=psnr_y"), model="pix2pix")
    with pytest.raises(ValueError, match="callbacks.evaluation.metrics=path_length: walks between latents"):
        run(tmp_path / "c", *small(evaluation(metrics="[path_length]")), model="pix2pix")


def test_without_lpips_weights_the_other_scores_go_on(tmp_path, monkeypatch):
    def offline(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr(torchvision.models, "alexnet", offline)
    with pytest.warns(UserWarning, match=r"goes on without lpips: metrics=lpips: .* \(no network\).*alexnet-owt"):
        run(tmp_path, *small(evaluation(metrics="[l1, lpips]"), "data.image_size=32"), model="pix2pix")
    card = json.loads((tmp_path / "scores" / "step-000002.json").read_text())
    assert set(card["scores"]) == {"l1"}


def test_scores_go_on_without_weights_that_were_not_asked_for(monkeypatch):
    """Without LPIPS always, without an extractor unless it was asked for."""

    def offline(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr(torchvision.models, "alexnet", offline)
    wanted = as_metrics(["l1", "frechet", "kernel", "lpips"])
    extractor, left, lacking = available_metrics(wanted, offline, was_asked=False)
    assert (extractor, names(left)) == (None, ["l1"])
    assert lacking["frechet, kernel"] == "no network"
    assert "AlexNet's weights could not be downloaded (no network)" in lacking["lpips"]
    for some, make in (([wanted[0], wanted[3]], offline), (wanted[:2], None)):
        extractor, left, _ = available_metrics(some, make, was_asked=True)
        assert (extractor, names(left)) == (None, ["l1"])
    with pytest.raises(ValueError, match="no network"):
        available_metrics(wanted[:2], offline, was_asked=True)
    made = available_metrics(wanted[:2], DigitsExtractor, was_asked=True)
    assert isinstance(made[0], DigitsExtractor)
    assert (names(made[1]), made[2]) == (["l1", "frechet"], {})

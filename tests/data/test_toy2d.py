"""Points in the plane: what they are, that a GAN finds their modes, what is drawn and scored of them."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

import lightning_gans
from conftest import command, evaluation, refusal, run, samples, tiny
from lightning_gans.data.inspection import look
from lightning_gans.data.toy2d import Toy2D
from lightning_gans.extractors.mixture import DISTRIBUTIONS, mixture
from lightning_gans.extractors.points import Points
from lightning_gans.images.pixels import to_uint8
from lightning_gans.images.sheets import scatter
from lightning_gans.inference.samples import write_samples

SMALL = [
    "data=toy2d",
    "data.image_size=null",
    "data.limit=1000",
    "model.generator.hidden=[16]",
    "model.discriminator.hidden=[16]",
]


def toy(distribution="ring", **options):
    return Toy2D(distribution=distribution, **{"image_size": None, "channels": 2, **options})


@pytest.mark.parametrize(("distribution", "modes"), [("ring", 8), ("grid", 25), ("swiss_roll", 10), ("moons", 2)])
def test_points_lie_where_they_should(distribution, modes):
    data = toy(distribution, n=20000)
    points, labels = data.load().images, data.load().labels
    assert points.shape == (20000, 2)
    assert points.dtype == torch.float32
    assert 0.9 < points.abs().max() < 1.15
    shares = torch.bincount(labels, minlength=modes) / 20000
    assert len(shares) == modes
    assert (shares - 1 / modes).abs().max() < 0.02
    likely = mixture(distribution).log_likelihood(points)
    assert (likely.argmax(1) == labels).float().mean() > 0.97
    away = mixture(distribution).log_likelihood(points + 0.15)
    assert likely.logsumexp(1).mean() > away.logsumexp(1).mean() + 1
    assert torch.equal(toy(distribution, n=20000).load().images, points)
    assert not torch.equal(toy(distribution, n=20000, seed=1).load().images, points)


def test_moons_are_scikit_learns():
    from sklearn.datasets import make_moons

    theirs = torch.tensor(make_moons(2000, noise=None, random_state=0)[0]).float()
    ours = mixture("moons").centres.flatten(0, 1) * 1.5 + torch.tensor([0.5, 0.25])
    assert torch.cdist(theirs, ours).min(1).values.max() < 0.03
    assert torch.cdist(ours, theirs).min(1).values.max() < 0.03


def test_likelihood_of_one_normal_distribution_in_closed_form():
    point = torch.tensor([[1.02, 0.0]])  # two standard deviations from the first centre
    expected = -2 - math.log(2 * math.pi * 0.01**2)
    assert mixture("ring").log_likelihood(point)[0, 0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_densities_integrate_to_one(distribution):
    side = torch.linspace(-1.5, 1.5, 301)  # as wide as the narrowest deviation, which is exact enough for a normal
    plane = torch.cartesian_prod(side, side)
    made = mixture(distribution)
    sums = sum(made.log_likelihood(part).exp().sum(0) for part in plane.split(20_000)) * 0.01**2
    assert (sums - 1).abs().max() < 0.02


def covered(points, distribution="ring"):
    """Modes that at least 2 % of the points lie within five standard deviations of."""
    made = mixture(distribution)
    distance, nearest = torch.cdist(points, made.centres[:, 0]).min(1)
    counts = torch.bincount(nearest[distance < 5 * made.sigma], minlength=len(made.centres))
    return int((counts >= 0.02 * len(points)).sum())


@pytest.mark.slow
def test_a_gan_finds_all_modes_of_the_ring(tmp_path):
    """As ``model=gan data=toy2d`` is tuned; the counter counts: an untrained network covers none, half a ring four."""
    options = ["model=gan", "data=toy2d", "trainer.accelerator=cpu", "trainer.precision=32-true"]
    quiet = ["trainer.enable_progress_bar=false", "+trainer.enable_model_summary=false", "trainer.max_steps=2000"]
    options.append("callbacks.evaluation.every_n_train_steps=2000")
    made = run(tmp_path, *options, *quiet, tiny_options=False)
    assert covered(made.model.sample(2000, seed=1, batch_size=2000)) == 8
    fresh = lightning_gans.build(lightning_gans.compose(*options), tmp_path / "fresh").model
    assert covered(fresh.sample(2000, seed=1, batch_size=2000)) == 0
    real = toy().load()
    assert covered(real.images[real.labels < 4]) == 4
    card = json.loads(max((tmp_path / "scores").iterdir()).read_text())
    assert card["scores"]["fd_points"] < 0.1
    assert card["scores"]["is_points"] > 7  # of at most 8
    assert card["image_size"] is None


def test_a_run_draws_scores_samples_and_resumes(tmp_path):
    extra = [*SMALL, evaluation(n=50, n_real=50), samples(n=20)]
    run(tmp_path / "run", *extra, model="gan")
    picture = np.asarray(Image.open(tmp_path / "run" / "samples" / "step-000004.png"))
    assert picture.shape == (512, 512, 3)
    assert {tuple(colour) for colour in picture.reshape(-1, 3)} == {(255, 255, 255), (200, 200, 200), (30, 80, 200)}
    scores = json.loads((tmp_path / "run" / "scores" / "step-000004.json").read_text())["scores"]
    assert {"fd_points", "is_points", "kd_points"} <= set(scores)
    made = command("lightning_gans.sample", f"checkpoint={tmp_path / 'run'}", "n=100", "out=out", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["grid.png", "samples.npz"]
    points = np.load(tmp_path / "out" / "samples.npz")["points"]
    assert points.shape == (100, 2)
    module = lightning_gans.load(tmp_path / "run")
    assert np.array_equal(points, module.sample(100).numpy())  # not rounded
    assert (np.asarray(Image.open(tmp_path / "out" / "grid.png")) == 200).all(2).any()  # real points


def test_scores_of_real_points_are_perfect():
    extractor, real = Points("grid"), toy("grid", n=2000).load()
    found = extractor(real.images)
    assert torch.equal(found.features, real.images)
    assert (found.logits.argmax(1) == real.labels).all()
    assert Points("ring").weights_hash != extractor.weights_hash
    for wrong in (torch.zeros(3, 2, dtype=torch.uint8), torch.zeros(3, 1, 8, 8)):
        with pytest.raises(ValueError, match="extractor points: needs points"):
            extractor(wrong)
    with pytest.raises(ValueError, match=r"extractor\.distribution=null"):
        Points(None)


def test_points_are_not_rounded():
    points = torch.tensor([[0.123456, -1.7]])
    assert torch.equal(to_uint8(points), points)
    batch = toy().on_after_batch_transfer({"image": points, "hflip": torch.tensor([False])}, 0)
    assert torch.equal(batch["image"], points)


def test_a_scatter_plot_has_its_points_in_place():
    behind = torch.tensor([[-1.0, -0.5], [9.0, 9.0], [float("nan"), 0.0]])
    picture = scatter(torch.tensor([[1.0, 0.5]]), behind, size=101)
    for colour, place in {(30, 80, 200): [30, 90], (200, 200, 200): [70, 10]}.items():  # row from above, column
        where = (picture == torch.tensor(colour)[:, None, None]).all(0).nonzero()
        assert where.float().mean(0).tolist() == place
        assert len(where) == 9


def test_samples_of_points_are_one_file_whatever_the_format(tmp_path):
    batches = [torch.zeros(3, 2), torch.ones(2, 2)]
    for name in ("png", "npz"):
        write_samples(iter(batches), 5, tmp_path / name, name)
        assert np.load(tmp_path / name / "samples.npz")["points"].shape == (5, 2)


def test_the_data_check_draws_points():
    report = look(toy(n=100))
    assert "100, held in memory" in report.text
    assert report.grid.shape == (3, 512, 512)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["data.distribution=square"], ["data.distribution=square", "ring, grid, swiss_roll or moons"]),
        (["data.n=0"], ["data.n=0"]),
        (["data.channels=3"], ["data.channels=3", "points"]),
        (["data.flip=true"], ["data.flip=true"]),
        (["data.num_classes=8"], ["data.num_classes=8"]),
        (["data.image_size=8"], ["data.image_size=8: must be null"]),
        (["data=digits", "data.image_size=null"], ["data.image_size=null: must be >= 1"]),
        (["model=dcgan"], ["image_size"]),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, overrides, named):
    message = refusal(tmp_path, *tiny("gan"), *SMALL, *overrides)
    for words in named:
        assert words in message

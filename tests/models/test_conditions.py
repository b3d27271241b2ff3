"""Conditions through training, sampling, grids and commands, on the conditional GAN."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

import lightning_gans
from conftest import (
    DOUBLE,
    NO_BATCH_NORM,
    TINY,
    assert_equal_weights,
    assert_same_training,
    command_here,
    evaluation,
    newest,
    refusal,
    run,
    samples,
    sgd,
    tiny,
)
from lightning_gans import build, compose
from lightning_gans.data.datasets import Downscaled, InMemoryImages, Subset
from lightning_gans.data.folder import Folder
from lightning_gans.images.pixels import to_uint8
from lightning_gans.images.sheets import aligned_columns
from lightning_gans.inference.latents import Walker
from lightning_gans.metrics.path_length import lerp
from lightning_gans.models.conditions import ClassLabel, Conditions

DCGAN = ["model=cgan", *TINY, "model/network=cgan_dcgan", "model.generator.latent_dim=8"]
DCGAN += ["model.generator.base_channels=4", "model.discriminator.base_channels=4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("cgan")
    watching = [samples(every_n_train_steps=4, n="null"), evaluation(every_n_train_steps=4)]
    run(made, *DCGAN, *watching, tiny_options=False)
    return made


@pytest.fixture(scope="module")
def module(folder):
    return lightning_gans.load(folder)


def test_draws_follow_the_frequencies_and_never_leave_them():
    label = ClassLabel(4)
    assert label.draw(torch.arange(8) / 8).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]  # equal until it knows better
    label.fit(torch.tensor([3, 0, 3, 3, 2]))  # one, none, one and three of five
    assert label.draw(torch.arange(5) / 5 + 0.01).tolist() == [0, 2, 3, 3, 3]
    assert label.draw(torch.tensor([0.0, 1 - 2**-24])).tolist() == [0, 3]
    with pytest.raises(ValueError, match="num_classes=4: data has label 4"):
        label.fit(torch.tensor([4]))


def test_conditions_of_samples_are_functions_of_seed_and_number(module):
    label = module.conditioning.sample(range(1000), 3, {})[0]
    assert torch.equal(module.conditioning.sample([7, 2], 3, {})[0], label[[7, 2]])
    assert not torch.equal(module.conditioning.sample(range(1000), 4, {})[0], label)
    share = torch.bincount(label, minlength=10) / 1000
    assert (share - module.conditioning.label.counts / 50).abs().max() < 0.05  # five standard deviations
    latents = module.sampling_inputs([5, 6], 3)[0]
    assert torch.equal(module.sampling_inputs([5, 6], 3, classes=[9])[0], latents)


def test_every_set_knows_its_labels_without_reading_images():
    images, labels = torch.zeros(6, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1, 2, 0, 1, 2])
    whole = InMemoryImages(images, labels)
    for made in (whole, Downscaled(whole, 2), Subset(whole, torch.tensor([5, 0])), whole.resized(2)):
        fetched = made.fetch(torch.arange(len(made)))["label"]
        assert torch.equal(made.entries("label"), fetched)
    assert InMemoryImages(images).entries("label") is None


def test_the_trainings_frequencies_travel_with_the_checkpoint(folder, module):
    made = build(compose(*tiny("cgan")), folder.parent / "unused")
    counts = torch.bincount(made.data.train_images.entries("label"), minlength=10)
    assert torch.equal(module.conditioning.label.counts, counts)
    assert torch.equal(newest(folder)["state_dict"]["conditioning.label.counts"], counts)


def test_samples_take_classes_in_turn_whatever_the_batch(module):
    made = module.sample(7, seed=2, classes=[3, 7, 1])
    for i, c in enumerate([3, 7, 1, 3, 7, 1, 3]):
        alone = next(module.samples([i], seed=2, classes=[c, c]))[0]
        torch.testing.assert_close(made[i], alone, rtol=0, atol=1e-4)
    torch.testing.assert_close(module.sample(7, seed=2, batch_size=2, classes=[3, 7, 1]), made, rtol=0, atol=1e-4)
    torch.testing.assert_close(module.sample(7, seed=2, classes=torch.tensor([3, 7, 1])), made, rtol=0, atol=1e-4)
    assert not torch.allclose(module.sample(7, seed=2, classes=[4]), made, atol=1e-3)


class Recorder(nn.Module):
    """A network that notes the conditions that it is given."""

    def __init__(self, network):
        super().__init__()
        self.network, self.given, self.first = network, [], []
        self.latent_dim = getattr(network, "latent_dim", None)

    def forward(self, first, classes):
        self.first.append(first.detach().clone())
        self.given.append(classes.clone())
        return self.network(first, classes)


@pytest.mark.parametrize("options", [[], ["model.reuse_fakes=true"], ["model/objective=relativistic"]])
def test_reals_have_their_own_labels_and_fakes_those_that_the_generator_was_given(tmp_path, options):
    made = build(compose(*tiny("cgan"), "model.n_critic=2", "model.batch_size=20", *options), tmp_path)
    generator, critic = (Recorder(network) for network in (made.model.generator, made.model.discriminator))
    made.model.generator, made.model.discriminator = generator, critic
    made.model.generator_ema = made.model.ema = None
    batches = []
    step = made.model.training_step
    made.model.training_step = lambda batch, batch_idx: (batches.append(batch), step(batch, batch_idx))[1]
    made.trainer.limit_train_batches, made.trainer.fit_loop.max_epochs = 1, 1
    made.trainer.callbacks = []
    made.trainer.fit(made.model, datamodule=made.data)
    labels = [chunk for batch in batches for chunk in batch["label"].chunk(2)]
    images = [chunk for batch in batches for chunk in batch["image"].chunk(2)]
    for k in range(2):  # of the discriminator's updates
        assert torch.equal(critic.given[2 * k], labels[k])
        assert torch.equal(critic.first[2 * k], images[k])
        assert torch.equal(critic.given[2 * k + 1], generator.given[k])
    assert torch.equal(critic.given[-1], generator.given[-1])
    drawn = torch.cat(generator.given)
    assert not torch.equal(drawn[:40], torch.cat(labels)[: len(drawn)])  # not the batch's
    if options == ["model/objective=relativistic"]:
        assert torch.equal(critic.given[-2], labels[-1])


def test_fakes_follow_rare_classes(tmp_path):
    """A set of one class: every fake has it, and samples do."""
    made = build(compose(*tiny("cgan"), "trainer.max_steps=1"), tmp_path)
    images = made.data.train_images
    one = Subset(images, (images.entries("label") == 4).nonzero()[:, 0])
    made.data._splits = (one, None)
    made.fit()
    assert made.model.draw_inputs(50)[1].eq(4).all()
    assert made.model.sampling_inputs(range(50), 0)[1].eq(4).all()


@pytest.mark.parametrize("penalty", ["gradient_penalty", "r1_r2", "dragan"])
@pytest.mark.parametrize("augment", ["adaptive", "diffaugment"])
def test_penalties_and_augmentations_leave_conditions_alone(tmp_path, penalty, augment):
    options = [f"model/penalty={penalty}", f"model/augment={augment}", "model.discriminator.norm=null"]
    made = run(tmp_path, *DCGAN, *options, "trainer.max_steps=2", tiny_options=False)
    assert all(torch.isfinite(term) for term in made.model.terms.values())
    assert "d_penalty" in made.model.terms


def test_micro_batches_are_one_batch(tmp_path):
    """With given latents and classes and no batch statistics, micro-batches change nothing but rounding."""
    rng = torch.Generator().manual_seed(1)
    latents, labels = torch.randn(8, 8, generator=rng, dtype=torch.float64), torch.arange(8)
    states = []
    for accumulate in (1, 4):
        options = [*DCGAN, DOUBLE, *NO_BATCH_NORM, *sgd(0.1, "cgan"), f"model.accumulate={accumulate}"]
        made = build(compose(*options, "model.n_critic=2"), tmp_path / str(accumulate))
        calls = iter(range(10**6))
        n = 8 // accumulate

        def draw(size, calls=calls, n=n):
            assert size == n
            part = slice(next(calls) * n % 8, None)
            return latents[part][:n], labels[part][:n]

        made.model.draw_inputs = draw
        made.fit()
        states.append(made.model.state_dict())
    assert_equal_weights(*states)


def test_dcgans_version_resumes_as_if_unbroken(tmp_path):
    options = [*DCGAN, "model.n_critic=2"]
    run(tmp_path / "whole", *options, "trainer.max_steps=5", tiny_options=False)
    run(tmp_path / "part", *options, "trainer.max_steps=2", tiny_options=False)
    resumed = str(tmp_path / "part")
    run(tmp_path / "part", *options, "trainer.max_steps=5", tiny_options=False, resume=resumed)
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "part"))


def test_a_plain_trainer_and_loader_train_it_on_equal_frequencies(tmp_path):
    made = build(compose(*tiny("cgan")), tmp_path)
    data = [{"image": torch.rand(1, 16, 16) * 2 - 1, "label": torch.tensor(i % 10)} for i in range(32)]
    trainer = Trainer(
        max_steps=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(made.model, DataLoader(data, batch_size=8))
    assert made.model.iteration == 3
    assert made.model.conditioning.label.counts.unique().tolist() == [1]
    with pytest.raises(ValueError, match="batches have image, and no 'label'"):
        made.model.discriminator_loss({"image": data[0]["image"][None]})


def test_unconditional_families_hold_nothing_new(tmp_path):
    made = build(compose(*tiny("dcgan")), tmp_path).model
    assert not [name for name in made.state_dict() if "condition" in name]
    assert len(made.sampling_inputs([0], 0)) == len(made.draw_inputs(2)) == 1


def test_grids_have_a_column_for_every_class(folder, module):
    assert [aligned_columns(n, k) for n, k in ((64, 10), (64, 3), (8, 2), (64, 17), (64, 0))] == [10, 9, 2, None, None]
    grid = np.asarray(Image.open(folder / "samples" / "step-000004.png"))
    assert grid.shape == (2 + 6 * 18, 2 + 10 * 18)  # 60 images of 16 pixels
    expected = to_uint8(module.sample(60, classes=range(10)))
    for i in (0, 9, 10, 59):
        row, column = 2 + i // 10 * 18, 2 + i % 10 * 18
        found = grid[row : row + 16, column : column + 16].astype(int)
        assert abs(found - expected[i, 0].int().numpy()).max() <= 1


def test_scores_draw_classes_as_often_as_training(folder):
    card = json.loads((folder / "scores" / "step-000004.json").read_text())
    assert card["n"] == 8
    assert "fd_digits" in card["scores"]


def test_paths_keep_the_class_of_their_row(module):
    walker = Walker(module, seed=1, classes=[2, 5])
    rows = walker.paths([0, 1, 2, 3], 3, lerp)
    for row, (start, end, c) in zip(rows, ((0, 1, 2), (2, 3, 5)), strict=True):
        ends = [to_uint8(next(module.samples([i], seed=1, classes=[c, c, c, c])))[0] for i in (start, end)]
        assert all((row[i].int() - image.int()).abs().max() <= 1 for i, image in ((0, ends[0]), (-1, ends[1])))
    assert torch.equal(walker.inputs([4, 5, 6])[1], torch.tensor([2, 5, 2]))
    assert walker.arithmetic([[0, 1], [2, 3], [4, 5]]).shape == (4, 3, 1, 16, 16)
    assert Walker(module, seed=1).inputs([0])[1].tolist() == module.sampling_inputs([0], 1)[1].tolist()


def told(name, monkeypatch, capsys, *options):
    """Return the one line with which a command refuses options."""
    assert command_here(f"lightning_gans.{name}", *options, cwd=Path.cwd(), monkeypatch=monkeypatch) == 1
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    return error


def test_the_command_samples_classes(folder, module, tmp_path, monkeypatch):
    out = tmp_path / "out"
    options = [f"checkpoint={folder}", f"out={out}", "classes=[3,7]", "n=8", "format=npz"]
    assert command_here("lightning_gans.sample", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    found = np.load(out / "samples.npz")["images"][..., 0]
    expected = to_uint8(module.sample(8, classes=[3, 7]))[:, 0].numpy()
    assert abs(found.astype(int) - expected.astype(int)).max() <= 1
    sheet = np.asarray(Image.open(out / "grid.png")).astype(int)
    assert sheet.shape == (2 + 2 * 18, 2 + 8 * 18)  # a class a row, a latent a column
    latents = module.sampling_inputs(range(8), 0)[0]
    for row, c in enumerate([3, 7]):
        (made,) = module.generate([(latents, torch.full((8,), c))])  # the same latents in both rows
        for column, image in enumerate(to_uint8(made)[:, 0].numpy()):
            top, left = 2 + 18 * row, 2 + 18 * column
            assert abs(sheet[top : top + 16, left : left + 16] - image).max() <= 1


def sample(folder, out, tmp_path, monkeypatch, *options):
    arguments = ["lightning_gans.sample", f"checkpoint={folder}", f"out={out}", *options]
    assert command_here(*arguments, cwd=tmp_path, monkeypatch=monkeypatch) == 0


def test_class_folders_are_read_by_torchvision_and_by_us(folder, module, tmp_path, monkeypatch):
    from torchvision.datasets import ImageFolder

    out = tmp_path / "out"
    sample(folder, out, tmp_path, monkeypatch, "labels=balanced", "n=23")
    files = ImageFolder(out)
    assert [len(list((out / c).iterdir())) for c in files.classes] == [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
    made = to_uint8(module.sample(23, classes=range(10)))[:, 0].int()
    for path, label in files.samples:
        number = int(Path(path).stem)
        assert number % 10 == label
        pixels = torch.from_numpy(np.asarray(Image.open(path)).astype(np.int32))
        assert (pixels - made[number]).abs().max() <= 1
    ours = Folder(root=str(out), image_size=16, channels=1, num_classes=10).train_images
    assert ours.entries("label").tolist() == [label for _, label in files.samples]
    sample(folder, out, tmp_path, monkeypatch, "labels=balanced", "classes=[1,4]", "n=4", "overwrite=true")
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*"))
    expected = ["1", "1/000000.png", "1/000002.png", "4", "4/000001.png", "4/000003.png", "grid.png"]
    assert written == expected  # and no folder of another class


def test_class_folders_follow_an_unbalanced_sets_frequencies(folder, tmp_path, monkeypatch):
    """17 of 20 in one class, 3 in another and none in the others; draws of training and of samples have as many."""
    written = newest(folder)
    content = {key: written[key] for key in written if not key.startswith("lightning_gans_")}  # changed on purpose
    content["state_dict"]["conditioning.label.counts"] = torch.tensor([0, 17, 0, 0, 0, 0, 0, 3, 0, 0])
    skewed, out = tmp_path / "unbalanced.ckpt", tmp_path / "out"
    torch.save(content, skewed)
    sample(skewed, out, tmp_path, monkeypatch, "labels=data", "n=200", "format=npz")
    written = np.load(out / "samples.npz")
    drawn = lightning_gans.load(skewed).conditioning.sample(range(200), 0, {})[0]
    assert written["labels"].tolist() == drawn.tolist()
    assert written["images"].shape == (200, 16, 16, 1)
    share = torch.bincount(drawn, minlength=10) / 200
    assert share[[1, 7]].sum() == 1
    assert abs(share[7] - 0.15) < 0.1  # four standard deviations


def test_class_folders_that_would_lack_a_class_are_refused(folder, tmp_path, monkeypatch, capsys):
    given = ["sample", monkeypatch, capsys, f"checkpoint={folder}", f"out={tmp_path / 'out'}"]
    assert "n=9: must be >= 10" in told(*given, "labels=balanced", "n=9")
    assert "without a sample" in told(*given, "labels=data", "n=2")
    assert "labels=data: draws classes by their frequencies" in told(*given, "labels=data", "classes=[1]")
    assert "labels=even" in told(*given, "labels=even")
    plain = tmp_path / "dcgan"
    run(plain, "trainer.max_steps=1")
    given[3] = f"checkpoint={plain}"
    assert "labels=balanced: DCGAN is not conditioned on classes" in told(*given, "labels=balanced")
    assert not (tmp_path / "out").exists()


def test_classes_that_there_are_not_are_refused_before_anything_is_written(folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    for name, options in (("sample", []), ("interpolate", ["mode=slerp"])):
        given = [f"checkpoint={folder}", f"out={out}", *options]
        assert told(name, monkeypatch, capsys, *given, "classes=[3,12]").endswith("classes=12: must be from 0 to 9")
        assert told(name, monkeypatch, capsys, *given, "classes=[-1]").endswith("classes=-1: must be from 0 to 9")
        assert "classes=[]: must hold a value at least" in told(name, monkeypatch, capsys, *given, "classes=[]")
    plain = tmp_path / "dcgan"
    run(plain, "trainer.max_steps=1")
    for name, options in (("sample", []), ("interpolate", ["mode=slerp"])):
        given = [f"checkpoint={plain}", f"out={out}", *options]
        assert "classes=[3]: the model takes no conditions" in told(name, monkeypatch, capsys, *given, "classes=[3]")
    assert not out.exists()
    with pytest.raises(ValueError, match=r"text=\['a cat'\]: the model takes classes"):
        lightning_gans.load(folder).sample(1, text=["a cat"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["model=cgan", "data=mnist", "data.num_classes=null"], "data.num_classes=null: must be >= 1"),
        (["model=cgan", "model/network=dcgan"], "model.generator=dcgan.Generator: takes no classes"),
        (["model=dcgan", "model/network=cgan_dcgan"], "DCGAN has no conditions; choose another model/network"),
        (["model=cgan", "model/network=cgan_dcgan", "model.discriminator.num_classes=7"], "model.discriminator"),
    ],
)
def test_data_or_networks_without_classes_are_refused(tmp_path, options, said):
    error = refusal(tmp_path, *options)
    assert said in error
    assert "\n" not in error


class Text(ClassLabel):
    """A condition of real vectors, in the place of a text's embedding."""

    argument = "text"

    def __init__(self, values):
        super().__init__(len(values))
        self.register_buffer("values", values)

    def draw(self, u):
        return self.values[super().draw(u)]

    def parse(self, values):
        return torch.stack([self.values[len(text)] for text in values])


def test_a_condition_may_be_any_entry():
    """Vectors beside classes: both are drawn, given by name and taken from the batch in the family's order."""
    conditions = Conditions((), nn.Identity())
    conditions["text"], conditions["label"] = Text(torch.randn(5, 3)), ClassLabel(4)
    text, label = conditions.sample(range(6), 0, {"text": ["ab", "abcd"]})
    assert torch.equal(text, conditions["text"].values[[2, 4, 2, 4, 2, 4]])
    assert label.shape == (6,)
    batch = {"image": torch.zeros(2, 1), "label": torch.tensor([1, 2]), "text": torch.ones(2, 3)}
    assert [entry.dtype for entry in conditions.of(batch)] == [torch.float32, torch.int64]
    assert [x.shape for x in conditions.draw(lambda: torch.rand(4))] == [(4, 3), (4,)]

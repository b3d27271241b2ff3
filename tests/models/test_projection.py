"""Projection through training: families that are conditional because their networks are."""

import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from PIL import Image
from torch.utils.data import DataLoader

import lightning_gans
from conftest import assert_same_training, command_here, newest, refusal, run, tiny, tiny_model
from lightning_gans import build, compose
from lightning_gans.losses.penalties import R1, RealFakeConditions
from lightning_gans.networks import mlp
from lightning_gans.weights import export

PROJECTION = "model.discriminator.classes=projection"
OPTIONS = {  # networks of each kind
    "sngan": [PROJECTION],
    "r3gan": [PROJECTION, "model.generator.class_dim=4", "model.discriminator.class_dim=4"],
    "gan": [PROJECTION],
}


@pytest.fixture(scope="module", params=OPTIONS)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory):
    made = tmp_path_factory.mktemp(family)
    run(made, *OPTIONS[family], model=family)
    return made


def test_it_trains_samples_and_resumes_as_if_unbroken(family, folder, tmp_path):
    run(tmp_path, *OPTIONS[family], "trainer.max_steps=2", model=family)
    run(tmp_path, *OPTIONS[family], model=family, resume=str(tmp_path))
    assert_same_training(newest(folder), newest(tmp_path))
    module = lightning_gans.load(folder)
    assert module.conditions == ("label",)
    assert module.data_kinds == ("labelled",)
    assert module.conditioning.label.counts.sum() == 50  # learnt from the training set
    made = module.sample(4, classes=[3, 7])
    assert torch.equal(made, module.sample(4, classes=[3, 7]))


def test_every_parameter_of_the_class_moves(family, folder, tmp_path):
    before = build(compose(*tiny(family), *OPTIONS[family]), tmp_path).model.state_dict()
    after = newest(folder)["state_dict"]
    names = [n for n in before if n.startswith(("generator.", "discriminator.")) and after[n].is_floating_point()]
    of_class = [n for n in names if "embedding" in n or "gain" in n or "norm_1.bias" in n]
    assert of_class or family == "gan"
    assert not [name for name in of_class if torch.equal(before[name], after[name])]


def test_create_model_makes_it_for_a_plain_trainer_and_loader(family, tmp_path):
    """The checkpoint knows its classes, and the exported generator takes them."""
    options = {key[6:]: yaml.safe_load(value) for key, _, value in (one.partition("=") for one in OPTIONS[family])}
    made = tiny_model(family, **options)
    data = [{"image": torch.rand(1, 16, 16) * 2 - 1, "label": torch.tensor(i % 10)} for i in range(80)]
    quiet = {"logger": False, "enable_progress_bar": False, "default_root_dir": tmp_path}
    trainer = Trainer(max_steps=2, accelerator="cpu", **quiet)
    trainer.fit(made, DataLoader(data, batch_size=40))
    assert made.iteration == 2
    loaded = lightning_gans.load(trainer.checkpoint_callback.best_model_path)
    assert torch.equal(loaded.sample(3, classes=[5]), made.eval().sample(3, classes=[5]))
    if export.is_able():
        told = export.export_file(loaded, tmp_path / "g.onnx")
        assert list(told.inputs) == ["latents", "label"]
        assert told.error <= 1e-4


@pytest.mark.parametrize(
    "options", [["model/penalty=r1_r2"], ["model/penalty=gradient_penalty", "model/augment=adaptive"]]
)
def test_penalties_and_augmentations_take_the_class(tmp_path, options):
    options = [*options, "model/network=resnet_critic", PROJECTION, "trainer.max_steps=2"]
    made = run(tmp_path, *options, model="dcgan")
    assert torch.isfinite(made.model.terms["d_penalty"])


def test_the_penalty_is_differentiated_at_the_images_own_class():
    """The gradient of a linear critic is its weights and the class's embedding, so that R1 tells the class."""
    critic = mlp.Discriminator(
        image_size=4, channels=1, hidden=[], input_dropout=0.0, init="he", classes="projection", num_classes=10
    )
    labels, images = torch.tensor([4, 9]), torch.zeros(2, 1, 4, 4)
    found = R1(1.0).per_sample(critic, images, images, torch.rand, RealFakeConditions((labels,), (labels.flip(0),)))
    slope = critic.layers[-1].weight + critic.projection.embedding.weight[labels]  # of (x + 1) / 2
    torch.testing.assert_close(found, (slope / 2).square().sum(1) / 2)


def test_unlabelled_data_is_refused_with_the_sets_that_fit(tmp_path):
    for options in (["model=sngan", PROJECTION], ["model=cgan"], ["model=acgan"]):
        said = refusal(tmp_path, *options, "data=folder", f"data.root={tmp_path}")
        assert "data.num_classes" in said
        assert "data=digits, mnist, cifar10 have labels, data=stl10, celeba, lsun by options of theirs" in said
        assert said.endswith("data=folder with the number of its class folders")
    assert "model.discriminator.classes" in refusal(tmp_path, "model=began", "data=digits", PROJECTION)


def test_one_conditional_network_is_refused(tmp_path):
    said = refusal(tmp_path, *tiny("dcgan"), PROJECTION, "model.generator.classes=null")
    assert "DCGAN has no conditions; choose another model/network" in said
    said = refusal(tmp_path, *tiny("dcgan"), "model.generator.classes=projection")
    assert "model.discriminator: takes no classes; 1 were given; DCGAN is conditioned on label" in said


def test_the_command_shows_classes_by_latents(folder, tmp_path, monkeypatch):
    given = [f"checkpoint={folder}", f"out={tmp_path / 'out'}", "classes=[0,1,2]", "n=8"]
    assert command_here("lightning_gans.sample", *given, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    assert Image.open(tmp_path / "out" / "grid.png").size == (2 + 8 * 18, 2 + 3 * 18)
    assert len(list((tmp_path / "out").glob("0*.png"))) == 8

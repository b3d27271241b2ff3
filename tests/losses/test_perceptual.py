"""Distances in VGG19's features, with seeded weights that the tests write."""

import warnings
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import VGG19_Weights, vgg19

from conftest import newest, run, tiny
from lightning_gans import build, compose, load
from lightning_gans.config.explain import format_error
from lightning_gans.losses.perceptual import MEAN, STD, VGG19, Perceptual, layer_number

ONE_PROCESS = SimpleNamespace(local_rank=0, world_size=1, strategy=SimpleNamespace(barrier=lambda: None))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of VGG19's features, their weights drawn; the classifier would be 400 MB more."""
    path = tmp_path_factory.mktemp("weights") / "vgg19.pt"
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in vgg19().features.state_dict().items()}
    rng = torch.Generator().manual_seed(0)
    drawn = {name: torch.randn(shape, generator=rng) * (2 / shape[1:].numel()) ** 0.5 for name, shape in shapes.items()}
    torch.save({f"features.{name}": value for name, value in drawn.items()}, path)
    return path


@pytest.fixture
def offline(monkeypatch):
    def fail(self, *args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(VGG19_Weights, "get_state_dict", fail)


@pytest.fixture
def online(monkeypatch, weights):
    monkeypatch.setattr(VGG19_Weights, "get_state_dict", lambda self, *args, **kwargs: torch.load(weights))


def test_layers_are_torchvisions():
    with torch.device("meta"):
        layers = vgg19().features
    names, block, convolution = {}, 1, 0
    for number, layer in enumerate(layers):
        convolution += isinstance(layer, nn.Conv2d)
        if isinstance(layer, nn.MaxPool2d):
            block, convolution = block + 1, 0
        else:
            names[f"{'conv' if isinstance(layer, nn.Conv2d) else 'relu'}{block}_{convolution}"] = number
    assert {name: layer_number(name) for name in names} == names
    assert layer_number("relu5_4") == 35
    for wrong in ("relu6_1", "conv1_3", "pool1_1"):
        with pytest.raises(ValueError, match=f"VGG19 has no layer {wrong}"):
            layer_number(wrong)


def test_features_are_those_of_the_layers_on_normalised_images(weights):
    """Convolutions' outputs, which torchvision's next layer overwrites, too."""
    state = torch.load(weights)
    names = ["relu1_1", "conv2_1", "relu2_1", "conv5_4"]
    network = VGG19(state, names)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    hidden = ((images + 1) / 2 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    expected, numbers = [], [layer_number(name) for name in names]
    for number in range(max(numbers) + 1):
        weight = state.get(f"features.{number}.weight")
        if weight is not None:
            hidden = F.conv2d(hidden, weight, state[f"features.{number}.bias"], padding=1)
        else:
            hidden = F.max_pool2d(hidden, 2) if number in (4, 9, 18, 27) else F.relu(hidden)
        if number in numbers:
            expected.append(hidden)
    for mine, theirs in zip(network(images), expected, strict=True):
        torch.testing.assert_close(mine, theirs)
    grey = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(network(grey)[0], network(grey.expand(-1, 3, -1, -1))[0])


def test_frozen_but_images_get_gradients(weights):
    network = VGG19(torch.load(weights), ["relu2_1"]).train()
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    images = torch.rand(1, 3, 16, 16, requires_grad=True)
    network(images)[0].sum().backward()
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("content", [None, b"not weights", {"layer": torch.zeros(1)}], ids=["absent", "text", "other"])
def test_a_path_that_fails_is_an_error_before_any_work(tmp_path, content):
    path = tmp_path / "vgg.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ValueError, match=rf"model\.perceptual_weights={path}: .*allowed: auto, null, or the path"):
        Perceptual(str(path), ["relu1_1"], instead="").check((3, 32, 32))


def test_weights_of_another_network_or_not_finite_are_named(weights):
    state = torch.load(weights)
    lacking = {name: value for name, value in state.items() if name != "features.5.bias"}
    for wrong, words in (
        (lacking, r"as a VGG19 it lacks features\.5\.bias$"),
        ({**state, "head.weight": torch.zeros(1)}, "it has head.weight too"),
        ({**state, "features.0.bias": torch.full((64,), float("nan"))}, r"not finite: 64 of 64 in features\.0\.bias"),
        ({**state, "features.0.bias": torch.zeros(3)}, r"features\.0\.bias has shape \(3,\); must be \(64,\)"),
    ):
        with pytest.raises(ValueError, match=words):
            VGG19(wrong, ["relu2_1"])
    VGG19({**state, "classifier.0.bias": torch.zeros(4096)}, ["relu2_1"])


@pytest.mark.parametrize(("shape", "reason"), [((4, 32, 32), "1 or 3 channels, not 4"), ((3, 8, 8), "16x16")])
def test_images_that_vgg_does_not_take(shape, reason, weights):
    with pytest.raises(ValueError, match=rf"model\.perceptual_weights=.*{reason}"):
        Perceptual(str(weights), ["relu1_1"], instead="").check(shape)
    automatic = Perceptual("auto", ["relu1_1"], instead="")
    automatic.check(shape)
    with pytest.warns(UserWarning, match=reason):
        automatic.load_weights(ONE_PROCESS)
    assert not automatic.on


def test_auto_without_weights_is_off_with_one_warning_that_is_kept(offline):
    loss = Perceptual("auto", ["relu1_1"], instead="pixels instead")
    with pytest.warns(UserWarning, match="no network.*pixels instead") as told:
        loss.load_weights(ONE_PROCESS)
    assert len(told) == 1
    assert not loss.on
    kept = loss.state_dict()
    assert "no network" in kept["_extra_state"]["decision"]


@pytest.mark.parametrize("content", [b"", b"junk", {"layer": torch.zeros(1)}], ids=["empty", "text", "other"])
def test_a_damaged_file_in_the_cache_is_named_and_nobody_is_left_waiting(tmp_path, monkeypatch, content):
    """Both barriers are reached, so that the other processes of the machine go on."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    path = tmp_path / "checkpoints" / "vgg19-dcbb9e9d.pth"
    path.parent.mkdir()
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    reached = []
    strategy = SimpleNamespace(barrier=lambda: reached.append(1))
    loss = Perceptual("auto", ["relu1_1"], instead="pixels instead")
    with pytest.warns(UserWarning, match=rf"could not be had .*if {path} is damaged, remove it.*pixels instead"):
        loss.load_weights(SimpleNamespace(local_rank=0, world_size=1, strategy=strategy))
    assert not loss.on
    assert len(reached) == 2


def test_a_resumed_run_keeps_to_what_was_decided(online, monkeypatch, weights):
    off = Perceptual("auto", ["relu1_1"], instead="")
    off.load_state_dict({"_extra_state": {"decision": "off: no network"}})
    with pytest.warns(UserWarning, match="no network"):
        off.load_weights(ONE_PROCESS)
    assert not off.on  # although there is a network now
    given = Perceptual(str(weights), ["relu1_1"], instead="")
    given.load_state_dict({"_extra_state": {"decision": "off: no network"}})
    given.load_weights(ONE_PROCESS)
    assert given.on  # the config says otherwise
    assert given.state_dict() == {"_extra_state": {"decision": "on"}}
    monkeypatch.setattr(VGG19_Weights, "get_state_dict", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("gone")))
    on = Perceptual("auto", ["relu1_1"], instead="")
    on.load_state_dict({"_extra_state": {"decision": "on"}})
    with pytest.raises(ValueError, match=r"model\.perceptual_weights=auto: this run trained with VGG19 .*gone"):
        on.load_weights(ONE_PROCESS)


def test_null_is_silent():
    loss = Perceptual(None, ["relu1_1"], instead="")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss.check((4, 8, 8))
        loss.load_weights(ONE_PROCESS)
    assert not loss.on
    assert loss.decision == "off: null"


@pytest.mark.parametrize("model", ["pix2pix_hd", "srgan"])
def test_a_family_with_weights_by_path(model, tmp_path, weights):
    """The loss is there, the weights are in no checkpoint, and the checkpoint needs no file."""
    copy = tmp_path / "vgg.pt"
    copy.write_bytes(weights.read_bytes())
    options = [f"model.perceptual_weights={copy}", "data.image_size=32", "trainer.max_steps=3"]
    made = run(tmp_path / "run", *options, model=model)
    term = made.model.terms["g_perceptual" if model == "pix2pix_hd" else "g_content"]
    assert term > 0
    content = newest(tmp_path / "run")
    assert not [name for name in content["state_dict"] if "features" in name]
    assert content["state_dict"]["perceptual._extra_state"] == {"decision": "on"}
    copy.unlink()
    assert load(tmp_path / "run").iteration == 3
    config = compose(*tiny(model), *options)
    with pytest.raises(ValueError, match=r"model\.perceptual_weights=.*no such file") as error:
        build(config, tmp_path / "other")
    assert "\n" not in format_error(error.value)
    assert not (tmp_path / "other").exists()


def test_auto_downloads_at_the_start_of_the_training_alone(tmp_path, offline):
    """Building needs no network; the run says that the loss is off."""
    with pytest.warns(UserWarning, match="perceptual loss is off"):
        run(tmp_path, "model.perceptual_weights=auto", "data.image_size=32", "trainer.max_steps=1", model="pix2pix_hd")
    assert "no network" in newest(tmp_path)["state_dict"]["perceptual._extra_state"]["decision"]


def test_nothing_is_downloaded_for_the_first_phase_alone(tmp_path, offline):
    """SRResNet needs no VGG19; what follows it decides anew."""
    options = ["model.perceptual_weights=auto", "model.mse_updates=2"]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*perceptual")
        run(tmp_path, *options, "trainer.max_steps=2", model="srgan")
    assert newest(tmp_path)["state_dict"]["perceptual._extra_state"] == {"decision": None}
    with pytest.warns(UserWarning, match="mean squared error of pixels"):
        made = run(tmp_path, *options, "trainer.max_steps=3", model="srgan", resume=str(tmp_path))
    assert made.model.perceptual.decision.startswith("off: its weights")

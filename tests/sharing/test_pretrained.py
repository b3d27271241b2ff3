"""Shared generators: what is written, what is read back, what is refused; those that the package brings."""

import json
import math

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

import lightning_gans
from conftest import MODELS, command_here, tiny
from lightning_gans import compose
from lightning_gans.checkpoints import files
from lightning_gans.evaluation.comparison import of_checkpoint
from lightning_gans.evaluation.evaluator import Evaluator
from lightning_gans.models.translation import TranslationModule
from lightning_gans.runtime.instantiation import instantiate
from lightning_gans.sharing import pretrained
from lightning_gans.sharing.description import describe

SHIPPED = pretrained.shipped()
MOST_BYTES = 6_000_000  # of all that the package brings


def made(model="dcgan", *options):
    """A family with the config that checkpoints carry, untrained."""
    cfg = compose(*tiny(model), *options)
    module = instantiate(cfg.model, _convert_="all").eval()
    module.config = {"resolved": OmegaConf.to_container(cfg, resolve=True)}
    return module


def images(module):
    if not isinstance(module, TranslationModule):
        return module.sample(2)
    data = module.config["resolved"]["data"]
    side = data["image_size"] // module.scale
    source = torch.rand(2, data["source_channels"], side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.cat([module.translate(source, direction=one).flatten() for one in module.directions])


@pytest.mark.parametrize("model", MODELS)
def test_every_family_makes_the_same_images_when_it_is_read_back(model, tmp_path):
    module = made(model)
    module.iteration, module.images_seen = 3, 24
    module.set_extra_state(module.get_extra_state())  # of a family that grows, also its networks
    module.save_pretrained(tmp_path)
    assert (tmp_path / "samples.png").is_file() is not isinstance(module, TranslationModule)  # without its data
    loaded = lightning_gans.load(tmp_path)
    assert torch.equal(images(loaded), images(module))
    assert (loaded.iteration, loaded.images_seen) == (3, 24)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("---\nlicense: unknown\nlibrary_name: lightning_gans\n")
    assert "Not scored." in text
    assert not [key for key in load_file(tmp_path / "model.safetensors") if "discriminator" in key]


@pytest.fixture
def folder(tmp_path):
    return made().save_pretrained(tmp_path / "mine", half=True, notes="## Data\n\nMine.")


def changed(folder, change):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_half_precision_halves_the_bytes_and_keeps_the_card(folder, tmp_path):
    """The card of what was read goes on to what is written."""
    card = {"scores": {"fd_digits": 4.5}, "n": 8, "step": 0, "higher_is_better": {}}
    loaded = lightning_gans.load(folder)
    whole = loaded.save_pretrained(tmp_path / "whole", card=card, license="mit")
    kinds = [{str(x.dtype) for x in load_file(path / "model.safetensors").values()} for path in (folder, whole)]
    assert kinds == [{"torch.float16", "torch.int64"}, {"torch.float32", "torch.int64"}]
    assert "Mine." in (folder / "README.md").read_text()
    again = lightning_gans.load(whole).save_pretrained(tmp_path / "again")
    text = (again / "README.md").read_text()
    assert "| fd_digits | 4.5 |" in text
    assert "metrics:\n- fd_digits\n" in text
    assert torch.equal(lightning_gans.load(again).sample(2), loaded.sample(2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["config"]["model"].update(_target_="os.system"), "os.system, which is not trusted"),
        (lambda c: c["config"]["model"]["generator"].update(_target_="subprocess.Popen"), "not trusted"),
        (lambda c: c["config"]["model"]["generator"].update(_target_="torch.hub.load"), "not trusted"),
        (lambda c: c["config"]["model"]["generator"].update(base_channels=8), "weights do not fit"),
        (lambda c: c["config"]["model"].update(seed="${oc.env:HOME}"), "not resolved"),
        (lambda c: c.update(format=99), "is of format 99"),
        (lambda c: c.pop("state"), "not the config of a generator"),
        (lambda c: c.update(config={}), "malformed"),
        (lambda c: c["state"].update(iteration=-1), "counters"),
    ],
)
def test_a_config_from_a_stranger_runs_nothing_and_is_refused_in_one_line(folder, change, said):
    changed(folder, change)
    with pytest.raises(ValueError, match=said) as refused:
        lightning_gans.load(folder)
    assert len(str(refused.value).splitlines()) == 1


def test_damaged_and_foreign_files_are_refused(folder):
    weights, config = folder / "model.safetensors", folder / "config.json"
    whole, text = weights.read_bytes(), config.read_text()
    for content, said in ((whole[:-7], "not readable as safetensors"), (b"\x80\x04N.", "not readable as safetensors")):
        weights.write_bytes(content)
        with pytest.raises(ValueError, match=said):
            lightning_gans.load(folder)
    weights.write_bytes(whole)
    for content, said in (("{", "not readable as JSON"), ("[" * 100_000, "JSON"), ("[]", "not the config")):
        config.write_text(content)
        with pytest.raises(ValueError, match=said):
            lightning_gans.load(folder)
    config.unlink()
    with pytest.raises(ValueError, match="must stand beside"):
        lightning_gans.load(weights)
    config.write_text(text)
    state = load_file(weights)
    name = next(key for key in state if key.endswith("weight"))
    save_file({**state, name: state[name] * math.nan}, weights)
    with pytest.raises(ValueError, match=f"not finite, first those of {name}"):
        lightning_gans.load(folder)
    save_file({key: value for key, value in state.items() if key != name}, weights)
    with pytest.raises(ValueError, match=f"{name} is absent"):
        lightning_gans.load(folder)


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    module = made()
    next(module.sampler.parameters()).data[0] = 1e6  # more than float16 holds
    with pytest.raises(ValueError, match="not finite in float16"):
        module.save_pretrained(tmp_path / "mine", half=True)
    assert not (tmp_path / "mine").exists()


def test_a_module_made_without_a_run_is_shared_by_its_own_description(tmp_path):
    module = made()
    module.config = None
    content = json.loads((module.save_pretrained(tmp_path) / "config.json").read_text())
    assert content["config"]["model"]["_target_"] == "lightning_gans.models.dcgan.DCGAN"
    with pytest.raises(ValueError, match="nobody could rebuild the module"):
        describe(None, {}, None, "mit")


def test_keys_and_numbers_that_json_lacks_come_back(tmp_path):
    description = {"config": {"a": {4: 0.5, 8: {1: "x"}}, "b": [math.inf, None]}, "state": {}, "format": 2}
    pretrained.write_file(tmp_path / "g.safetensors", {"x": torch.ones(2)}, description)
    tensors, found = pretrained.read(tmp_path / "g.safetensors")
    assert found == description
    assert torch.equal(tensors["x"], torch.ones(2))


def test_places_on_this_machine_are_not_told(tmp_path):
    module = made()
    module.config["resolved"]["data"] |= {"root": "/home/me/secret/photos/"}
    module.config["resolved"]["extractor"] = {"weights": "C:\\Users\\me\\net.pt"}
    text = (module.save_pretrained(tmp_path) / "config.json").read_text()
    assert '"root": "photos"' in text
    assert '"weights": "net.pt"' in text
    assert "secret" not in text
    assert "Users" not in text


def test_a_path_wins_over_a_name_and_an_unknown_name_lists_the_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert files.find("dcgan_digits").parent == pretrained.SHIPPED / "dcgan_digits"
    with pytest.raises(FileNotFoundError, match=f"one of {', '.join(SHIPPED)}"):
        files.find("dcgan_digit")
    made().save_pretrained("dcgan_digits")
    assert files.find("dcgan_digits").resolve() == tmp_path / "dcgan_digits" / "model.safetensors"
    (tmp_path / "dcgan_digits" / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="that folder hides the generator of this name"):
        files.find("dcgan_digits")


def test_a_generator_alone_is_not_resumed(tmp_path, monkeypatch, capfd):
    assert command_here("lightning_gans.train", "resume=dcgan_digits", cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert "holds a generator and no training" in capfd.readouterr().err


# ------------------------------------------------------------------------------ what the package brings


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_generator_has_the_score_of_its_card(name):
    """Within 5 %, on as many samples as the card says."""
    sides = of_checkpoint(name, None, data={}, direction="a2b", make=None, device=torch.device("cpu"), trust=())
    card = sides.candidate.score_card
    key, told = next(iter(card["scores"].items()))  # of super-resolution bicubic's stands behind it
    metric = "frechet" if key.startswith("fd_") else key
    extractor = sides.make() if metric == "frechet" else None
    found = Evaluator(extractor, n=card["n"], metrics=[metric])(
        sides.candidate, sides.reference, examples=sides.examples
    )
    assert found["scores"][key] == pytest.approx(told, rel=0.05)
    assert (found["n"], found["step"]) == (card["n"], card["step"])
    assert (sides.folder, sides.card_name) == (None, f"{name}.scores.json")  # where a card is written


def test_what_is_shipped_is_small_and_licensed():
    paths = [path for path in pretrained.SHIPPED.glob("*/*") if path.is_file()]
    assert {path.name for path in paths} == {"README.md", "config.json", "model.safetensors", "samples.png"}
    assert sum(path.stat().st_size for path in paths) < MOST_BYTES
    for name in SHIPPED:
        card = (pretrained.SHIPPED / name / "README.md").read_text()
        assert "\nlicense: apache-2.0\n" in card
        assert "CC BY" in card  # of what it was trained on


def test_commands_take_a_name(tmp_path, monkeypatch, capsys):
    """Offline, from any folder; nothing is written into the package."""
    before = sorted(pretrained.SHIPPED.rglob("*"))
    for command, *options in (
        ("sample", "out=seen", "n=4"),
        ("interpolate", "out=paths", "mode=lerp", "rows=1", "steps=2"),
        ("evaluate", "n=32", "metrics=[swd]"),
    ):
        arguments = ("checkpoint=dcgan_digits", *options)
        assert command_here(f"lightning_gans.{command}", *arguments, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    assert (tmp_path / "seen" / "000003.png").is_file()
    assert sorted(pretrained.SHIPPED.rglob("*")) == before
    pictures = ("input=seen/000000.png", "out=translated")
    translate = ("checkpoint=pix2pix_digit_edges", *pictures)
    assert command_here("lightning_gans.translate", *translate, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    assert (tmp_path / "translated" / "000000.png").is_file()


def test_a_translators_picture_shows_its_data_or_is_left_out(tmp_path, monkeypatch):
    """Once they are gone, and without a download."""
    shipped = lightning_gans.load("pix2pix_digit_edges")
    assert (shipped.save_pretrained(tmp_path / "with") / "samples.png").is_file()
    shipped.open_data = None
    assert not (shipped.save_pretrained(tmp_path / "with") / "samples.png").exists()

    def gone():
        raise FileNotFoundError("data.root=photos: is not there")

    shipped.open_data = gone
    with pytest.warns(UserWarning, match="without the training data, which cannot be opened: data.root=photos"):
        folder = shipped.save_pretrained(tmp_path / "without")
    assert "samples.png" not in (folder / "README.md").read_text()

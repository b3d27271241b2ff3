"""Fine-tuning to a person and animation, by the commands."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import lightning_gans
from conftest import command_here, newest, run
from lightning_gans.images.files import save
from lightning_gans.images.pixels import to_uint8
from lightning_gans.inference import heads


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short training, and a folder of a held-out person: three frames and their drawings."""
    folder = tmp_path_factory.mktemp("heads")
    made = run(folder / "run", "trainer.max_steps=2", model="talking_heads")
    batch = made.data.examples(range(3))
    for i in range(3):
        save(to_uint8(batch["target"])[i], folder / "person" / "frames" / f"{i}.png")
        save(to_uint8(batch["source"])[i], folder / "person" / "drawings" / f"{i}.png")
    return folder, made


def here(name, *typed, folder, monkeypatch):
    return command_here(f"lightning_gans.{name}", *typed, cwd=folder, monkeypatch=monkeypatch)


@pytest.fixture
def tuned(trained, monkeypatch):
    folder, _ = trained
    typed = ["checkpoint=run", "frames=person", "out=me.ckpt", "epochs=2", "batch_size=2", "overwrite=true"]
    assert here("finetune", *typed, folder=folder, monkeypatch=monkeypatch) == 0
    return folder / "me.ckpt"


def test_a_person_is_read_as_it_was_written(trained):
    folder, made = trained
    drawings, frames = heads.read_person(str(folder / "person"), made.model)
    batch = made.data.examples(range(3))
    assert torch.equal(to_uint8(drawings), to_uint8(batch["source"]))
    assert torch.equal(to_uint8(frames), to_uint8(batch["target"]))


def test_without_epochs_it_is_the_persons_embedding(trained, monkeypatch):
    folder, made = trained
    typed = ["checkpoint=run", "frames=person", "out=still.ckpt", "epochs=0"]
    assert here("finetune", *typed, folder=folder, monkeypatch=monkeypatch) == 0
    person = lightning_gans.load(folder / "still.ckpt")
    drawings, frames = heads.read_person(str(folder / "person"), made.model)
    module = lightning_gans.load(folder / "run")
    expected = module.run(module.sampler, drawings, module.person_of(frames, drawings))
    torch.testing.assert_close(person.translate(drawings), expected, rtol=0, atol=1e-4)  # sums in another order


def test_fine_tuning_moves_the_style_and_leaves_the_embedding_out(trained, tuned):
    """Four updates of two and one frames; rows of the training videos are gone, encoder and P stay."""
    folder, _ = trained
    before, after = newest(folder / "run")["state_dict"], torch.load(tuned, weights_only=True)["state_dict"]
    assert "discriminator.rows.weight" in before
    assert "discriminator.rows.weight" not in after
    still = [key for key in after if key.startswith("encoder") and "original" in key]
    for key in [*still, "generator.projection.weight"]:
        assert torch.equal(before[key], after[key]), key
    for key in ("generator.projection.bias", "discriminator.common", "generator.last.parametrizations.weight.original"):
        assert not torch.equal(before[key], after[key]), key
    module = lightning_gans.load(tuned)
    assert not module.person.any()
    assert module.iteration == 2 + 4
    assert (module.discriminator.num_videos, module.discriminator.rows) == (0, None)


def test_the_same_seed_fine_tunes_alike(trained, tuned, monkeypatch):
    folder, _ = trained
    typed = ["checkpoint=run", "frames=person", "out=again.ckpt", "epochs=2", "batch_size=2"]
    assert here("finetune", *typed, folder=folder, monkeypatch=monkeypatch) == 0
    one, two = (torch.load(path, weights_only=True)["state_dict"] for path in (tuned, folder / "again.ckpt"))
    assert all(torch.equal(one[key], two[key]) for key in one if isinstance(one[key], torch.Tensor))


def test_animate_draws_the_person_in_every_pose(trained, tuned, monkeypatch, capsys):
    folder, _ = trained
    how = {"folder": folder, "monkeypatch": monkeypatch}
    module = lightning_gans.load(tuned)
    drawings, _ = heads.read_person(str(folder / "person"), module)
    expected = to_uint8(module.translate(drawings))
    for driving in ("person", "person/drawings"):
        typed = [f"checkpoint={tuned}", f"driving={driving}", "out=drawn", "overwrite=true"]
        assert here("animate", *typed, **how) == 0, capsys.readouterr().err
        names = sorted(path.name for path in (folder / "drawn").iterdir())
        assert names == ["000000.png", "000001.png", "000002.png"]
        for name, pixels in zip(names, expected, strict=True):
            picture = Image.open(folder / "drawn" / name)
            assert picture.info["lightning_gans"] == "sample"  # the mark of what is generated
            assert abs(np.asarray(picture).astype(int) - pixels.permute(1, 2, 0).numpy()).max() <= 1
    assert here("animate", f"checkpoint={tuned}", "driving=person", "out=film.gif", **how) == 0
    film = Image.open(folder / "film.gif")
    assert (film.n_frames, film.info["comment"]) == (3, b"lightning_gans")
    assert here("animate", f"checkpoint={tuned}", "driving=person", "out=film.gif", **how) == 1
    assert "overwrite" in capsys.readouterr().err


def test_a_puppeteering_sheet(trained, monkeypatch):
    """People in rows behind a frame of theirs, poses in columns below their drawings."""
    folder, made = trained
    typed = ["checkpoint=run", "driving=person", "frames=[person,person]", "out=sheet.png", "overwrite=true"]
    assert here("animate", *typed, folder=folder, monkeypatch=monkeypatch) == 0
    sheet = Image.open(folder / "sheet.png")
    assert sheet.info["lightning_gans"] == "overview"
    assert sheet.size == (4 * 18 + 2, 3 * 18 + 2)
    pixels = np.asarray(sheet)
    frame = np.asarray(Image.open(folder / "person" / "frames" / "0.png"))
    assert np.array_equal(pixels[20:36, 2:18], frame)
    assert np.array_equal(pixels[20:36, 20:36], pixels[38:54, 20:36])  # the same person twice


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["frames=empty"], "frames=empty: needs landmarks beside its frames"),
        (["frames=marked"], "has landmarks, whose drawings have 3 channels; this checkpoint takes 1"),
        (["frames=person", "checkpoint=dcgan_digits"], "is a DCGAN; give one of model=talking_heads"),
    ],
)
def test_mistakes_end_in_one_line(trained, typed, said, monkeypatch, capsys):
    folder, _ = trained
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "marked").mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(folder / "marked" / "a.png")
    face = {"a.png": {"size": [8, 8], "points": [[i % 8, i % 5] for i in range(68)]}}
    (folder / "marked" / "landmarks.json").write_text(json.dumps(face))
    code = here("finetune", "checkpoint=run", "out=x.ckpt", *typed, folder=folder, monkeypatch=monkeypatch)
    assert code == 1
    assert said in capsys.readouterr().err
    assert not (folder / "x.ckpt").exists()


def test_animate_refuses_several_people_in_a_film(trained, monkeypatch, capsys):
    folder, _ = trained
    typed = ["checkpoint=run", "driving=person", "frames=[person,person]", "out=two.gif"]
    assert here("animate", *typed, folder=folder, monkeypatch=monkeypatch) == 1
    assert "several people make a sheet" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["generator", "encoder"])
def test_both_networks_are_exported(trained, part, monkeypatch, capsys):
    folder, made = trained
    typed = ["checkpoint=run", f"out={part}.pt2", f"part={part}"]
    assert here("export", *typed, folder=folder, monkeypatch=monkeypatch) == 0, capsys.readouterr().err
    batch = made.data.examples(range(3))
    network = torch.export.load(folder / f"{part}.pt2").module()
    module = lightning_gans.load(folder / "run")
    with torch.no_grad():
        embedding = module.encoder(batch["frames"][:, 0], batch["drawings"][:, 0])
        if part == "encoder":
            assert torch.allclose(network(batch["frames"][:, 0], batch["drawings"][:, 0]), embedding, atol=1e-4)
        else:
            expected = module.generator(batch["source"], embedding)
            assert torch.allclose(network(batch["source"], embedding), expected, atol=1e-4)


def test_parts_of_other_families_are_refused(tmp_path, monkeypatch, capsys):
    typed = ["checkpoint=dcgan_digits", "out=g.pt2", "part=encoder"]
    assert here("export", *typed, folder=tmp_path, monkeypatch=monkeypatch) == 1
    assert "part=encoder: is of programs (.onnx, .pt2) of model=talking_heads" in capsys.readouterr().err

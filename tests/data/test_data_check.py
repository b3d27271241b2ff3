"""What the data check says of images, good and bad."""

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import command, command_here
from lightning_gans import compose
from lightning_gans.config.schemas import CONF_DIR
from lightning_gans.data.digits import Digits
from lightning_gans.data.folder import Folder
from lightning_gans.data.inspection import look
from lightning_gans.data.shrinking import files_of, shrink

ROOT = CONF_DIR.parent


@pytest.fixture
def pictures(tmp_path):
    """Two classes, every kind of picture that something is done to."""
    root = tmp_path / "pictures"
    (root / "cats").mkdir(parents=True)
    (root / "dogs").mkdir()
    Image.new("RGB", (16, 16), (9, 9, 9)).save(root / "cats" / "fits.png")
    Image.new("RGB", (16, 16), (9, 9, 9)).save(root / "cats" / "same.png")
    Image.new("RGB", (80, 20), (9, 99, 9)).save(root / "cats" / "wide.png")
    Image.new("L", (8, 8), 9).save(root / "dogs" / "small.png")
    Image.new("RGBA", (32, 32), (9, 9, 9, 9)).save(root / "dogs" / "alpha.png")
    Image.fromarray(np.zeros((16, 16), np.uint16)).save(root / "dogs" / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 30), (9, 9, 99)).save(root / "dogs" / "turned.jpg", exif=exif)
    (root / "notes.txt").write_text("none")
    return root


def checked(root, **options):
    data = Folder(root=str(root), **{"image_size": 16, "channels": 3, **options})
    report = look(data)
    width = report.text.index(type(data).__name__)  # where the second column begins
    return report, {line[:width].strip(): line[width:].strip() for line in report.text.splitlines()}


def test_everything_is_counted(pictures):
    report, found = checked(pictures)
    assert report.unreadable == 0
    assert found["images"] == "7 readable, 0 not; 1 other files passed over"
    assert found["width"] == "8 / 16 / 80 (smallest / median / largest)"
    assert found["height"] == "8 / 16 / 60 (smallest / median / largest)"  # turned.jpg stands upright
    assert found["modes"] == "RGB 4, RGBA 1, I;16 1, L 1"
    assert found["bits"] == "8 6, 16 1"
    assert found["sub-folders"] == "cats 3, dogs 4; labels with data.num_classes=2"
    assert found["duplicates"] == "1, e.g. cats/fits.png = cats/same.png"
    assert found["as they are"].startswith("3, e.g. cats/fits.png (16x16)")
    assert found["reduced"] == "3, e.g. dogs/alpha.png (32x32), dogs/turned.jpg (30x60), cats/wide.png (80x20)"
    assert found["enlarged"] == "1, e.g. dogs/small.png (8x8)"
    assert found["cropped"] == "2, up to 75% of a picture, e.g. cats/wide.png (80x20), dogs/turned.jpg (30x60)"
    assert found["grey to colour"] == "2, e.g. dogs/deep.png (16x16), dogs/small.png (8x8)"
    assert found["transparent, laid on white"] == "1, e.g. dogs/alpha.png (32x32)"
    assert found["16 bits to 8"] == "1, e.g. dogs/deep.png (16x16)"
    assert found["turned upright"] == "1, e.g. dogs/turned.jpg (30x60)"
    assert report.grid.shape == (3, 3 * 18 + 2, 3 * 18 + 2)


def test_other_options_make_other_changes(pictures):
    _, found = checked(pictures, resize="contain", channels=1, num_classes=2)
    assert found["put on black"].startswith("2, e.g. cats/wide.png")
    assert found["colour to grey"].startswith("5,")
    assert found["classes"] == "cats 3, dogs 4"
    assert "cropped" not in found
    _, found = checked(pictures, resize="stretch")
    assert found["stretched"].startswith("2, e.g. cats/wide.png")
    _, found = checked(pictures, resize="native")
    assert found["cropped"].startswith("3, up to 86% of a picture, e.g. dogs/turned.jpg (30x60), cats/wide.png")
    assert "reduced" not in found


def test_files_that_cannot_be_read_are_listed_and_the_exit_code_says_so(pictures, tmp_path):
    (pictures / "cats" / "empty.png").write_bytes(b"")
    (pictures / "dogs" / "self").symlink_to(pictures)
    arguments = ["data=folder", f"data.root={pictures}", "data.image_size=16", "out=seen"]
    made = command("lightning_gans.data_check", *arguments, cwd=tmp_path)
    assert made.returncode == 1
    assert "7 readable, 2 not" in made.stdout
    assert "cats/empty.png: the file is empty" in made.stdout
    assert "dogs/self: a symbolic link to a folder that was read already" in made.stdout
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["grid.png", "report.txt"]
    assert (tmp_path / "seen" / "report.txt").read_text() in made.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures", "seen"]
    assert "Traceback" not in made.stderr
    assert look(Folder(root=str(pictures), image_size=16, channels=3, on_error="skip")).unreadable == 2


def test_good_images_end_with_zero_and_nothing_is_written(pictures, tmp_path):
    made = command("lightning_gans.data_check", "data=folder", f"data.root={pictures}", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


def test_any_set_can_be_looked_at():
    report = look(Digits(image_size=16, channels=1, val_fraction=0.5))
    assert "899, held in memory" in report.text or "898, held in memory" in report.text
    assert "16x16x1" in report.text
    assert report.grid.shape == (1, 8 * 18 + 2, 8 * 18 + 2)


def test_what_was_never_readable_has_no_grid(tmp_path):
    (tmp_path / "a.png").write_bytes(b"text")
    report, found = checked(tmp_path)
    assert report.unreadable == 1
    assert report.grid is None
    assert found["unreadable"].startswith("a.png: not an image")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "data.root: missing"),
        (["data=floder"], "Did you mean 'folder'"),
        (["data.root=x", "data.resise=cover"], "Did you mean 'resize'"),
        (["+model=dcgan"], "model"),
        (["data.root=x", "examples=0"], "examples=0: must be >= 1"),
    ],
)
def test_mistakes_answer_before_torch(tmp_path, arguments, named):
    poison = tmp_path / "torch"
    poison.mkdir()
    (poison / "__init__.py").write_text("raise RuntimeError('torch was imported')")
    made = command("lightning_gans.data_check", *arguments, cwd=tmp_path, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert made.returncode == 1
    assert named in made.stderr
    assert len(made.stderr.strip().splitlines()) == 1


def test_the_schema_is_the_file():
    assert set(compose("data.root=x", config="data_check")) == {
        *("data", "out", "to", "overwrite", "examples", "seed"),
    }


def test_a_set_is_shrunk_once_to_what_training_sees(pictures, tmp_path, capsys, monkeypatch):
    """The zip has the very pixels and classes that the files give, and what cannot be read is not in it."""
    (pictures / "dogs" / "broken.png").write_bytes(b"no picture")
    (pictures / "cats" / "fits.jpg").write_bytes((pictures / "dogs" / "turned.jpg").read_bytes())  # and fits.png
    options = [f"data.root={pictures}", "data.image_size=16", "data.num_classes=2", "data.on_error=skip"]
    small = tmp_path / "made" / "small.zip"
    check = ["lightning_gans.data_check", "data=folder", *options, f"to={small}"]
    assert command_here(*check, cwd=tmp_path, monkeypatch=monkeypatch) == 1  # a file cannot be read
    assert f"8 images of {small.stat().st_size:,} bytes in {small}" in capsys.readouterr().out
    how = {"image_size": 16, "channels": 3, "num_classes": 2, "on_error": "skip"}
    with pytest.warns(UserWarning, match="broken.png"):
        large = Folder(root=str(pictures), **how).train_images
    again = Folder(root=str(small), **how).train_images
    assert torch.equal(large.images, again.images)
    assert torch.equal(large.labels, again.labels)
    assert command_here(*check, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_shrunk_images_have_the_channels_that_were_asked_for(pictures, tmp_path, channels):
    how = {"image_size": 16, "channels": channels}
    data = Folder(root=str(pictures), **how)
    small = tmp_path / "small.zip"
    assert shrink(files_of(data, small), small) == 7
    assert torch.equal(Folder(root=str(small), **how).train_images.images, data.train_images.images)


@pytest.mark.parametrize(
    ("choice", "to", "said"),
    [
        ("digits", "small.zip", "to=small.zip: Digits has no files of single images"),
        ("folder", "small.tar", "to=small.tar: must be the name of a zip"),
    ],
)
def test_what_cannot_be_shrunk_is_refused(pictures, tmp_path, capsys, monkeypatch, choice, to, said):
    options = [f"data={choice}", *([f"data.root={pictures}"] if choice == "folder" else []), f"to={to}"]
    assert command_here("lightning_gans.data_check", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert said in capsys.readouterr().err

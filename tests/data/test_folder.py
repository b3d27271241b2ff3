"""Folders and zips of images: what is read from them, how it is cut, and what strangers may have put there."""

import io
import os
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from conftest import evaluation, refusal, run, tiny
from lightning_gans import build, compose
from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.file_sources import OnDisk, source_at
from lightning_gans.data.folder import Folder
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.inspection import look
from lightning_gans.data.resize import fit
from lightning_gans.images.files import save


@pytest.fixture
def pictures(tmp_path):
    """Two classes of pictures of many sizes, modes and formats, beside files that are none."""
    root = tmp_path / "pictures"
    for name, size, mode in [
        ("cats/a.png", (40, 20), "RGB"),
        ("cats/b.jpg", (20, 40), "L"),
        ("dogs/c.png", (16, 16), "RGBA"),
        ("dogs/deep/d.webp", (33, 50), "RGB"),
        ("dogs/e.gif", (16, 16), "P"),
    ]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, 200 if mode in ("L", "P") else (200, 100, 50, 128)[: len(mode)]).save(path)
    (root / "notes.txt").write_text("none")
    return root


def zipped(folder, path, top=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, top + file.relative_to(folder).as_posix())
    return path


def encoded(size=(16, 16), mode="L", format="PNG"):  # noqa: A002
    file = io.BytesIO()
    Image.new(mode, size, 90 if len(mode) == 1 else (90,) * len(mode)).save(file, format)
    return file.getvalue()


def folder(root, image_size=16, channels=1, **options):
    return Folder(root=str(root), image_size=image_size, channels=channels, **options)


# ---------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("packed", [False, True])
def test_folder_and_zip_hold_the_same(pictures, tmp_path, channels, packed):
    root = zipped(pictures, tmp_path / "p.zip", "top/") if packed else pictures
    held = folder(root, channels=channels, num_classes=2).load()
    assert isinstance(held, InMemoryImages)
    assert held.images.shape == (5, channels, 16, 16)
    assert held.classes == ["cats", "dogs"]
    assert held.labels.tolist() == [0, 0, 1, 1, 1]
    assert held.images[0, 0].float().mean() == pytest.approx({1: 124, 2: 124}.get(channels, 200), abs=1)


@pytest.mark.parametrize("packed", [False, True])
def test_one_sub_folder_of_many(pictures, tmp_path, packed):
    root = zipped(pictures, tmp_path / "p.zip") if packed else pictures
    data = folder(root, within="dogs")
    assert len(data.train_images) == 3
    assert data.description == "dogs"
    with pytest.raises(ValueError, match=r"data\.within=cows: .* has no images under such a folder"):
        folder(root, within="cows").load()


def test_large_sets_are_read_by_workers(pictures, tmp_path):
    in_memory = folder(pictures, channels=3).load()
    packed = zipped(pictures, tmp_path / "p.zip")
    on_disk = folder(packed, channels=3, memory_gb=0.0).load()
    assert isinstance(on_disk, ImageFiles)
    index = torch.tensor([3, 0, 4])
    assert torch.equal(in_memory.fetch(index)["image"], on_disk.fetch(index)["image"])
    made = run(
        tmp_path / "run",
        "data=folder",
        f"data.root={packed}",
        "data.channels=3",
        "data.memory_gb=0",
        "data.num_workers=2",
        "data.limit=null",
    )
    assert made.model.iteration == 4


def test_labels_know_all_classes_whatever_the_limit(pictures):
    for limit in (1, 2):
        held = folder(pictures, num_classes=2, limit=limit).load()
        assert len(held) == limit
        assert held.classes == ["cats", "dogs"]
    assert held.labels.tolist() == [0, 1]


def striped(width, height):
    """Red left, white in the middle square, blue right (or above and below)."""
    image = Image.new("RGB", (width, height), (255, 0, 0))
    side, left, top = min(width, height), (width - min(width, height)) // 2, (height - min(width, height)) // 2
    image.paste((0, 0, 255), (left if width > height else 0, top if height > width else 0, width, height))
    image.paste((255, 255, 255), (left, top, left + side, top + side))
    return image


@pytest.mark.parametrize("size", [(90, 30), (30, 90), (300, 100)])
def test_cover_cuts_out_the_middle(size):
    pixels = np.asarray(fit(striped(*size), (15, 15), "cover"))
    assert pixels.shape == (15, 15, 3)
    assert pixels[2:-2, 2:-2].min() > 250


def test_contain_keeps_everything_on_black():
    pixels = np.asarray(fit(striped(90, 30), (30, 30), "contain")).astype(int)
    assert pixels[:9].max() == pixels[-9:].max() == 0
    middle = pixels[15]
    assert (middle[4] == [255, 0, 0]).all()
    assert (middle[15] == 255).all()
    assert (middle[25] == [0, 0, 255]).all()


def test_stretch_fills_the_square():
    pixels = np.asarray(fit(striped(90, 30), (30, 30), "stretch")).astype(int)
    for row in (0, 29):
        assert (pixels[row, 4] == [255, 0, 0]).all()
        assert (pixels[row, 25] == [0, 0, 255]).all()


def test_a_very_long_picture_costs_no_more_memory_than_a_short_one():
    """Resized whole, it would have 64 x 64 million pixels."""
    pixels = np.asarray(fit(Image.new("L", (1, 1_000_000), 7), (64, 64), "cover"))
    assert pixels.shape == (64, 64)
    assert (pixels == 7).all()


def test_policies_reach_the_images(tmp_path):
    striped(90, 30).save(tmp_path / "a.png")
    means = {p: folder(tmp_path, 30, 3, resize=p).load().images.float().mean().item() for p in ("cover", "contain")}
    assert means["cover"] > 250
    assert means["contain"] < 100


def test_native_pixels_are_never_resized_unless_there_are_too_few(tmp_path):
    """The middle of a large picture is cut out; the shorter side of a small one becomes the side."""
    noise = np.random.default_rng(0).integers(0, 256, (50, 71), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    Image.fromarray(noise[:20, :40]).save(tmp_path / "b.png")
    large, small = folder(tmp_path, 32, 1, resize="native").load().images[:, 0]
    assert torch.equal(large, torch.from_numpy(noise[9:41, 19:51]))
    covered = fit(Image.fromarray(noise[:20, :40]), (32, 32), "cover")
    assert torch.equal(small, torch.from_numpy(np.array(covered)))


def test_sixteen_bits_become_eight_and_floats_are_refused(tmp_path):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    for name in ("ramp.png", "ramp.pgm", "ramp.tif"):
        Image.fromarray(ramp).save(tmp_path / name)
    for image in folder(tmp_path).load().images[:, 0]:
        assert image.flatten().tolist() == list(range(256))
    Image.fromarray(np.zeros((16, 16), np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(ValueError, match=r"cannot read x\.tif \(mode F"):
        folder(tmp_path).load()


def png(width, height, depth, colour, rows):
    """A PNG by hand."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colours_of_sixteen_bits(tmp_path):
    row = b"\0" + np.array([[200 * 257, 100 * 257, 50 * 257]] * 4, ">u2").tobytes()
    (tmp_path / "a.png").write_bytes(png(4, 4, 16, 2, row * 4))
    images = folder(tmp_path, 4, 3).load().images
    assert images[0, :, 2, 2].tolist() == [200, 100, 50]


def test_what_file_managers_leave_is_no_image(pictures, tmp_path):
    (pictures / "._a.png").write_bytes(b"x")
    (pictures / "__MACOSX").mkdir()
    (pictures / "__MACOSX" / "b.png").write_bytes(b"x")
    assert len(folder(pictures).load()) == 5
    assert len(folder(zipped(pictures, tmp_path / "p.zip")).load()) == 5


@pytest.mark.parametrize("packed", [False, True])
def test_overview_pictures_of_ours_are_passed_over_and_a_users_own_are_not(tmp_path, packed):
    root = tmp_path / "in"
    image = torch.zeros(1, 8, 8, dtype=torch.uint8)
    for name in ("a.png", "grid.png", "sub/sheet.png", "sub/sheet_2.png", "sub/mine.png"):
        save(image, root / name, None if name == "a.png" else "overview")
    for name in ("own/sheet.png", "own/grid.png"):
        save(image, root / name)
    place = zipped(root, tmp_path / "in.zip") if packed else root
    source = source_at(str(place))
    assert source.names() == ["a.png", "own/grid.png", "own/sheet.png", "sub/mine.png"]
    assert source.ignored == 3


def test_rotation_notes_of_cameras_are_heeded(tmp_path):
    image = Image.new("RGB", (20, 20), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 20, 10))  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    held = folder(tmp_path, 20).load().images[0, 0]
    assert held[:8].float().mean() < 20
    assert held[12:].float().mean() > 235


def test_held_out_images_are_those_that_training_never_sees(pictures):
    data = folder(pictures, num_classes=2, val_fraction=0.4, seed=3)
    assert (len(data.train_images), len(data.val_images)) == (3, 2)
    whole = folder(pictures, num_classes=2).load().images
    parts = torch.cat([next(data.real_images(range(3), 9)), next(data.val().real_images(range(2), 9))])
    assert sorted(map(bytes, parts.numpy())) == sorted(map(bytes, whole.numpy()))
    assert "label" in data.train_images.fetch(torch.tensor([0]))
    assert data.description == "train, 0.4 held out by seed 3"
    assert data.val().description == "held-out part of train, 0.4 held out by seed 3"
    again = folder(pictures, num_classes=2, val_fraction=0.4, seed=3)
    assert torch.equal(again.val_images.indices, data.val_images.indices)
    with pytest.raises(ValueError, match=r"data\.val_fraction=0: no images are held out"):
        _ = folder(pictures).val_images
    with pytest.raises(ValueError, match=r"data\.val_fraction=0\.05: holds out 0 of 5 images"):
        _ = folder(pictures, val_fraction=0.05).train_images


# ---------------------------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda p: None, {}, "does not exist"),
        (lambda p: p.mkdir(), {}, "no images"),
        (lambda p: p.write_text("x"), {}, "neither a folder nor a zip"),
        (lambda p: (p.mkdir(), (p / "a.png").write_bytes(b"")), {}, r"cannot read a\.png \(the file is empty\)"),
        (lambda p: (p.mkdir(), (p / "b.jpg").write_text("no image")), {}, r"cannot read b\.jpg \(not an image"),
        (lambda p: (p.mkdir(), (p / "b.png").write_bytes(encoded()[:-30])), {}, r"cannot read b\.png \(.+\)"),
        (lambda p: (p.mkdir(), (p / "b.png").write_bytes(encoded()[:12])), {}, r"b\.png \(its header is damaged\)"),
        (lambda p: (p.mkdir(), os.mkfifo(p / "b.png")), {}, r"cannot read b\.png \(not a regular file\)"),
        (lambda p: (p.mkdir(), (p / "b.png").symlink_to("gone")), {}, r"cannot read b\.png \(No such file"),
        (
            lambda p: (p.mkdir(), Image.new("L", (9, 9)).save(p / "a.png")),
            {"num_classes": 3},
            r"data\.num_classes=3: .* class folders \(none\)",
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, make, options, message):
    root = tmp_path / "images"
    make(root)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as raised:
        folder(root, image_size=8, **options).load()
    assert "BytesIO" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 5}, r"data\.channels=5: must be 1"),
        ({"resize": "crop"}, r"^resize=crop: must be cover, contain, stretch or native"),
        ({"on_error": "ignore"}, r"^on_error=ignore: must be stop or skip"),
        ({"max_pixels": 0}, r"^max_pixels=0: must be from 1 to 178956970$"),
        ({"memory_gb": -1.0}, r"^memory_gb=-1.0: must be >= 0$"),
        ({"val_fraction": 1.0}, r"^val_fraction=1.0: must be from 0 to below 1$"),
        ({"image_size": None}, r"data\.image_size=null"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        folder(tmp_path, **options)


@pytest.fixture
def damaged(tmp_path):
    """Four pictures and three that cannot be read, in two classes."""
    root = tmp_path / "damaged"
    for name, content in {
        "a/0.png": encoded(),
        "a/1.png": b"",
        "a/2.png": b"a text",
        "a/3.png": encoded(),
        "b/4.png": encoded(),
        "b/5.jpg": encoded((64, 64), "RGB", "JPEG")[:300],
        "b/6.png": encoded(),
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.mark.parametrize("packed", [False, True])
def test_all_damaged_files_are_told_together(damaged, tmp_path, packed):
    root = zipped(damaged, tmp_path / "d.zip") if packed else damaged
    with pytest.raises(ValueError, match=r"cannot read 3 files: a/1\.png \(.*a/2\.png \(.*b/5\.jpg \(.*on_error=skip"):
        folder(root).load()


def test_damaged_files_are_left_out_by_option(damaged):
    with pytest.warns(UserWarning, match=r"left out.*3 files: a/1\.png .*a/2\.png .*b/5\.jpg"):
        held = folder(damaged, num_classes=2, on_error="skip").load()
    assert len(held) == 4
    assert held.labels.tolist() == [0, 0, 1, 1]


def test_workers_put_the_next_readable_image_in_place_of_a_damaged_one(damaged):
    files = folder(damaged, num_classes=2, on_error="skip", memory_gb=0.0).load()
    with pytest.warns(UserWarning, match=r"left out.*a/2\.png"):
        batch = files.fetch(torch.tensor([0, 2, 5]))
    assert batch["image"].shape == (3, 1, 16, 16)
    assert batch["label"].tolist() == [0, 0, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        files.fetch(torch.tensor([2]))
    with pytest.raises(ValueError, match=r"cannot read 2 files: a/1\.png.*b/5\.jpg"):
        folder(damaged, memory_gb=0.0).load().fetch(torch.tensor([1, 3, 5]))


@pytest.mark.parametrize("workers", [[], ["data.memory_gb=0", "data.num_workers=1"]])
def test_training_stops_at_a_damaged_file_or_goes_on_without(damaged, tmp_path, workers):
    options = ["data=folder", f"data.root={damaged}", "data.channels=1", "data.limit=null", *workers]
    with pytest.raises(ValueError, match=r"(a/1|a/2|b/5).*data\.on_error=skip"):
        run(tmp_path / "stop", *options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # in this process or in a worker's
        assert run(tmp_path / "skip", *options, "data.on_error=skip").model.iteration == 4


def test_nothing_readable_is_an_error_even_if_skipped(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(ValueError, match="none of the 1 images"),
    ):
        folder(tmp_path, on_error="skip").load()
    files = folder(tmp_path, on_error="skip", memory_gb=0.0).load()
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(ValueError, match="none of the 1 images"),
    ):
        files.fetch(torch.tensor([0]))


# ---------------------------------------------------------------------------------- what strangers may send


def refused_and_skipped(root, named, readable, **options):
    """With ``stop`` the file is named; with ``skip`` it is named in a warning and the others are read."""
    with pytest.raises(ValueError, match=named):
        folder(root, **options).load()
    with pytest.warns(UserWarning, match=named):
        held = folder(root, on_error="skip", **options).load()
    assert len(held) == readable


@pytest.mark.parametrize(("side", "limit"), [(20_000, None), (5_000, 1_000_000)])
def test_an_image_bomb_is_never_decoded(tmp_path, monkeypatch, side, limit):
    """Its header declares more pixels than allowed; a few bytes follow."""
    (tmp_path / "bomb.png").write_bytes(png(side, side, 8, 2, b"\0" * 10_000))
    (tmp_path / "good.png").write_bytes(encoded())
    decoded = []
    load = PngImagePlugin.PngImageFile.load
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: (decoded.append(self.size), load(self))[1])
    refused_and_skipped(
        tmp_path, r"bomb\.png .*data\.max_pixels=1", readable=1, **({"max_pixels": limit} if limit else {})
    )
    assert set(decoded) == {(16, 16)}


def test_paths_that_climb_out_of_a_zip(tmp_path):
    names = ["../up.png", "/root.png", "in/../../up.png", "C:\\disk.png", "..\\up.png"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in [*names, "good.png", "fine..name.png"]:
            archive.writestr(name, encoded())
    with pytest.raises(ValueError, match="cannot read 5 files") as raised:
        folder(tmp_path / "a.zip").load()
    for name in names:
        assert f"{name} (its path leads out of the zip)" in str(raised.value)
    refused_and_skipped(tmp_path / "a.zip", r"up\.png", readable=2)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_names_cannot_command_a_terminal(tmp_path):
    for name in (b"\x1b[2Jcleared.png", b"not \xff unicode.png", "gemüse.png".encode()):
        (tmp_path / os.fsdecode(name)).write_bytes(b"")
    with pytest.raises(ValueError, match="cannot read 3 files") as raised:
        folder(tmp_path).load()
    for text in (str(raised.value), look(folder(tmp_path)).text):
        assert text.replace("\n", "").isprintable()
        assert r"\x1b[2Jcleared.png" in text
        assert r"not \udcff unicode.png" in text
        assert "gemüse.png" in text


def test_symbolic_links_in_a_circle(tmp_path):
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "a" / "good.png").write_bytes(encoded())
    (root / "a" / "again").symlink_to(root)
    refused_and_skipped(root, r"a/again \(a symbolic link to a folder that was read already\)", readable=1)
    (root / "self.png").symlink_to("self.png")
    (root / "self").symlink_to("self")
    refused_and_skipped(root, r"self \(.*symbolic links\).*self\.png \(.*symbolic links\)", readable=1)


def test_symbolic_links_to_pictures_are_followed(tmp_path):
    elsewhere, root = tmp_path / "elsewhere", tmp_path / "root"
    elsewhere.mkdir()
    root.mkdir()
    (elsewhere / "a.png").write_bytes(encoded())
    (root / "cats").symlink_to(elsewhere)
    (root / "b.png").symlink_to(elsewhere / "a.png")
    assert OnDisk(root).names() == ["b.png", "cats/a.png"]
    assert len(folder(root).load()) == 2


def test_a_gigabyte_of_text_is_told_by_its_first_bytes(tmp_path, monkeypatch):
    with open(tmp_path / "text.png", "wb") as file:
        file.write(b"once upon a time")
        file.truncate(2**30)  # sparse
    (tmp_path / "good.png").write_bytes(encoded())
    taken = []

    class Counting(io.FileIO):
        def read(self, size=-1):
            taken.append(super().read(size))
            return taken[-1]

    monkeypatch.setattr(
        OnDisk, "open", lambda self, name: (Counting(self.root / name), os.stat(self.root / name).st_size)
    )
    refused_and_skipped(tmp_path, r"text\.png \(not an image: it begins with b'once upo'\)", readable=1)
    assert 0 < sum(map(len, taken)) < 1000


def test_a_large_file_that_begins_as_an_image_is_not_read(tmp_path):
    with open(tmp_path / "large.png", "wb") as file:
        file.write(encoded())
        file.truncate(2**30)
    (tmp_path / "good.png").write_bytes(encoded())
    refused_and_skipped(tmp_path, r"large\.png \(1,073,741,824 bytes; more than 8 for each of data\.max_pixels", 1)


def test_a_zip_bomb_is_never_unpacked(tmp_path):
    """One entry declares four gigabytes."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", encoded() + b"\0" * 100_000)
        archive.writestr("good.png", encoded())
    content = bytearray((tmp_path / "a.zip").read_bytes())
    entry = content.index(b"PK\x01\x02")  # of the central directory; its size stands at byte 24
    content[entry + 24 : entry + 28] = struct.pack("<I", 0xFFFFFFF0)
    (tmp_path / "a.zip").write_bytes(content)
    refused_and_skipped(tmp_path / "a.zip", r"bomb\.png \(4,294,967,280 bytes", readable=1)


def test_an_entry_cannot_hold_more_than_it_declares(tmp_path):
    """One that declares less than it holds is cut short, and its checksum does not fit."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("liar.png", encoded() + b"\0" * 100_000)
        archive.writestr("good.png", encoded())
    content = bytearray((tmp_path / "a.zip").read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 1000)
    (tmp_path / "a.zip").write_bytes(content)
    refused_and_skipped(tmp_path / "a.zip", r"liar\.png", readable=1)


def test_an_encrypted_entry_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("secret.png", encoded())
        archive.writestr("good.png", encoded())
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    refused_and_skipped(tmp_path / "a.zip", r"secret\.png \(.*encrypted", readable=1)


# ---------------------------------------------------------------------------------- in a run


def test_wrong_options_are_told_before_anything_is_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    message = refusal(tmp_path, *tiny(), "data=folder", f"data.root={tmp_path}", "data.resize=crop", "data.limit=null")
    assert "data.resize=crop" in message
    assert "cover, contain, stretch or native" in message


def test_training_on_a_folder_scores_are_optional(pictures, tmp_path, monkeypatch):
    """Inception's weights cannot be had: one warning, no score, the training goes on; asked for, it is an error."""
    import urllib.error

    from torch_fidelity import feature_extractor_inceptionv3 as inception

    def offline(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(inception, "load_state_dict_from_url", offline)
    options = [
        "data=folder",
        f"data.root={pictures}",
        "data.channels=3",
        "data.limit=null",
        evaluation(every_n_train_steps=2, n=4),
    ]
    with pytest.warns(UserWarning, match=r"without frechet, inception_score, kernel: .*extractor\.weights=FILE"):
        made = run(tmp_path / "run", *options)
    assert made.model.iteration == 4
    wanted = build(
        compose(*tiny(), *options, "extractor=inception", "+callbacks.evaluation.extractor=${extractor}"),
        tmp_path / "x",
    )
    with pytest.raises(ValueError, match=r"could not be downloaded.*extractor\.weights=FILE"):
        wanted.fit()

"""One reader for every picture of a user's: what goes wrong, which way up, on which background, of how many bits."""

import builtins
import io
import os
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from conftest import command, evaluation, run, tiny
from lightning_gans import compose
from lightning_gans.data.decoding import Decoder, Unreadable
from lightning_gans.data.digits import Digits
from lightning_gans.data.file_sources import InZip, source_at
from lightning_gans.data.folder import Folder
from lightning_gans.data.inspection import look
from lightning_gans.data.subset import spread
from lightning_gans.data.translation.digit_domains import DigitDomains
from lightning_gans.data.translation.digit_edges import DigitEdges
from lightning_gans.data.translation.paired import Paired
from lightning_gans.data.translation.unpaired import Unpaired
from lightning_gans.evaluation import sources
from lightning_gans.inference.source_images import find
from lightning_gans.inference.tiles import TilingSpec
from lightning_gans.inference.translator import Translator


def encoded(value=90, size=(16, 16), mode="L", format="PNG", **options):  # noqa: A002
    file = io.BytesIO()
    Image.new(mode, size, value).save(file, format, **options)
    return file.getvalue()


def zipped(path, entries):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in entries:
                archive.writestr(name, content)
    return path


def broken_checksum(path, content):
    """Change a byte of an entry's content, so that its checksum no longer fits."""
    data = bytearray(path.read_bytes())
    data[data.index(content) + len(content) - 20] ^= 255
    path.write_bytes(data)


def folder(root, image_size=16, channels=1, **options):
    return Folder(root=str(root), image_size=image_size, channels=channels, **options)


def told(data):
    report = look(data)
    width = report.text.index(type(data).__name__)
    return report, {line[:width].strip(): line[width:].strip() for line in report.text.splitlines()}


# ---------------------------------------------------------------------------------- one set of errors


def test_a_damaged_zip_entry_does_not_end_a_training_that_skips(tmp_path):
    """Nor at its scores, whose fingerprint reads every file again."""
    contents = [(f"{i}.png", encoded(i * 20, mode="L")) for i in range(8)]
    archive = zipped(tmp_path / "a.zip", contents)
    broken_checksum(archive, contents[3][1])
    options = ["data=folder", f"data.root={archive}", "data.channels=1", "data.memory_gb=0", "data.on_error=skip"]
    score = evaluation(every_n_train_steps=2, n=4, metrics="[swd]")
    with pytest.warns(UserWarning, match=r"left out.*3\.png \(Bad CRC-32"):
        made = run(tmp_path / "run", *options, score)
    assert len(list((made.folder / "scores").glob("*.json"))) == 2
    with pytest.raises(ValueError, match=r"cannot read 3\.png \(Bad CRC-32.*data\.on_error=skip"):
        folder(archive).load()


@pytest.mark.parametrize("error", [OSError("x"), ValueError("x"), RuntimeError("x"), zlib.error("x"), EOFError("x")])
def test_whatever_a_file_raises_is_one_error(tmp_path, monkeypatch, error):
    (tmp_path / "a.png").write_bytes(encoded())
    source = source_at(str(tmp_path))

    def fails(name):
        raise error

    monkeypatch.setattr(source, "open", fails)
    for read in (lambda: source.read("a.png", 99), lambda: source.start("a.png", 9)):
        with pytest.raises(Unreadable, match="x"):
            read()


def test_an_encrypted_entry_and_an_unknown_packing_are_named_in_words(tmp_path):
    archive = zipped(tmp_path / "a.zip", [("secret.png", encoded()), ("good.png", encoded())])
    data = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    for place in (data.index(b"PK\x03\x04", 10) + 8, second + 10):
        data[place] = 99
    archive.write_bytes(data)
    with pytest.raises(
        ValueError, match=r"good\.png \(packed by a method.*99.*secret\.png \(encrypted; unpack"
    ) as raised:
        folder(archive).load()
    assert "ZipInfo" not in str(raised.value)


def test_names_that_stand_twice_in_a_zip_are_told(tmp_path):
    archive = zipped(tmp_path / "a.zip", [("a.png", encoded(10)), ("b.png", encoded(20)), ("a.png", encoded(30))])
    with pytest.raises(ValueError, match=r"a\.png \(the zip has 2 entries of this name; only the last is read\)"):
        folder(archive).load()
    with pytest.warns(UserWarning, match="2 entries of this name"):
        held = folder(archive, on_error="skip").load()
    assert held.images[:, 0, 0, 0].tolist() == [30, 20]


@pytest.mark.parametrize("place", ["device", "pipe", "broken zip", "plain file"])
@pytest.mark.parametrize("option", ["data.root", "data.target_root", "candidate", "input"])
def test_special_files_and_broken_zips_are_refused_in_one_sentence(tmp_path, place, option):
    path, good = tmp_path / "x.zip", tmp_path / "good"
    good.mkdir()
    (good / "a.png").write_bytes(encoded())
    if place == "device":
        path = "/dev/null"
    elif place == "pipe":
        os.mkfifo(path)
    elif place == "plain file":
        path.write_text("no zip")
    else:
        zipped(path, [("a.png", encoded())])
        data = bytearray(path.read_bytes())
        data[data.index(b"PK\x01\x02") : data.index(b"PK\x01\x02") + 4] = b"XXXX"
        path.write_bytes(data)
    if (place, option) == ("plain file", "input"):
        assert find(str(path))[1] == ["x.zip"]  # one picture, told as unreadable when it is read
        return
    said = {"device": "is a device", "pipe": "is a device, pipe", "plain file": "is neither a folder nor a zip"}
    said = said.get(place, r"is a zip that cannot be read \(Bad magic")
    sides = {"channels": 1, "source_channels": 1, "image_size": 16}
    read = {
        "data.root": lambda: folder(path).load(),
        "data.target_root": lambda: Unpaired(root=str(good), target_root=str(path), **sides).load(),
        "candidate": lambda: sources.folder(str(path), "candidate", image_size=16, channels=1),
        "input": lambda: find(str(path)),
    }[option]
    with pytest.raises(ValueError, match=rf"^{option}={path}: {said}"):
        read()


def test_what_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    archive = zipped(tmp_path / "a.zip", [("a.png", encoded())])
    real = builtins.open

    def forbidden(file, *args, **kwargs):
        if str(file) == str(archive):
            raise PermissionError(13, "Permission denied", str(file))
        return real(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", forbidden)
    for read in (lambda: source_at(str(archive)), lambda: find(str(archive))):
        with pytest.raises(ValueError, match=r"a\.zip: cannot be read \(Permission denied\)"):
            read()


# ---------------------------------------------------------------------------------- upright


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["TIFF", "JPEG", "PNG", "WEBP"])
def test_sizes_and_pixels_are_upright_in_every_format(tmp_path, kind, orientation):
    """All eight ways to hold a camera show the same picture of 60x30 pixels, white in one corner."""
    upright = np.zeros((30, 60, 3), np.uint8)
    upright[:15, :20] = 255
    turned = orientation > 4
    stored = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1]}
    stored |= {
        5: np.swapaxes(upright, 0, 1),
        6: np.rot90(upright),
        7: np.rot90(np.swapaxes(upright, 0, 1), 2),
        8: np.rot90(upright, -1),
    }
    image = Image.fromarray(np.ascontiguousarray(stored[orientation]))
    assert image.size == ((30, 60) if turned else (60, 30))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a", kind, **({"tiffinfo": {0x0112: orientation}} if kind == "TIFF" else {"exif": exif}))
    picture = Decoder().open((tmp_path / "a").read_bytes())
    assert picture.upright_size() == (60, 30)
    picture = Decoder().open((tmp_path / "a").read_bytes())
    pixels = np.asarray(picture.decode())
    assert picture.size == (60, 30)
    assert picture.rotated is (orientation > 1)
    assert abs(pixels.astype(int) - upright).mean() < 5


def test_a_damaged_picture_that_was_turned_is_named_by_evaluate(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = encoded((9, 9, 9), (40, 40), "RGB", "JPEG", exif=exif)
    (tmp_path / "a.jpg").write_bytes(whole)
    (tmp_path / "b.jpg").write_bytes(whole[:-200])
    with pytest.raises(ValueError, match=r"candidate=.*: cannot read b\.jpg \(.+\)\. on_error=skip"):
        sources.folder(str(tmp_path), "candidate", image_size=None, channels=3)


def test_pairs_of_turned_tiffs_are_measured_as_they_are_seen(tmp_path):
    for side in ("trainA", "trainB"):
        (tmp_path / side).mkdir()
    Image.new("RGB", (60, 30)).save(tmp_path / "trainA" / "a.tif", tiffinfo={0x0112: 6})  # upright 30 wide, 60 high
    sides = {"channels": 3, "source_channels": 3, "image_size": 16, "layout": "folders"}
    Image.new("RGB", (60, 30)).save(tmp_path / "trainB" / "a.png")
    with pytest.raises(ValueError, match=r"trainB/a\.png \(60x30 pixels, its source 30x60: of another aspect"):
        Paired(root=str(tmp_path), **sides).load()
    Image.new("RGB", (30, 60)).save(tmp_path / "trainB" / "a.png")
    assert len(Paired(root=str(tmp_path), **sides).load()) == 1


# ---------------------------------------------------------------------------------- transparency


def transparent_pictures(root):
    """Red left, transparent right, where a program left green: by alpha, by a palette and by a colour."""
    root.mkdir()
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4], pixels[:, 4:] = (255, 0, 0, 255), (0, 255, 0, 0)
    Image.fromarray(pixels).save(root / "alpha.png")
    indexed = Image.fromarray((pixels[..., 1] > 0).astype(np.uint8))
    indexed.putpalette([255, 0, 0, 0, 255, 0])
    indexed.save(root / "gif.gif", transparency=1)
    indexed.save(root / "palette.png", transparency=1)
    Image.fromarray(pixels[..., :3]).save(root / "key.png", transparency=(0, 255, 0))
    Image.fromarray(np.full((8, 8, 3), 9, np.uint8)).save(root / "solid.png")
    return root


@pytest.mark.parametrize(
    ("background", "seen"),
    [
        ("white", (255, 255, 255)),
        ("black", (0, 0, 0)),
        ("#102030", (16, 32, 48)),
        ("rgb(1, 2, 3)", (1, 2, 3)),
        (None, (0, 255, 0)),
    ],
)
def test_transparent_pixels_are_laid_on_the_background(tmp_path, background, seen):
    data = folder(transparent_pictures(tmp_path / "in"), 8, 3, background=background)
    for image in data.load().images[:4]:
        assert image[:, 4, 6].tolist() == list(seen)
        assert image[:, 4, 1].tolist() == [255, 0, 0]
    note = "alpha left out" if background is None else f"transparent, laid on {background}"
    assert told(data)[1][note].startswith("4, e.g. alpha.png")


def test_alpha_that_is_kept_is_laid_on_nothing_and_greys_are_told_by_their_key(tmp_path):
    root = transparent_pictures(tmp_path / "in")
    data = folder(root, 8, 4)
    images = data.load().images
    assert images[:4, 3, 4, 6].tolist() == [0] * 4
    assert not [name for name in told(data)[1] if "transparent" in name]
    deep = np.full((8, 8), 30000, np.uint16)
    deep[:, 4:] = 7
    (tmp_path / "grey").mkdir()
    Image.fromarray(deep).save(tmp_path / "grey" / "a.png", transparency=7)
    for channels, wanted in ((1, [117, 255]), (2, [117, 0])):
        image = folder(tmp_path / "grey", 8, channels).load().images[0]
        assert [int(image[0, 0, 0]), int(image[-1, 0, 6])] == wanted


def test_translations_use_the_background_of_the_training_and_say_so(tmp_path):
    root = transparent_pictures(tmp_path / "in")
    for background, seen in (("white", 255), ("black", 0)):
        translator = Translator(torch.neg, TilingSpec.of(), channels=3, made_channels=3, background=background)
        source, names = find(str(root))
        files = translator.originals(source, names, root=str(root))
        assert files.decode(0)[2, 4, 6] == seen
        files.converted.clear()
        out = [tmp_path / f"{background}{i}.png" for i in range(len(names))]
        assert translator(files, out).converted == {f"transparent, laid on {background}": 4}


@pytest.mark.parametrize("background", ["whit", "#12", "#11223344", 0, True])
def test_a_background_that_is_no_colour_is_refused(tmp_path, background):
    typed = "true" if background is True else background
    with pytest.raises(ValueError, match=rf"^data\.background={typed}: must be white, black, another colour"):
        folder(tmp_path, background=background)


# ---------------------------------------------------------------------------------- bits


def png(values):
    """A PNG of 16 bits, grey (H, W) or colours (H, W, 3)."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2 if values.ndim == 3 else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.fixture
def microscope(tmp_path):
    """Values of 12 bits in 16, grey and in colours, beside a picture of 8."""
    root = tmp_path / "in"
    root.mkdir()
    grey = np.linspace(0, 4095, 256).round().astype(np.uint16).reshape(16, 16)
    (root / "a.png").write_bytes(png(grey))
    (root / "b.png").write_bytes(png(np.stack([grey, grey[::-1], grey.T], 2)))
    Image.fromarray(grey).save(root / "c.tif")
    (root / "d.png").write_bytes(encoded(200))
    return root, grey


@pytest.mark.parametrize("bits", [12, "auto"])
def test_twelve_bits_in_sixteen_are_scaled_by_what_they_use(microscope, bits):
    root, grey = microscope
    dark = folder(root, channels=3).load().images
    assert dark[[0, 1, 2]].max() == 16
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        images = folder(root, channels=3, bits=bits).load().images.numpy()
    wanted = np.rint(grey / 4095 * 255).astype(np.uint8)
    assert np.array_equal(images[0], np.stack([wanted] * 3))
    assert np.array_equal(images[1], np.stack([wanted, wanted[::-1], wanted.T]))
    assert np.array_equal(images[2], images[0])
    assert (images[3] == 200).all()
    auto = [str(one.message) for one in said if "data.bits=auto" in str(one.message)]
    assert len(auto) == (bits == "auto")
    assert all("read as 12 bits, from 0 to 4,095; the largest is 4,095" in text for text in auto)


def test_data_check_tells_the_range_in_use(microscope):
    root, _ = microscope
    assert (
        told(folder(root))[1]["values"] == "up to 4,095 of 65,535 in pictures of 16 bits; data.bits=12 scales by 4,095"
    )
    found = told(folder(root, bits=12))[1]
    assert found["values"] == "up to 4,095 of 4,095 in pictures of 16 bits"
    assert found["12 bits to 8"].startswith("3, e.g.")


def test_values_beyond_the_bits_are_files_that_cannot_be_read(microscope):
    with pytest.raises(ValueError, match=r"a\.png \(value 4095: must be from 0 to 1023 \(data\.bits=10\)\)"):
        folder(microscope[0], bits=10).load()
    for bits, typed in ((0, 0), (17, 17), ("automatic", "automatic"), (True, "true"), (1.5, 1.5)):
        with pytest.raises(ValueError, match=rf"^bits={typed}: must be (an integer )?from 1 to 16 or auto, or null"):
            folder(microscope[0], bits=bits)


# ---------------------------------------------------------------------------------- folders and classes


def test_backslashes_in_a_zip_part_folders(tmp_path):
    entries = [(r"top\cats\a.png", encoded(1)), (r"top\dogs\b.png", encoded(2)), ("top\\dogs\\", b"")]
    archive = zipped(tmp_path / "a.zip", entries)
    assert InZip(archive).names() == ["top/cats/a.png", "top/dogs/b.png"]
    held = folder(archive, num_classes=2).load()
    assert held.classes == ["cats", "dogs"]
    assert held.labels.tolist() == [0, 1]
    assert folder(archive, within="top/dogs").load().images.unique().tolist() == [2]


def test_a_stray_picture_beside_class_folders_is_named(tmp_path):
    for name in ("cats/a.png", "dogs/b.png", "dogs/c.png", "stray.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded())
    with pytest.raises(ValueError, match=r"stray\.png \(lies beside the class folders, and in none\)"):
        folder(tmp_path, num_classes=2).load()
    with pytest.raises(ValueError, match=r"data\.num_classes=3: .* has 2 class folders \(cats, dogs\)"):
        folder(tmp_path, num_classes=3).load()
    with pytest.warns(UserWarning, match=r"left out.*stray\.png"):
        held = folder(tmp_path, num_classes=2, on_error="skip").load()
    assert held.labels.tolist() == [0, 1, 1]
    report, found = told(folder(tmp_path))
    assert found["sub-folders"] == "cats 1, dogs 2, (none) 1; labels with data.num_classes=2"
    assert found["in none"].startswith("1, e.g. stray.png")
    assert report.unreadable == 0
    assert told(folder(tmp_path, num_classes=2))[1]["unreadable"].startswith("stray.png: lies beside")


NAMES = [
    "2019",
    "007",
    "1e3",
    "true",
    "null/",
    "NULL",
    "~",
    "my photos (1)",
    "a=b,c",
    "a$b{c}",
    "ünder",
    "[a]",
    "-1",
    "./2019",
]


@pytest.mark.parametrize("name", NAMES)
def test_sub_folders_may_be_called_anything(tmp_path, name):
    place = tmp_path / "root" / name.rstrip("/")
    place.mkdir(parents=True)
    (place / "a.png").write_bytes(encoded())
    (tmp_path / "root" / "b.png").write_bytes(encoded())
    sizes = ["data.image_size=16", "data.channels=1"]
    cfg = compose("data=folder", f"data.root={tmp_path / 'root'}", f"data.within={name}", *sizes, config="data_check")
    assert len(Folder(root=cfg.data.root, within=cfg.data.within, image_size=16, channels=1).load()) == 1
    options = [f"data.source={name}", f"data.target={name}", f"data.test_source={name}", "data.test_target=null"]
    cfg = compose("data=unpaired", f"data.root={tmp_path / 'root'}", *options, config="data_check")
    folders = {key: cfg.data[key] for key in ("source", "target", "test_source", "test_target")}
    data = Unpaired(root=cfg.data.root, **folders, image_size=16, channels=1, source_channels=1)
    assert len(data.load()) == 1
    assert folders["test_target"] is None


# ---------------------------------------------------------------------------------- limit


def test_a_limit_takes_of_every_class_its_share():
    classes = torch.tensor([0] * 90 + [1] * 9 + [2])
    taken = {limit: spread(100, limit, classes) for limit in (1, 3, 20, 50, 99, 100, 200)}
    for limit, index in taken.items():
        assert len(index) == min(limit, 100)
        assert index.unique().equal(index)  # in ascending order, and none twice
        assert set(index.tolist()) <= set(taken[100].tolist())
    assert classes[taken[3]].tolist() == [0, 1, 2]
    assert (classes[taken[50]].bincount() - torch.tensor([45, 4, 1])).abs().max() <= 1
    assert set(taken[20].tolist()) < set(taken[50].tolist())
    assert taken[50].tolist() != list(range(50))
    assert spread(100, 30).tolist() != list(range(30))


@pytest.mark.parametrize("limit", [10, 50, 100])
def test_a_limited_set_of_digits_has_all_of_them(limit):
    images = Digits(image_size=16, channels=1, limit=limit)
    counts = images.load().labels.bincount(minlength=10)
    assert int(counts.sum()) == limit
    assert int(counts.max() - counts.min()) <= 2
    assert images.description == f"train, limited to {limit}"
    again = Digits(image_size=16, channels=1, limit=limit, seed=7)
    assert torch.equal(again.load().images, images.load().images)
    sizes = {"image_size": 16, "channels": 3, "source_channels": 3, "limit": limit}
    assert len(DigitEdges(**sizes).load()) == len(DigitDomains(**sizes).load().target) == limit


def test_a_limit_of_a_folder_is_spread_over_its_sub_folders(tmp_path):
    for kind in "abcd":
        (tmp_path / kind).mkdir()
        for i in range(6):
            (tmp_path / kind / f"{i}.png").write_bytes(encoded())
    for options in ({}, {"num_classes": 4}):
        names = folder(tmp_path, limit=8, memory_gb=0.0, **options).load().names
        assert sorted(name[0] for name in names) == list("aabbccdd")
    assert folder(tmp_path, limit=8, num_classes=4).load().labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


# ---------------------------------------------------------------------------------- several jobs, another folder


def pictures_in(root, value):
    root.mkdir(parents=True)
    for i in range(4):
        (root / f"{i}.png").write_bytes(encoded(value + i))


@pytest.mark.slow
def test_two_roots_with_a_comma_are_two_jobs_that_may_run_in_their_own_folders(tmp_path):
    pictures_in(tmp_path / "a b", 10)
    pictures_in(tmp_path / "c", 100)
    options = [option for option in tiny() if not option.startswith("data=")]
    roots = ["-m", "data=folder", "data.root=a b,c", "data.channels=1", "data.limit=null"]
    where = ["hydra.sweep.dir=sweep", "hydra.job.chdir=true", "trainer.max_steps=1"]
    made = command("lightning_gans.train", *roots, *options, *where, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    configs = [OmegaConf.load(path) for path in sorted((tmp_path / "sweep").glob("*/config.yaml"))]
    assert [config.data.root for config in configs] == [str(tmp_path / "a b"), str(tmp_path / "c")]

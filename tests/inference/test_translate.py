"""Folders of pictures through a network."""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from conftest import command, tiny
from lightning_gans import build, compose
from lightning_gans.data.decoding import Decoder
from lightning_gans.data.translation.degradations import RandomMask
from lightning_gans.inference.source_images import SourceImages, find
from lightning_gans.inference.tiles import TilingSpec
from lightning_gans.inference.translator import Translator, check_out, sheet_path, targets
from lightning_gans.losses.objectives import LeastSquares
from lightning_gans.models.translation import TranslationModule

INVERTER = """
import torch
from torch import nn
from lightning_gans.losses.objectives import LeastSquares
from lightning_gans.models.translation import TranslationModule


class Inverter(TranslationModule):
    directions = ("a2b", "b2a")

    def __init__(self):
        generator = nn.Conv2d(3, 3, 1)
        super().__init__(generator, nn.Conv2d(6, 1, 1), objective=LeastSquares(), g_optimizer=torch.optim.SGD,
                         d_optimizer=torch.optim.SGD, batch_size=1)
        with torch.no_grad():
            generator.weight.copy_(-torch.eye(3)[:, :, None, None])
            generator.bias.zero_()

    def translate(self, source, *, direction="a2b", seed=0):
        return super().translate(source) if direction == "a2b" else source
"""


def inverted(pixels):
    return 255 - np.asarray(pixels)


def translator(network=torch.neg, *, channels=3, made_channels=3, tiling=None, **options):
    return Translator(network, tiling or TilingSpec.of(), channels=channels, made_channels=made_channels, **options)


def translate(root, out, made=None, *, ending="png", shown=16, **options):
    """As the command does; returns the outcome."""
    made = made or translator()
    source, names = find(str(root))
    paths = targets(names, out, ending)
    files = made.originals(source, names, root=str(root))
    return made(files, paths, shown=shown, sheet=sheet_path(out, paths), **options)


def picture(path, size=(12, 9), mode="RGB", seed=0, **options):
    """Save a random picture; returns its pixels."""
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels).save(path, **options)
    return pixels


def pixels_of(path):
    return np.asarray(Image.open(path))


def test_stems_folders_and_sizes_are_kept(tmp_path):
    sizes = {"a.png": (12, 9), "deep/b.bmp": (1, 1), "deep/er/c d.png": (7, 30), "e.v2.tiff": (12, 9)}
    made = {name: picture(tmp_path / "in" / name, size, seed=i) for i, (name, size) in enumerate(sizes.items())}
    outcome = translate(tmp_path / "in", tmp_path / "out", translator(tiling=TilingSpec.of(size_divisor=4, trained=16)))
    assert outcome.written == 4
    assert outcome.problems == []
    written = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert written == {"a.png", "deep/b.png", "deep/er/c d.png", "e.v2.png", "sheet.png"}
    for name, pixels in made.items():
        path = (tmp_path / "out" / name).with_suffix(".png")
        assert np.array_equal(pixels_of(path), inverted(pixels)), name


def test_lossy_pictures_become_png_unless_a_format_is_given(tmp_path):
    picture(tmp_path / "in" / "a.jpg")
    picture(tmp_path / "in" / "b.webp", seed=1)
    translate(tmp_path / "in", tmp_path / "out")
    assert np.array_equal(pixels_of(tmp_path / "out" / "a.png"), inverted(Image.open(tmp_path / "in" / "a.jpg")))
    for ending, kind in (("jpg", "JPEG"), ("webp", "WEBP"), ("bmp", "BMP"), ("tiff", "TIFF")):
        translate(tmp_path / "in", tmp_path / ending, ending=ending)
        assert Image.open(tmp_path / ending / f"b.{ending}").format == kind


def test_pictures_that_differ_in_their_endings_keep_them(tmp_path):
    one, two = picture(tmp_path / "in" / "a.png"), picture(tmp_path / "in" / "a.bmp", seed=1)
    picture(tmp_path / "in" / "b" / "a.png")
    translate(tmp_path / "in", tmp_path / "out")
    assert np.array_equal(pixels_of(tmp_path / "out" / "a_png.png"), inverted(one))
    assert np.array_equal(pixels_of(tmp_path / "out" / "a_bmp.png"), inverted(two))
    assert (tmp_path / "out" / "b" / "a.png").is_file()
    with pytest.raises(ValueError, match=r"input: a\.png and a_png\.png would both be written as a_png\.png"):
        targets(["a.bmp", "a.png", "a_png.png"], tmp_path, "png")


def test_everything_is_converted_to_the_models_channels_and_said_once(tmp_path):
    grey = picture(tmp_path / "in" / "grey.png", mode="L")
    rgba = picture(tmp_path / "in" / "rgba.png", mode="RGBA")
    wide = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5957
    Image.fromarray(wide).save(tmp_path / "in" / "wide.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture(tmp_path / "in" / "turned.png", exif=exif)
    picture(tmp_path / "in" / "plain.png")
    outcome = translate(tmp_path / "in", tmp_path / "out")
    noted = {"grey to colour": 2, "transparent, laid on white": 1, "16 bits to 8": 1, "turned upright": 1}
    assert outcome.converted == noted
    out = tmp_path / "out"
    assert np.array_equal(pixels_of(out / "grey.png"), inverted(grey.repeat(3, 2)))
    on_white = Image.alpha_composite(Image.new("RGBA", (12, 9), "white"), Image.fromarray(rgba))
    assert np.array_equal(pixels_of(out / "rgba.png"), inverted(np.asarray(on_white)[..., :3]))
    assert np.array_equal(pixels_of(out / "wide.png")[..., 0], inverted((wide / 257).round().astype(np.uint8)))
    assert np.array_equal(pixels_of(out / "turned.png"), inverted(np.rot90(turned, -1)))
    outcome = translate(tmp_path / "in", tmp_path / "grey", translator(channels=1, made_channels=1))
    assert outcome.converted["colour to grey"] == 3
    assert Image.open(tmp_path / "grey" / "plain.png").mode == "L"


@pytest.mark.parametrize("channels", [3, 4])
def test_transparent_pixels_are_the_holes_that_inpainting_fills(tmp_path, channels):
    """Its mask is an alpha channel: a picture without one has no hole; a source of training goes in as it was."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    photo = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    trained = RandomMask(0.5, 0.5, mask=channels == 4)(photo, torch.full((1, 4), 0.5))
    alpha = np.full((8, 8, 1), 255, np.uint8)
    alpha[2:6, 2:6] = 0
    (tmp_path / "in").mkdir()
    Image.fromarray(np.concatenate([pixels, alpha], 2)).save(
        tmp_path / "in" / "hole.png"
    )  # its colours lie there still
    Image.fromarray(pixels).save(tmp_path / "in" / "whole.png")
    seen = []

    def network(images):
        seen.append(images)
        return images[:, :3]

    outcome = translate(tmp_path / "in", tmp_path / "out", translator(network, channels=channels, holes=True))
    assert outcome.converted == {}
    torch.testing.assert_close(seen[0][:1], trained, rtol=0, atol=0.005)
    assert torch.equal(seen[0][1:, :3], photo)
    assert (seen[0][1:, 3:] == 1).all()
    translate(tmp_path / "in", tmp_path / "plain", translator(network, channels=channels))
    if channels == 3:  # transparent pixels are white
        assert torch.equal(seen[1][:1, :, 2:6, 2:6], torch.ones(1, 3, 4, 4))
        seen[1][:1, :, 2:6, 2:6] = photo[..., 2:6, 2:6]
    assert torch.equal(seen[1][:1, :3], photo)


def test_files_that_cannot_be_read_are_listed_and_the_rest_is_done(tmp_path):
    picture(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "empty.png").touch()
    (tmp_path / "in" / "text.jpg").write_text("not a picture")
    whole = (tmp_path / "in" / "good.png").read_bytes()
    (tmp_path / "in" / "half.png").write_bytes(whole[: len(whole) // 2])
    outcome = translate(tmp_path / "in", tmp_path / "out")
    assert outcome.written == 1
    assert [problem.name for problem in outcome.problems] == ["empty.png", "half.png", "text.jpg"]
    assert "the file is empty" in outcome.problems[0].reason
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.png", "sheet.png"]


def test_a_picture_that_the_network_cannot_take_does_not_stop_the_others(tmp_path):
    def network(images):
        if (images > 0.99).all():
            raise RuntimeError("too bright\nand more")
        return -images

    for i in range(5):
        picture(tmp_path / "in" / f"{i}.png", seed=i)
    Image.new("RGB", (12, 9), "white").save(tmp_path / "in" / "white.png")

    def picky(images):  # fails for the whole batch
        if len(images) > 1 and any((one > 0.99).all() for one in images):
            raise RuntimeError("one of them")
        return network(images)

    outcome = translate(tmp_path / "in", tmp_path / "out", translator(picky))
    assert outcome.written == 5
    assert outcome.problems == [("white.png", "cannot be translated: too bright")]


def test_batches_hold_one_size_and_change_nothing(tmp_path):
    for i in range(11):
        picture(tmp_path / "in" / f"{i:02d}.png", (12, 9) if i % 3 else (5, 20), seed=i)
    seen = []

    def network(images):
        seen.append(len(images))
        return -images

    for size, expected in ((1, [1] * 11), (4, [4, 4, 3]), (100, [7, 4])):
        seen.clear()
        translate(tmp_path / "in", tmp_path / str(size), translator(network), batch_size=size, threads=2)
        assert sorted(seen, reverse=True) == expected
        for path in (tmp_path / "1").iterdir():
            assert path.read_bytes() == (tmp_path / str(size) / path.name).read_bytes()


def test_larger_outputs_and_tiles(tmp_path):
    """A network that enlarges four times, by tiles and without."""
    network = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4)).requires_grad_(False)
    picture(tmp_path / "in" / "a.png", (50, 70))
    whole = translator(network, tiling=TilingSpec.of(scale=4, tile=None))
    tiled = translator(network, tiling=TilingSpec.of(scale=4, tile=32))
    assert translate(tmp_path / "in", tmp_path / "whole", whole).tiled == 0
    assert translate(tmp_path / "in", tmp_path / "tiled", tiled).tiled == 1
    one, other = (pixels_of(tmp_path / name / "a.png").astype(int) for name in ("whole", "tiled"))
    assert one.shape == (280, 200, 3)
    assert abs(one - other).max() <= 1
    assert one.std() > 1
    sheet = pixels_of(tmp_path / "whole" / "sheet.png")  # of the middle, at its full size
    assert sheet.shape[:2] == (260, 408)
    assert np.array_equal(sheet[2:258, 204:404], one[12:268])


def test_a_translation_of_too_many_pixels_is_not_made(tmp_path):
    picture(tmp_path / "in" / "a.png", (12, 9))
    picture(tmp_path / "in" / "b.png", (5, 5))
    source, names = find(str(tmp_path / "in"))
    files = SourceImages(source, names, root="in", channels=3, decoder=Decoder(max_pixels=400))
    made = translator(
        lambda images: images.repeat_interleave(4, 2).repeat_interleave(4, 3), tiling=TilingSpec.of(scale=4)
    )
    outcome = made(files, targets(names, tmp_path / "out", "png"))
    assert outcome.written == 1
    assert [problem.name for problem in outcome.problems] == ["a.png"]
    assert "max_pixels=400" in outcome.problems[0].reason


def test_label_maps_become_one_hot(tmp_path):
    seen = []

    def network(labels):
        seen.append(labels)
        return labels[:, :3] * 2 - 1

    labels = np.array([[0, 1, 2], [4, 3, 0]], np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(labels).save(tmp_path / "in" / "a.png")
    indexed = Image.fromarray(labels, "P")
    indexed.putpalette([i for colour in range(256) for i in (255 - colour, colour, 7)])
    indexed.save(tmp_path / "in" / "b.png")
    Image.fromarray(labels + 1).save(tmp_path / "in" / "c.png")
    picture(tmp_path / "in" / "d.png")
    outcome = translate(tmp_path / "in", tmp_path / "out", translator(network, channels=5, num_labels=5))
    assert seen[0].shape == (2, 5, 2, 3)
    assert torch.equal(seen[0].argmax(1), torch.from_numpy(np.stack([labels, labels])).long())
    assert [problem.name for problem in outcome.problems] == ["c.png", "d.png"]
    assert outcome.problems[0].reason == "value 5: must be from 0 to 4 (the model's labels)"
    assert "must have one channel of numbers" in outcome.problems[1].reason


def test_a_zip_and_a_single_picture(tmp_path):
    pixels = picture(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "sub/a.png")
        archive.writestr("../b.png", "out of the zip")
    outcome = translate(tmp_path / "in.zip", tmp_path / "out")
    assert np.array_equal(pixels_of(tmp_path / "out" / "sub" / "a.png"), inverted(pixels))
    assert [problem.name for problem in outcome.problems] == ["../b.png"]
    translate(tmp_path / "a.png", tmp_path / "single", shown=0)
    assert [path.name for path in (tmp_path / "single").iterdir()] == ["a.png"]
    with pytest.raises(FileNotFoundError, match="input=.*nowhere: does not exist"):
        find(str(tmp_path / "nowhere"))
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="input=.*none: no images"):
        find(str(tmp_path / "none"))


def test_what_is_read_is_never_written_over(tmp_path):
    picture(tmp_path / "in" / "a.png")
    root = str(tmp_path / "in")

    def refused(out, *, overwrite=True, root=root):
        source, names = find(root)
        planned = targets(names, out, "png")
        check_out(root, str(out), overwrite, planned, names)

    for out in (tmp_path / "in", tmp_path / "in" / "sub", tmp_path / "x" / ".." / "in"):
        with pytest.raises(ValueError, match="out=.*: lies in input="):
            refused(out)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(ValueError, match="out=.*: lies in input="):
        refused(tmp_path / "link")
    with pytest.raises(ValueError, match="is among the pictures that are read"):
        refused(tmp_path / "in", root=str(tmp_path / "in" / "a.png"))
    picture(tmp_path / "around" / "in" / "in" / "a.png")  # its translation would be in/a.png of the folder around
    picture(tmp_path / "around" / "in" / "a.png")
    with pytest.raises(ValueError, match="is among the pictures that are read"):
        refused(tmp_path / "around", root=str(tmp_path / "around" / "in"))
    picture(tmp_path / "out" / "a.png")
    with pytest.raises(ValueError, match=r"has 1 of the 1 files .* a\.png; .* overwrite=true"):
        refused(tmp_path / "out", overwrite=False)
    refused(tmp_path / "out")
    refused(tmp_path / "elsewhere", overwrite=False)


def test_a_link_to_a_source_is_replaced_and_not_followed(tmp_path):
    picture(tmp_path / "in" / "a.png")
    before = (tmp_path / "in" / "a.png").read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(tmp_path / "in" / "a.png")
    translate(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "in" / "a.png").read_bytes() == before


def test_the_sheet_shows_the_first_pictures_beside_their_translations(tmp_path):
    for i in range(5):
        picture(tmp_path / "in" / f"{i}.png", (8, 8), seed=i)
    translate(tmp_path / "in", tmp_path / "out", shown=2)
    sheet = pixels_of(tmp_path / "out" / "sheet.png")
    first = pixels_of(tmp_path / "in" / "0.png")
    assert np.array_equal(sheet[2:10, 2:10], first)
    assert np.array_equal(sheet[2:10, 12:20], inverted(first))
    picture(tmp_path / "in" / "sheet.png", (8, 8))
    outcome = translate(tmp_path / "in", tmp_path / "again")
    assert outcome.sheet.name == "sheet_1.png"
    assert pixels_of(tmp_path / "again" / "sheet.png").shape == (8, 8, 3)


class Quiet(TranslationModule):
    """Its translation is the seed."""

    def __init__(self):
        options = {"g_optimizer": torch.optim.SGD, "d_optimizer": torch.optim.SGD, "batch_size": 1}
        super().__init__(nn.Conv2d(1, 3, 1), nn.Conv2d(4, 1, 1), objective=LeastSquares(), **options)

    def translate(self, source, *, direction="a2b", seed=0):
        return source * 0 + seed


def test_a_module_says_what_it_translates(tmp_path):
    module = Quiet()
    module.config = {"resolved": {"data": {"image_size": 16, "channels": 3, "source_channels": 1}}}
    made = Translator.of(module, seed=7)
    assert made.network(torch.ones(1, 1, 2, 2)).unique().tolist() == [7]
    assert (made.channels, made.made_channels, made.num_labels, made.holes) == (1, 3, None, False)
    module.config["resolved"]["data"]["hole_min"] = 0.25
    assert Translator.of(module).holes
    for size, smallest in ((16, 16), ([16, 24], 16), ([48, 8], 8), ([512, 1024], 32)):  # four strides at most
        module.config["resolved"]["data"]["image_size"] = size
        module.generator.size_divisor = 8
        assert Translator.of(module).tiling.smallest == smallest
    with pytest.raises(ValueError, match="direction=b2a: Quiet translates a2b only"):
        Translator.of(module, direction="b2a")
    with pytest.raises(ValueError, match="format=jpg: does not hold 4 channels; use png, webp, tiff"):
        translator(made_channels=4).check_format("jpg")
    translator(made_channels=9).check_format("jpg")  # of which the first three are shown
    module.config["resolved"]["data"]["source_channels"] = 9
    with pytest.raises(ValueError, match="input: the model's sources have 9 channels"):
        Translator.of(module)
    with pytest.raises(ValueError, match="checkpoint: DCGAN makes images from latents"):
        Translator.of(build(compose(*tiny("dcgan")), tmp_path).model)


@pytest.mark.slow
def test_the_command_needs_the_checkpoint_alone(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "inverters.py").write_text(INVERTER)
    scope = {}
    exec(INVERTER, scope)
    data = {"_target_": "nowhere.Data", "image_size": 16, "channels": 3, "source_channels": 3, "root": "/nowhere"}
    config = {"model": {"_target_": "inverters.Inverter"}, "data": data}
    content = {"state_dict": scope["Inverter"]().state_dict(), "config": {"resolved": config}}
    torch.save(content, tmp_path / "only this.ckpt")
    pixels = picture(work / "my pictures" / "a.png")
    checkpoint = ["lightning_gans.translate", f"checkpoint={tmp_path / 'only this.ckpt'}", "trust=[inverters]"]
    made = command(*checkpoint, "input=my pictures", "out=a", cwd=work)
    assert made.returncode == 0, made.stderr
    assert "1 translations by generator update 0 in a; beside their sources: a/sheet.png" in made.stdout
    assert np.array_equal(pixels_of(work / "a" / "a.png"), inverted(pixels))
    (work / "my pictures" / "broken.jpg").write_text("text")
    made = command(*checkpoint, "input=my pictures", "out=b", "direction=b2a", "format=webp", "sheet=0", cwd=work)
    assert made.returncode == 1
    assert "1 files have no translation" in made.stderr
    assert "broken.jpg: not an image" in made.stderr
    assert [path.name for path in (work / "b").iterdir()] == ["a.webp"]
    assert {path.name for path in work.iterdir()} == {"inverters.py", "my pictures", "a", "b"} | (
        {"__pycache__"} & {path.name for path in work.iterdir()}
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["format=gif"], "format=gif: must be png, jpg, webp, tiff or bmp, or null"),
        (["tile=half"], "tile=half: must be an integer >= 1 or auto, or null"),
        (["batch_size=0"], "batch_size=0: must be >= 1"),
        (["sheet=-1"], "sheet=-1: must be >= 0"),
        (["+nonsense=1"], "nonsense: unknown."),
    ],
)
def test_mistakes_are_told_before_the_checkpoint_is_read(options, message):
    from lightning_gans import compose

    with pytest.raises(ValueError, match=message):
        compose("checkpoint=x", "input=x", "out=x", *options, config="translate")

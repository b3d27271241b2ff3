"""Sheets of pictures: panels, colours of labels, grids of translations; folders of samples."""

import io

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from conftest import command_here, run, tiny
from lightning_gans import build, compose
from lightning_gans.data.translation.digit_edges import DigitEdges
from lightning_gans.images import files, pixels, sheets
from lightning_gans.inference import outputs, samples
from lightning_gans.losses.objectives import LeastSquares
from lightning_gans.models.translation import TranslationModule


def test_panels_bring_sizes_and_channels_together():
    small = torch.arange(4, dtype=torch.uint8).view(1, 2, 2) * 50
    large = torch.full((3, 4, 4), 7, dtype=torch.uint8)
    sheet = sheets.panels([[small, large], [small, large]])
    assert sheet.shape == (3, 14, 16)  # one pair a line, two lines
    enlarged = small.repeat_interleave(2, 1).repeat_interleave(2, 2).expand(3, -1, -1)
    assert torch.equal(sheet[:, 2:6, 2:6], enlarged)
    assert torch.equal(sheet[:, 2:6, 8:12], large)
    assert torch.equal(sheet[:, 8:12, 2:6], enlarged)
    assert sheet[:, :2].sum() == sheet[:, :, :2].sum() == 0
    assert sheets.panels([[small]]).shape == (1, 6, 8)


def test_many_groups_fill_a_square():
    pair = [torch.zeros(1, 10, 10, dtype=torch.uint8)] * 2
    _, height, width = sheets.panels([pair] * 16).shape
    assert 0.5 < height / width < 2


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"), [(8, 8, 4, 4), (8, 32, 8, 2), (32, 8, 2, 8), (6, 9, 4, 4)]
)
def test_a_grid_of_rectangles_is_about_a_square(height, width, rows, columns):
    images = torch.arange(16, dtype=torch.uint8).view(16, 1, 1, 1).expand(-1, 3, height, width)
    sheet = sheets.grid(images, gap=1)
    assert sheet.shape == (3, rows * (height + 1) + 1, columns * (width + 1) + 1)
    assert sheet[0, 1 :: height + 1, 1 :: width + 1][:rows, :columns].flatten().tolist() == list(range(16))


def test_a_gif_of_rectangles_keeps_their_shape(tmp_path):
    frames = torch.randint(256, (3, 3, 16, 24), dtype=torch.uint8)
    with Image.open(files.animate(list(frames), tmp_path / "moving.gif")) as picture:
        assert picture.size == (24 * 8, 16 * 8)
        assert picture.n_frames == 3


def test_a_video_holds_the_frames_at_even_sides(tmp_path):
    frames = torch.full((5, 1, 201, 203), 60, dtype=torch.uint8)
    frames[2:] = 200
    path = files.animate(list(frames), tmp_path / "moving.mp4", 40)
    with av.open(str(path)) as file:
        (stream,) = file.streams
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 25)
        shown = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
    assert [one.shape for one in shown] == [(202, 204, 3)] * 5
    assert [round(float(one[:200, :200].mean()), -1) for one in shown] == [60, 60, 200, 200, 200]
    outputs.refuse_foreign(tmp_path, ["moving.mp4"])  # it knows its own
    path.write_bytes(path.read_bytes().replace(b"lightning_gans", b"somebody else!"))
    with pytest.raises(ValueError, match=r"has moving\.mp4, which is not of this command"):
        outputs.refuse_foreign(tmp_path, ["moving.mp4"])


def test_labels_have_colours_that_differ():
    colours = pixels.label_colours(torch.arange(35).view(5, 7), 35)
    assert colours.shape == (3, 5, 7)
    found = colours.flatten(1).T.long()
    assert found[0].tolist() == [0, 0, 0]
    assert torch.cdist(found.float(), found.float()).add(torch.eye(35) * 999).min() > 10


def test_only_one_hot_labels_are_coloured():
    labels = torch.randint(3, (2, 8, 8))
    one_hot = nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).float()
    assert torch.equal(pixels.visible(one_hot), pixels.label_colours(labels, 3))
    pictures = torch.rand(2, 3, 8, 8)
    assert torch.equal(pixels.visible(pictures), pixels.to_uint8(pictures))
    assert pixels.visible(torch.rand(2, 9, 8, 8)).shape == (2, 3, 8, 8)


class Inverter(TranslationModule):
    def __init__(self):
        options = {"g_optimizer": torch.optim.SGD, "d_optimizer": torch.optim.SGD, "batch_size": 1}
        super().__init__(nn.Conv2d(1, 3, 1), nn.Conv2d(4, 1, 1), objective=LeastSquares(), **options)

    def translate(self, source, *, direction="a2b", seed=0):
        return -source.expand(-1, 3, -1, -1)


def test_a_grid_shows_examples_beside_their_translations_and_targets():
    data = DigitEdges(image_size=32, channels=3, source_channels=1)
    sheet = Inverter().preview(data, n=6)
    examples = data.examples([0, 296])
    top, left = 2, 2
    for image in (examples["source"][:1], -examples["source"][:1], examples["target"][:1]):
        expected = pixels.to_uint8(image[0].expand(3, -1, -1))
        assert torch.equal(sheet[:, top : top + 32, left : left + 32], expected)
        left += 34
    last = pixels.to_uint8(examples["target"][1])
    assert torch.equal(sheet[:, -34:-2, -36:-4], last)  # the examples are spread over all
    assert Inverter().preview(data).shape[0] == 3


def written(folder):
    return sorted(path.name for path in folder.iterdir())


def test_samples_are_not_mixed_with_what_is_there(tmp_path):
    out = tmp_path / "out"
    assert outputs.older_samples(out, overwrite=False) == []
    for n, kind in ((4, "png"), (2, "png"), (2, "npz"), (1, "png")):
        if out.exists():
            with pytest.raises(ValueError, match="out=.*: has . files of earlier samples, .* overwrite=true"):
                outputs.older_samples(out, overwrite=False)
        for path in outputs.older_samples(out, overwrite=True):
            path.unlink()
        samples.write_samples([torch.zeros(n, 1, 8, 8)], n, out, kind)
        numbered = [f"{i:06d}.png" for i in range(n)]
        assert written(out) == sorted(["grid.png", *(numbered if kind == "png" else ["samples.npz"])])
    files.save(torch.zeros(1, 8, 8, dtype=torch.uint8), out / "000001.png")  # of a set with such names
    with pytest.raises(ValueError, match=r"out=.*: has 1 pictures .*, e\.g\. 000001\.png; choose another folder"):
        outputs.older_samples(out, overwrite=True)
    assert written(out) == ["000000.png", "000001.png", "grid.png"]


def test_the_command_heeds_overwrite(tmp_path, monkeypatch, capsys):
    run(tmp_path / "run", "trainer.max_steps=1")

    def sampled(*options):
        arguments = ["lightning_gans.sample", "checkpoint=run", "out=out", *options]
        return command_here(*arguments, cwd=tmp_path, monkeypatch=monkeypatch)

    assert sampled("n=3") == 0
    assert sampled("n=2") == 1
    assert "out=out: has 4 files of earlier samples, e.g. 000000.png" in capsys.readouterr().err
    assert sampled("n=2", "overwrite=true") == 0
    assert written(tmp_path / "out") == ["000000.png", "000001.png", "grid.png"]
    assert sampled("n=8", "overwrite=true") == 0
    all_of_them = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert sampled("indices=[7,3]", "overwrite=true") == 0
    assert written(tmp_path / "out") == ["000003.png", "000007.png", "grid.png"]
    for name in ("000003.png", "000007.png"):
        assert near(tmp_path / "out" / name, all_of_them[name])
    for options, told in (
        (["indices=[3]", "n=8"], "n=8: not with indices=[3], which says how many; leave it out"),
        (["indices=[3,3]"], "indices=[3, 3]: names a sample twice"),
        (["indices=[]"], "indices=[]: must be a list of integers >= 0, not empty, or null"),
    ):
        assert sampled(*options) == 1
        assert told in capsys.readouterr().err


def near(path, content):
    """Equal but for the rounding of another batch."""
    one, two = (np.asarray(Image.open(picture)).astype(int) for picture in (path, io.BytesIO(content)))
    return np.abs(one - two).max() <= 1


def test_a_folder_is_not_called_as_a_picture_is(tmp_path):
    with pytest.raises(ValueError, match=r"out=.*tr4\.PNG: ends as a picture does \(\.PNG\); say a folder"):
        files.make_folder(tmp_path / "tr4.PNG")
    (tmp_path / "there.png").mkdir()
    assert files.make_folder(tmp_path / "there.png").is_dir()
    assert files.make_folder(tmp_path / "v1.2").is_dir()


def test_no_samples_are_a_mistake(tmp_path):
    model = build(compose(*tiny()), tmp_path).model
    assert model.sample(1).shape == (1, 1, 16, 16)
    for options, said in (((0,), "n=0"), ((-1,), "n=-1")):
        with pytest.raises(ValueError, match=f"^{said}: must be >= 1$"):
            model.sample(*options)
    with pytest.raises(ValueError, match="batch_size=0: must be >= 1"):
        model.sample(1, batch_size=0)

"""Sets at smaller sides: the same pixels in every phase of growing, and no more decoded than needed."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from conftest import newest, run
from lightning_gans.data import resize as data_resize
from lightning_gans.data.datasets import ImageDataset, InMemoryImages, Subset
from lightning_gans.data.folder import Folder
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.toy2d import Toy2D


def photographs(root, side=64, kind="png", n=4, quality=100):
    """Smooth colour pictures, as photographs are."""
    root.mkdir(exist_ok=True)
    rng = torch.Generator().manual_seed(0)
    for i in range(n):
        small = torch.rand(1, 3, side // 16, side // 16, generator=rng)
        smooth = F.interpolate(small, (side, side), mode="bicubic", antialias=True).clamp(0, 1)[0]
        picture = Image.fromarray((smooth * 255).round().byte().permute(1, 2, 0).numpy())
        picture.save(root / f"{i}.{kind}", **({"quality": quality, "subsampling": 0} if kind == "jpg" else {}))
    return root


def folder(root, image_size=64, **options):
    return Folder(root=str(root), image_size=image_size, channels=3, **options)


def means(images, resolution):
    """Squares of pixels averaged, by reshaping."""
    factor = images.shape[-1] // resolution
    blocks = images.double().unflatten(-1, (resolution, factor)).unflatten(-3, (resolution, factor))
    return blocks.mean((-1, -3))


def test_sets_in_memory_are_averaged_exactly():
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = InMemoryImages(images, torch.arange(6))
    index = torch.tensor([4, 1])
    for resolution in (4, 8, 16):
        batch = whole.resized(resolution).fetch(index)
        assert batch["image"].dtype == torch.uint8
        assert (batch["image"].double() - means(images[index], resolution)).abs().max() <= 0.5
        assert batch["label"].tolist() == [4, 1]
        assert whole.resized(resolution) is whole.resized(resolution)  # made once
    assert whole.resized(32) is whole.resized(None) is whole
    part = Subset(whole, torch.tensor([5, 3, 0])).resized(8)
    assert torch.equal(part.fetch(torch.tensor([1]))["image"], whole.resized(8).fetch(torch.tensor([3]))["image"])


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_files_agree_with_sets_in_memory(tmp_path, kind):
    """To two grey levels of 255: a JPEG at an eighth is the mean of its blocks, other filters differ a little."""
    root = photographs(tmp_path / "photos", kind=kind)
    files = folder(root, memory_gb=0.0).train_images
    held = folder(root).train_images
    assert isinstance(files, ImageFiles)
    assert isinstance(held, InMemoryImages)
    every = torch.arange(4)
    for resolution in (4, 8, 16, 32, 64):
        one, two = (images.resized(resolution).fetch(every)["image"].int() for images in (files, held))
        assert one.shape == (4, 3, resolution, resolution)
        assert (one - two).abs().max() <= 2, resolution
    assert files.fetch(every)["image"].shape[-1] == 64  # the set itself is as it was


def test_jpegs_are_not_decoded_whole_for_a_small_phase(tmp_path, monkeypatch):
    """A 1024x1024 picture is 128x128 before anything is done with it."""
    root = photographs(tmp_path / "photos", side=1024, kind="jpg", n=1)
    sizes = []
    convert = Image.Image.convert
    monkeypatch.setattr(Image.Image, "convert", lambda self, *a, **k: sizes.append(self.size) or convert(self, *a, **k))
    files = folder(root, image_size=1024, memory_gb=0.0).train_images
    for resolution in (4, 128, 256, 512, 1024):
        assert files.resized(resolution).fetch(torch.tensor([0]))["image"].shape[-1] == resolution
    assert [width for width, _ in sizes] == [128, 128, 256, 512, 1024]


def test_files_are_decoded_once_where_they_fit_at_a_smaller_side(tmp_path, monkeypatch):
    """PNGs, which cannot be decoded in part: kept at 32x32, whose averages all smaller phases get."""
    root = photographs(tmp_path / "photos")
    whole = folder(root).train_images.fetch(torch.arange(4))["image"]
    decoded = []
    convert = Image.Image.convert
    monkeypatch.setattr(Image.Image, "convert", lambda self, *a, **k: decoded.append(1) or convert(self, *a, **k))
    files = folder(root, memory_gb=4 * 3 * 32**2 / 2**30).train_images
    assert isinstance(files, ImageFiles)
    for resolution in (4, 8, 16, 32):
        made = files.resized(resolution).fetch(torch.arange(4))["image"]
        assert (made.double() - means(whole, resolution)).abs().max() <= 1
        assert len(decoded) == 4
    assert torch.equal(files.resized(64).fetch(torch.arange(4))["image"], whole)
    assert len(decoded) == 8


def test_averages_are_made_in_pieces_of_bounded_size(monkeypatch):
    """By their pixels, not by their number: a thousand pictures of 1024x1024 would be 13 GB of floats."""
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected, sizes, pool = data_resize.average(images, 4), [], F.avg_pool2d
    monkeypatch.setattr(data_resize, "_AT_ONCE", 2 * 3 * 16 * 16)
    monkeypatch.setattr(F, "avg_pool2d", lambda x, factor: sizes.append(len(x)) or pool(x, factor))
    assert torch.equal(data_resize.average(images, 4), expected)
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize("resize", ["cover", "contain", "stretch", "native"])
def test_pictures_of_other_sides_keep_their_frame(tmp_path, resize):
    """What is cut out or added is the same at every side."""
    (tmp_path / "wide").mkdir()
    columns = np.linspace(0, 255, 200).astype(np.uint8)
    picture = Image.fromarray(np.repeat(np.tile(columns, (90, 1))[..., None], 3, 2))
    picture.save(tmp_path / "wide" / "0.jpg", quality=100, subsampling=0)
    files = folder(tmp_path / "wide", memory_gb=0.0, resize=resize).train_images
    large = files.fetch(torch.tensor([0]))["image"]
    for resolution in (8, 16, 32):
        small = files.resized(resolution).fetch(torch.tensor([0]))["image"].double()
        inner = slice(1, -1) if resize == "contain" else slice(None)
        middle = slice(resolution // 2 - resolution // 8, resolution // 2 + resolution // 8)
        expected = means(large, resolution)
        assert (small - expected)[..., middle, inner].abs().max() < 6


def test_cameras_notes_are_heeded_at_every_side(tmp_path):
    (tmp_path / "turned").mkdir()
    picture = Image.new("RGB", (64, 64), "black")
    picture.paste("white", (0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    picture.save(tmp_path / "turned" / "0.jpg", exif=exif, quality=100)
    files = folder(tmp_path / "turned", memory_gb=0.0).train_images.resized(8)
    image = files.fetch(torch.tensor([0]))["image"][0, 0]
    assert image[:, 4:].min() > 250
    assert image[:, :4].max() < 5


def test_sides_that_do_not_divide_are_refused(tmp_path):
    root = photographs(tmp_path / "photos", n=1)
    for options in ({}, {"memory_gb": 0.0}):
        with pytest.raises(ValueError, match="12"):
            folder(root, **options).train_images.resized(12)
    whole = folder(root).train_images

    class Mine(ImageDataset):
        def __len__(self):
            return len(whole)

        def fetch(self, index):
            return whole.fetch(index)

    one = torch.tensor([0])
    assert torch.equal(
        Mine().resized(16).fetch(one)["image"], whole.resized(16).fetch(one)["image"]
    )  # any set can be averaged
    with pytest.raises(ValueError, match="Mine: has images .*none of side 12"):
        Mine().resized(12).fetch(one)
    points = Toy2D(distribution="ring", n=10, image_size=None, channels=2)
    with pytest.raises(ValueError, match="side 4"):
        points.train_images.resized(4)


def test_damaged_files_are_left_out_at_every_side(tmp_path):
    root = photographs(tmp_path / "photos", kind="jpg")
    content = (root / "1.jpg").read_bytes()
    (root / "1.jpg").write_bytes(content[: len(content) // 2])
    files = folder(root, memory_gb=0.0, on_error="skip").train_images
    with pytest.warns(UserWarning, match=r"1\.jpg"):
        batch = files.resized(8).fetch(torch.tensor([1, 3]))["image"]
    assert torch.equal(batch[0], files.resized(8).fetch(torch.tensor([2]))["image"][0])


@pytest.mark.parametrize("memory", [4.0, 0.0, 9 * 3 * 8**2 / 2**30])
def test_growing_on_files_does_not_depend_on_workers(tmp_path, memory):
    """Images read by workers and images in memory: the same training whoever fetches them."""
    root = photographs(tmp_path / "photos", side=16, n=9)
    options = ["data=folder", f"data.root={root}", "data.image_size=16", "data.channels=3", f"data.memory_gb={memory}"]
    whole = run(tmp_path / "alone", *options, "data.flip=true", model="progan")
    made = run(tmp_path / "workers", *options, "data.flip=true", "data.num_workers=2", model="progan")
    images = made.data.train_images
    if memory == 4.0:
        assert set(images._smaller) == {4, 8}  # made before there were workers
    elif memory:
        assert images._kept.there.all()  # what a worker decodes the others have
    assert whole.model.schedule.phase(whole.model.iteration).resolution == 16
    one, two = newest(tmp_path / "alone"), newest(tmp_path / "workers")
    for name, value in one["state_dict"].items():
        assert not isinstance(value, torch.Tensor) or torch.equal(value, two["state_dict"][name]), name


def test_what_is_read_of_a_jpeg_is_a_picture(tmp_path):
    """The draft keeps colours: grey, RGB and CMYK files."""
    for mode in ("L", "RGB", "CMYK"):
        (tmp_path / mode).mkdir()
        file = io.BytesIO()
        Image.new("RGB", (64, 64), (200, 200, 200)).convert(mode).save(file, "JPEG", quality=100)
        (tmp_path / mode / "0.jpg").write_bytes(file.getvalue())
        image = folder(tmp_path / mode, memory_gb=0.0).train_images.resized(4).fetch(torch.tensor([0]))["image"]
        assert (image.int() - 200).abs().max() <= 3, mode

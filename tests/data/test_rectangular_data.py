"""Image sizes of [height, width] in sets, transforms and checks."""

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import BatchIndices, InMemoryImages
from lightning_gans.data.digits import Digits
from lightning_gans.data.folder import Folder
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.inspection import look
from lightning_gans.data.resize import fit
from lightning_gans.data.translation.degraded import SuperResolution
from lightning_gans.data.translation.paired import Paired
from lightning_gans.data.translation.photo_patches import PhotoPatches

SIZE = [8, 24]


@pytest.fixture
def pictures(tmp_path):
    """One row of pixels tells its height, one column its width: 30 high and 60 wide."""
    pixels = np.stack(np.broadcast_arrays(np.arange(30)[:, None] * 8, np.arange(60) * 4, 0), -1).astype(np.uint8)
    (tmp_path / "train").mkdir()
    for i in range(3):
        Image.fromarray(pixels).save(tmp_path / "train" / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize("memory", [0.0, 4.0])
def test_a_folder_gives_rectangles_that_keep_the_aspect(pictures, memory):
    data = Folder(root=str(pictures), image_size=SIZE, channels=3, memory_gb=memory)
    assert data.shape == (3, 8, 24)
    image = data.train_images.fetch(torch.tensor([1]))["image"][0].int()
    assert image.shape == (3, 8, 24)
    assert (image[0, :, 0].min() - 5 * 8).abs() <= 8  # rows 5 to 25 of 30 cover it
    assert (image[0, :, 0].max() - 24 * 8).abs() <= 8
    assert image[1].min() <= 8  # all columns
    assert image[1].max() >= 228


def test_policies_of_rectangles():
    wide = Image.new("L", (60, 30), 200)
    contained = np.asarray(fit(wide, (8, 24), "contain"))
    assert (contained > 100).any(0).sum() == 16
    assert np.asarray(fit(wide, (8, 24), "stretch")).min() == 200
    native = np.arange(30 * 60, dtype=np.uint16).reshape(30, 60) % 251
    middle = np.asarray(fit(Image.fromarray(native.astype(np.uint8)), (8, 24), "native"))
    assert np.array_equal(middle, native[11:19, 18:42])


def test_pairs_are_cut_to_rectangles_alike(pictures):
    halves = Paired(root=str(pictures), image_size=[8, 16], load_size=[12, 20], channels=3, source_channels=3)
    request = BatchIndices(torch.tensor([0, 1]), torch.tensor([False, False]), torch.tensor([[0.0, 0.0], [0.99, 0.99]]))
    batch = halves.on_after_batch_transfer(halves.train_images[request], 0)
    assert batch["source"].shape == batch["target"].shape == (2, 3, 8, 16)
    assert torch.equal(batch["source"][:, 0], batch["target"][:, 0])  # the height tells the same in both halves
    assert not torch.equal(batch["target"][0], batch["target"][1])
    assert halves.examples([0])["target"].shape == (1, 3, 8, 16)
    with pytest.raises(ValueError, match=r"data.load_size=\[8, 15\]: must be >= data.image_size"):
        Paired(root=str(pictures), image_size=[8, 16], load_size=[8, 15], channels=3, source_channels=3)


def test_degraded_and_embedded_rectangles(pictures):
    small = SuperResolution(root=str(pictures), image_size=[8, 16], channels=3, source_channels=3, factor=2)
    assert small.shapes == {"source": (3, 4, 8), "target": (3, 8, 16)}
    assert small.examples([0])["source"].shape == (1, 3, 4, 8)
    with pytest.raises(ValueError, match=r"data.image_size=\[8, 18\]: must be a multiple of data.factor=4"):
        SuperResolution(root=str(pictures), image_size=[8, 18], channels=3, source_channels=3)
    assert Digits(image_size=[16, 32], channels=1, limit=5).train_images.images.shape == (5, 1, 16, 32)
    patches = PhotoPatches(image_size=[32, 64], channels=3, source_channels=3, limit=4)
    assert patches.examples([0, 1])["target"].shape == (2, 3, 32, 64)


def test_squares_are_the_same_however_they_are_typed(pictures):
    one, two = (Folder(root=str(pictures), image_size=size, channels=3, memory_gb=0.0) for size in (8, [8, 8]))
    assert one.train_images.fingerprint() == two.train_images.fingerprint()
    assert look(one).text == look(two).text


def test_the_check_tells_what_becomes_of_rectangles(pictures):
    told = look(Folder(root=str(pictures), image_size=SIZE, channels=3)).text
    assert "as 8x24x3" in told
    assert "cropped" in told
    assert "up to 33% of a picture" in told  # 20 of 30 rows are kept
    with pytest.raises(ValueError, match=r"data.image_size=\[1, 2, 3\]: must be a side, or \[height, width\]"):
        Folder(root=str(pictures), image_size=[1, 2, 3], channels=3)
    with pytest.raises(ValueError, match=r"data.image_size=\[8, 24\]: cannot be divided"):
        Folder(root=str(pictures), image_size=SIZE, channels=3, memory_gb=0.0).train_images.resized(4)


def test_a_source_of_ones_own_is_all_that_a_set_needs():
    class Stripes(ImageSource):
        def load(self, spec):
            images = torch.zeros(spec.max_images or 9, spec.channels, *spec.size, dtype=torch.uint8)
            return InMemoryImages(images)

    data = ImageDataModule(Stripes(), image_size=SIZE, channels=1, limit=6, val_fraction=0.5)
    assert (data.kind, len(data.train_images), len(data.val().train_images)) == ("image", 3, 3)

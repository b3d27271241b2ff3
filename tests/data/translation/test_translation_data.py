"""Sets of two sides."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_sample_images

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.batches import EndlessBatches
from lightning_gans.data.datasets import BatchIndices, InMemoryImages
from lightning_gans.data.digits import read_digits
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.transforms import scaled
from lightning_gans.data.translation.degradations import grey
from lightning_gans.data.translation.digit_domains import DigitDomains, dress
from lightning_gans.data.translation.digit_edges import DigitEdges, outlines
from lightning_gans.data.translation.pair_transform import PairTransform, crop
from lightning_gans.data.translation.pairs import Pairs
from lightning_gans.data.translation.photo_patches import PhotoColors, PhotoPatches
from lightning_gans.evaluation.sources import RealImages
from lightning_gans.schedules.training_schedule import Plan


class Numbered(ImageSource):
    """Sources count up, targets are 100 more; every pixel says where it is."""

    def load(self, spec):
        height, width = spec.size
        pixels = torch.arange(height * width, dtype=torch.uint8).view(1, 1, height, width)
        count = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1)
        return Pairs(InMemoryImages(pixels + count), InMemoryImages(pixels + count + 100))


def made(image_size=4, source_channels=1, load_size=None, flip=False, **options):
    shape = {"image_size": image_size, "channels": 1}
    transform = PairTransform(**shape, source_channels=source_channels, load_size=load_size, flip=flip)
    return ImageDataModule(Numbered(), transform=transform, **shape, flip=flip, **options)


def test_both_halves_of_a_pair_are_cut_and_mirrored_alike():
    data = made(load_size=7, flip=True)
    mirror = torch.tensor([True, False, True])
    request = BatchIndices(torch.tensor([4, 0, 2]), mirror, torch.tensor([[0.0, 0.99], [0.5, 0.0], [0.3, 0.3]]))
    batch = data.on_after_batch_transfer(data.train_images[request], 0)
    assert set(batch) == {"source", "target"}
    assert batch["source"].shape == batch["target"].shape == (3, 1, 4, 4)
    grey = [((batch[key] + 1) * 127.5).round() for key in ("source", "target")]
    assert torch.equal(grey[1] - grey[0], torch.full((3, 1, 4, 4), 100.0))
    assert grey[0][0, 0, 0].tolist() == [10, 9, 8, 7]  # image 4, cut at column 3, mirrored
    assert grey[0][1, 0, :, 0].tolist() == [14, 21, 28, 35]  # image 0, cut at row 2


def test_every_place_can_be_cut_out():
    images = torch.arange(36).view(1, 1, 6, 6).expand(100, 1, 6, 6)
    pieces = crop(images, (4, 4), torch.rand(100, 2, generator=torch.Generator().manual_seed(0)))
    assert set(pieces[:, 0, 0, 0].tolist()) == {row * 6 + column for row in range(3) for column in range(3)}
    assert torch.equal(pieces[:, 0, 3, 3] - pieces[:, 0, 0, 0], torch.full((100,), 21))


def test_examples_are_whole_images_and_never_mirrored():
    data = made(load_size=8, flip=True)
    whole = data.train_images.source.images[1:2]
    reduced = F.interpolate(whole.float(), (4, 4), mode="bicubic", antialias=True, align_corners=False).round()
    assert torch.equal(((data.examples([1])["source"] + 1) * 127.5).round(), reduced)
    assert torch.equal(next(data.real_images(range(5), 5)), RealImages(data).images.fetch(torch.arange(5))["image"])
    assert torch.equal(next(data.real_images(range(5), 5))[1:2], reduced + 100)
    assert data.examples_of == "train"
    assert data.n_examples == 5
    assert made(load_size=8, val_fraction=0.4).n_examples == 2


def test_test_images_are_held_at_their_size_whatever_training_cuts():
    """As the papers' codes test, but for super-resolution, which is tested at the scale that it was trained at."""
    plain, cutting = (DigitEdges(image_size=32, channels=1, source_channels=1, load_size=side) for side in (None, 40))
    for key in ("source", "target"):
        assert torch.equal(plain.examples(range(9))[key], cutting.examples(range(9))[key])
    assert cutting.train_images.target.images.shape[-1] == 40
    sizes = {"channels": 3, "source_channels": 3, "factor": 2, "limit": 8}
    large, middles = PhotoPatches(image_size=48, **sizes), PhotoPatches(image_size=32, load_size=48, **sizes)
    assert torch.equal(middles.examples(range(8))["target"], large.examples(range(8))["target"][..., 8:40, 8:40])


def test_pairs_need_equal_numbers():
    with pytest.raises(ValueError, match="5 sources and 4 targets"):
        Pairs(InMemoryImages(torch.zeros(5, 1, 2, 2)), InMemoryImages(torch.zeros(4, 1, 2, 2)))


@pytest.mark.parametrize(("key", "value"), [("data.load_size", 3), ("source_channels", 0)])
def test_values_out_of_range_are_named(key, value):
    with pytest.raises(ValueError, match=f"^{key}={value}: must be >= "):
        made(**{key.removeprefix("data."): value})


def test_digit_edges_hold_outlines_beside_digits():
    data = DigitEdges(image_size=32, channels=3, source_channels=1)
    assert len(data.train_images) == 1500
    assert data.n_examples == 297
    examples = data.examples(range(297))
    assert examples["source"].shape == (297, 1, 32, 32)
    assert examples["target"].shape == (297, 3, 32, 32)
    inside = examples["target"][:, :1] > 0
    on = examples["source"] > 0
    assert 0.1 < on.float().mean() < 0.4
    assert inside[on].float().mean() == 1  # outlines lie on the digit
    assert on[inside].float().mean() < 0.95  # and do not fill it


def test_outline_of_a_square():
    square = torch.zeros(1, 1, 7, 7, dtype=torch.uint8)
    square[..., 1:6, 1:6] = 255
    assert int((outlines(square) == 255).sum()) == 16


# ---------------------------------------------------------------------------------- embedded sets


@pytest.mark.parametrize("look", ["coloured", "inverted", "thick"])
def test_digit_domains_share_no_digit_and_their_tests_are_partners(look):
    data = DigitDomains(image_size=32, channels=3, source_channels=3, look=look)
    assert (data.kind, len(data.train_images), data.n_partners, data.n_examples) == ("unpaired", 750, 750, 297)
    assert data.examples_match
    plain = data.train_images.source.images
    digits = read_digits((32, 32))[0]
    assert torch.equal(plain[:, :1], digits[0:1500:2])
    assert torch.equal(data.train_images.target.images, dress(digits[1:1500:2], look).expand(-1, 3, -1, -1))
    examples = data.examples(range(297))
    test = ((examples["source"] + 1) * 127.5).round().to(torch.uint8)
    assert torch.equal(test[:, :1], digits[1500:])
    expected = scaled(dress(test[:, :1], look).expand(-1, 3, -1, -1))
    assert torch.equal(examples["target"], expected)
    assert (examples["target"] - examples["source"]).abs().mean() > 0.2  # there is something to learn


def test_looks_of_digits():
    ink = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 1, 4, 2)
    assert dress(ink, "coloured")[0, :, 0].T.tolist() == [[24, 28, 110], [255, 190, 40]]
    assert torch.equal(dress(ink, "inverted"), 255 - ink)
    line = torch.zeros(1, 1, 7, 7, dtype=torch.uint8)
    line[..., 3] = 255
    assert (dress(line, "thick")[0, 0, 0] == 255).tolist() == [False, False, True, True, True, False, False]


def test_test_patches_are_never_seen_in_training():
    data = PhotoPatches(image_size=32, channels=3, source_channels=3, factor=4, limit=300)
    assert (data.kind, data.shapes["source"], data.examples_of) == ("super_resolution", (3, 8, 8), "test")
    photos = [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in load_sample_images().images]
    strip = [photo[..., 240:400] for photo in photos]
    beside = [part for photo in photos for part in (photo[..., :240], photo[..., 400:])]
    for images, parts in ((data.train_images, beside), (data.example_images, strip)):
        for patch in images.target.images[:20]:
            assert any(_holds(part, patch) for part in parts)


def _holds(photo, patch):
    """Whether a patch is a piece of a photograph."""
    starts = (photo.unfold(1, 1, 1)[..., 0][0, :-31, :-31] == patch[0, 0, 0]).nonzero()
    return any(torch.equal(photo[:, y : y + 32, x : x + 32], patch) for y, x in starts.tolist())


def test_photo_patches_are_made_small_and_photo_colors_grey():
    small = PhotoPatches(image_size=64, channels=3, source_channels=3, factor=2, limit=8).examples(range(8))
    assert small["source"].shape == (8, 3, 32, 32)
    assert (small["source"].mean((2, 3)) - small["target"].mean((2, 3))).abs().max() < 0.05
    colours = PhotoColors(image_size=48, channels=3, source_channels=1, limit=8, load_size=64)
    examples = colours.examples(range(8))
    assert colours.kind == "paired"
    assert examples["source"].shape == (8, 1, 48, 48)
    assert torch.equal(examples["source"], grey(examples["target"]))
    assert examples["target"].std(1).mean() > 0.05  # there are colours


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: PhotoPatches(image_size=64, channels=3, source_channels=3, factor=3), "^factor=3: must be 2, 4 or 8"),
        (lambda: PhotoPatches(image_size=62, channels=3, source_channels=3, factor=4), "multiple of data.factor=4"),
        (lambda: PhotoPatches(image_size=168, channels=3, source_channels=3), "data.image_size=168: must be <= 160"),
        (lambda: PhotoColors(image_size=64, channels=3, source_channels=1, load_size=161), "data.load_size=161"),
        (lambda: PhotoColors(image_size=64, channels=3, source_channels=2), "data.source_channels=2: must be 1 or 3"),
        (
            lambda: DigitDomains(image_size=32, channels=3, source_channels=3, look="bold"),
            "^look=bold: must be",
        ),
        (lambda: DigitDomains(image_size=32, channels=1, source_channels=1), "data.channels=1: data.look=coloured"),
    ],
)
def test_embedded_sets_refuse_by_key(build, named):
    with pytest.raises(ValueError, match=named):
        build()


def test_what_else_is_random_is_drawn_once_a_position():
    """Whatever the number of processes, and from any step on."""

    def requests(world, start=(0, 0)):
        ranks = [
            EndlessBatches(10, lambda step: Plan(1, 6), start=lambda: start, rank=rank, world_size=world)
            for rank in range(world)
        ]
        return [[next(one).random_params for _ in range(3)] for one in map(iter, ranks)]

    (whole,), two, (later,) = requests(1), requests(2), requests(1, (1, 6))
    assert whole[0].shape == (6, 4)
    assert not torch.equal(whole[0], whole[1])
    assert torch.equal(whole[1], later[0])
    assert torch.equal(whole[0][1::2], two[1][0])


def test_workers_and_held_out_pairs_of_an_embedded_set():
    data = DigitDomains(image_size=16, channels=3, source_channels=3, val_fraction=0.2)
    assert (len(data.train_images), data.n_partners, len(data.val_images)) == (600, 600, 150)
    assert not data.train_images.aligned
    assert data.examples_of == "test"
    assert data.val().n_partners == 150

"""Sets of two sides."""

import pytest
import torch

from lightning_gans.data.base import Request, TensorImages
from lightning_gans.data.digit_edges import DigitEdges, outlines
from lightning_gans.data.translation import Pairs, TranslationData, cut


class Numbered(TranslationData):
    """Sources count up, targets are 100 more; every pixel says where it lies."""

    def load(self):
        side = self.held_side
        pixels = torch.arange(side * side, dtype=torch.uint8).view(1, 1, side, side)
        count = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1)
        return Pairs(TensorImages(pixels + count), TensorImages(pixels + count + 100))


def made(**options):
    return Numbered(image_size=4, channels=1, source_channels=1, **options)


def test_both_halves_of_a_pair_are_cut_and_mirrored_alike():
    data = made(load_size=7, flip=True)
    mirror = torch.tensor([True, False, True])
    request = Request(torch.tensor([4, 0, 2]), mirror, torch.tensor([[0.0, 0.99], [0.5, 0.0], [0.3, 0.3]]))
    batch = data.on_after_batch_transfer(data.train_images[request], 0)
    assert set(batch) == {"source", "target"}
    assert batch["source"].shape == batch["target"].shape == (3, 1, 4, 4)
    grey = [((batch[key] + 1) * 127.5).round() for key in ("source", "target")]
    assert torch.equal(grey[1] - grey[0], torch.full((3, 1, 4, 4), 100.0))
    assert grey[0][0, 0, 0].tolist() == [10, 9, 8, 7]  # image 4, cut at column 3, mirrored
    assert grey[0][1, 0, :, 0].tolist() == [14, 21, 28, 35]  # image 0, cut at row 2


def test_every_place_can_be_cut_out():
    images = torch.arange(36).view(1, 1, 6, 6).expand(100, 1, 6, 6)
    pieces = cut(images, 4, torch.rand(100, 2, generator=torch.Generator().manual_seed(0)))
    assert set(pieces[:, 0, 0, 0].tolist()) == {row * 6 + column for row in range(3) for column in range(3)}
    assert torch.equal(pieces[:, 0, 3, 3] - pieces[:, 0, 0, 0], torch.full((100,), 21))


def test_examples_are_the_middle_and_never_mirrored():
    data = made(load_size=6, flip=True)
    examples = data.examples([1])
    assert ((examples["source"] + 1) * 127.5).round()[0, 0, 0].tolist() == [8, 9, 10, 11]
    assert data.examples_of == "train"
    assert data.n_examples == 5
    assert made(val_fraction=0.4).n_examples == 2


def test_pairs_need_equal_numbers():
    with pytest.raises(ValueError, match="5 sources and 4 targets"):
        Pairs(TensorImages(torch.zeros(5, 1, 2, 2)), TensorImages(torch.zeros(4, 1, 2, 2)))


@pytest.mark.parametrize(("key", "value"), [("load_size", 3), ("source_channels", 0)])
def test_values_out_of_range_are_named(key, value):
    with pytest.raises(ValueError, match=f"data.{key}={value}"):
        Numbered(**{"image_size": 4, "channels": 1, "source_channels": 1, key: value})


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

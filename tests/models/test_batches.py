"""What a plain loader's batches become: entries, ranges, sizes, and the rows of all processes."""

import warnings

import pytest
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset

from lightning_gans.config.errors import ConfigError
from lightning_gans.models.batches import Rows, labels_of, named, prepared, split, warn_of_range

PICTURES = torch.arange(4 * 3 * 8 * 8).remainder(256).to(torch.uint8).view(4, 3, 8, 8)
LABELS = torch.arange(4)


def read(batch, entries=("image", "label"), needed=("image",)):
    return named(batch, entries, needed, "DCGAN")


@pytest.mark.parametrize(
    "batch",
    [
        PICTURES,
        (PICTURES,),
        [PICTURES, LABELS],
        (PICTURES, LABELS, torch.zeros(4)),
        {"image": PICTURES, "label": LABELS, "caption": ["a", "b", "c", "d"]},
        {"image": (PICTURES, LABELS)},
    ],
)
def test_tensors_tuples_and_dicts_become_entries(batch):
    found = read(batch)
    assert torch.equal(found["image"], PICTURES)
    assert found.keys() <= {"image", "label"}
    assert "label" not in found or torch.equal(found["label"], LABELS)


def test_two_domains_of_unequal_batches_are_cut_to_the_shorter():
    """As a CombinedLoader gives them."""
    found = read({"source": [PICTURES, LABELS], "target": [PICTURES[:3], LABELS[:3]]}, needed=("source", "target"))
    assert [len(value) for value in found.values()] == [3, 3]


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ({"pixel_values": PICTURES}, "data: batches have pixel_values; DCGAN needs image"),
        ({"image": ["a.png"]}, "data: batches have no tensors; DCGAN needs image"),
        ("abc", "data=str: batches must be tensors, tuples (image, label) or dicts of these for DCGAN"),
    ],
)
def test_what_lacks_images_is_refused_in_one_line(batch, said):
    with pytest.raises(ValueError, match=said.replace("(", r"\(").replace(")", r"\)")):
        read(batch)
    assert issubclass(ConfigError, ValueError)


def test_uint8_is_scaled_and_floats_are_taken_as_they_are():
    batch = {"image": PICTURES, "label": LABELS, "instance": PICTURES[:, :1].long()}
    found = prepared(batch, torch.float64, None)
    assert torch.equal(found["image"], (PICTURES.float() / 127.5 - 1).double())
    assert found["label"].dtype == found["instance"].dtype == torch.int64
    halves = {"image": torch.full((2, 1, 4, 4), 0.5, dtype=torch.float16)}
    assert prepared(halves, torch.float32, None)["image"].dtype == torch.float32
    assert prepared(halves, torch.float32, None)["image"].unique().tolist() == [0.5]


def test_images_come_to_the_resolution_of_a_growing_network():
    found = prepared({"image": PICTURES}, torch.float32, 4)["image"]
    whole = prepared({"image": PICTURES}, torch.float32, None)["image"]
    torch.testing.assert_close(found, whole.view(4, 3, 4, 2, 4, 2).mean((3, 5)))


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-1, 1, None),
        (-3, 2, "go from -3 to 2, not -1 to 1"),
        (0, 1, "lie in .0, 1. and not"),
        (0, 255, "from 0 to 255"),
    ],
)
def test_floats_outside_of_the_range_get_one_warning(low, high, said):
    images = torch.linspace(low, high, 32).view(2, 1, 4, 4)
    if said is None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_of_range({"image": images})
    else:
        with pytest.warns(UserWarning, match=said) as told:
            warn_of_range({"image": images, "label": torch.arange(2)})
        assert len(told) == 1
    warn_of_range({"image": PICTURES})


@pytest.mark.parametrize("counts", [(6,), (7,), (4, 4), (7, 6), (5, 8), (2, 9, 4)])
@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_rows_of_all_processes_are_each_seen_once_in_one_order(counts, parts):
    """As in one process on the joint batch, whatever it is cut into."""
    total = sum(counts)
    joint = torch.arange(total)
    shares = [Rows(counts, rank) for rank in range(len(counts))]
    mine = [rows.take(joint) for rows in shares]
    assert torch.equal(torch.cat(mine).sort().values, joint)
    whole = split({"x": joint}, parts)
    assert sum(len(piece["x"]) for piece in whole) == total
    assert max(len(piece["x"]) for piece in whole) - min(len(piece["x"]) for piece in whole) <= 1
    pieces = [split({"x": x}, parts, rows) for x, rows in zip(mine, shares, strict=True)]
    for number, expected in enumerate(whole):
        gathered = torch.empty_like(expected["x"])
        for of_rank in pieces:
            piece = of_rank[number]
            assert len(piece["x"]) == piece.rows.own == piece.rows.counts[piece.rows.rank]
            gathered[piece.rows.take(torch.arange(len(gathered)))] = piece["x"]
            weights = [each[number].rows.weight for each in pieces]
            assert sum(weights) == pytest.approx(len(counts))
        assert torch.equal(gathered, expected["x"])


def test_labels_are_found_in_the_sets_that_list_them():
    images = torch.zeros(6, 1, 4, 4)
    labels = torch.tensor([2, 0, 1, 1, 2, 2])
    plain = TensorDataset(images, labels)
    assert torch.equal(labels_of(DataLoader(plain)), labels)
    assert torch.equal(labels_of(DataLoader(Subset(plain, [0, 5]))), labels[[0, 5]])
    like_torchvision = TensorDataset(images)
    like_torchvision.targets = labels.tolist()
    assert torch.equal(labels_of(DataLoader(like_torchvision)), labels)
    for other in (TensorDataset(images), TensorDataset(images, torch.rand(6)), [1, 2]):
        assert labels_of(DataLoader(other)) is None

"""Translation sets of your own files: two domains, pairs, label maps, frames, and what is made of any images."""

import shutil
import warnings
import zipfile
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from conftest import assert_same_training, newest, refusal, run
from lightning_gans import compose
from lightning_gans.config.explain import format_error
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.batches import EndlessBatches
from lightning_gans.data.inspection import look
from lightning_gans.data.translation.next_frame import natural, runs
from lightning_gans.schedules.training_schedule import Plan
from lightning_gans.training.trainer import instantiate

RNG = np.random.default_rng(0)


def data(choice, root, *overrides):
    """The data of a choice, as a run builds it."""
    small = ["data.image_size=16", "data.load_size=null"]
    cfg = compose(f"data={choice}", f"data.root={root}", *small, *overrides)
    return instantiate(cfg.data, "data", ImageDataModule)


def batches(made, n=4, steps=1, start=(0, 0)):
    """Batches as they reach the module."""
    requests = EndlessBatches(
        len(made.train_images),
        lambda step: Plan(1, n),
        start=lambda: start,
        n_partners=made.n_partners,
        flip=made.loader.flip,
        seed=made.seed,
    )
    return [made.on_after_batch_transfer(made.train_images[request], 0) for request in islice(requests, steps)]


def mistake(choice, root, *overrides):
    """What the command line says of a set that is loaded."""
    with pytest.raises(Exception) as raised:  # noqa: PT011
        data(choice, root, *overrides).setup("fit")
    message = format_error(raised.value)
    assert "\n" not in message
    return message


def grey_levels(images):
    return ((images + 1) * 127.5).round().to(torch.int64)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)


def flat(path, value, size=(16, 16)):
    write(path, np.full((*size, 3), value))


def zipped(folder, path, top=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, f"{top}{file.relative_to(folder)}")
    return path


@pytest.fixture
def domains(tmp_path):
    """trainA of 0, 1, 2, trainB of 100 to 104, testA of 50, 51, testB of 150."""
    for folder, values in {"trainA": range(3), "trainB": range(100, 105), "testA": (50, 51), "testB": (150,)}.items():
        for value in values:
            flat(tmp_path / "set" / folder / f"{value}.png", value)
    return tmp_path / "set"


# ---------------------------------------------------------------------------------- two domains


@pytest.mark.parametrize("memory", [0.0, 4.0])
@pytest.mark.parametrize("place", ["folder", "zip", "zip of one folder"])
def test_two_domains_are_drawn_independently(domains, tmp_path, place, memory):
    root = domains
    if place != "folder":
        root = zipped(domains, tmp_path / "set.zip", "set/" if place == "zip of one folder" else "")
    made = data("unpaired", root, f"data.memory_gb={memory}")
    assert made.kind == "unpaired"
    assert made.n_partners == 5
    served = batches(made, 5, 3)
    sources = torch.cat([grey_levels(batch["source"])[:, 0, 0, 0] for batch in served]).tolist()
    targets = torch.cat([grey_levels(batch["target"])[:, 0, 0, 0] for batch in served]).tolist()
    assert [sorted(sources[i : i + 3]) for i in range(0, 15, 3)] == [[0, 1, 2]] * 5
    assert [sorted(targets[i : i + 5]) for i in range(0, 15, 5)] == [[100, 101, 102, 103, 104]] * 3
    assert made.examples_of == "test"
    assert not made.examples_match
    assert made.n_examples == 2
    examples = made.examples([0, 1])
    assert grey_levels(examples["source"])[:, 0, 0, 0].tolist() == [50, 51]
    assert grey_levels(examples["target"])[:, 0, 0, 0].tolist() == [150, 150]
    assert next(made.real_images(range(3), 3))[:, 0, 0, 0].tolist() == [100, 101, 102]


def test_two_folders_anywhere(domains):
    made = data("unpaired", domains / "trainB", f"data.target_root={domains / 'testA'}")
    (batch,) = batches(made, 5)
    assert sorted(grey_levels(batch["source"])[:, 0, 0, 0].tolist()) == [100, 101, 102, 103, 104]
    assert set(grey_levels(batch["target"])[:, 0, 0, 0].tolist()) == {50, 51}
    assert made.examples_of == "train"
    renamed = data("unpaired", domains, "data.source=testA", "data.target=trainA", "data.test_source=null")
    assert sorted(set(grey_levels(batches(renamed, 3)[0]["source"])[:, 0, 0, 0].tolist())) == [50, 51]


def test_each_domain_gives_its_share_to_the_held_out_part(domains):
    made = data("unpaired", domains, "data.val_fraction=0.4", "data.test_source=null", "data.test_target=null")
    assert (len(made.train_images), len(made.val_images)) == (2, 1)
    assert made.n_partners == 3
    assert made.examples_of == "held-out"
    kept = made.val_images.target.fetch(torch.arange(2))["image"][:, 0, 0, 0].tolist()
    seen = {int(v) for batch in batches(made, 6, 5) for v in grey_levels(batch["target"])[:, 0, 0, 0]}
    assert seen | set(kept) == {100, 101, 102, 103, 104}
    assert not seen & set(kept)


def test_one_half_of_the_tests_is_a_mistake(domains):
    shutil.rmtree(domains / "testB")
    made = data("unpaired", domains)
    with pytest.raises(ValueError, match=r"data.test_target=testB: .* no images under such a folder; there are testA"):
        made.setup("fit")


# ---------------------------------------------------------------------------------- pairs

COLUMNS = np.arange(24) * 10


def halves(folder, n=4, names="{}.png"):
    """Pictures of 24x48: A says its number and its column, B is A's negative."""
    for i in range(n):
        left = np.zeros((24, 24, 3)) + COLUMNS[None, :, None]
        left[..., 1] = i
        write(folder / names.format(i), np.concatenate([left, 255 - left], 1))


def two_folders(folder, n=4, **suffixes):
    for i in range(n):
        left = np.zeros((24, 24, 3)) + COLUMNS[None, :, None]
        left[..., 1] = i
        write(folder / "trainA" / f"{i}{suffixes.get('a', '')}.png", left)
        write(folder / "trainB" / f"{i}{suffixes.get('b', '')}.png", 255 - left)


@pytest.mark.parametrize("memory", [0.0, 4.0])
@pytest.mark.parametrize("layout", ["side_by_side", "folders"])
def test_pairs_stay_together_through_cut_and_flip(tmp_path, layout, memory):
    if layout == "folders":
        two_folders(tmp_path)
    else:
        halves(tmp_path / "train")
    made = data("paired", tmp_path, f"data.layout={layout}", "data.load_size=24", f"data.memory_gb={memory}")
    served = batches(made, 4, 20)
    starts, mirrored = set(), 0
    for batch in served:
        source, target = grey_levels(batch["source"]), grey_levels(batch["target"])
        assert source.shape == target.shape == (4, 3, 16, 16)
        assert torch.equal(target, 255 - source)
        assert sorted(source[:, 1, 0, 0].tolist()) == [0, 1, 2, 3]
        steps = source[:, 0, 0].diff()
        assert set(steps.unique(dim=1).flatten().tolist()) <= {-10, 10}
        starts |= {int(v) for v in source[:, 0, 0].min(1).values}
        mirrored += int((steps[:, 0] < 0).sum())
    assert starts == {10 * i for i in range(9)}
    assert 20 < mirrored < 60
    examples = made.examples([2])
    assert torch.equal(grey_levels(examples["target"]), 255 - grey_levels(examples["source"]))
    reduced = grey_levels(examples["source"])[0, 0, 0]  # the whole picture, never mirrored
    assert (reduced - torch.linspace(2.5, 227.5, 16)).abs().max() < 4


def test_direction_and_channels_of_halves(tmp_path):
    halves(tmp_path / "train")
    halves(tmp_path / "test", 2)
    made = data("paired", tmp_path, "data.direction=b2a", "data.source_channels=1", "data.image_size=24")
    assert made.shapes == {"source": (1, 24, 24), "target": (3, 24, 24)}
    assert (made.examples_of, made.n_examples) == ("test", 2)
    batch = made.examples([1])
    assert batch["source"].shape == (1, 1, 24, 24)
    assert grey_levels(batch["target"])[0, 0, 5].tolist() == COLUMNS.tolist()
    assert grey_levels(batch["source"])[0, 0, 5, 0] > 250
    whole = data("paired", tmp_path / "test", "data.part=null", "data.test_part=null")
    assert len(whole.train_images) == 2


def test_files_of_two_folders_belong_together_by_name(tmp_path):
    two_folders(tmp_path, a="_labels", b="_photo")
    suffixes = ["data.source_suffix=_labels", "data.target_suffix=_photo"]
    made = data("paired", tmp_path, "data.layout=folders", *suffixes)
    assert len(made.train_images) == 4
    with pytest.raises(ValueError, match=r"4 of 4 sources \(trainA/0_labels.png.*4 of 4 targets"):
        data("paired", tmp_path, "data.layout=folders").setup("fit")
    (tmp_path / "trainB" / "2_photo.png").rename(tmp_path / "trainB" / "two_photo.png")
    with pytest.raises(ValueError, match=r"1 of 4 sources \(trainA/2_labels.png\); 1 of 4 targets \(trainB/two_photo"):
        data("paired", tmp_path, "data.layout=folders", *suffixes).setup("fit")
    shutil.copy(tmp_path / "trainB" / "1_photo.png", tmp_path / "trainB" / "1.png")
    with pytest.raises(ValueError, match=r"trainB/1_photo.png and trainB/1.png have one name"):
        data("paired", tmp_path, "data.layout=folders", *suffixes).setup("fit")


def test_two_places_whose_files_have_the_same_names(tmp_path):
    two_folders(tmp_path)
    source = zipped(tmp_path / "trainA", tmp_path / "a.zip", "top/")
    made = data("paired", source, f"data.target_root={tmp_path / 'trainB'}")
    (batch,) = batches(made)
    assert torch.equal(grey_levels(batch["target"]), 255 - grey_levels(batch["source"]))


@pytest.mark.parametrize("memory", [0.0, 4.0])
def test_an_unreadable_half_leaves_out_its_pair(tmp_path, memory):
    two_folders(tmp_path)
    (tmp_path / "trainB" / "1.png").write_bytes(b"\x89PNG broken")
    options = ["data.layout=folders", f"data.memory_gb={memory}"]
    with pytest.raises(ValueError, match=r"cannot read trainB/1.png"):
        batches(data("paired", tmp_path, *options), 4)
    made = data("paired", tmp_path, *options, "data.on_error=skip")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        served = batches(made, 4, 3)
    assert "trainB/1.png" in str(told[0].message)
    for batch in served:
        source = grey_levels(batch["source"])
        assert torch.equal(grey_levels(batch["target"]), 255 - source)
        assert set(source[:, 1, 0, 0].tolist()) <= {0, 2, 3}


@pytest.mark.parametrize("memory", [0.0, 4.0])
def test_pairs_of_different_aspects_are_not_cut_apart(tmp_path, memory):
    """One camera turns; sides that differ by rounding alone fit."""
    two_folders(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    sizes = {0: ((40, 60), (20, 30)), 1: ((60, 40), (29, 20)), 2: ((60, 40), (20, 30)), 3: ((60, 40), (24, 24))}
    for i, (a, b) in sizes.items():
        Image.new("RGB", a).save(tmp_path / "trainA" / f"{i}.png")
        Image.new("RGB", b).save(tmp_path / "trainB" / f"{i}.png", **({"exif": exif} if i == 2 else {}))
    options = ["data.layout=folders", f"data.memory_gb={memory}"]
    named = r"trainB/3.png \(24x24 pixels, its source 60x40: of another aspect; .* data.resize=stretch\)"
    for resize in ("cover", "contain"):
        with pytest.raises(ValueError, match="cannot read " + named):
            batches(data("paired", tmp_path, *options, f"data.resize={resize}"))
    batches(data("paired", tmp_path, *options, "data.resize=stretch"))
    other = r"trainB/0.png \(20x30 pixels, its source 40x60: must be the same with data.resize=native\)"
    with pytest.raises(ValueError, match="cannot read .*" + other):
        batches(data("paired", tmp_path, *options, "data.resize=native"))
    skipping = data("paired", tmp_path, *options, "data.on_error=skip")
    with pytest.warns(UserWarning, match=named):
        batches(skipping)
    report = look(data("paired", tmp_path, *options))
    assert report.unreadable == 1
    assert "trainB/3.png: 24x24 pixels, its source 60x40" in report.text
    Image.new("RGB", (30, 20)).save(tmp_path / "trainB" / "3.png")
    assert look(data("paired", tmp_path, *options)).unreadable == 0


def test_sixteen_bits_and_alpha_of_pairs(tmp_path):
    deep = (np.arange(24 * 24).reshape(24, 24) * 100).astype(np.uint16)
    (tmp_path / "trainA").mkdir()
    Image.fromarray(deep).save(tmp_path / "trainA" / "0.png")
    write(tmp_path / "trainB" / "0.png", np.full((24, 24, 4), 77))
    made = data(
        "paired", tmp_path, "data.layout=folders", "data.source_channels=1", "data.channels=4", "data.image_size=24"
    )
    batch = made.examples([0])
    assert grey_levels(batch["source"])[0, 0].tolist() == ((deep.astype(int) * 255 + 32767) // 65535).tolist()
    assert (grey_levels(batch["target"]) == 77).all()
    assert batch["target"].shape[1] == 4


# ---------------------------------------------------------------------------------- label maps


def label_set(folder, part="train", n=3):
    """Classes 0 to 3 in quarters; objects numbered up to 33000; palettes and 8 bits in turn."""
    labels = np.kron(np.array([[0, 1], [2, 3]]), np.ones((12, 12))).astype(np.uint8)
    for i in range(n):
        image = Image.fromarray(labels)
        if i % 2:
            image = image.copy()
            image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])
        for name in ("label", "img", "inst"):
            (folder / f"{part}_{name}").mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{part}_label" / f"{i}.png")
        write(folder / f"{part}_img" / f"{i}.jpg", np.repeat(labels[..., None] * 60, 3, 2))
        Image.fromarray(labels.astype(np.uint16) * 11000).save(folder / f"{part}_inst" / f"{i}.png")


@pytest.mark.parametrize("memory", [0.0, 4.0])
def test_label_maps_become_one_hot_and_objects_keep_their_numbers(tmp_path, memory):
    label_set(tmp_path)
    label_set(tmp_path, "test", 1)
    options = ["data.num_labels=5", "data.instance=train_inst", "data.test_instance=test_inst", "data.flip=false"]
    made = data("label_maps", tmp_path, *options, "data.image_size=12", f"data.memory_gb={memory}")
    assert made.shapes["source"] == (5, 12, 12)
    for batch in (batches(made, 3)[0], made.examples([0])):
        n = len(batch["source"])
        assert batch["source"].shape == (n, 5, 12, 12)
        assert batch["source"].dtype == torch.float32
        assert set(batch["source"].unique().tolist()) == {0.0, 1.0}
        assert (batch["source"].sum(1) == 1).all()
        quarters = torch.tensor([[0, 1], [2, 3]]).repeat_interleave(6, 0).repeat_interleave(6, 1)
        assert (batch["source"].argmax(1) == quarters).all()  # nothing between classes
        assert batch["instance"].dtype == torch.int64
        assert torch.equal(batch["instance"], (quarters * 11000).expand(n, 1, 12, 12))
        assert batch["target"].shape == (n, 3, 12, 12)


def test_labels_and_objects_are_cut_and_mirrored_with_their_pictures(tmp_path):
    label_set(tmp_path)
    made = data("label_maps", tmp_path, "data.num_labels=4", "data.instance=train_inst", "data.load_size=24")
    reduced = made.examples(range(3))  # of 24x24
    quarters = torch.tensor([[0, 1], [2, 3]]).repeat_interleave(8, 0).repeat_interleave(8, 1)
    assert torch.equal(reduced["source"].argmax(1), quarters.expand(3, 16, 16))
    for batch in (*batches(made, 3, 10), reduced):
        classes = batch["source"].argmax(1, keepdim=True)
        assert torch.equal(batch["instance"], classes * 11000)
        middle = (grey_levels(batch["target"])[:, :1] - classes * 60).abs()
        assert middle.float().median() <= 3  # JPEG, but for the borders


def test_objects_are_found_by_what_is_left_of_their_names(tmp_path):
    label_set(tmp_path, n=2)
    for path in (tmp_path / "train_inst").iterdir():
        path.rename(path.with_name(f"{path.stem}_objects.png"))
    options = ["data.num_labels=4", "data.instance=train_inst", "data.memory_gb=0.0"]
    made = data("label_maps", tmp_path, *options, "data.instance_suffix=_objects").examples(range(2))
    assert torch.equal(made["instance"], made["source"].argmax(1, keepdim=True) * 11000)
    with pytest.raises(ValueError, match="_objects"):
        data("label_maps", tmp_path, *options).setup("fit")


def test_wrong_label_maps_are_named(tmp_path):
    label_set(tmp_path)
    with pytest.raises(ValueError, match=r"train_label/0.png \(value 3: must be from 0 to 2 \(data.num_labels\)\)"):
        data("label_maps", tmp_path, "data.num_labels=3").setup("fit")
    write(tmp_path / "train_label" / "1.png", np.zeros((24, 24, 3)))
    with pytest.raises(ValueError, match=r"train_label/1.png \(mode RGB: must have one channel of numbers"):
        data("label_maps", tmp_path, "data.num_labels=4").setup("fit")
    made = data("label_maps", tmp_path, "data.num_labels=4", "data.instance=train_inst", "data.on_error=skip")
    with pytest.warns(UserWarning, match="train_label/1.png"):
        assert len(made.train_images) == 2


def test_the_recipe_takes_the_official_layout(tmp_path):
    """Objects by ``data.instance`` alone; test labels without pictures, as published, are no test part, told once."""
    label_set(tmp_path)
    label_set(tmp_path, "test", 2)
    cfg = compose("experiment=pix2pix_hd_cityscapes", f"data.root={tmp_path}", "data.image_size=16")

    def made(*others):
        found = instantiate(cfg.data, "data", ImageDataModule) if not others else data("label_maps", tmp_path, *others)
        found.setup("fit")
        return found

    whole = made()
    assert (whole.examples_of, whole.n_examples) == ("test", 2)
    assert whole.examples([1])["instance"].max() == 33000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert made("data.num_labels=4", "data.instance=null", "data.test_instance=null").examples_of == "test"
        assert made("data.num_labels=4", "data.test_source=null").examples_of == "train"
    shutil.rmtree(tmp_path / "test_img")
    with pytest.warns(UserWarning, match=r"the test part is left out.*\(data.test_target=test_img\)") as told:
        without = made()
    assert without.examples([0])["source"].shape == (1, 35, 16, 16)
    assert len(told) == 1
    assert (without.examples_of, without.n_examples) == ("train", 3)
    shutil.rmtree(tmp_path / "test_label")
    shutil.rmtree(tmp_path / "test_inst")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert made().examples_of == "train"


def test_mistakes_in_the_test_part_are_found_before_training(tmp_path):
    label_set(tmp_path)
    label_set(tmp_path, "test", 1)
    (tmp_path / "test_img" / "0.jpg").write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(ValueError, match="cannot read test_img/0.jpg"):
        data("label_maps", tmp_path, "data.num_labels=4").setup("fit")


# ---------------------------------------------------------------------------------- made of any images


@pytest.fixture
def pictures(tmp_path):
    for part, n in {"train": 6, "test": 3}.items():
        for i in range(n):
            write(tmp_path / "any" / part / f"{i}.png", RNG.integers(0, 256, (40, 50, 3)))
    return tmp_path / "any"


MADE = {
    "super_resolution": ("super_resolution", (3, 8, 8)),
    "colorization": ("paired", (1, 32, 32)),
    "edges": ("paired", (1, 32, 32)),
    "inpainting": ("paired", (3, 32, 32)),
}


@pytest.mark.parametrize("memory", [0.0, 4.0])
@pytest.mark.parametrize("choice", sorted(MADE))
def test_sources_are_made_of_the_targets_as_they_were_cut(pictures, choice, memory):
    kind, shape = MADE[choice]
    options = ["data.within=train", "data.test_within=test", "data.image_size=32", f"data.memory_gb={memory}"]
    made = data(choice, pictures, *options, "data.load_size=36")
    assert made.kind == kind
    assert made.shapes == {"source": shape, "target": (3, 32, 32)}
    first, again = batches(made, 4), batches(made, 4)
    for one, other in ((first[0], again[0]), (made.examples([0, 2]), made.examples([0, 2]))):
        assert one["source"].shape[1:] == shape
        assert one["target"].shape[1:] == (3, 32, 32)
        for key in one:
            assert torch.equal(one[key], other[key])
            assert -1 <= one[key].min() < one[key].max() <= 1
    draws = torch.full((4, 4), 0.5)
    if choice != "inpainting":
        assert torch.equal(made.transform.degradation(first[0]["target"], draws), first[0]["source"])
    else:
        rest = first[0]["source"] != 0
        assert torch.equal(first[0]["source"][rest], first[0]["target"][rest])
    assert made.examples_of == "test"


@pytest.mark.parametrize("memory", [0.0, 4.0])
def test_native_pieces_have_the_pixels_of_the_files(tmp_path, memory):
    """In training they are cut anywhere out of the middle of ``load_size``, examples are the very middle."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 70, 3), np.uint8)
    (tmp_path / "test").mkdir()
    for name in ("0.png", "test/0.png"):
        Image.fromarray(noise).save(tmp_path / name)
    options = ["data.resize=native", "data.image_size=16", "data.flip=false", f"data.memory_gb={memory}"]
    made = data("super_resolution", tmp_path, "data.load_size=48", "data.test_within=test", *options)
    whole = torch.from_numpy(noise).permute(2, 0, 1)
    middle = whole[:, 22:38, 27:43]
    for examples in (made.examples([0]), made.training_examples([0])):
        assert torch.equal(grey_levels(examples["target"])[0].round().to(torch.uint8), middle)
    pieces = grey_levels(batches(made, 8)[0]["target"]).round().to(torch.uint8)
    held = whole[:, 6:54, 11:59].unfold(1, 16, 1).unfold(2, 16, 1).permute(1, 2, 0, 3, 4)  # (33, 33, 3, 16, 16)
    places = [(held == piece).flatten(2).all(2).nonzero().tolist() for piece in pieces]
    assert all(len(place) == 1 for place in places)
    assert len({tuple(place[0]) for place in places}) > 4


def test_holes_move_from_pass_to_pass(pictures):
    made = data("inpainting", pictures, "data.source_channels=4", "data.flip=false", "data.within=train")
    holes = [batch["source"][:, 3] for batch in batches(made, 6, 5)]
    assert len({bytes((hole[0] > 0).numpy()) for hole in holes}) > 1
    assert torch.equal(holes[3], batches(made, 6, 1, start=(3, 18))[0]["source"][:, 3])  # resumed


def test_grey_sources_may_be_repeated_for_three_channels(pictures):
    for choice in ("colorization", "edges"):
        batch = data(choice, pictures, "data.source_channels=3", "data.within=train").examples([0])
        assert batch["source"].shape == (1, 3, 16, 16)
        assert torch.equal(batch["source"][:, 0], batch["source"][:, 2])


# ---------------------------------------------------------------------------------- frames


def frames(folder, clip, numbers, value=0):
    for number in numbers:
        flat(folder / clip / f"frame{number}.png", value + number)


@pytest.mark.parametrize("memory", [0.0, 4.0])
def test_the_frames_before_are_the_source_and_gaps_begin_new_clips(tmp_path, memory):
    frames(tmp_path, "a", [8, 9, 10, 11, 13, 14, 15])  # 12 is missing
    frames(tmp_path, "b", [1, 2], 100)  # too short
    frames(tmp_path, "c", [5, 6, 7], 200)
    options = ["data.context=2", "data.source_channels=6", "data.flip=false", f"data.memory_gb={memory}"]
    made = data("next_frame", tmp_path, *options)
    assert made.shapes == {"source": (6, 16, 16), "target": (3, 16, 16)}
    batch = made.training_examples(range(4))
    assert len(made.train_images) == 4
    runs_seen = [
        [*source[::3].tolist(), int(target)]
        for source, target in zip(
            grey_levels(batch["source"])[:, :, 0, 0], grey_levels(batch["target"])[:, 0, 0, 0], strict=True
        )
    ]
    assert runs_seen == [[8, 9, 10], [9, 10, 11], [13, 14, 15], [205, 206, 207]]
    kept = data("next_frame", tmp_path, *options, "data.val_fraction=0.25")
    assert grey_levels(kept.examples([0])["target"])[0, 0, 0, 0] == 207
    assert len(kept.train_images) == 3


def test_names_are_sorted_as_people_count():
    names = ["a/2.png", "a/10.png", "a/1.png", "b10/1.png", "b9/7.png"]
    assert sorted(names, key=natural) == ["a/1.png", "a/2.png", "a/10.png", "b9/7.png", "b10/1.png"]
    assert runs(["a/1_x.png", "a/2_x.png", "a/3_y.png", "a/4_y.png", "b/5_y.png"], "") == [(0, 2), (2, 4), (4, 5)]
    assert runs(["007.png", "008.png", "v2_9.png", "v2_10.png"], "") == [(0, 2), (2, 4)]
    with pytest.raises(ValueError, match="x: last.png has no number"):
        runs(["last.png"], "x")


def test_clips_that_are_too_short_are_told(tmp_path):
    frames(tmp_path, "a", [1, 2, 3])
    with pytest.raises(ValueError, match="data.context=3: needs clips of 4 frames .* has 3"):
        data("next_frame", tmp_path).setup("fit")


# ---------------------------------------------------------------------------------- refusals and the check


@pytest.mark.parametrize(
    ("choice", "override", "named"),
    [
        ("unpaired", "data.source=trainX", "data.source=trainX: data.root="),
        ("unpaired", "data.target_root=nowhere", "data.target_root=nowhere: does not exist"),
        ("unpaired", "data.load_size=8", "data.load_size=8: must be >= data.image_size=16"),
        ("unpaired", "data.num_classes=2", "data.num_classes=2: sets for translation have none"),
        ("paired", "data.layout=stacked", "data.layout=stacked: must be side_by_side or folders"),
        ("paired", "data.direction=c2d", "data.direction=c2d: must be a2b or b2a"),
        ("paired", "data.num_labels=1", "data.num_labels=1: must be from 2 to 256, or null"),
        ("paired", "data.num_labels=7", "data.source_channels=3: must be data.num_labels=7"),
        ("paired", "data.source_channels=5", "data.source_channels=5: must be 1 to 4"),
        ("paired", "data.instance=trainA", "data.instance=trainA: needs data.layout=folders"),
        ("super_resolution", "data.factor=3", "data.factor=3: must be 2, 4 or 8"),
        ("super_resolution", "data.image_size=18", "data.image_size=18: must be a multiple of data.factor=4"),
        ("super_resolution", "data.source_channels=1", "data.source_channels=1: must be 3"),
        ("colorization", "data.source_channels=2", "data.source_channels=2: must be 1 or 3"),
        ("colorization", "data.channels=1", "data.channels=1: has no colours"),
        ("edges", "data.sigma=9", "data.sigma=9"),
        ("edges", "data.high=0.01", "data.high=0.01: must be >= data.low=0.02"),
        ("inpainting", "data.hole_max=2", "data.hole_max=2: must be above 0, to 1"),
        ("inpainting", "data.hole_max=0.1", "data.hole_max=0.1: must be >= data.hole_min=0.25"),
        ("inpainting", "data.source_channels=5", "data.source_channels=5: must be 3 or 4"),
        ("next_frame", "data.context=0", "data.context=0: must be >= 1"),
        ("next_frame", "data.context=2", "data.source_channels=9: must be 6, data.context=2 times data.channels=3"),
        ("next_frame", "data.on_error=skip", "data.on_error=skip: must be stop"),
        ("next_frame", "data.within=nothing", "data.within=nothing: data.root="),
    ],
)
def test_mistakes_are_named(domains, choice, override, named):
    assert named in mistake(choice, domains, override)


def test_a_place_that_is_not_there_or_holds_nothing(tmp_path):
    for choice in ("unpaired", "paired", "edges", "next_frame"):
        assert "nowhere: does not exist" in mistake(choice, tmp_path / "nowhere")
        assert f"data.root={tmp_path}: no images" in mistake(choice, tmp_path)


def test_the_wrong_kind_is_refused_by_name(tmp_path, domains):
    place = f"data.root={domains}"
    message = refusal(tmp_path / "run", "model=pix2pix", "data=unpaired", place, "trainer.accelerator=cpu")
    assert "of kind unpaired" in message
    assert "takes paired" in message


def test_fingerprints_follow_what_belongs_together(tmp_path):
    two_folders(tmp_path)
    halves(tmp_path / "train")
    prints = {data("paired", tmp_path, "data.layout=folders").train_images.fingerprint()}
    for options in ([], ["data.direction=b2a"], ["data.image_size=8"], ["data.source_channels=1"]):
        for memory in (0.0, 4.0):
            prints.add(data("paired", tmp_path, f"data.memory_gb={memory}", *options).train_images.fingerprint())
    assert len(prints) == 8  # held in memory, both layouts have one content
    again = data("paired", tmp_path, "data.memory_gb=0").train_images.fingerprint()
    assert again in prints


def test_files_go_through_workers(tmp_path):
    """Workers serve what one process does."""
    two_folders(tmp_path, 6)
    made = data("paired", tmp_path, "data.layout=folders", "data.load_size=20", "data.memory_gb=0")
    requests = EndlessBatches(6, lambda step: Plan(1, 4), start=lambda: (0, 0), flip=made.loader.flip)
    loader = DataLoader(made.train_images, batch_size=None, sampler=requests, num_workers=2)
    served = [made.on_after_batch_transfer(batch, 0) for batch in islice(loader, 3)]
    for one, other in zip(served, batches(made, 4, 3), strict=True):
        assert torch.equal(one["source"], other["source"])
        assert torch.equal(one["target"], other["target"])


def test_data_check_looks_at_both_sides(tmp_path):
    two_folders(tmp_path)
    report = look(data("paired", tmp_path, "data.layout=folders"))
    for words in ("paired", "source", "target", "4 readable, 0 not", "source 16x16x3, target 16x16x3"):
        assert words in report.text
    assert report.unreadable == 0
    assert report.grid.shape[-1] >= 40
    label_set(tmp_path, n=2)
    text = look(data("label_maps", tmp_path, "data.num_labels=4", "data.instance=train_inst")).text
    for words in ("instance", "16x16x1", "nearest"):
        assert words in text
    halves(tmp_path / "train")
    assert "as 16x16x3" in look(data("paired", tmp_path)).text
    (tmp_path / "trainB" / "3.png").write_bytes(b"\x89PNG broken")
    report = look(data("paired", tmp_path, "data.layout=folders"))
    assert (report.unreadable, report.grid) == (1, None)
    assert "trainB/3.png" in report.text


# ---------------------------------------------------------------------------------- in a training


def test_a_training_with_cuts_flips_and_holes_resumes_bit_for_bit(tmp_path, pictures):
    options = [
        *("data=inpainting", f"data.root={pictures}", "data.within=train", "data.memory_gb=0", "data.num_workers=2"),
        *("data.load_size=20", "data.on_error=stop", "callbacks.checkpoint.every_n_train_steps=1"),
        *("callbacks.checkpoint.keep=null", "trainer.max_steps=5", "model.batch_size=4"),
    ]
    run(tmp_path / "whole", *options, model="pix2pix")
    (tmp_path / "resumed" / "checkpoints").mkdir(parents=True)
    shutil.copy(tmp_path / "whole" / "checkpoints" / "step-000002.ckpt", tmp_path / "resumed" / "checkpoints")
    run(tmp_path / "resumed", *options, model="pix2pix", resume=str(tmp_path / "resumed"))
    assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / "resumed"))


@pytest.mark.parametrize(
    ("model", "choice", "options"),
    [
        ("cyclegan", "unpaired", ["data.val_fraction=0.34", "data.test_source=null", "data.test_target=null"]),
        ("srgan", "super_resolution", ["data.within=trainB", "data.factor=2"]),
        ("pix2pix", "colorization", ["data.within=trainB", "data.test_within=testA"]),
    ],
)
def test_families_train_on_files(tmp_path, domains, model, choice, options):
    made = run(tmp_path / "run", f"data={choice}", f"data.root={domains}", "data.load_size=20", *options, model=model)
    assert made.model.iteration == 4

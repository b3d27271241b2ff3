"""Captions of pictures: embedded ones, those in files, and published pickles."""

import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gans.data.avatars import Avatars
from lightning_gans.data.caption_files import CaptionFolder
from lightning_gans.data.captions import captions_of, number_captions, shared
from lightning_gans.data.digit_captions import (
    BOUNDS,
    SENTENCES,
    WORDS,
    DigitCaptions,
    attributes_of,
    held_out,
    measure,
    sentences,
)
from lightning_gans.runtime.unpickling import RestrictedUnpickler


def said(images, i):
    """The captions of picture i."""
    found = captions_of(images)
    return [found.texts[number] for number in found.numbers[i].tolist() if number >= 0]


def test_captions_are_numbered_once_and_shared_ones_found():
    captions = number_captions([["a", "b"], ["b"], ["c", "c", "a"]])
    assert captions.texts == ["a", "b", "c"]
    assert captions.numbers.tolist() == [[0, 1], [1, -1], [2, 0]]
    pairs = [
        [bool({*one} & {*other} - {-1}) for other in captions.numbers.tolist()] for one in captions.numbers.tolist()
    ]
    assert shared(captions.numbers, captions.numbers).tolist() == pairs == [[1, 1, 1], [1, 1, 0], [1, 0, 1]]


# ------------------------------------------------------------------------------ digits


@pytest.fixture(scope="module")
def digits():
    return DigitCaptions(image_size=32, channels=1, drawings=1)


def test_a_stroke_is_measured_by_its_width_slant_size_and_brightness():
    pictures = torch.zeros(2, 1, 40, 40)
    pictures[0, 0, 10:30, 18:22] = 0.5  # a bar of 4 x 20
    for row in range(10, 30):  # of width 4, whose top is 10 pixels right of its bottom
        left = 18 + round((20 - row) / 2)
        pictures[1, 0, row, left : left + 4] = 1.0
    found = measure(pictures)
    assert found["size"].tolist() == [0.5, 0.5]
    assert found["brightness"].tolist() == [0.5, 1.0]
    assert found["slant"][0] == 0
    assert found["slant"][1] == pytest.approx(0.5, abs=0.03)
    # area 80, variation 2 x 20 + 2 x 4 less one of two corners, where both differences are in one pixel
    assert found["stroke"][0] == pytest.approx(2 * 80 / 48 / 20, rel=0.02)


def test_captions_say_what_is_measured(digits):
    images = digits.train_images
    batch = images.fetch(torch.arange(300))
    attributes = images.entries("attributes")[:300]
    measured = measure(batch["image"].float() / 255)
    for column, (name, bounds) in enumerate(BOUNDS.items(), 1):
        value = sum((measured[name] > bound).long() for bound in bounds)
        assert torch.equal(value, attributes[:, column])
    assert torch.equal(attributes_of(batch["image"], attributes[:, 0]), attributes)
    for i in (0, 17, 255):
        words = [WORDS[name][value] for name, value in zip(WORDS, attributes[i].tolist(), strict=True)]
        assert len(said(images, i)) == len(SENTENCES)
        assert all(word in said(images, i)[0] for word in words)
        assert [number for number in batch["caption"][i].tolist()] == captions_of(images).numbers[i].tolist()
    assert sentences([7, 0, 2, 1, 1])[4] == "a thin seven leaning right"
    assert sentences([8, 0, 2, 1, 1])[5] == "a large bright eight"


def test_no_picture_of_training_has_a_combination_that_is_held_out(digits):
    held = held_out(0.15, 0)
    train, test = digits.train_images, digits.val().train_images
    assert not held[tuple(train.entries("attributes").T)].any()
    assert held[tuple(test.entries("attributes").T)].all()
    assert len(train) + len(test) == 1797
    assert digits.examples_of == "test"
    assert {said(test, i)[0] for i in range(len(test))}.isdisjoint(captions_of(train).texts)
    again = DigitCaptions(image_size=32, channels=1, drawings=1, seed=1)
    assert not torch.equal(again.train_images.fetch(torch.arange(3))["image"], train.fetch(torch.arange(3))["image"])


def test_labels_are_the_digits_where_they_are_wanted():
    data = DigitCaptions(image_size=16, channels=1, drawings=1, num_classes=10, limit=60)
    assert data.kind == "labelled"
    assert torch.equal(data.train_images.entries("label"), data.train_images.entries("attributes")[:, 0])
    assert data.train_images.classes == list(WORDS["digit"])
    assert len(data.train_images) == 60


def test_parts_and_smaller_pictures_keep_their_captions(digits):
    data = DigitCaptions(image_size=32, channels=1, drawings=1, val_fraction=0.2)
    small = data.train_images.resized(16)
    assert small.fetch(torch.arange(2))["image"].shape == (2, 1, 16, 16)
    assert said(small, 3) == said(data.train_images, 3)
    assert torch.equal(small.fetch(torch.tensor([3]))["caption"], data.train_images.entries("caption")[3:4])


def test_avatars_have_two_wordings_of_what_they_look_like():
    data = Avatars(image_size=16, channels=3, identities=3, expressions_per_identity=2)
    images = data.train_images
    batch = images.fetch(torch.tensor([4]))
    assert batch["caption"].shape == (1, 2)
    assert all(text.startswith("A ") and "brows" in text for text in said(images, 4))
    assert torch.equal(batch["caption"][0], images.entries("caption")[4])


# ------------------------------------------------------------------------------ files


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (value, 0, 0)).save(path)


def folder(root, **options):
    return CaptionFolder(root=str(root), image_size=16, channels=3, **options)


@pytest.fixture
def beside(tmp_path):
    """Two pictures with text files beside them, in two classes."""
    root = tmp_path / "set"
    for i, (name, text) in enumerate({"a/1": "a red bird\n\n  птица с красной головой \n", "b/2": "賢い鳥"}.items()):
        picture(root / f"{name}.png", i)
        (root / f"{name}.txt").write_text(text, "utf-8")
    return root


def test_lines_of_a_text_file_are_captions_in_any_script(beside):
    images = folder(beside, num_classes=2).train_images
    assert said(images, 0) == ["a red bird", "птица с красной головой"]
    assert said(images, 1) == ["賢い鳥"]
    assert images.entries("label").tolist() == [0, 1]
    batch = images.fetch(torch.tensor([1]))
    assert (batch["image"][0, 0, 0, 0], batch["label"].tolist(), batch["caption"].tolist()) == (1, [1], [[2, -1]])


def test_a_zip_is_read_as_its_folder(beside, tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(beside.rglob("*.*")):
            archive.write(file, file.relative_to(beside))
        archive.writestr("../outside.txt", "no")
    from_zip = folder(path, on_error="skip")
    with pytest.warns(UserWarning, match="leads out"):
        images = from_zip.train_images
    assert captions_of(images).texts == captions_of(folder(beside).train_images).texts


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_table_names_files_and_texts(tmp_path, kind):
    picture(tmp_path / "train" / "x" / "1.png")
    picture(tmp_path / "train" / "2.png")
    rows = [("x/1.png", "one, with a comma"), ("2.png", "two"), ("x/1.png", "another")]
    if kind == "csv":
        text = "file_name,text\n" + "".join(f'{name},"{said}"\n' for name, said in rows)
    else:
        rows = [("x/1.png", ["one, with a comma", "another"]), ("2.png", "two")]
        text = "".join(json.dumps({"file_name": name, "text": said}) + "\n" for name, said in rows)
    (tmp_path / "train" / f"metadata.{kind}").write_text(text)
    images = folder(tmp_path, within="train").train_images
    assert [said(images, i) for i in (0, 1)] == [["two"], ["one, with a comma", "another"]]


def test_pictures_without_a_caption_are_told_or_left_out(beside):
    picture(beside / "a" / "silent.png", 9)
    (beside / "b" / "2.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"2 files: a/silent.png \(has no caption\); b/2.png \(its caption: .*decode"):
        folder(beside).train_images  # noqa: B018
    with pytest.warns(UserWarning, match="left out"):
        images = folder(beside, on_error="skip").train_images
    assert len(images) == 1
    assert said(images, 0)[0] == "a red bird"


def test_a_picture_that_cannot_be_read_does_not_shift_the_captions(beside):
    (beside / "a" / "1.png").write_bytes(b"\x89PNG no picture")
    with pytest.warns(UserWarning, match="a/1.png"):
        images = folder(beside, on_error="skip").train_images
    assert said(images, 0) == ["賢い鳥"]
    assert images.fetch(torch.tensor([0]))["caption"].tolist() == [[2, -1]]


def test_hostile_tables_and_links_are_refused(tmp_path):
    picture(tmp_path / "1.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": 3, "text": "x"}')
    with pytest.raises(ValueError, match="file_name and text must be texts"):
        folder(tmp_path).train_images  # noqa: B018
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "../../etc/passwd", "text": "x"}')
    with pytest.raises(ValueError, match="no picture has a caption"):
        folder(tmp_path).train_images  # noqa: B018
    (tmp_path / "metadata.jsonl").unlink()
    os.mkfifo(tmp_path / "1.txt")
    with pytest.raises(ValueError, match="not a regular file|no picture has a caption"):
        folder(tmp_path).train_images  # noqa: B018


# ------------------------------------------------------------------------------ published pickles


def publish(root, n=3, part="train", side=76, names=None):
    made = root / part
    made.mkdir(parents=True)
    content = {
        f"{side}images": [np.full((side, side, 3), i, np.uint8) for i in range(n)],
        "char-CNN-RNN-embeddings": [np.full((2, 4), i, np.float32) for i in range(n)],
        "class_info": [5, 9, 5][:n],
        "filenames": names or [f"00{i}.bird/{part}_{i}" for i in range(n)],
    }
    for name, value in content.items():
        (made / f"{name}.pickle").write_bytes(pickle.dumps(value, protocol=2))
    return made


def test_the_published_layout_gives_vectors_classes_and_texts(tmp_path):
    publish(tmp_path)
    publish(tmp_path, n=2, part="test")
    text = tmp_path / "text_c10" / "001.bird" / "train_1.txt"
    text.parent.mkdir(parents=True)
    text.write_text("a bird\nwith wings\n")
    data = folder(tmp_path, within="train", num_classes=2)
    batch = data.train_images.fetch(torch.tensor([2, 1]))
    assert batch["image"][:, 0, 0, 0].tolist() == [2, 1]
    assert batch["text"].shape == (2, 2, 4)
    assert batch["text"][:, 0, 0].tolist() == [2.0, 1.0]
    assert batch["label"].tolist() == [0, 1]
    assert said(data.train_images, 1) == ["a bird", "with wings"]
    assert (data.examples_of, data.n_examples) == ("test", 2)


@pytest.mark.parametrize("attack", [b"cos\nsystem\n(S'touch hacked'\ntR.", b"cbuiltins\neval\n(S'1'\ntR."])
def test_a_published_pickle_that_names_code_is_refused(tmp_path, attack, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (publish(tmp_path) / "filenames.pickle").write_bytes(attack)
    with pytest.raises(ValueError, match="is no part of lists and arrays"):
        folder(tmp_path, within="train").train_images  # noqa: B018
    assert not (tmp_path / "hacked").exists()


def test_captions_of_a_published_set_stay_in_their_folder(tmp_path):
    (tmp_path / "secret.txt").write_text("one\ntwo\n")
    publish(tmp_path, n=1, names=["../secret"])
    (tmp_path / "text_c10").mkdir()
    assert "one" not in said(folder(tmp_path, within="train").train_images, 0)


def test_the_unpickler_knows_what_it_is_told(tmp_path):
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps({"a": [1, "b", (2.0, None)]}))
    with path.open("rb") as file:
        assert RestrictedUnpickler(file, {}, "nothing").load() == {"a": [1, "b", (2.0, None)]}

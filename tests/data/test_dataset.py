"""Plain datasets of PyTorch and Hugging Face as data: items of many kinds, held-out sets, checkpoints."""

import functools
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset

from conftest import assert_same_training, command_here, newest, refusal, run, tiny
from lightning_gans import build, compose
from lightning_gans.checkpoints import files, load
from lightning_gans.data.dataset import IndexedImages, MapDataset
from lightning_gans.data.datasets import InMemoryImages


def pixels(n=12, train=True, channels=3):
    """(n, C, 20, 24) uint8."""
    rng = torch.Generator().manual_seed(int(train))
    return torch.randint(256, (n, channels, 20, 24), generator=rng, dtype=torch.uint8)


class Items(Dataset):
    """Images in one of many shapes, with labels 0, 1, 2."""

    def __init__(self, kind="pillow", train=True, root="here", n=12, download=False):
        self.images, self.kind, self.root = pixels(n, train), kind, root
        self.target_transform = None

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image, label = self.images[i], i % 3
        array = image.permute(1, 2, 0).numpy()
        picture = Image.fromarray(array)
        if self.kind == "bytes":
            file = io.BytesIO()
            picture.save(file, "PNG")
            return {"img": {"bytes": file.getvalue(), "path": None}, "label": np.int64(label)}
        return {
            "pillow": lambda: (picture, label),
            "array": lambda: {"image": array, "label": torch.tensor(label)},
            "tensor": lambda: [image, label],
            "floats": lambda: (image / 255, label),
            "normalised": lambda: (image / 127.5 - 1, label),
            "alone": lambda: picture,
            "named": lambda: {"shown": picture, "kind": label, "text": "x"},
            "broken": lambda: (picture if i != 7 else open("nowhere"), label),
        }[self.kind]()


class Endless(IterableDataset):
    def __iter__(self):
        return iter([])


def made(**options):
    return MapDataset(**{"image_size": [20, 24], "channels": 3, "num_classes": 3, **options})


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *[(kind, {}) for kind in ("pillow", "bytes", "array", "tensor", "floats")],
        ("normalised", {"value_range": [-1, 1]}),
        ("named", {"image_key": "shown", "label_key": "kind"}),
        ("pillow", {"image_key": 0, "label_key": 1}),
    ],
)
def test_images_are_read_as_they_are(kind, options, memory_gb):
    data = made(dataset=Items(kind), memory_gb=memory_gb, **options)
    images = data.train_images
    assert isinstance(images, InMemoryImages if memory_gb else IndexedImages)
    batch = images.fetch(torch.tensor([5, 0, 11]))
    assert torch.equal(batch["image"], pixels()[[5, 0, 11]])
    assert batch["label"].tolist() == [2, 0, 2]
    assert images.entries("label").tolist() == [0, 1, 2] * 4
    assert data.kind == "labelled"


def test_images_are_fitted_and_converted():
    data = made(dataset=Items("alone"), image_size=16, channels=1, num_classes=None, resize="stretch")
    batch = data.train_images.fetch(torch.tensor([3]))
    picture = Image.fromarray(pixels()[3].permute(1, 2, 0).numpy()).convert("L")
    assert torch.equal(batch["image"][0, 0], torch.from_numpy(np.array(picture.resize((16, 16), Image.BICUBIC))))
    assert list(batch) == ["image"]
    assert made(dataset=Items(), limit=5, memory_gb=0.0).train_images.indices.tolist() == (
        made(dataset=Items(), limit=5, memory_gb=0.0).train_images.indices.tolist()
    )
    assert len(made(dataset=Items(), limit=5).train_images) == 5


def test_held_out_images_are_a_share_or_the_test_set():
    share = made(dataset=Items(), val_fraction=0.25)
    assert (len(share.train_images), len(share.val_images)) == (9, 3)
    for test, dataset in (({"train": False}, functools.partial(Items, "pillow")), (Items(train=False), Items())):
        data = made(dataset=dataset, test=test)
        assert torch.equal(data.train_images.images, pixels())
        assert torch.equal(data.val().train_images.images, pixels(train=False))
        assert (data.description, data.val().description) == ("train", "test")
    with pytest.raises(ValueError, match=r"val_fraction=0\.5: not with data\.test"):
        made(dataset=Items(), test={}, val_fraction=0.5)
    with pytest.raises(ValueError, match="made already; give its test set"):
        made(dataset=Items(), test={"train": False}).val()
    with pytest.raises(ValueError, match="no images are held out"):
        made(dataset=Items()).val()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": Items("broken")}, "data.dataset: item 7 cannot be read: No such file or directory"),
        ({"dataset": Items("normalised")}, "item 0 cannot be read: its image is float32 from -1 to 1; must be uint8"),
        ({"dataset": Items("named")}, "data.image_key=null: items have shown, kind, text; say which of these it is"),
        ({"dataset": Items(), "image_key": "x"}, "data.image_key=x: items have 0, 1; say which"),
        ({"dataset": Items(), "num_classes": 2}, "data.num_classes=2: there is a label 2"),
        ({"dataset": Items("alone")}, "data.num_classes=given: items are images alone, without labels; must be null"),
        ({"dataset": {"train": Items()}}, "data.dataset=dict: has the splits train; say data.dataset.split=... of one"),
        ({"dataset": Endless()}, "data.dataset=Endless: has no __len__ and __getitem__; must be a map-style"),
        ({"dataset": Items(n=0)}, "data.dataset=Items: is empty"),
        ({"dataset": Items(), "channels": 5}, "data.channels=5: must be 1 (grey), "),
        ({"dataset": Items(), "value_range": [1, 0]}, "value_range=[1, 0]: must be the least and the largest value"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=".") as error:
        made(**options).train_images  # noqa: B018
    assert message in str(error.value)


OWN = [
    *tiny("cgan"),
    *("data=dataset", f"data.dataset._target_={__name__}.Items", "data.dataset.kind=array", "data.dataset.root=here"),
    *("data.image_size=16", "data.channels=1", "data.num_classes=3", "data.limit=null", "extractor=digits"),
    "data.test={train: false}",
]


def test_a_conditional_family_trains_resumes_and_is_scored(tmp_path, monkeypatch, capsys):
    """From options alone, by index as in memory; what the checkpoint names needs trust."""
    options = [*OWN, "data.memory_gb=0", "callbacks.checkpoint.every_n_train_steps=2"]
    for folder, steps in (("whole", 4), ("parts", 2)):
        run(tmp_path / folder, *options, f"trainer.max_steps={steps}", tiny_options=False)
    run(tmp_path / "parts", *options, resume=str(tmp_path / "parts"), tiny_options=False)
    run(tmp_path / "memory", *OWN, tiny_options=False)
    for folder in ("parts", "memory"):
        assert_same_training(newest(tmp_path / "whole"), newest(tmp_path / folder))
    content = files.read(tmp_path / "whole")
    assert load.rebuild(content).sample(2, classes=[2]).shape == (2, 1, 16, 16)
    with pytest.raises(ValueError, match=rf"data\.dataset: the checkpoint names {__name__}\.Items, which is not tru"):
        load.real_data(content)
    data = load.real_data(content, trust=[__name__], held_out=True, root="there")
    assert data.description == "test"
    assert data.source.dataset().root == "there"
    given = ["checkpoint=memory", f"trust=[{__name__}]", "data.held_out=true", "n=8", "cache=null"]
    assert command_here("lightning_gans.evaluate", *given, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    assert "fd_digits" in capsys.readouterr().out


def test_a_trusted_function_makes_a_dataset_and_nothing_else(tmp_path):
    content = files.read(run(tmp_path, *OWN, tiny_options=False).folder)
    node = content["config"]["resolved"]["data"]
    node["dataset"] = {"_target_": f"{__name__}.made_by", "_partial_": True}
    assert len(load.real_data(content, trust=[__name__]).train_images) == 4
    with pytest.raises(ValueError, match="not trusted"):
        load.real_data(content)
    node["extractor"] = {"_target_": f"{__name__}.made_by", "_partial_": True}
    with pytest.raises(ValueError, match="it is no class"):
        load.real_data(content, trust=[__name__])


def made_by(train=True):
    return Items("array", n=4)


def test_the_check_shows_it(tmp_path, monkeypatch, capsys):
    given = ["data=dataset", f"data.dataset._target_={__name__}.Items", "data.image_size=16", "data.num_classes=3"]
    given += ["data.test={train: false}", "data.memory_gb=0", "out=seen"]
    assert command_here("lightning_gans.data_check", *given, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    for line in ("MapDataset: train", "12, read by index", "held out       12", "16x16x3", "0 4, 1 4, 2 4"):
        assert line in shown
    assert (tmp_path / "seen" / "grid.png").is_file()


def test_the_command_line_names_what_is_missing_or_wrong(tmp_path):
    assert refusal(tmp_path, *tiny(), "data=dataset", "data.image_size=16").startswith("data.dataset._target_: missing")
    wrong = [*tiny(), "data=dataset", f"data.dataset._target_={__name__}.Items", "data.image_size=16"]
    assert "data.dataset.knd: unknown. Did you mean 'kind'?" in refusal(tmp_path, *wrong, "data.dataset.knd=array")
    nowhere = refusal(tmp_path, *tiny(), "data=dataset", "data.dataset._target_=nowhere.Set", "data.image_size=16")
    assert nowhere.startswith("data.dataset._target_=nowhere.Set: cannot be imported")
    assert build(compose(*wrong, "data.dataset.kind=array"), tmp_path).data.source.dataset().kind == "array"


def test_a_hugging_face_dataset(tmp_path):
    """Where the package is installed: with features, a column of labels, splits and a folder of files."""
    datasets = pytest.importorskip("datasets")
    array = pixels().permute(0, 2, 3, 1).numpy()
    content = {"img": [Image.fromarray(one) for one in array], "label": [i % 3 for i in range(12)]}
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(3)})
    whole = datasets.Dataset.from_dict(content, features=features)
    for memory_gb in (4.0, 0.0):
        images = made(dataset=whole, memory_gb=memory_gb).train_images
        assert torch.equal(images.fetch(torch.tensor([5]))["image"], pixels()[[5]])
        assert images.entries("label").tolist() == [0, 1, 2] * 4
    with pytest.raises(ValueError, match="has the splits train; say"):
        made(dataset=datasets.DatasetDict({"train": whole})).train_images  # noqa: B018
    for i, picture in enumerate(content["img"]):
        folder = tmp_path / "photos" / ("train" if i < 9 else "test") / str(i % 3)
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{i}.png")
    given = ["data=dataset", "data.dataset._target_=datasets.load_dataset", "data.dataset.path=imagefolder"]
    given += [f"data.dataset.data_dir={tmp_path / 'photos'}", f"+data.dataset.cache_dir={tmp_path / 'cache'}"]
    given += ["data.dataset.split=train", "data.test={split: test}", "data.image_size=[20,24]", "data.num_classes=3"]
    data = build(compose(*tiny("gan"), *given, "data.channels=3"), tmp_path / "run").data
    assert (len(data.train_images), len(data.val_images)) == (9, 3)

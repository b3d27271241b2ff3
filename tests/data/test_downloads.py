"""The sets that torchvision knows, from small files in its formats; what is said when they are not there."""

import importlib.util
import pickle
import socket
import struct
import typing
from pathlib import Path

import lmdb
import numpy as np
import pytest
import scipy.io
import torch
import torch.nn.functional as F
import torchvision.datasets
from lightning.pytorch import Callback
from PIL import Image
from torchvision.datasets.utils import calculate_md5

from conftest import command, refusal, run, tiny
from lightning_gans import build, compose
from lightning_gans.data import cifar10
from lightning_gans.data.celeba import Attribute, CelebA
from lightning_gans.data.cifar10 import CIFAR10
from lightning_gans.data.downloads import luminance
from lightning_gans.data.fashion_mnist import FashionMNIST
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.lsun import LSUN
from lightning_gans.data.mnist import MNIST
from lightning_gans.data.stl10 import STL10
from lightning_gans.data.svhn import SVHN
from lightning_gans.runtime.instantiation import instantiate

RNG = np.random.default_rng(0)
ATTRIBUTES = typing.get_args(Attribute)
N = 6


def noise(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return calculate_md5(path)


def idx(array):
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_mnist(root, name="MNIST"):
    images, labels = noise(N, 28, 28), np.arange(N, dtype=np.uint8)
    for part in ("train", "t10k"):
        write(root / name / "raw" / f"{part}-images-idx3-ubyte", idx(images))
        write(root / name / "raw" / f"{part}-labels-idx1-ubyte", idx(labels))
    return images, labels


def write_cifar10(root, monkeypatch):
    images, labels = noise(5 * N, 3, 32, 32), RNG.integers(0, 10, 5 * N)
    sums = []
    for i, name in enumerate([f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]):
        part = slice(i * N, (i + 1) * N) if i < 5 else slice(0, N)
        entry = {"data": images[part].reshape(N, -1), "labels": labels[part].tolist()}
        sums.append([name, write(root / "cifar-10-batches-py" / name, pickle.dumps(entry))])
    names = pickle.dumps({"label_names": list("abcdefghij")})
    md5 = write(root / "cifar-10-batches-py" / "batches.meta", names)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "test_list", sums[5:])
    monkeypatch.setitem(torchvision.datasets.CIFAR10.meta, "md5", md5)
    return images, labels


def write_svhn(root, monkeypatch, part="train"):
    images, labels = noise(32, 32, 3, N), np.array([[10], [1], [2], [3], [4], [9]])
    scipy.io.savemat(root / f"{part}_32x32.mat", {"X": images, "y": labels})
    known = ["", f"{part}_32x32.mat", calculate_md5(root / f"{part}_32x32.mat")]
    monkeypatch.setitem(torchvision.datasets.SVHN.split_list, part, known)
    return images.transpose(3, 2, 0, 1), labels[:, 0] % 10


def write_stl10(root, monkeypatch):
    images, labels = {}, np.arange(1, N + 1, dtype=np.uint8)
    sums = {}
    for part in ("train", "unlabeled", "test"):
        images[part] = noise(N, 3, 96, 96)
        stored = images[part].transpose(0, 1, 3, 2)  # by columns
        sums[f"{part}_X.bin"] = write(root / "stl10_binary" / f"{part}_X.bin", stored.tobytes())
    for part in ("train", "test"):
        sums[f"{part}_y.bin"] = write(root / "stl10_binary" / f"{part}_y.bin", labels.tobytes())
    write(root / "stl10_binary" / "fold_indices.txt", b"0\n")
    known = torchvision.datasets.STL10
    for name in ("train_list", "test_list"):
        monkeypatch.setattr(known, name, [[file, sums[file]] for file, _ in getattr(known, name)])
    return images, labels - 1


def write_celeba(root, monkeypatch):
    folder = root / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{i:06d}.jpg" for i in range(1, N + 1)]
    for i, name in enumerate(names):
        Image.new("RGB", (178, 218), (40 * i, 10, 200)).save(folder / "img_align_celeba" / name, quality=95)
    pairs = list(enumerate(names))
    rows = lambda k: "".join(f"{name} {' '.join(['1'] * k)}\n" for name in names)  # noqa: E731
    texts = {
        "list_eval_partition.txt": "".join(f"{name} {i // 2}\n" for i, name in enumerate(names)),
        "identity_CelebA.txt": rows(1),
        "list_bbox_celeba.txt": f"{N}\nimage_id x_1 y_1 width height\n" + rows(4),
        "list_landmarks_align_celeba.txt": f"{N}\n{' '.join('abcdefghij')}\n" + rows(10),
        "list_attr_celeba.txt": f"{N}\n{' '.join(ATTRIBUTES)}\n"
        + "".join(f"{name} {' '.join('1' if i % (j + 2) == 0 else '-1' for j in range(40))}\n" for i, name in pairs),
    }
    sums = {name: write(folder / name, text.encode()) for name, text in texts.items()}
    known = torchvision.datasets.CelebA
    monkeypatch.setattr(known, "file_list", [(key, sums.get(name, md5), name) for key, md5, name in known.file_list])


def write_lsun(root, name="bedroom_train_lmdb"):
    (root / name).mkdir(parents=True)
    pictures = root / "picture.webp"
    with lmdb.open(str(root / name), map_size=2**20) as environment, environment.begin(write=True) as transaction:
        for i in range(N):
            Image.new("RGB", (40, 30), (40 * i, 10, 200)).save(pictures, lossless=True)
            transaction.put(f"{i:040x}".encode(), pictures.read_bytes())
    pictures.unlink()


# ---------------------------------------------------------------------------------- what they hold


@pytest.mark.parametrize("data", [MNIST, FashionMNIST])
def test_grey_sets_of_28_pixels(tmp_path, data):
    images, labels = write_mnist(tmp_path, data.__name__)
    held = data(root=str(tmp_path), download=False, image_size=32, channels=1, num_classes=10).load()
    assert held.images.shape == (N, 1, 32, 32)
    assert np.array_equal(held.images[:, 0, 2:-2, 2:-2].numpy(), images)
    assert held.images[:, :, :2].max() == 0
    assert held.labels.tolist() == labels.tolist()
    small = data(root=str(tmp_path), download=False, image_size=16, channels=3, limit=2).load()
    assert small.images.shape == (2, 3, 16, 16)
    native = data(root=str(tmp_path), download=False, image_size=28, channels=1).load()
    assert np.array_equal(native.images[:, 0].numpy(), images)


def test_the_first_gan_on_mnist_as_released(tmp_path):
    """28x28 without padding; the generator's last biases give the mean image, and a resumed run leaves them alone."""
    images, _ = write_mnist(tmp_path)
    off = ["callbacks.evaluation=null", "callbacks.samples=null", "trainer.enable_progress_bar=false", "logger=none"]
    options = ["experiment=gan_mnist", f"data.root={tmp_path}", "data.download=false", "trainer.accelerator=cpu", *off]
    config = compose(*options, "trainer.max_steps=1", "model.batch_size=4", "trainer.precision=32-true")
    assert config.model.g_scheduler.momentum_updates == config.model.d_scheduler.momentum_updates == 125_000
    made = build(config, tmp_path / "run")
    generator, discriminator = made.model.generator, made.model.discriminator
    assert sum(p.numel() for p in generator.parameters()) == 2_503_984
    assert sum(p.numel() for p in discriminator.parameters()) == 1_231_441
    latents = made.model.sampling_inputs(range(200), 0)[0]
    assert latents.abs().max() <= 3**0.5
    assert latents.std().item() == pytest.approx(1, abs=0.02)
    found = []
    made.trainer.callbacks.append(Started(lambda: found.append(generator.layers[-2].bias.clone())))
    made.fit()
    mean = images.astype(float).mean(0) / 255
    expected = torch.logit(torch.from_numpy(mean).flatten(), eps=1e-7).float()
    torch.testing.assert_close(found[0], expected)
    logits = torch.tensor([0.3, -2.0])
    terms = made.model.objective.discriminator(logits, logits)
    torch.testing.assert_close(sum(terms.values()), (F.softplus(-logits) + F.softplus(logits)).mean() / 2)
    moved = generator.layers[-2].bias.clone()
    assert not torch.equal(moved, found[0])
    config.trainer.max_steps = 2
    again = build(config, tmp_path / "run")
    again.trainer.callbacks.append(Started(lambda: found.append(again.model.generator.layers[-2].bias.clone())))
    again.fit(str(tmp_path / "run"))
    assert torch.equal(found[1], moved)


class Started(Callback):
    """Calls when a training is about to take its first step."""

    def __init__(self, call):
        self.call = call

    def on_train_start(self, trainer, pl_module):
        self.call()


def test_cifar10(tmp_path, monkeypatch):
    images, labels = write_cifar10(tmp_path, monkeypatch)
    held = CIFAR10(root=str(tmp_path), image_size=32, channels=3, num_classes=10).load()
    assert np.array_equal(held.images.numpy(), images)
    assert held.labels.tolist() == labels.tolist()
    grey = CIFAR10(root=str(tmp_path), image_size=32, channels=1).load().images
    for made, image in zip(grey, images, strict=True):
        expected = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L")).astype(int)
        assert np.abs(made[0].numpy() - expected).max() <= 1


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (list(range(8)), r"8 labels for 9 images"),
        ([*range(8), 10], r"label 10, must be from 0 to 9"),
        ([*range(8), -1], r"label -1, must be from 0 to 9"),
    ],
)
def test_labels_that_do_not_fit_are_told_with_the_files_to_put_anew(tmp_path, monkeypatch, labels, message):
    monkeypatch.setattr(cifar10, "_read", lambda root, download: (noise(9, 3, 32, 32), labels))
    with pytest.raises(
        ValueError, match=rf"data\.root=.*labels of CIFAR10 do not fit \({message}\)\. Put data_batch_1"
    ):
        CIFAR10(root=str(tmp_path), image_size=32, channels=3, num_classes=10).load()


@pytest.mark.parametrize("part", ["train", "extra"])
def test_svhn(tmp_path, monkeypatch, part):
    images, labels = write_svhn(tmp_path, monkeypatch, part)
    data = SVHN(root=str(tmp_path), image_size=32, channels=3, part=part)
    held = data.load()
    assert np.array_equal(held.images.numpy(), images)
    assert held.labels.tolist() == labels.tolist() == [0, 1, 2, 3, 4, 9]
    assert data.description == part


def test_stl10(tmp_path, monkeypatch):
    images, labels = write_stl10(tmp_path, monkeypatch)
    made = {part: STL10(root=str(tmp_path), image_size=96, channels=3, part=part) for part in images if part != "test"}
    for part, data in made.items():
        assert np.array_equal(data.load().images.numpy(), images[part])
    assert made["unlabeled"].load().labels is None
    assert made["train"].load().labels.tolist() == labels.tolist()
    both = STL10(root=str(tmp_path), image_size=24, channels=3, part="train+unlabeled").load()
    assert both.images.shape == (2 * N, 3, 24, 24)
    assert both.images.is_contiguous()


def test_celeba(tmp_path, monkeypatch):
    write_celeba(tmp_path, monkeypatch)
    options = {"root": str(tmp_path), "image_size": 32, "channels": 3, "memory_gb": 0.0}
    data = CelebA(**options)
    assert isinstance(data.train_images, ImageFiles)
    images = data.train_images.fetch(torch.arange(N))["image"]
    assert (images[:, 0].float().mean((1, 2)) - 40 * torch.arange(N)).abs().max() < 3
    assert CelebA(**options, part="valid").load().names == ["000003.jpg", "000004.jpg"]


def test_an_attribute_of_celeba_is_two_classes(tmp_path, monkeypatch):
    write_celeba(tmp_path, monkeypatch)
    options = {"root": str(tmp_path), "image_size": 32, "channels": 3, "num_classes": 2}
    assert len(ATTRIBUTES) == 40
    for name in ("Smiling", "5_o_Clock_Shadow"):
        period = ATTRIBUTES.index(name) + 2
        images = CelebA(**options, labels=name, memory_gb=0.0).train_images
        assert images.entries("label").tolist() == [int(i % period == 0) for i in range(N)]
        assert images.fetch(torch.tensor([0, 1]))["label"].tolist() == [1, 0]
        assert images.classes == [f"not {name}", name]
    few = CelebA(**options, labels="5_o_Clock_Shadow", limit=4).train_images  # of each class its share
    assert few.entries("label").bincount().tolist() == [2, 2]
    assert CelebA(**options | {"num_classes": None}).train_images.entries("label") is None


def test_categories_of_lsun_are_classes(tmp_path):
    for name in ("kitchen_train_lmdb", "bedroom_train_lmdb"):
        write_lsun(tmp_path, name)
    options = {"root": str(tmp_path), "image_size": 16, "channels": 3, "category": ["kitchen", "bedroom"]}
    images = LSUN(**options, num_classes=2, memory_gb=0.0).train_images
    assert images.classes == ["kitchen", "bedroom"]
    assert images.entries("label").tolist() == [0] * N + [1] * N
    assert [images.names[0], images.names[N]] == [f"kitchen/{0:040x}", f"bedroom/{0:040x}"]
    batch = images.fetch(torch.tensor([2, N + 2]))
    assert batch["image"][:, 0].float().mean((1, 2)).tolist() == [80, 80]
    assert batch["label"].tolist() == [0, 1]
    few = LSUN(**options, num_classes=2, limit=4).train_images
    assert few.entries("label").tolist() == [0, 0, 1, 1]
    assert LSUN(**options).train_images.entries("label") is None


def test_lsun_by_workers(tmp_path):
    write_lsun(tmp_path)
    data = LSUN(root=str(tmp_path), image_size=16, channels=3, memory_gb=0.0)
    images = data.train_images.fetch(torch.arange(N))["image"]
    assert (images[:, 0].float().mean((1, 2)) == 40 * torch.arange(N)).all()
    assert len(LSUN(root=str(tmp_path), image_size=16, channels=3, limit=2).train_images) == 2
    made = run(
        tmp_path / "run", "data=lsun", f"data.root={tmp_path}", "data.num_workers=2", "callbacks.evaluation=null"
    )
    assert made.model.iteration == 4


def test_a_damaged_value_of_an_lmdb_is_named(tmp_path):
    write_lsun(tmp_path)
    with lmdb.open(str(tmp_path / "bedroom_train_lmdb")) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"bad", b"no image")
    with pytest.raises(ValueError, match=r"cannot read bad \(not an image"):
        LSUN(root=str(tmp_path), image_size=16, channels=3).load()
    write(tmp_path / "tower_val_lmdb" / "data.mdb", b"no database" * 1000)
    with pytest.raises(ValueError, match=r"tower_val_lmdb: cannot be read as an LMDB"):
        LSUN(root=str(tmp_path), image_size=16, channels=3, category="tower", part="val").load()


def test_training_on_a_downloaded_set(tmp_path):
    write_mnist(tmp_path)
    made = run(tmp_path / "run", "data=mnist", f"data.root={tmp_path}", "data.val_fraction=0.5")
    assert made.model.iteration == 4
    assert len(made.data.val_images) == 3


def test_luminance_is_pillows():
    images = torch.from_numpy(noise(1, 3, 64, 64))
    expected = np.asarray(Image.fromarray(images[0].permute(1, 2, 0).numpy()).convert("L")).astype(int)
    assert np.abs(luminance(images)[0, 0].numpy() - expected).max() <= 1


# ---------------------------------------------------------------------------------- what is said otherwise

ABSENT = {
    "mnist": ("train,t10k}-images-idx3-ubyte", "MNIST/raw"),
    "fashion_mnist": ("train,t10k}-labels-idx1-ubyte", "FashionMNIST/raw"),
    "cifar10": ("data_batch_1 to data_batch_5", "cifar-10-batches-py"),
    "svhn": ("train_32x32.mat", ""),
    "stl10": ("unlabeled_X.bin", "stl10_binary"),
    "celeba": ("img_align_celeba", "celeba"),
    "lsun": ("bedroom_train_lmdb.zip", "bedroom_train_lmdb/data.mdb"),
}


def made(choice, root, **options):
    """The data of a choice, as evaluate builds it."""
    cfg = compose(f"data={choice}", f"data.root={root}", *[f"data.{key}={value}" for key, value in options.items()])
    return instantiate(_resolved(cfg.data), _convert_="all")


def _resolved(node):
    from omegaconf import OmegaConf

    return OmegaConf.to_container(node, resolve=True)


@pytest.mark.parametrize("choice", sorted(ABSENT))
def test_offline_one_message_says_where_the_files_go(tmp_path, monkeypatch, choice):
    def offline(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    data = made(choice, tmp_path / "not" / "yet")
    with pytest.raises(FileNotFoundError) as raised:
        data.setup("fit")
    files, place = ABSENT[choice]
    assert files in str(raised.value)
    assert str(tmp_path / "not" / "yet" / place) in str(raised.value)
    assert f"data.root={tmp_path / 'not' / 'yet'}" in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_without_download_nothing_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("the network was asked"))
    for choice in sorted(set(ABSENT) - {"lsun"}):
        with pytest.raises(FileNotFoundError, match=r"data\.root="):
            made(choice, tmp_path, download="false").setup("fit")


def test_damaged_files_are_told_like_absent_ones(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    write(tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte", b"\0\0\10\3")
    with pytest.raises(FileNotFoundError, match="MNIST is not there whole"):
        MNIST(root=str(tmp_path), download=False, image_size=32, channels=1).load()
    write_cifar10(tmp_path, monkeypatch)
    write(tmp_path / "cifar-10-batches-py" / "data_batch_3", b"another pickle")  # never unpickled
    with pytest.raises(FileNotFoundError, match="CIFAR10 is not there whole"):
        CIFAR10(root=str(tmp_path), download=False, image_size=32, channels=3).load()


@pytest.mark.parametrize(("choice", "package"), [("lsun", "lmdb"), ("svhn", "scipy"), ("celeba", "gdown")])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, choice, package):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == package else find(name, *a))
    message = refusal(tmp_path / "run", *tiny(), f"data={choice}", f"data.root={tmp_path}", "data.channels=3")
    assert package in message
    assert 'pip install "lightning_gans[data]"' in message


@pytest.mark.parametrize(
    ("choice", "override", "named"),
    [
        ("mnist", "data.num_classes=7", "data.num_classes=7: must be 10"),
        ("cifar10", "data.channels=4", "data.channels=4: must be 1 or 3"),
        ("svhn", "data.part=test", "data.part=test: must be train or extra"),
        ("stl10", "data.part=test", "data.part=test: must be unlabeled"),
        ("stl10", "data.num_classes=10", "only data.part=train has labels"),
        ("celeba", "data.part=some", "data.part=some: must be all"),
        ("celeba", "data.num_classes=2", "data.num_classes=2: needs data.labels, an attribute such as Smiling"),
        ("celeba", "data.labels=Smiling", "data.num_classes=null: must be 2 with data.labels=Smiling"),
        ("celeba", "data.labels=Laughing", f"data.labels=Laughing: must be {', '.join(ATTRIBUTES[:-1])} or Young"),
        ("lsun", "data.category=cat", "data.category=cat: must be bedroom, bridge"),
        ("lsun", "data.part=test", "data.part=test: must be train or val"),
        ("lsun", "data.num_classes=2", "data.num_classes=2: one category has no classes"),
        ("lsun", "data.category=[]", "data.category=[]: must be a category"),
        ("lsun", "data.category=[tower,tower]", "must be a category, or a list of different ones"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, choice, override, named):
    (tmp_path / "celeba" / "img_align_celeba").mkdir(parents=True)
    assert named in refusal(tmp_path / "run", f"data={choice}", f"data.root={tmp_path}", override)


# What makes a set that torchvision knows a labelled one.
LABELS = {
    **dict.fromkeys(("mnist", "fashion_mnist", "cifar10", "svhn"), []),
    "stl10": ["data.part=train", "data.num_classes=10"],
    "celeba": ["data.labels=Smiling", "data.num_classes=2", "data.download=false"],
    "lsun": ["data.category=[bedroom,kitchen,tower]", "data.num_classes=3"],
}


def test_conditional_families_take_every_set_that_torchvision_knows(tmp_path):
    """By the configs alone: nothing is read. Without labels the sets that have some are named."""
    folder = Path(cifar10.__file__).parent
    ours = {path.stem for path in folder.glob("*.py") if "torchvision" in path.read_text().lower()}
    assert ours - {"downloads"} == set(LABELS)
    for name, options in LABELS.items():
        place = [f"data={name}", f"data.root={tmp_path}", "data.image_size=16"]
        small = {
            model: [one for one in tiny(model) if not one.startswith("data")] + place for model in ("acgan", "dcgan")
        }
        made = build(compose(*small["acgan"], *options), tmp_path / name)
        assert made.data.kind == "labelled"
        assert made.model.conditioning["label"].num_classes == made.data.num_classes
        without = ["data.num_classes=null", *(["data.download=false"] if name == "celeba" else [])]
        assert build(compose(*small["dcgan"], *without), tmp_path / f"{name}_dcgan").data.kind == "image"
        error = refusal(tmp_path / "no", *small["acgan"], *without)
        assert "data.num_classes=null: must be >= 1 for a conditional network; data=digits, mnist, cifar10" in error


def test_a_set_that_is_not_there_is_one_line_of_the_command(tmp_path):
    """The network is not asked either."""
    options = ["data=cifar10", "data.download=false", "data.root=nowhere", "trainer.accelerator=cpu", "logger=none"]
    done = command("lightning_gans.train", *options, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: data.root=nowhere: CIFAR10 is not there whole")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "nowhere").exists()

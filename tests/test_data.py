"""Image sets: what they hold, the order they hand it out in, what they refuse."""

import struct
import zipfile
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import evaluation, run, tiny
from lightning_gans import build, compose
from lightning_gans.data.base import EndlessBatches, TensorImages
from lightning_gans.data.digits import Digits
from lightning_gans.data.folder import Folder, ImageFiles, cover
from lightning_gans.data.mnist import MNIST


def test_digits_are_the_real_ones():
    from sklearn.datasets import load_digits

    images = Digits(image_size=32, channels=1).load()
    assert images.images.shape == (1797, 1, 32, 32)
    assert images.images.dtype == torch.uint8
    assert torch.bincount(images.labels).tolist() == np.bincount(load_digits().target).tolist()
    small = Digits(image_size=8, channels=3, limit=5).load()
    assert small.images.shape == (5, 3, 8, 8)
    expected = (load_digits().images[:5] * 255 / 16).round()
    assert np.array_equal(small.images[:, 2].numpy(), expected)


def stream(n, start, steps, *, world=1, sizes=lambda step: 6, flip=True, seed=0):
    """The requests of all processes, by step."""
    ranks = [
        EndlessBatches(n, sizes, start=lambda: start, flip=flip, seed=seed, rank=r, world_size=world)
        for r in range(world)
    ]
    return list(zip(*[list(islice(batches, steps)) for batches in ranks], strict=True))


def test_every_pass_holds_every_image_once_in_a_new_order():
    flat = torch.cat([requests[0].indices for requests in stream(10, (0, 0), 5)]).tolist()
    passes = [flat[:10], flat[10:20], flat[20:30]]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert passes[0] != passes[1] != passes[2]
    assert flat != torch.cat([requests[0].indices for requests in stream(10, (0, 0), 5, seed=1)]).tolist()


def test_the_stream_starts_anywhere():
    whole = stream(10, (0, 0), 7)
    later = stream(10, (3, 18), 4)
    for (one,), (other,) in zip(whole[3:], later, strict=True):
        assert torch.equal(one.indices, other.indices)
        assert torch.equal(one.mirror, other.mirror)


def test_processes_share_one_stream():
    for (one,), two in zip(stream(10, (0, 0), 4), stream(10, (0, 0), 4, world=2), strict=True):
        assert torch.equal(one.indices[0::2], two[0].indices)
        assert torch.equal(one.indices[1::2], two[1].indices)
        assert torch.equal(one.mirror[1::2], two[1].mirror)


def test_step_sizes_may_change():
    requests = stream(100, (0, 0), 4, sizes=lambda step: step + 1)
    assert [len(one.indices) for (one,) in requests] == [1, 2, 3, 4]


def test_flip_mirrors_half_and_only_if_asked():
    flags = torch.cat([one.mirror for (one,) in stream(1000, (0, 0), 300)])
    assert 0.45 < flags.float().mean() < 0.55
    assert not torch.cat([one.mirror for (one,) in stream(10, (0, 0), 9, flip=False)]).any()


def test_batches_reach_the_module_in_range_and_mirrored():
    images = torch.arange(2 * 1 * 2 * 2, dtype=torch.uint8).view(2, 1, 2, 2) * 36
    data = Digits(image_size=2, channels=1, flip=True)
    batch = {"image": images, "mirror": torch.tensor([False, True]), "label": torch.tensor([1, 2])}
    out = data.on_after_batch_transfer(batch, 0)
    assert set(out) == {"image", "label"}
    plain = images.float() / 127.5 - 1
    torch.testing.assert_close(out["image"][0], plain[0])
    torch.testing.assert_close(out["image"][1], plain[1].flip(-1))


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())


def test_mnist_reads_torchvisions_files(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (7, 28, 28), dtype=np.uint8)
    labels = np.arange(7, dtype=np.uint8)
    for part in ("train", "t10k"):
        write_idx(tmp_path / "MNIST" / "raw" / f"{part}-images-idx3-ubyte", images)
        write_idx(tmp_path / "MNIST" / "raw" / f"{part}-labels-idx1-ubyte", labels)
    held = MNIST(root=str(tmp_path), download=False, image_size=32, channels=1).load()
    assert held.images.shape == (7, 1, 32, 32)
    assert np.array_equal(held.images[:, 0, 2:-2, 2:-2].numpy(), images)
    assert held.images[:, :, :2].max() == 0
    assert held.labels.tolist() == list(range(7))
    small = MNIST(root=str(tmp_path), download=False, image_size=16, channels=3, limit=2).load()
    assert small.images.shape == (2, 3, 16, 16)


def test_mnist_offline_says_where_the_files_go(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data\.root=.*train-images-idx3-ubyte.*MNIST.raw"):
        MNIST(root=str(tmp_path), download=False, image_size=32, channels=1).load()


@pytest.fixture
def pictures(tmp_path):
    """Two classes of pictures of many sizes, modes and formats, beside files that are none."""
    root = tmp_path / "pictures"
    for name, size, mode in [
        ("cats/a.png", (40, 20), "RGB"),
        ("cats/b.jpg", (20, 40), "L"),
        ("dogs/c.png", (16, 16), "RGBA"),
        ("dogs/deep/d.webp", (33, 50), "RGB"),
        ("dogs/e.gif", (16, 16), "P"),
    ]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, 200 if mode in ("L", "P") else (200, 100, 50, 128)[: len(mode)]).save(path)
    (root / "notes.txt").write_text("none")
    return root


def zipped(folder, path, top=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, top + file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("packed", [False, True])
def test_folder_and_zip_hold_the_same(pictures, tmp_path, channels, packed):
    root = zipped(pictures, tmp_path / "p.zip", "top/") if packed else pictures
    held = Folder(root=str(root), image_size=16, channels=channels, num_classes=2).load()
    assert isinstance(held, TensorImages)
    assert held.images.shape == (5, channels, 16, 16)
    assert held.classes == ["cats", "dogs"]
    assert held.labels.tolist() == [0, 0, 1, 1, 1]
    assert held.images[0, 0].float().mean() == pytest.approx({1: 124, 2: 124}.get(channels, 200), abs=1)


def test_large_sets_are_read_by_workers(pictures, tmp_path):
    in_memory = Folder(root=str(pictures), image_size=16, channels=3).load()
    packed = zipped(pictures, tmp_path / "p.zip")
    on_disk = Folder(root=str(packed), image_size=16, channels=3, memory_gb=0.0).load()
    assert isinstance(on_disk, ImageFiles)
    index = torch.tensor([3, 0, 4])
    assert torch.equal(in_memory.fetch(index)["image"], on_disk.fetch(index)["image"])
    made = run(
        tmp_path / "run",
        "data=folder",
        f"data.root={packed}",
        "data.channels=3",
        "data.memory_gb=0",
        "data.num_workers=2",
        "data.limit=null",
    )
    assert made.model.iteration == 4


def test_cover_keeps_the_aspect_and_the_centre():
    image = Image.new("RGB", (90, 30), (0, 0, 0))
    image.paste((255, 0, 0), (30, 0, 60, 30))
    assert np.asarray(cover(image, 15)).shape == (15, 15, 3)
    assert np.asarray(cover(image, 15))[:, 2:-2, 0].min() > 200


def test_sixteen_bits_become_eight_and_floats_are_refused(tmp_path):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    held = Folder(root=str(tmp_path), image_size=16, channels=1).load().images[0, 0]
    assert np.abs(held.numpy().astype(int).ravel() - np.arange(256)).max() <= 1
    Image.fromarray(np.zeros((16, 16), np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(ValueError, match=r"cannot read x\.tif \(mode F"):
        Folder(root=str(tmp_path), image_size=16, channels=1).load()


def test_what_file_managers_leave_is_no_image(pictures, tmp_path):
    (pictures / "._a.png").write_bytes(b"x")
    (pictures / "__MACOSX").mkdir()
    (pictures / "__MACOSX" / "b.png").write_bytes(b"x")
    assert len(Folder(root=str(zipped(pictures, tmp_path / "p.zip")), image_size=8, channels=1).load()) == 5


def test_rotation_notes_of_cameras_are_heeded(tmp_path):
    image = Image.new("RGB", (20, 20), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 20, 10))  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    held = Folder(root=str(tmp_path), image_size=20, channels=1).load().images[0, 0]
    assert held[:8].float().mean() < 20
    assert held[12:].float().mean() > 235


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda p: None, {}, "does not exist"),
        (lambda p: p.mkdir(), {}, "no images"),
        (lambda p: p.write_text("x"), {}, "neither a folder nor a zip"),
        (lambda p: (p.mkdir(), (p / "a.png").write_bytes(b"")), {}, r"cannot read a\.png"),
        (lambda p: (p.mkdir(), (p / "b.jpg").write_text("no image")), {}, r"cannot read b\.jpg"),
        (
            lambda p: (p.mkdir(), Image.new("L", (9, 9)).save(p / "a.png")),
            {"num_classes": 3},
            r"data\.num_classes=3: .* class folders \(none\)",
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, make, options, message):
    root = tmp_path / "images"
    make(root)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Folder(root=str(root), image_size=8, channels=1, **options).load()


def test_five_channels_are_refused_for_files():
    with pytest.raises(ValueError, match=r"data\.channels=5: must be 1"):
        Folder(root="x", image_size=8, channels=5)


def test_training_on_a_folder_scores_are_optional(pictures, tmp_path, monkeypatch):
    """Inception's weights cannot be had: one warning, no score, the training goes on; asked for, it is an error."""
    import urllib.error

    from torch_fidelity import feature_extractor_inceptionv3 as inception

    def offline(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(inception, "load_state_dict_from_url", offline)
    options = [
        "data=folder",
        f"data.root={pictures}",
        "data.channels=3",
        "data.limit=null",
        evaluation(every_n_train_steps=2, n=4),
    ]
    with pytest.warns(UserWarning, match=r"goes on without scores.*extractor\.weights=FILE"):
        made = run(tmp_path / "run", *options)
    assert made.model.iteration == 4
    wanted = build(
        compose(*tiny(), *options, "extractor=inception", "+callbacks.evaluation.extractor=${extractor}"),
        tmp_path / "x",
    )
    with pytest.raises(ValueError, match=r"could not be downloaded.*extractor\.weights=FILE"):
        wanted.fit()

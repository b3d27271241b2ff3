"""Latent tools: what the pictures hold, and that the command tells mistakes."""

import importlib.util
import os

import pytest
import torch
from PIL import Image

from conftest import command, command_here, run
from lightning_gans.data.digits import Digits as DigitImages
from lightning_gans.extractors.digits import DigitsExtractor
from lightning_gans.images.pixels import to_uint8
from lightning_gans.inference.latents import Walker
from lightning_gans.metrics.path_length import lerp, slerp


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("run")
    run(made, "data.image_size=32")
    return made


@pytest.fixture(scope="module")
def walker(folder):
    import lightning_gans

    return Walker(lightning_gans.load(folder), seed=3, batch_size=5)


@pytest.fixture(scope="module")
def samples(walker):
    return to_uint8(walker.module.sample(12, seed=3))


def near(one, two):
    """Equal but for the rounding of another batch."""
    return (one.int() - two.int()).abs().max() <= 1


@pytest.mark.parametrize("path", [lerp, slerp])
def test_paths_begin_and_end_at_samples(walker, samples, path):
    rows = walker.paths([0, 1, 6, 7], 4, path)
    assert rows.shape == (2, 4, 1, 32, 32)
    assert near(rows[:, 0], samples[[0, 6]])
    assert near(rows[:, -1], samples[[1, 7]])
    assert not near(rows[:, 1], rows[:, 0])


def test_a_loop_passes_every_stop_and_closes(walker, samples):
    rows = walker.loop([2, 5, 9], 4)
    assert rows.shape == (3, 4, 1, 32, 32)
    assert near(rows[:, 0], samples[[2, 5, 9]])
    latents = walker.inputs([9, 2])[0]
    assert near(rows[2, 3], walker.images(slerp(latents[:1], latents[1:], 0.75))[0])


def test_a_grid_has_its_samples_in_the_corners(walker, samples):
    rows = walker.grid([0, 1, 2, 3], 3)
    corners = [rows[0, 0], rows[0, -1], rows[-1, 0], rows[-1, -1]]
    assert near(torch.stack(corners), samples[:4])


def test_truncation_scales_latents(walker, samples):
    rows = walker.truncation([4, 8], [1.0, 0.5, 0.0])
    assert near(rows[:, 0], samples[[4, 8]])
    assert near(rows[0, 2], rows[1, 2])  # at 0 all are the mean
    assert near(rows[0, 1], walker.images(walker.inputs([4])[0] / 2)[0])


def test_arithmetic_of_means(walker, samples):
    rows = walker.arithmetic([[0, 1], [2, 3], [4, 5]])
    assert rows.shape == (4, 3, 1, 32, 32)
    assert near(rows[1, :2], samples[2:4])
    means = [walker.inputs(group)[0].mean(0, keepdim=True) for group in ([0, 1], [2, 3], [4, 5])]
    assert near(rows[0, 2], walker.images(means[0])[0])
    assert near(rows[3, 0], walker.images(means[0] - means[1] + means[2])[0])
    assert not near(rows[3, 1], rows[3, 0])


def test_other_inputs_follow_their_sample(walker, monkeypatch):
    """A family with labels: the second input stays that of the row's first sample."""
    seen = []

    def sampling_inputs(indices, seed):
        return torch.randn(len(indices), 8), torch.tensor([[100 + i] for i in indices])

    def forward(latents, labels):
        seen.append(labels.flatten())
        return torch.zeros(len(latents), 1, 4, 4)

    monkeypatch.setattr(walker.module, "sampling_inputs", sampling_inputs)
    monkeypatch.setattr(walker.module.sampler, "forward", forward)
    walker.paths([0, 1, 2, 3], 3, lerp)
    assert torch.cat(seen).tolist() == [100] * 3 + [102] * 3
    seen.clear()
    walker.arithmetic([[0, 1], [2, 3], [4, 5]])
    assert torch.cat(seen).tolist() == [100] * 3 + [102] * 3 + [104] * 6
    seen.clear()
    walker.grid([6, 7, 8, 9], 2)
    assert torch.cat(seen).tolist() == [106] * 4


def test_nearest_finds_a_copied_image(walker, monkeypatch):
    data, extractor = DigitImages(image_size=32, channels=1), DigitsExtractor()
    held = data.train_images.images
    monkeypatch.setattr(walker, "images", lambda latents, others=(): held[[17, 1234]])
    rows = walker.nearest([0, 1], 3, data, extractor)
    assert rows.shape == (2, 4, 1, 32, 32)
    assert torch.equal(rows[:, 1], held[[17, 1234]])
    assert not torch.equal(rows[:, 2], rows[:, 1])


def test_samples_of_classes_are_told_by_the_extractor(walker):
    extractor = DigitsExtractor()
    labels = extractor(to_uint8(walker.module.sample(40, seed=3))).logits.argmax(1)
    there = int(labels.mode().values)
    found = walker.of_classes([there, there, there], extractor, 3)
    assert found == [(labels == there).nonzero().flatten()[:3].tolist()] * 3
    with pytest.raises(ValueError, match="classes=10: digits has classes 0 to 9"):
        walker.of_classes([10], extractor, 1)
    rare = next(k for k in range(10) if k not in labels)
    with pytest.raises(ValueError, match="of 40 samples"):
        walker.of_classes([rare], extractor, 5, among=40)


@pytest.mark.parametrize(
    ("mode", "options", "frames"),
    [
        ("slerp", ["rows=2", "steps=4"], 4),
        ("loop", ["rows=2", "steps=3"], 6),
        ("nearest", ["rows=2", "steps=3"], None),
        ("nearest", ["rows=1", "steps=2"], None),
    ],
)
def test_the_command_writes_pictures(folder, tmp_path, mode, options, frames):
    arguments = [f"checkpoint={folder}", "out=my pictures", f"mode={mode}", *options]
    made = command("lightning_gans.interpolate", *arguments, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    out = tmp_path / "my pictures"
    assert sorted(path.suffix for path in out.iterdir()) == ([".gif", ".png"] if frames else [".png"])
    columns = int(options[1][-1])
    lines = int(options[0][-1])
    assert Image.open(out / f"{mode}.png").size == (columns * 34 + 2, lines * 34 + 2)
    if frames:
        assert Image.open(out / f"{mode}.gif").n_frames == frames


def test_the_command_writes_videos_where_they_can_be_made(folder, tmp_path, monkeypatch, capsys):
    given = [f"checkpoint={folder}", "mode=loop", "rows=2", "steps=3", "format=mp4"]
    assert command_here("lightning_gans.interpolate", *given, "out=a", cwd=tmp_path, monkeypatch=monkeypatch) == 0
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["loop.mp4", "loop.png"]
    assert command_here("lightning_gans.interpolate", *given, "out=a", cwd=tmp_path, monkeypatch=monkeypatch) == 0
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "av" else find(name, *a))
    assert command_here("lightning_gans.interpolate", *given, "out=b", cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert 'format=mp4: needs the package av: pip install "lightning_gans[video]"' in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["mode=slerp", "rows=0"], "rows=0: must be >= 1"),
        (["mode=slerp", "batch_size=0"], "batch_size=0: must be >= 1"),
        (["mode=slerp", "milliseconds=19"], "milliseconds=19: must be >= 20"),
        (["mode=nearest", "n_real=0"], "n_real=0: must be >= 1, or null"),
        (["mode=slerp", "indices=[]"], "indices=[]: must be a list of integers >= 0, not empty, or null"),
        (["mode=loop", "indices=[]"], "indices=[]: must be a list of integers >= 0, not empty, or null"),
        (["mode=arithmetic", "a=[]", "b=[]", "c=[]"], "a=[]: must be a list of integers >= 0, not empty"),
        (["mode=arithmetic", "b=[1,-2,3]"], "b=[1, -2, 3]: must be a list of integers >= 0"),
    ],
)
def test_values_out_of_range(tmp_path, options, message, monkeypatch, capsys):
    given = ["checkpoint=x", "out=y", *options]
    assert command_here("lightning_gans.interpolate", *given, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["mode=slurp"], "Did you mean 'slerp'?"),
        (["mode=lerp", "indices=[1,2,3]"], "must be pairs"),
        (["mode=grid", "indices=[1,2,3]"], "must be four"),
        (["mode=arithmetic", "a=[1]"], "must hold equally many"),
        (["mode=arithmetic", "classes=[1,2]"], "classes=[1, 2]: must be three, for a, b and c"),
        (["mode=truncation", "psi=[]"], "psi=[]"),
        (["mode=loop", "steps=1"], "steps=1: must be >= 2"),
        (["mode=loop", "indices=[-1]"], "indices=[-1]: must be a list of integers >= 0"),
        ([], "mode: missing"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, options, message):
    poison = tmp_path / "torch"  # importing torch would end in another message
    poison.mkdir()
    (poison / "__init__.py").write_text("raise RuntimeError('torch was imported')")
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    made = command("lightning_gans.interpolate", "checkpoint=x", "out=y", *options, cwd=tmp_path, env=environment)
    assert made.returncode == 1
    (line,) = [line for line in made.stderr.splitlines() if line.strip()]
    assert message in line
    assert not (tmp_path / "y").exists()

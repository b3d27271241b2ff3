"""Image sets: what they hold, the order they hand it out in, what they refuse."""

import json
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from conftest import command, run
from lightning_gans import compose
from lightning_gans.data import digits
from lightning_gans.data.base import ImageDataModule, data_of
from lightning_gans.data.batches import EndlessBatches
from lightning_gans.data.datasets import InMemoryImages, Subset
from lightning_gans.data.digits import Digits
from lightning_gans.schedules.training_schedule import Plan
from lightning_gans.training.trainer import instantiate


def test_digits_are_the_real_ones():
    from sklearn.datasets import load_digits

    images = Digits(image_size=32, channels=1).load()
    assert images.images.shape == (1797, 1, 32, 32)
    assert images.images.dtype == torch.uint8
    assert torch.bincount(images.labels).tolist() == np.bincount(load_digits().target).tolist()
    small = Digits(image_size=8, channels=3).load()
    assert small.images.shape == (1797, 3, 8, 8)
    expected = (load_digits().images * 255 / 16).round()
    assert np.array_equal(small.images[:, 2].numpy(), expected)


def test_digits_are_asked_of_scikit_learn_where_its_file_lies_elsewhere(monkeypatch):
    read = digits.read_digits((8, 8))
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    for one, other in zip(read, digits.read_digits((8, 8)), strict=True):
        assert torch.equal(one, other)


def stream(n, start, steps, *, world=1, sizes=lambda step: 6, flip=True, seed=0, partners=None):
    """The requests of all processes, by step."""

    def plan(step):
        return Plan(1, sizes(step))

    ranks = [
        EndlessBatches(
            n, plan, start=lambda: start, n_partners=partners, flip=flip, seed=seed, rank=r, world_size=world
        )
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
        assert torch.equal(one.hflip, other.hflip)
        assert torch.equal(one.crop_offsets, other.crop_offsets)


def test_a_second_set_is_drawn_independently():
    """Every partner once a pass, whichever images they stand beside."""
    requests = [one for (one,) in stream(10, (0, 0), 4, partners=8)]
    partners = torch.cat([request.target_indices for request in requests]).tolist()
    assert sorted(partners[:8]) == sorted(partners[8:16]) == list(range(8))
    assert torch.equal(requests[2].target_indices, stream(10, (2, 12), 1, partners=8)[0][0].target_indices)
    two = stream(10, (0, 0), 4, partners=8, world=2)
    for whole, (first, second) in zip(requests, two, strict=True):
        assert torch.equal(whole.target_indices[0::2], first.target_indices)
        assert torch.equal(whole.target_indices[1::2], second.target_indices)


def test_processes_share_one_stream():
    for (one,), two in zip(stream(10, (0, 0), 4), stream(10, (0, 0), 4, world=2), strict=True):
        assert torch.equal(one.indices[0::2], two[0].indices)
        assert torch.equal(one.indices[1::2], two[1].indices)
        assert torch.equal(one.hflip[1::2], two[1].hflip)


def test_step_sizes_may_change():
    requests = stream(100, (0, 0), 4, sizes=lambda step: step + 1)
    assert [len(one.indices) for (one,) in requests] == [1, 2, 3, 4]


def test_flip_mirrors_half_and_only_if_asked():
    flags = torch.cat([one.hflip for (one,) in stream(1000, (0, 0), 300)])
    assert 0.45 < flags.float().mean() < 0.55
    assert not torch.cat([one.hflip for (one,) in stream(10, (0, 0), 9, flip=False)]).any()


def test_batches_reach_the_module_in_range_and_mirrored():
    images = torch.arange(2 * 1 * 2 * 2, dtype=torch.uint8).view(2, 1, 2, 2) * 36
    data = Digits(image_size=2, channels=1, flip=True)
    batch = {"image": images, "hflip": torch.tensor([False, True]), "label": torch.tensor([1, 2])}
    out = data.on_after_batch_transfer(batch, 0)
    assert set(out) == {"image", "label"}
    plain = images.float() / 127.5 - 1
    torch.testing.assert_close(out["image"][0], plain[0])
    torch.testing.assert_close(out["image"][1], plain[1].flip(-1))


def test_training_never_sees_the_held_out_part_and_evaluate_compares_with_it(tmp_path):
    made = run(tmp_path / "run", "data.val_fraction=0.4", "data.limit=50")
    loader = iter(made.data.train_dataloader())
    seen = torch.cat([next(loader)["image"] for _ in range(20)]).flatten(1)  # 160 of 30 images
    train = next(made.data.real_images(range(30), 30)).flatten(1)
    kept = next(made.data.val().real_images(range(20), 20)).flatten(1)
    assert {bytes(row) for row in seen.numpy()} == {bytes(row) for row in train.numpy()}
    assert not {bytes(row) for row in seen.numpy()} & {bytes(row) for row in kept.numpy()}
    options = ["n=20", "metrics=[frechet]", "out=scores", "data.held_out=true"]
    done = command("lightning_gans.evaluate", f"checkpoint={tmp_path / 'run'}", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    card = json.loads((tmp_path / "scores" / "last.scores.json").read_text())
    assert card["n_real"] == 20
    assert card["split"] == "held-out part of train, limited to 50, 0.4 held out by seed 0"


FAMILY = {"digit_domains": "cyclegan", "digit_edges": "pix2pix"}


@pytest.mark.parametrize("name", ["digits", "digit_captions", "digit_domains", "digit_edges"])
def test_a_set_in_memory_moves_to_the_device_that_trains(name):
    """On a device without values, since a test has no GPU: batches have the same keys and shapes, and live there."""
    cfg = compose(f"data={name}", "data.device=auto", "data.val_fraction=0.1", "model=" + FAMILY.get(name, "dcgan"))
    made = instantiate(cfg.data, "data", ImageDataModule)
    plan = SimpleNamespace(images=6, resolution=None)
    schedule = SimpleNamespace(resolutions=lambda step: [])
    batches = []
    for device in ("meta", "cpu"):
        where = torch.device(device)
        module = SimpleNamespace(plan=lambda step: plan, iteration=0, images_seen=0, schedule=schedule, device=where)
        loader = made.loader(made.train_images, module, n_partners=made.n_partners, rank=0, world_size=1)
        batches.append(next(iter(loader)))
    there, here = batches
    assert {key: value.shape for key, value in there.items()} == {key: value.shape for key, value in here.items()}
    assert {there[key].device.type for key in ("image", "source", "target") if key in there} == {"meta"}
    assert {value.device.type for value in here.values()} == {"cpu"}
    assert {value.device.type for value in made.train_images.fetch(torch.arange(3)).values()} == {"cpu"}  # as it was


def test_smaller_images_are_made_where_the_set_lives():
    whole = InMemoryImages(torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.arange(5))
    moved = Subset(whole, torch.tensor([4, 2])).on(torch.device("meta"))
    batch = moved.resized(4).fetch(torch.tensor([1]))
    assert batch["image"].shape == (1, 1, 4, 4)
    assert batch["image"].device.type == batch["label"].device.type == "meta"
    assert whole.resized(4).fetch(torch.tensor([1]))["label"].tolist() == [1]


def test_a_trainer_without_an_image_set_is_refused_by_what_needs_it():
    with pytest.raises(ValueError, match=r"^max_epochs: needs an ImageDataModule in trainer.fit, not a NoneType$"):
        data_of(Trainer(logger=False, accelerator="cpu", max_steps=1), "max_epochs")

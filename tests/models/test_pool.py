"""The history of fakes: what it hands on, keeps and saves."""

import pytest
import torch

from lightning_gans.models.pool import ImagePool


def numbered(start, n):
    return torch.arange(start, start + n).view(n, 1, 1, 1).expand(n, 2, 4, 4).float()


def numbers(images):
    assert (images == images[:, :1, :1, :1]).all()
    return images[:, 0, 0, 0].int().tolist()


def pool(size):
    return ImagePool(size=size, image_size=4, channels=2)


def test_hands_on_and_keeps_all_until_it_is_full():
    one = pool(5)
    assert numbers(one(numbered(0, 3), seed=0)) == [0, 1, 2]
    assert one.kept == 3
    assert numbers(one(numbered(3, 2), seed=1)) == [3, 4]
    assert numbers(one.images) == [0, 1, 2, 3, 4]


def test_then_exchanges_half_of_them():
    """Nothing is lost or doubled: what was given is what was handed on and what is kept."""
    one, handed_on, given, newest = pool(10), [], 10, 0
    one(numbered(0, 10), seed=0)
    for step in range(300):
        out = numbers(one(numbered(given, 4), seed=step))
        newest += sum(a == b for a, b in zip(out, range(given, given + 4), strict=True))
        handed_on += out
        given += 4
    assert sorted(handed_on + numbers(one.images)) == list(range(given))
    assert newest / 1200 == pytest.approx(0.5, abs=0.05)
    ages = [given - number for number in numbers(one.images)]
    assert max(ages) > 10  # older than the last steps


def test_an_image_of_the_batch_can_be_handed_on_within_it():
    """The images of a batch are exchanged one after another, so that results do not depend on how it is cut."""
    whole, single = pool(3), pool(3)
    whole(numbered(0, 3), seed=0)
    single(numbered(0, 3), seed=0)
    assert numbers(whole(numbered(3, 50), seed=7)) != list(range(3, 53))
    assert whole.kept == 3
    assert set(numbers(whole.images)) & set(range(40, 53))


def test_size_0_is_off():
    off = pool(0)
    fakes = numbered(0, 3).clone().requires_grad_()
    out = off(fakes, seed=0)
    assert torch.equal(out, fakes)
    assert not out.requires_grad
    assert off.images.shape == (0, 2, 4, 4)
    with pytest.raises(ValueError, match=r"size=-1: must be >= 0"):
        pool(-1)


def test_is_state():
    one, other = pool(4), pool(4)
    one(numbered(0, 3), seed=0)
    other.load_state_dict(one.state_dict())
    for step in range(5):
        fakes = numbered(10 * step, 6)
        assert torch.equal(one(fakes, seed=step), other(fakes, seed=step))
    assert torch.equal(one.images, other.images)
    assert other.kept == 4


def test_what_is_handed_on_is_a_copy():
    one = pool(2)
    fakes = numbered(0, 2).clone()
    out = one(fakes, seed=0)
    out.zero_()
    assert numbers(one.images) == [0, 1]
    assert numbers(fakes) == [0, 1]

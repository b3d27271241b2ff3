"""What makes sources from targets: smaller, grey, edges, with holes."""

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gans.data.translation.degradations import CannyEdges, Downscale, RandomMask, ToGray, grey

RNG = torch.Generator().manual_seed(0)
DRAWS = torch.rand(50, 4, generator=RNG)


def noise(*shape):
    return torch.randint(0, 256, shape, generator=RNG).float()


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_smaller_is_pillows_antialiased_bicubic(factor):
    pixels = noise(2, 3, 32, 32)
    small = (Downscale(factor)(pixels / 127.5 - 1, DRAWS) + 1) * 127.5
    assert small.shape == (2, 3, 32 // factor, 32 // factor)
    assert (small - small.round()).abs().max() < 1e-3  # 8 bits
    for made, image in zip(small, pixels, strict=True):
        pil = Image.fromarray(image.permute(1, 2, 0).to(torch.uint8).numpy())
        expected = np.asarray(pil.resize((32 // factor,) * 2, Image.Resampling.BICUBIC)).astype(float)
        assert np.abs(made.permute(1, 2, 0).numpy() - expected).max() <= 2.01  # Pillow rounds between rows and columns


def test_grey_is_brightness():
    assert torch.allclose(grey(torch.tensor([1.0, 0.5, 0.25]).view(1, 3, 1, 1)), torch.tensor(0.299 + 0.2935 + 0.0285))
    assert torch.allclose(ToGray()(torch.full((1, 4, 2, 2), 0.3), DRAWS), torch.tensor(0.3))  # alpha does not count
    assert torch.equal(grey(torch.arange(8.0).view(1, 2, 2, 2)), torch.arange(4.0).view(1, 1, 2, 2))


def test_an_edge_is_one_line_where_the_step_is():
    image = torch.full((1, 3, 32, 32), -1.0)
    image[..., 12:] = 1
    lines = CannyEdges()(image, DRAWS) < 0
    assert lines.sum(-1).unique().tolist() == [1]  # one pixel in every row
    assert set(lines.nonzero()[:, -1].tolist()) <= {11, 12}
    turned = CannyEdges()(image.mT, DRAWS) < 0
    assert torch.equal(turned.mT, lines)


def test_edges_of_a_square_enclose_it():
    image = torch.full((1, 1, 40, 40), -0.5)
    image[..., 10:30, 10:30] = 0.5
    lines = (CannyEdges()(image, DRAWS) < 0)[0, 0]
    at = lines.nonzero()
    assert 60 <= len(at) <= 90
    assert {*at.min(0).values.tolist(), *at.max(0).values.tolist()} <= {9, 10, 29, 30}
    assert not lines[14:26, 14:26].any()
    assert not lines[:8].any()


def test_colours_of_one_brightness_have_edges_and_flat_images_none():
    image = torch.zeros(1, 3, 16, 16)
    image[:, 0, :, 8:] = 0.587
    image[:, 1, :, 8:] = -0.299  # the same brightness in red and green
    assert grey(image).std() < 1e-6
    assert (CannyEdges()(image, DRAWS) < 0).any()
    assert (CannyEdges()(torch.full((2, 3, 16, 16), 0.3), DRAWS) == 1).all()


def test_a_weak_edge_is_followed_from_a_strong_one_and_not_alone():
    ramp = torch.full((1, 1, 32, 32), -1.0)
    heights = torch.full((32,), 0.15)
    heights[12:20] = 1.0
    ramp[..., 16:] += heights[:, None]
    joined = (CannyEdges(0.0, 0.02, 0.1)(ramp, DRAWS) < 0).any(-1)[0, 0]
    assert joined.sum() >= 18  # the strong part is 8 pixels long, the weak ones on either side 12
    ramp[..., 16:] = -1 + 0.15
    assert not (CannyEdges(0.0, 0.02, 0.1)(ramp, DRAWS) < 0).any()


def test_edges_of_an_image_do_not_depend_on_its_batch():
    images = noise(4, 3, 24, 24) / 127.5 - 1
    together = CannyEdges()(images, DRAWS[:4])
    assert torch.equal(together[2:3], CannyEdges()(images[2:3], DRAWS[2:3]))


def test_holes_are_rectangles_within_bounds_anywhere():
    images = torch.full((50, 3, 32, 32), 0.7)
    cut = RandomMask(0.25, 0.5)(images, DRAWS)
    holes = (cut == 0).all(1)
    tops = set()
    for hole in holes:
        rows, columns = hole.any(1).nonzero()[:, 0], hole.any(0).nonzero()[:, 0]
        assert hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert int(hole.sum()) == len(rows) * len(columns)
        assert 8 <= len(rows) <= 16
        assert 8 <= len(columns) <= 16
        tops.add(int(rows[0]))
    assert len(tops) > 10
    assert ((cut == 0) | (cut == images)).all()


def test_a_hole_may_be_told_in_a_channel_of_its_own_and_fill_the_image():
    made = RandomMask(0.5, 0.5, mask=True)(torch.full((5, 1, 8, 8), 0.7), DRAWS[:5])
    assert made.shape == (5, 2, 8, 8)
    assert torch.equal(made[:, :1] == 0, made[:, 1:] == -1)
    assert made[:, 1].sum((1, 2)).tolist() == [48.0 - 16] * 5
    assert (RandomMask(1.0, 1.0)(torch.ones(2, 3, 8, 8), DRAWS[:2]) == 0).all()

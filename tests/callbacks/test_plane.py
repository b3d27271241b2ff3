"""Pictures of the plane: the surface, its gradients, the animation, and that a training does not notice them."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from conftest import run, samples
from lightning_gans.callbacks.plane import discriminator_field
from lightning_gans.images.field import ARROWS, HIGH, LOW, REAL, SAMPLES, field, plane_grid
from lightning_gans.models import GAN
from lightning_gans.networks.mlp import Generator

TOY = [
    "data=toy2d",
    "data.image_size=null",
    "data.limit=1000",
    "model.generator.hidden=[16]",
    "model.discriminator.hidden=[16]",
    "callbacks.evaluation=null",
]
PLANE = "+callbacks.plane={_target_: lightning_gans.callbacks.plane.PlaneView, every_n_train_steps: 2, n: 50}"


class Hill(nn.Module):
    """A logit that rises to the right: 3 x, twice as much where it trains."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(3.0))

    def forward(self, points):
        return self.factor * points[:, 0] * (2 if self.training else 1)


def colour_at(picture, x, y, reach=1.25):
    size = picture.shape[1]
    right, down = round((x / reach + 1) / 2 * (size - 1)), round((1 - y / reach) / 2 * (size - 1))
    return tuple(picture[:, down, right].tolist())


def test_a_grid_goes_by_rows_from_above():
    assert plane_grid(2, 1.0).tolist() == [[-0.5, 0.5], [0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]]


def test_surface_and_gradients_of_a_known_discriminator():
    module = GAN(Generator(image_size=None, channels=2, latent_dim=2, hidden=[4]), Hill()).train()
    surface, gradients = discriminator_field(module, 1.0)
    assert surface == pytest.approx(torch.sigmoid(3 * plane_grid(64, 1.0)[:, 0]))
    assert torch.equal(gradients, torch.tensor([3.0, 0.0]).expand(400, 2))
    assert module.discriminator.training
    assert module.discriminator.factor.grad is None


def test_what_is_drawn_stands_in_its_place():
    real, made = torch.tensor([[0.7, 0.71]]), torch.tensor([[-0.7, 0.71], [float("nan"), 0.0]])
    surface = (plane_grid(16, 1.25)[:, 0] > 0).float()
    picture = field(surface, torch.zeros(9, 2), real, made, size=201)
    assert picture.shape == (3, 201, 201)
    assert colour_at(picture, 0.7, 0.71) == REAL
    assert colour_at(picture, -0.7, 0.71) == SAMPLES
    assert colour_at(picture, -1, -1) == LOW
    assert colour_at(picture, 1, -1) == HIGH
    up = field(surface, torch.tensor([[0.0, 2.0]]).repeat(9, 1), real, made, size=201)
    x, y = plane_grid(3, 1.25)[7].tolist()  # below, in the middle
    assert colour_at(up, x, y + 0.2) == ARROWS
    assert colour_at(up, x, y - 0.2) != ARROWS


def test_a_training_draws_animates_and_ends_with_the_same_bits(tmp_path):
    plain = run(tmp_path / "plain", *TOY, samples(n=20), model="gan")
    drawn = run(tmp_path / "drawn", *TOY, samples(n=20), PLANE, model="gan")
    for name, value in plain.model.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, drawn.model.state_dict()[name]), name
    folder = tmp_path / "drawn" / "samples"
    names = [path.name for path in sorted(folder.glob("plane*"))]
    assert names == ["plane-000001.png", "plane-000002.png", "plane-000004.png", "plane.gif"]
    picture = np.asarray(Image.open(folder / "plane-000004.png"))
    assert picture.shape == (512, 512, 3)
    assert {REAL, SAMPLES} <= {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
    assert Image.open(folder / "plane.gif").n_frames == 3


def test_what_has_no_plane_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"callbacks\.plane: draws an unconditional discriminator of data=toy2d's points"
    ):
        run(tmp_path, "callbacks.evaluation=null", PLANE)

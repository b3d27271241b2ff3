"""Projection into w and w+: noise that cannot carry the picture, distances, and pictures that the generator makes."""

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from conftest import command_here, run, tiny_model
from lightning_gans.config.errors import ConfigError
from lightning_gans.images.files import save
from lightning_gans.images.pixels import to_uint8
from lightning_gans.inference.projection import (
    Projector,
    noise_correlation,
    pyramid_distance,
    read_target,
    vgg_distance,
)


def test_white_noise_is_free_and_stripes_cost():
    torch.manual_seed(0)
    white = torch.randn(1, 1, 64, 64)
    stripes = torch.ones(1, 1, 64, 64)
    stripes[..., ::2, :] = -1
    assert noise_correlation([white]) < 0.1
    assert noise_correlation([stripes]).item() == pytest.approx(2.0)  # both neighbours at full size, 0 on the others
    small = torch.randn(1, 1, 4, 4)
    expected = sum((small * small.roll(1, axis)).mean() ** 2 for axis in (2, 3))
    torch.testing.assert_close(noise_correlation([small]), expected)


def test_the_pyramid_sees_pixels_on_every_scale():
    one, two = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    two[..., ::2] = 1
    two[..., 1::2] = -1
    assert pyramid_distance(one, two).item() == pytest.approx(0.5)  # 1 at full size, 0 at half
    assert pyramid_distance(one, one + 2).item() == pytest.approx(4.0)


def test_a_picture_of_the_generators_own_is_found_again():
    """Nearer than the average picture by far, and nearer in w+ than in w."""
    torch.manual_seed(0)
    module = tiny_model("stylegan2").eval()
    target = module.sample(1, seed=9)[0]
    how = {"steps": 60, "lr": 0.3, "noise_weight": 1e3}
    projector = Projector(module, pyramid_distance, **how)
    network = module.sampling_network({}, from_styles=True)
    (average,) = module.generate([(projector.mean[None],)], network)
    start = pyramid_distance(average, target[None]).item()
    in_w = projector.project(target)
    assert in_w.distance < 0.8 * start  # the generator's maps are few
    assert torch.equal(in_w.styles, in_w.styles[:1].expand_as(in_w.styles))
    plus = projector.project(target, plus=True, start=in_w)
    assert plus.distance < 0.5 * in_w.distance
    assert not torch.equal(plus.styles, plus.styles[:1].expand_as(plus.styles))
    for noise in plus.noise:
        assert noise.mean().abs() < 1e-4
        assert noise.square().mean().item() == pytest.approx(1.0, abs=1e-3)
    again = Projector(module, pyramid_distance, **how).project(target)
    assert torch.equal(again.styles, in_w.styles)


def test_pictures_are_read_by_their_middle_square(tmp_path):
    picture = Image.new("RGB", (40, 20), (255, 0, 0))
    picture.paste((0, 0, 255), (10, 0, 30, 20))
    picture.save(tmp_path / "wide.png")
    made = read_target(str(tmp_path / "wide.png"), 3, 8)
    assert made.shape == (3, 8, 8)
    torch.testing.assert_close(made, torch.tensor([-1.0, -1.0, 1.0])[:, None, None].expand(3, 8, 8), rtol=0, atol=0.2)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match="input=.*cannot be read as a picture"):
        read_target(str(tmp_path / "broken.png"), 3, 8)
    with pytest.raises(ConfigError, match="perceptual_weights=none.pth: no such file"):
        vgg_distance("none.pth")


def test_command(tmp_path, monkeypatch, capsys):
    made = run(tmp_path / "run", model="stylegan2")
    save(to_uint8(made.model.sample(1))[0], tmp_path / "mine.png")
    given = ["lightning_gans.project", f"checkpoint={tmp_path / 'run'}", "input=mine.png", "out=out", "steps=3"]
    assert command_here(*given, cwd=tmp_path, monkeypatch=monkeypatch) == 0, capsys.readouterr().err
    assert "by the pyramid of pixels" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"projection.png", "w.png", "w.safetensors", "w_plus.png", "w_plus.safetensors"}
    found = load_file(tmp_path / "out" / "w_plus.safetensors")
    assert found["styles"].shape == (6, 8)
    assert found["noise.4"].shape == (1, 1, 16, 16)
    run(tmp_path / "other")
    given[1] = f"checkpoint={tmp_path / 'other'}"
    assert command_here(*given, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert "has no styles" in capsys.readouterr().err

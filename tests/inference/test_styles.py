"""Sampling and walking by styles: psi, cutoff, noise, mixing, components; and refusals without styles."""

import pytest
import torch

from conftest import command_here, run, tiny_model
from lightning_gans.config.errors import ConfigError
from lightning_gans.images.pixels import to_uint8
from lightning_gans.inference.latents import Walker
from lightning_gans.inference.style_sheets import StyleWalker, group_ends


@pytest.fixture(scope="module", params=["stylegan", "stylegan2"])
def module(request):
    """With an average of styles, and noise that shows."""
    torch.manual_seed(0)
    made = tiny_model(request.param, **({"growth": None} if request.param == "stylegan" else {})).eval()
    made.generator_ema.mapping.average.normal_()
    for noise in made.generator_ema.noises:
        torch.nn.init.normal_(noise.strength)
    return made


def test_psi_draws_styles_towards_the_average(module):
    network = module.generator_ema
    (latents,) = module.sampling_inputs(range(3), 5)
    styles = network.styles(latents)
    average = network.mapping.average

    def made(styles):
        return module.postprocess(network.synthesis(styles).detach())

    how = {"seed": 5, "batch_size": 2}
    torch.testing.assert_close(module.sample(3, **how), made(styles), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        module.sample(3, psi=0.7, **how), made(average + 0.7 * (styles - average)), rtol=1e-4, atol=1e-4
    )
    first = torch.cat([average + 0.5 * (styles[:, :2] - average), styles[:, 2:]], 1)
    torch.testing.assert_close(module.sample(3, psi=0.5, cutoff=2, **how), made(first), rtol=1e-4, atol=1e-4)
    one = module.sample(2, psi=0.0)
    assert torch.allclose(one[0], one[1], atol=1e-4)
    silent = [torch.zeros(1, *shape) for shape in network.noise_shapes]
    quiet = module.postprocess(network.synthesis(styles, silent).detach())
    torch.testing.assert_close(module.sample(3, noise=0, **how), quiet, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(quiet, made(styles), atol=1e-2)


def test_what_is_refused(module):
    with pytest.raises(ConfigError, match="cutoff=2: needs psi"):
        module.sample(1, cutoff=2)
    with pytest.raises(ConfigError, match="at most 6"):
        module.sample(1, psi=0.5, cutoff=7)
    with pytest.raises(ConfigError, match="noise"):
        module.sample(1, noise=-1.0)
    other = tiny_model("dcgan").eval()
    with pytest.raises(ConfigError, match=r"psi=0.5: DCGAN has no such option of sampling; .*stylegan2"):
        other.sample(1, psi=0.5)
    with pytest.raises(ConfigError, match="space=w: DCGAN has no styles"):
        Walker(other).use_styles()
    with pytest.raises(ConfigError, match="mode=mixing: DCGAN has no styles"):
        StyleWalker(other, "mixing")
    with pytest.raises(ConfigError, match="cutoff=2: DCGAN has no styles"):
        Walker(other).truncation([0], [1.0], 2)


def test_paths_in_w_are_straight(module):
    walker = Walker(module, seed=1)
    walker.use_styles()
    (ends,) = walker.inputs([0, 1])
    rows = walker.paths([0, 1], 3, lambda a, b, at: a + (b - a) * at)
    network = module.sampling_network({}, from_styles=True)
    (middle,) = module.generate([(ends.mean(0, keepdim=True),)], network)
    torch.testing.assert_close(rows[0, 1], to_uint8(middle)[0], rtol=0, atol=1)
    assert torch.equal(Walker(module, seed=1).images(*Walker(module, seed=1).inputs([0])), rows[0, :1])


def test_a_psi_sheet_has_the_average_in_its_middle(module):
    sheet = Walker(module).truncation([0, 1], [1.0, 0.0, -1.0])
    assert sheet.shape == (2, 3, 1, 16, 16)
    torch.testing.assert_close(sheet[0, 1], sheet[1, 1], rtol=0, atol=1)
    torch.testing.assert_close(sheet[:, 0], to_uint8(module.sample(2)), rtol=0, atol=1)


def test_a_mixing_sheet_takes_a_group_of_styles_from_each_source(module):
    walker = StyleWalker(module, "mixing")
    sheet = walker.mixing([0, 1], [2, 3, 4])
    assert sheet.shape == (4, 3, 1, 16, 16)
    assert (group_ends(18), group_ends(10), group_ends(6)) == ((0, 4, 8, 18), (0, 4, 8, 10), (0, 2, 4, 6))
    own = walker.images(*walker.inputs(range(5)))
    assert torch.equal(sheet[0, 1:], own[:2])
    assert torch.equal(sheet[1:, 0], own[2:])
    (styles,) = walker.inputs(range(5))
    mixed = styles[1].expand(1, 6, -1).clone()
    mixed[:, 2:4] = styles[3]  # the middle ones of the second source
    torch.testing.assert_close(sheet[2, 2], walker.images(mixed)[0], rtol=0, atol=1)


def test_a_noise_sheet_begins_with_the_samples_and_leaves_noise_out(module):
    sheet = StyleWalker(module, "noise").noise([0, 1])
    assert sheet.shape == (2, 4, 1, 16, 16)
    torch.testing.assert_close(sheet[:, 0], to_uint8(module.sample(2)), rtol=0, atol=1)
    torch.testing.assert_close(sheet[:, 1], to_uint8(module.sample(2, noise=0)), rtol=0, atol=1)
    assert len({sheet[:, i].sum().item() for i in range(4)}) == 4


def test_components_are_those_of_numpy(module):
    walker = StyleWalker(module, "components")
    found = walker.directions(500)
    styles = walker.inputs(range(500))[0].double()
    covariance = torch.cov(styles.t())
    for direction in found[:3].double():
        variance = direction.square().sum()
        torch.testing.assert_close(covariance @ direction, variance * direction, rtol=1e-2, atol=1e-6)
    lengths = found.norm(dim=1)
    assert torch.equal(lengths, lengths.sort(descending=True).values)
    assert (found.gather(1, found.abs().argmax(1, keepdim=True))[:3] > 0).all()
    sheet = walker.components(0, 2, 3, 2.0)
    assert sheet.shape == (2, 3, 1, 16, 16)
    torch.testing.assert_close(sheet[0, 1], sheet[1, 1], rtol=0, atol=1)


def test_commands(tmp_path, monkeypatch, capsys):
    run(tmp_path / "run", model="stylegan2")
    given = [f"checkpoint={tmp_path / 'run'}", "out=out"]
    calls = {
        "sample": [["n=2", "psi=.7", "cutoff=3", "noise=0"]],
        "interpolate": [
            *[["mode=truncation", "psi=[1,.7,0,-1]", "rows=2"], ["mode=mixing", "rows=2"], ["mode=noise", "rows=2"]],
            *[["mode=components", "rows=2", "steps=3"], ["mode=lerp", "space=w", "rows=1", "steps=3"]],
        ],
        "evaluate": [["metrics=[path_length,path_length_w]", "n=20", "psi=0.7"]],
    }
    for name, options in calls.items():
        for some in options:
            arguments = [f"lightning_gans.{name}", *given, *some]
            assert command_here(*arguments, cwd=tmp_path, monkeypatch=monkeypatch) == 0, capsys.readouterr().err
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"000001.png", "truncation.png", "mixing.png", "noise.png", "components.png", "lerp.gif"} <= made
    assert "ppl_w_digits" in capsys.readouterr().out
    wrong = ["lightning_gans.interpolate", *given, "mode=mixing", "indices=[1]"]
    assert command_here(*wrong, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert "then the sources of styles" in capsys.readouterr().err

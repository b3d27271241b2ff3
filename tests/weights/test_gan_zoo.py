"""ProGANs of pytorch_GAN_zoo: equal outputs, and refusals. Its networks are written here from its equations."""

import math
import sys
import types

import pytest
import torch
import torch.nn.functional as F

from conftest import command, command_here
from lightning_gans import load
from lightning_gans.checkpoints.load import rebuild
from lightning_gans.weights.gan_zoo import discriminator, from_gan_zoo, generator, read

WIDTHS = [8, 8, 4]  # 4x4, 8x8, 16x16
LATENT, CHANNELS = 6, 3


def files(module=True, compares=True):
    """State dicts as the repository saves them, with biases that are not zero."""
    torch.manual_seed(0)
    extra = 1 if compares else 0
    shapes_g = {"formatLayer": (16 * WIDTHS[0], LATENT), "groupScale0.0": (WIDTHS[0], WIDTHS[0], 3, 3)}
    shapes_d = {
        "groupScaleZero.0": (WIDTHS[0], WIDTHS[0] + extra, 3, 3),
        "groupScaleZero.1": (WIDTHS[0], 16 * WIDTHS[0]),
        "decisionLayer": (1, WIDTHS[0]),
    }
    for k, (old, new) in enumerate(zip(WIDTHS, WIDTHS[1:], strict=False)):
        shapes_g |= {f"scaleLayers.{k}.0": (new, old, 3, 3), f"scaleLayers.{k}.1": (new, new, 3, 3)}
        shapes_d |= {f"scaleLayers.{k}.0": (new, new, 3, 3), f"scaleLayers.{k}.1": (old, new, 3, 3)}
    for k, width in enumerate(WIDTHS):
        shapes_g[f"toRGBLayers.{k}"] = (CHANNELS, width, 1, 1)
        shapes_d[f"fromRGBLayers.{k}"] = (width, CHANNELS, 1, 1)
    between = ".module" if module else ""
    return [
        {
            f"{name}{between}.{key}": torch.randn(shape if key == "weight" else shape[:1])
            for name, shape in shapes.items()
            for key in ("weight", "bias")
        }
        for shapes in (shapes_g, shapes_d)
    ]


def layer(state, name, x):
    """(W x + b) times He's constant, the bias included."""
    weight, bias = state[f"{name}.module.weight"], state[f"{name}.module.bias"]
    constant = math.sqrt(2 / weight[0].numel())
    made = F.linear(x, weight, bias) if weight.ndim == 2 else F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
    return made * constant


def act(x):
    return F.leaky_relu(x, 0.2)


def pixel(x):
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def zoo_generator(state, latents, alpha=0.0):
    """Alpha is the weight of the old images."""
    x = pixel(act(layer(state, "formatLayer", pixel(latents))).view(-1, WIDTHS[0], 4, 4))
    x = pixel(act(layer(state, "groupScale0.0", x)))
    for k in range(len(WIDTHS) - 1):
        before, x = x, F.interpolate(x, scale_factor=2)
        for i in (0, 1):
            x = pixel(act(layer(state, f"scaleLayers.{k}.{i}", x)))
    new, old = layer(state, "toRGBLayers.2", x), F.interpolate(layer(state, "toRGBLayers.1", before), scale_factor=2)
    return alpha * old + (1 - alpha) * new


def zoo_discriminator(state, images, alpha=0.0, compares=True):
    old = act(layer(state, "fromRGBLayers.1", F.avg_pool2d(images, 2)))
    x = act(layer(state, "fromRGBLayers.2", images))
    for k in (1, 0):
        for i in (0, 1):
            x = act(layer(state, f"scaleLayers.{k}.{i}", x))
        x = F.avg_pool2d(x, 2)
        x = alpha * old + (1 - alpha) * x if k == 1 else x
    if compares:  # one group of four: the standard deviation of a sample, averaged over all values
        deviation = (x.var(0, correction=1) + 1e-8).sqrt().mean()
        x = torch.cat([x, deviation.expand(len(x), 1, 4, 4)], 1)
    x = act(layer(state, "groupScaleZero.0", x)).flatten(1)
    return layer(state, "decisionLayer", act(layer(state, "groupScaleZero.1", x))).flatten()


@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("compares", [True, False])
def test_outputs_are_equal(alpha, compares):
    state_g, state_d = files(compares=compares)
    ours_g, ours_d = generator(state_g), discriminator(state_d)
    ours_g.grow(16, 1 - alpha)
    ours_d.grow(16, 1 - alpha)
    latents = torch.randn(4, LATENT)
    images = zoo_generator(state_g, latents, alpha)
    torch.testing.assert_close(ours_g(latents), images, rtol=1e-4, atol=1e-4)
    logits = zoo_discriminator(state_d, images, alpha, compares)
    torch.testing.assert_close(ours_d(images), logits, rtol=1e-4, atol=1e-4)
    assert logits.std() > 1e-2


def test_names_with_and_without_wrappers():
    with_module, without = files(), files(module=False)
    latents = torch.randn(2, LATENT)
    assert torch.equal(generator(with_module[0])(latents), generator(without[0])(latents))
    parallel = {f"module.{name}": value for name, value in without[0].items()}
    assert torch.equal(generator(parallel)(latents), generator(without[0])(latents))


def test_a_file_becomes_a_checkpoint_that_samples(tmp_path, monkeypatch):
    """Saved with an object of the repository's own class, which is not imported."""
    state_g, state_d = files()
    average = {name: value + 0.1 for name, value in state_g.items()}
    names = ["models", "models.utils", "models.utils.config"]
    modules = {name: types.ModuleType(name) for name in names}
    kind = type("BaseConfig", (), {"__module__": names[-1]})
    modules[names[-1]].BaseConfig = kind
    with monkeypatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        settings = kind()
        settings.alpha, settings.lossCriterion, settings.depthOtherScales = 0, "WGANGP", [8, 4]
        torch.save({"config": settings, "netG": state_g, "netD": state_d, "avgG": average}, tmp_path / "zoo.pth")
    made = command("lightning_gans.import_weights", f"generator={tmp_path / 'zoo.pth'}", "out=ours.ckpt", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "a checkpoint of ProGAN in ours.ckpt" in made.stdout
    content = from_gan_zoo(read(tmp_path / "zoo.pth"))
    module = rebuild(content)
    latents = torch.randn(3, LATENT)
    with torch.no_grad():
        assert module.sample(2).shape == (2, 3, 16, 16)
        expected = zoo_generator(average, latents).clamp(-1, 1)
        torch.testing.assert_close(module(latents), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(module.generator(latents), zoo_generator(state_g, latents), rtol=1e-4, atol=1e-4)
    assert torch.equal(load(tmp_path / "ours.ckpt").sample(2), module.sample(2))
    made = command("lightning_gans.sample", f"checkpoint={tmp_path / 'ours.ckpt'}", "n=2", "out=seen", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "seen" / "000001.png").is_file()


def content(**settings):
    state_g, state_d = files()
    return {"config": settings, "netG": state_g, "netD": state_d}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"lossCriterion": "DCGAN"}, "lossCriterion=DCGAN"),
        ({"alpha": 0.5}, "alpha=0.5"),
        ({"leakyReluLeak": 0.1}, "leakyReluLeak=0.1: must be 0.2"),
    ],
)
def test_settings_without_an_equal(settings, named):
    with pytest.raises(ValueError, match=named):
        from_gan_zoo(content(**settings))


def test_labelled_and_odd_networks_are_refused():
    given = content()
    given["netD"]["decisionLayer.module.weight"] = torch.randn(3, WIDTHS[0])
    with pytest.raises(ValueError, match="gives 3 values"):
        from_gan_zoo(given)
    given = content()
    given["netG"]["groupScale0.0.module.weight"] = torch.randn(5, 8, 3, 3)
    with pytest.raises(ValueError, match=r"feature maps \[5, 8, 4\]"):
        from_gan_zoo(given)


def without(state, key):
    return {name: value for name, value in state.items() if name != key}


def test_a_file_that_lacks_any_key_is_refused():
    """Also one of a whole scale, which was taken for a smaller ProGAN."""
    state_g, state_d = files()
    for make, state in ((generator, state_g), (discriminator, state_d)):
        for key in state:
            with pytest.raises(ValueError, match=r"^net[GD]: as a ProGAN up to 16 pixels it lacks \w+"):
                make(without(state, key))
        with pytest.raises(ValueError, match="it has alpha too"):
            make({**state, "alpha": torch.zeros(1)})
        wrong = next(key for key in state if key.startswith("scaleLayers.0.1") and key.endswith("weight"))
        with pytest.raises(
            ValueError, match=r"scaleLayers\.0\.1\.weight has shape \(9, 8, 3, 3\); must be \(8, 8, 3, 3\)"
        ):
            make({**state, wrong: torch.randn(9, 8, 3, 3)})
        damaged = state[wrong].clone()
        damaged[0] = float("inf")
        with pytest.raises(ValueError, match=r"not finite: 72 of 576 in scaleLayers\.0\.1\.weight"):
            make({**state, wrong: damaged})


def test_networks_of_different_sizes_are_refused():
    given = content()
    smaller = {
        key: value for key, value in given["netD"].items() if "RGBLayers.2" not in key and "scaleLayers.1" not in key
    }
    with pytest.raises(ValueError, match="netG for 16x16, netD for 8x8"):
        from_gan_zoo({**given, "netD": smaller, "avgG": None})
    with pytest.raises(ValueError, match=r"netD for 16x16, config\.depthOtherScales for 32x32"):
        from_gan_zoo(content(depthOtherScales=[8, 4, 4]))


def test_a_name_with_and_without_its_wrapper_is_refused():
    state = files()[0]
    with pytest.raises(ValueError, match=r"holds a layer twice: formatLayer\.module\.weight"):
        generator({**state, "formatLayer.weight": torch.zeros(1)})


def test_networks_of_different_widths_are_refused():
    given = content()
    given["netD"] = {
        key: torch.cat([value] * 2) if "RGBLayers" in key else value for key, value in given["netD"].items()
    }
    with pytest.raises(ValueError, match=r"^netD: fromRGBLayers\.0\.weight has shape"):
        from_gan_zoo(given)
    longer = files()[0]
    longer["formatLayer.module.weight"] = torch.randn(16 * WIDTHS[0], LATENT + 1)
    with pytest.raises(ValueError, match="^generator_ema: its feature maps, latents or channels are not those of netG"):
        from_gan_zoo({**content(), "avgG": longer})


def test_what_is_not_used_and_what_is_not_there_is_told():
    told = []
    from_gan_zoo({**content(), "epoch": 3}, tell=told.append)
    assert told == ["avgG: not in the file; the average is netG's weights", "not used of the file: epoch"]


def test_a_damaged_file_is_one_line_of_the_command(tmp_path, monkeypatch, capsys):
    given = content()
    given["netG"] = without(given["netG"], "formatLayer.module.weight")
    torch.save(given, tmp_path / "zoo.pth")
    options = ["generator=zoo.pth", "out=a.ckpt"]
    assert command_here("lightning_gans.import_weights", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    told = capsys.readouterr().err.strip()
    assert told == "error: generator=zoo.pth: netG: as a ProGAN up to 16 pixels it lacks formatLayer.weight"
    assert not (tmp_path / "a.ckpt").exists()


def test_other_files_are_left_to_others(tmp_path):
    torch.save({"netG": {"a": torch.zeros(1)}, "netD": {}}, tmp_path / "other.pth")
    (tmp_path / "broken.pth").write_bytes(b"PK broken")
    for name in ("other.pth", "broken.pth", "nothing.pth"):
        assert read(tmp_path / name) is None

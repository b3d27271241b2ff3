"""StyleGANs of the public PyTorch copy: equal outputs, and refusals. Its generator is written here as equations."""

import math

import pytest
import torch
import torch.nn.functional as F

import lightning_gans
from conftest import command_here
from lightning_gans.checkpoints.load import rebuild
from lightning_gans.weights.stylegan import from_copy, read

WIDTHS = [8, 8, 4, 2]  # 4x4 to 32x32; the last upsampling is fused
FUSED = 3  # level
LATENT, LAYERS, CHANNELS = 8, 3, 3


def drawn(shapes):
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def dense(name, inputs, outputs):
    return {f"{name}.linear.weight_orig": (outputs, inputs), f"{name}.linear.bias": (outputs,)}


def conv(name, inputs, outputs, kernel=3):
    return {f"{name}.conv.weight_orig": (outputs, inputs, kernel, kernel), f"{name}.conv.bias": (outputs,)}


def smoothing(name, width):
    return {f"{name}.weight": (width, 1, 3, 3), f"{name}.weight_flip": (width, 1, 3, 3)}


def generator_state():
    shapes = {}
    for layer in range(LAYERS):
        shapes |= dense(f"style.{2 * layer + 1}", LATENT, LATENT)
    for level, width in enumerate(WIDTHS):
        block, before = f"generator.progression.{level}", WIDTHS[max(0, level - 1)]
        if not level:
            shapes[f"{block}.conv1.input"] = (1, width, 4, 4)
        elif level == FUSED:
            shapes |= {f"{block}.conv1.0.weight": (before, width, 3, 3), f"{block}.conv1.0.bias": (width,)}
            shapes |= smoothing(f"{block}.conv1.1", width)
        else:
            shapes |= conv(f"{block}.conv1.1", before, width) | smoothing(f"{block}.conv1.2", width)
        shapes |= conv(f"{block}.conv2", width, width) | conv(f"generator.to_rgb.{level}", width, CHANNELS, 1)
        for half in (1, 2):
            shapes |= dense(f"{block}.adain{half}.style", LATENT, 2 * width)
            shapes[f"{block}.noise{half}.weight_orig"] = (1, width, 1, 1)
    return drawn(shapes)


@pytest.fixture
def content(float64):
    torch.manual_seed(0)
    return {"generator": generator_state(), "g_running": generator_state(), "discriminator": {}}


def he(weight):
    return weight * math.sqrt(2 / weight[0].numel())


def apply(state, name, x, padding=0):
    if f"{name}.linear.bias" in state:
        return F.linear(x, he(state[f"{name}.linear.weight_orig"]), state[f"{name}.linear.bias"])
    return F.conv2d(x, he(state[f"{name}.conv.weight_orig"]), state[f"{name}.conv.bias"], padding=padding)


def smoothed(x):
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    return F.conv2d(x, torch.outer(line, line).expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])


def shifted_mean(weight):
    """The mean of a kernel's four shifts within 4x4."""
    return sum(F.pad(weight, (right, 1 - right, down, 1 - down)) for right in (0, 1) for down in (0, 1)) / 4


def styles_of(state, latents):
    x = latents / (latents.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for layer in range(LAYERS):
        x = F.leaky_relu(apply(state, f"style.{2 * layer + 1}", x), 0.2)
    return x


def images_of(state, styles, noise, levels):
    x = state["generator.progression.0.conv1.input"].expand(len(styles), -1, -1, -1)
    for level in range(levels):
        block = f"generator.progression.{level}"
        if level == FUSED:
            weight = state[f"{block}.conv1.0.weight"]
            kernel = shifted_mean(weight * math.sqrt(2 / (weight.shape[0] * 9)))
            x = smoothed(F.conv_transpose2d(x, kernel, state[f"{block}.conv1.0.bias"], stride=2, padding=1))
        elif level:
            x = smoothed(apply(state, f"{block}.conv1.1", F.interpolate(x, scale_factor=2, mode="nearest"), 1))
        for half in (1, 2):
            x = x if half == 1 else apply(state, f"{block}.conv2", x, 1)
            x = x + he(state[f"{block}.noise{half}.weight_orig"]) * noise[2 * level + half - 1]
            x = F.leaky_relu(x, 0.2)
            mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
            scale, shift = apply(state, f"{block}.adain{half}.style", styles)[:, :, None, None].chunk(2, 1)
            x = scale * (x - mean) / (variance + 1e-5).sqrt() + shift
    return apply(state, f"generator.to_rgb.{levels - 1}", x)


@pytest.mark.parametrize("size", [None, 16])
def test_outputs_are_equal(content, size):
    side = size or 32
    levels = side.bit_length() - 2
    model = rebuild(from_copy(content, size, tell=print)).double().eval()
    latents = torch.randn(3, LATENT)
    for ours, theirs in {"generator_ema": "g_running", "generator": "generator"}.items():
        network, state = getattr(model, ours), content[theirs]
        noise = [torch.randn(3, *shape) for shape in network.noise_shapes]
        torch.testing.assert_close(network.mapping(latents), styles_of(state, latents))
        expected = images_of(state, styles_of(state, latents), noise, levels)
        torch.testing.assert_close(network(latents, noise=noise), expected)
        assert network.mapping.average.std() > 0


def test_a_file_becomes_a_checkpoint_that_samples(tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    torch.save({"g_running": {f"module.{k}": v for k, v in generator_state().items()}, "step": 3}, tmp_path / "s.model")
    options = ["generator=s.model", "out=s.ckpt", "image_size=16"]
    assert not command_here("lightning_gans.import_weights", *options, cwd=tmp_path, monkeypatch=monkeypatch)
    said = capsys.readouterr().out
    for line in (
        "generator: not in the file",
        "discriminator: not in the file; a new one",
        "not used of the file: step",
    ):
        assert line in said
    assert lightning_gans.load(tmp_path / "s.ckpt").sample(2, seed=0).shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    ("change", "size", "message"),
    [
        (lambda g: g.pop("style.1.linear.bias"), None, "style.5.linear"),
        (lambda g: g.pop("generator.progression.1.noise2.weight_orig"), None, "lacks generator.progression.1.noise2"),
        (lambda g: g.update(extra=torch.zeros(1)), None, "has extra too"),
        (lambda g: g["generator.to_rgb.1.conv.bias"].fill_(math.nan), None, "not finite"),
        (lambda g: None, 64, "image_size=64"),
    ],
)
def test_files_that_do_not_fit_are_refused(content, change, size, message):
    change(content["g_running"])
    with pytest.raises(ValueError, match=message):
        from_copy(content, size, tell=print)


def test_other_files_are_left_to_others(tmp_path):
    for name, content in {"a": {"g_running": {"x": torch.zeros(1)}}, "b": {"generator": {}}, "c": [1]}.items():
        torch.save(content, tmp_path / name)
        assert read(tmp_path / name) is None

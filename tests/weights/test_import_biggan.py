"""State dicts of BigGAN-PyTorch become checkpoints with equal outputs.

The reference forward passes are written here from the key table, in plain functions; in evaluation the repository runs
one power iteration of spectral norm from the stored vector.
"""

import pytest
import torch
import torch.nn.functional as F

from conftest import command_here
from lightning_gans.checkpoints.load import load
from lightning_gans.weights.biggan import discriminator, from_biggan, generator, recognises

CLASSES, SHARED, CHUNK = 5, 6, 3
WIDE = {3: (4, 4, 4, 4), 4: (16, 16, 8, 4, 2)}  # multiples of the width at 4x4, 8x8, ...
DEEP = {3: (4, 4, 4, 4), 4: (1, 2, 4, 8, 16)}


def layer(state, name, shape, *, bias=True, plain=False):
    state[f"{name}.weight"] = torch.randn(shape)
    if bias:
        state[f"{name}.bias"] = torch.randn(shape[0]) * 0.1
    if not plain:
        state[f"{name}.u0"], state[f"{name}.sv0"] = torch.randn(1, shape[0]), torch.ones(1)


def attention(state, name, width):
    for part, out, inside in (("theta", 8, 1), ("phi", 8, 1), ("g", 2, 1), ("o", 1, 2)):
        layer(state, f"{name}.{part}", (width // out, width // inside, 1, 1), bias=False)
    state[f"{name}.gamma"] = torch.tensor(0.8)


def generator_file(levels, width=4, attends=1, shared=True, seed=0):
    torch.manual_seed(seed)
    maps, state = [width * k for k in WIDE[levels]], {}
    condition = SHARED + CHUNK if shared else CLASSES
    if shared:
        state["shared.weight"] = torch.randn(CLASSES, SHARED)
    layer(state, "linear", (maps[0] * 16, CHUNK))
    for i, (inputs, outputs) in enumerate(zip(maps, maps[1:], strict=False)):
        block = f"blocks.{i}.0"
        layer(state, f"{block}.conv1", (outputs, inputs, 3, 3))
        layer(state, f"{block}.conv2", (outputs, outputs, 3, 3))
        layer(state, f"{block}.conv_sc", (outputs, inputs, 1, 1))
        for name, channels in (("bn1", inputs), ("bn2", outputs)):
            for part in ("gain", "bias"):
                shape = (channels, condition) if shared else (CLASSES, channels)
                layer(state, f"{block}.{name}.{part}", shape, bias=False, plain=not shared)
            state[f"{block}.{name}.stored_mean"] = torch.randn(channels)
            state[f"{block}.{name}.stored_var"] = torch.rand(channels) + 0.5
        if i == attends:
            attention(state, f"blocks.{i}.1", outputs)
    for key, value in (("gain", 1.1), ("bias", 0.2), ("stored_mean", 0.1), ("stored_var", 0.9)):
        state[f"output_layer.0.{key}"] = torch.rand(maps[-1]) + value
    layer(state, "output_layer.2", (3, maps[-1], 3, 3))
    return state


def discriminator_file(levels, width=8, attends=0):
    torch.manual_seed(1)
    maps, state = [width * k for k in DEEP[levels]], {}
    for i, (inputs, outputs) in enumerate(zip([3, *maps], maps, strict=False)):
        layer(state, f"blocks.{i}.0.conv1", (outputs, inputs, 3, 3))
        layer(state, f"blocks.{i}.0.conv2", (outputs, outputs, 3, 3))
        if inputs != outputs or i < downs(levels):
            layer(state, f"blocks.{i}.0.conv_sc", (outputs, inputs, 1, 1))
        if i == attends:
            attention(state, f"blocks.{i}.1", outputs)
    layer(state, "linear", (1, maps[-1]))
    layer(state, "embed", (CLASSES, maps[-1]), bias=False)
    return state


def downs(levels):
    return levels if levels > 3 else 2


def weight(state, name):
    """W / sigma, after one power iteration from u0; of a layer without one W itself."""
    given = state[f"{name}.weight"]
    if f"{name}.u0" not in state:
        return given
    matrix, u = given.reshape(len(given), -1), state[f"{name}.u0"]
    v = F.normalize(u @ matrix)
    u = F.normalize(v @ matrix.T)
    return given / (v @ matrix.T @ u.T).squeeze()


def conv(state, name, x):
    made = weight(state, name)
    return F.conv2d(x, made, state.get(f"{name}.bias"), padding=made.shape[-1] // 2)


def attend(state, name, x):
    n, c, h, w = x.shape
    theta = conv(state, f"{name}.theta", x).view(n, c // 8, h * w)
    phi = F.max_pool2d(conv(state, f"{name}.phi", x), 2).view(n, c // 8, h * w // 4)
    g = F.max_pool2d(conv(state, f"{name}.g", x), 2).view(n, c // 2, h * w // 4)
    beta = F.softmax(theta.transpose(1, 2) @ phi, -1)
    return state[f"{name}.gamma"] * conv(state, f"{name}.o", (g @ beta.transpose(1, 2)).view(n, c // 2, h, w)) + x


def norm(state, name, x, condition):
    normed = F.batch_norm(x, state[f"{name}.stored_mean"], state[f"{name}.stored_var"])
    if condition.ndim == 1:
        gain, bias = (state[f"{name}.{part}.weight"][condition] for part in ("gain", "bias"))
    else:
        gain, bias = (condition @ weight(state, f"{name}.{part}").T for part in ("gain", "bias"))
    return normed * (1 + gain)[:, :, None, None] + bias[:, :, None, None]


def reference_generator(state, latents, classes, levels):
    shared = "shared.weight" in state
    parts = latents.split(CHUNK, 1) if shared else [latents]
    x = F.linear(parts[0], weight(state, "linear"), state["linear.bias"])
    x = x.view(len(x), -1, 4, 4)
    for i in range(levels):
        block = f"blocks.{i}.0"
        y = torch.cat([state["shared.weight"][classes], parts[1 + i]], 1) if shared else classes
        h = F.interpolate(F.relu(norm(state, f"{block}.bn1", x, y)), scale_factor=2)
        h = conv(state, f"{block}.conv1", h)
        h = conv(state, f"{block}.conv2", F.relu(norm(state, f"{block}.bn2", h, y)))
        x = h + conv(state, f"{block}.conv_sc", F.interpolate(x, scale_factor=2))
        if f"blocks.{i}.1.gamma" in state:
            x = attend(state, f"blocks.{i}.1", x)
    last = {key: state[f"output_layer.0.{key}"] for key in ("stored_mean", "stored_var", "gain", "bias")}
    return torch.tanh(conv(state, "output_layer.2", F.relu(F.batch_norm(x, *last.values()))))


def reference_discriminator(state, images, classes, levels):
    x, blocks = images, sum(key.endswith("conv1.weight") for key in state)
    for i in range(blocks):
        block = f"blocks.{i}.0"
        h = conv(state, f"{block}.conv2", F.relu(conv(state, f"{block}.conv1", F.relu(x) if i else x)))
        if i < downs(levels):
            h = F.avg_pool2d(h, 2)
        if f"{block}.conv_sc.weight" in state and i == 0:
            x = conv(state, f"{block}.conv_sc", F.avg_pool2d(x, 2))
        elif f"{block}.conv_sc.weight" in state:
            x = conv(state, f"{block}.conv_sc", x)
            x = F.avg_pool2d(x, 2) if i < downs(levels) else x
        x = h + x
        if f"blocks.{i}.1.gamma" in state:
            x = attend(state, f"blocks.{i}.1", x)
    features = F.relu(x).sum((2, 3))
    logits = F.linear(features, weight(state, "linear"), state["linear.bias"])
    return (logits + (weight(state, "embed")[classes] * features).sum(1, keepdim=True)).flatten()


@pytest.mark.parametrize(("levels", "shared", "attends"), [(3, False, None), (3, True, 1), (4, True, 2)])
def test_generators_are_equal(float64, levels, shared, attends):
    state = generator_file(levels, shared=shared, attends=attends)
    assert recognises(state)
    ours = generator(state)
    latents, classes = torch.randn(3, CHUNK * (levels + 1 if shared else 1)), torch.tensor([0, 4, 2])
    assert ours.latent_dim == latents.shape[1]
    expected = reference_generator(state, latents, classes, levels)
    assert expected.shape == (3, 3, 4 << levels, 4 << levels)
    assert expected.std() > 0.01
    torch.testing.assert_close(ours(latents, classes), expected)


@pytest.mark.parametrize(("levels", "attends"), [(3, None), (3, 0), (4, 1)])
def test_discriminators_are_equal(float64, levels, attends):
    state = discriminator_file(levels, attends=attends)
    assert not recognises(state)
    images, classes = torch.randn(3, 3, 4 << levels, 4 << levels), torch.tensor([0, 4, 2])
    expected = reference_discriminator(state, images, classes, levels)
    torch.testing.assert_close(discriminator(state)(images, classes), expected)


def test_files_become_a_checkpoint_that_samples(tmp_path, monkeypatch, capsys):
    state_g, state_d = generator_file(3), discriminator_file(3)
    torch.save(state_g, tmp_path / "G_ema.pth")
    torch.save(state_d, tmp_path / "D.pth")
    how = {"cwd": tmp_path, "monkeypatch": monkeypatch}
    options = ["generator=G_ema.pth", "discriminator=D.pth", "out=biggan.ckpt"]
    assert command_here("lightning_gans.import_weights", *options, **how) == 0
    assert "a checkpoint of BigGAN in biggan.ckpt" in capsys.readouterr().out
    module = load(tmp_path / "biggan.ckpt")
    latents, classes = module.sampling_inputs(range(4), 0, classes=[1, 3])
    made = module.sample(4, classes=[1, 3])  # by the file's statistics
    torch.testing.assert_close(made, reference_generator(state_g, latents, classes, 3), rtol=1e-4, atol=1e-4)
    logits = module.discriminator.eval()(made, classes)
    torch.testing.assert_close(logits, reference_discriminator(state_d, made, classes, 3), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("key", sorted(generator_file(3)))
def test_a_generator_that_lacks_any_key_is_refused(key):
    state = generator_file(3)
    del state[key]
    with pytest.raises(ValueError, match=r"it lacks |it has |has shape"):  # or it is taken for another architecture
        generator(state)


def test_odd_files_are_refused(tmp_path):
    state = generator_file(3)
    with pytest.raises(ValueError, match="it has alpha too"):
        generator({**state, "alpha": torch.ones(1)})
    with pytest.raises(ValueError, match="not finite: 12 of 12 in"):
        generator({**state, "shared.weight": state["shared.weight"], "output_layer.0.gain": torch.ones(12).log() / 0})
    with pytest.raises(ValueError, match=r"blocks\.0\.0\.conv2\.weight has shape \(16, 16, 1, 1\); must be"):
        generator({**state, "blocks.0.0.conv2.weight": torch.ones(16, 16, 1, 1)})
    torch.save(state, tmp_path / "g.pth")
    torch.save(discriminator_file(4), tmp_path / "d.pth")
    with pytest.raises(ValueError, match="generator and discriminator are for other images or classes"):
        from_biggan({"generator": str(tmp_path / "g.pth"), "discriminator": str(tmp_path / "d.pth")})
    with pytest.raises(ValueError, match="generator_back=x: not with generator="):
        from_biggan({"generator": str(tmp_path / "g.pth"), "generator_back": "x"})

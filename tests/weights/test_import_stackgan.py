"""State dicts of StackGAN's authors give the outputs of plain functions on their keys."""

import pytest
import torch
import torch.nn.functional as F

import lightning_gans
from conftest import command_here
from lightning_gans.weights.stackgan import from_stackgan

TEXT, COND, NOISE = 7, 6, 5


def conv(state, rng, name, inputs, outputs, size, bias=False):
    state[f"{name}.weight"] = torch.randn(outputs, inputs, size, size, generator=rng) / (size * inputs**0.5)
    if bias:
        state[f"{name}.bias"] = torch.randn(outputs, generator=rng)


def norm(state, rng, name, width):
    for part in ("weight", "bias", "running_mean"):
        state[f"{name}.{part}"] = torch.randn(width, generator=rng)
    state[f"{name}.running_var"] = torch.rand(width, generator=rng) + 0.5


def condition(state, rng):
    state["ca_net.fc.weight"] = torch.randn(2 * COND, TEXT, generator=rng)
    state["ca_net.fc.bias"] = torch.randn(2 * COND, generator=rng)


def stage1_generator(rng, width=16, times=2):
    state = {}
    condition(state, rng)
    state["fc.0.weight"] = torch.randn(16 * width, NOISE + COND, generator=rng)
    norm(state, rng, "fc.1", 16 * width)
    for i in range(times):
        conv(state, rng, f"upsample{i + 1}.1", width >> i, width >> (i + 1), 3)
        norm(state, rng, f"upsample{i + 1}.2", width >> (i + 1))
    conv(state, rng, "img.0", width >> times, 3, 3)
    return state


def stage2_generator(rng, gf=8, blocks=2, times=3):
    state = {}
    condition(state, rng)
    conv(state, rng, "encoder.0", 3, gf, 3)
    for k, inputs in ((2, gf), (5, 2 * gf)):
        conv(state, rng, f"encoder.{k}", inputs, 2 * inputs, 4)
        norm(state, rng, f"encoder.{k + 1}", 2 * inputs)
    conv(state, rng, "hr_joint.0", COND + 4 * gf, 4 * gf, 3)
    norm(state, rng, "hr_joint.1", 4 * gf)
    for block in range(blocks):
        for k in (0, 3):
            conv(state, rng, f"residual.{block}.block.{k}", 4 * gf, 4 * gf, 3)
            norm(state, rng, f"residual.{block}.block.{k + 1}", 4 * gf)
    for i in range(times):
        conv(state, rng, f"upsample{i + 1}.1", 4 * gf >> i, 4 * gf >> (i + 1), 3)
        norm(state, rng, f"upsample{i + 1}.2", 4 * gf >> (i + 1))
    conv(state, rng, "img.0", 4 * gf >> times, 3, 3)
    return state


def stage2_discriminator(rng, df=4):
    """Of 32x32: three halvings and no further convolution."""
    state = {}
    conv(state, rng, "encode_img.0", 3, df, 4)
    for k, inputs in ((2, df), (5, 2 * df)):
        conv(state, rng, f"encode_img.{k}", inputs, 2 * inputs, 4)
        norm(state, rng, f"encode_img.{k + 1}", 2 * inputs)
    conv(state, rng, "get_cond_logits.outlogits.0", 4 * df + COND, 4 * df, 3)
    norm(state, rng, "get_cond_logits.outlogits.1", 4 * df)
    for head in ("get_cond_logits.outlogits.3", "get_uncond_logits.outlogits.0"):
        conv(state, rng, head, 4 * df, 1, 4, bias=True)
    return state


def normed(state, name, x):
    parts = [state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(x, *parts, training=False, eps=1e-5)


def doubled(state, x):
    for i in range(1, 9):
        if f"upsample{i}.1.weight" in state:
            x = F.conv2d(F.interpolate(x, scale_factor=2), state[f"upsample{i}.1.weight"], padding=1)
            x = F.relu(normed(state, f"upsample{i}.2", x))
    return torch.tanh(F.conv2d(x, state["img.0.weight"], padding=1))


def conditions(state, text, noise):
    mean, log_variance = F.relu(F.linear(text, state["ca_net.fc.weight"], state["ca_net.fc.bias"])).split(COND, 1)
    return mean + (0.5 * log_variance).exp() * noise


def stage1_images(state, noise, first, text):
    x = F.linear(torch.cat([noise, conditions(state, text, first)], 1), state["fc.0.weight"])
    return doubled(state, F.relu(normed(state, "fc.1", x)).view(len(x), -1, 4, 4))


def stage2_images(state, small, second, text):
    x = F.relu(F.conv2d(small, state["encoder.0.weight"], padding=1))
    for k in (2, 5):
        x = F.relu(normed(state, f"encoder.{k + 1}", F.conv2d(x, state[f"encoder.{k}.weight"], stride=2, padding=1)))
    c = conditions(state, text, second)[:, :, None, None].repeat(1, 1, *x.shape[2:])
    x = F.relu(normed(state, "hr_joint.1", F.conv2d(torch.cat([x, c], 1), state["hr_joint.0.weight"], padding=1)))
    for block in range(2):
        name = f"residual.{block}.block"
        y = F.relu(normed(state, f"{name}.1", F.conv2d(x, state[f"{name}.0.weight"], padding=1)))
        x = F.relu(x + normed(state, f"{name}.4", F.conv2d(y, state[f"{name}.3.weight"], padding=1)))
    return doubled(state, x)


def logits(state, images, mean):
    x = F.leaky_relu(F.conv2d(images, state["encode_img.0.weight"], stride=2, padding=1), 0.2)
    for k in (2, 5):
        x = F.conv2d(x, state[f"encode_img.{k}.weight"], stride=2, padding=1)
        x = F.leaky_relu(normed(state, f"encode_img.{k + 1}", x), 0.2)
    name = "get_cond_logits.outlogits"
    c = mean[:, :, None, None].repeat(1, 1, 4, 4)
    y = normed(state, f"{name}.1", F.conv2d(torch.cat([x, c], 1), state[f"{name}.0.weight"], padding=1))
    joint = F.conv2d(F.leaky_relu(y, 0.2), state[f"{name}.3.weight"], state[f"{name}.3.bias"])
    name = "get_uncond_logits.outlogits.0"
    return joint.flatten(), F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"]).flatten()


def draw(n=3):
    rng = torch.Generator().manual_seed(5)
    return (torch.randn(n, size, generator=rng) for size in (NOISE, COND, COND, TEXT))


def saved(path, state):
    torch.save({f"module.{name}": value for name, value in state.items()}, path)
    return str(path)


def test_stage_one_gives_equal_images(tmp_path):
    state = stage1_generator(torch.Generator().manual_seed(0))
    lines = []
    content = from_stackgan({"generator": saved(tmp_path / "g.pth", state)}, tell=lines.append)
    torch.save(content, tmp_path / "made.ckpt")
    module = lightning_gans.load(tmp_path / "made.ckpt")
    noise, first, second, text = draw()
    expected = stage1_images(state, noise, first, text)
    made = next(module.generate([(torch.cat([noise, first, second], 1), text)]))
    torch.testing.assert_close(
        made, F.interpolate(expected, scale_factor=4), rtol=1e-4, atol=1e-5
    )  # other order of sums
    assert any("stage II" in line for line in lines)


def test_both_stages_and_the_discriminator_give_equal_outputs(tmp_path, monkeypatch, capsys):
    rng = torch.Generator().manual_seed(1)
    one, two, judge = stage1_generator(rng), stage2_generator(rng), stage2_discriminator(rng)
    whole = {**two, **{f"STAGE1_G.{name}": value for name, value in one.items()}}
    files = [saved(tmp_path / "g.pth", whole), saved(tmp_path / "d.pth", judge)]
    options = [f"generator={files[0]}", f"discriminator={files[1]}", f"out={tmp_path / 'made.ckpt'}"]
    assert command_here("lightning_gans.import_weights", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    assert "a checkpoint of StackGAN" in capsys.readouterr().out
    module = lightning_gans.load(tmp_path / "made.ckpt")
    noise, first, second, text = draw()
    small = stage1_images(one, noise, first, text)
    expected = stage2_images(two, small, second, text)
    latents = torch.cat([noise, first, second], 1)
    torch.testing.assert_close(next(module.generate([(latents, text)])), expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        mean = module.generator.stage2.ca(text)[0]
        features = module.discriminator.judge.features(expected)
        found = module.discriminator.judge.logits(features, mean), module.discriminator.judge.logits_alone(features)
    torch.testing.assert_close(found, logits(judge, expected, mean), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: state.pop("upsample1.2.bias"), "lacks upsample1.2.bias"),
        (lambda state: state.update({"foreign": torch.ones(1)}), "has foreign too"),
        (lambda state: state["img.0.weight"].mul_(float("nan")), "img.0.weight"),
        (lambda state: state.update({"upsample1.2.bias": torch.ones(3)}), "must be"),
    ],
)
def test_files_that_differ_are_refused(tmp_path, change, told):
    state = stage1_generator(torch.Generator().manual_seed(2))
    change(state)
    with pytest.raises(ValueError, match=told):
        from_stackgan({"generator": saved(tmp_path / "g.pth", state)}, tell=lambda line: None)

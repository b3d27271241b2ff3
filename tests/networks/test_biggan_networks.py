"""Networks of SAGAN and BigGAN: counts, attention, conditional batch norm, batch norm over processes."""

import copy
import os
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conftest import TORCHRUN, command, compose
from lightning_gans.networks import biggan, biggan_deep
from lightning_gans.networks.attention import SelfAttention
from lightning_gans.networks.biggan import Discriminator, Generator
from lightning_gans.networks.classes import ConditionalBatchNorm
from lightning_gans.networks.layers import ImageBatchNorm
from lightning_gans.networks.sync_batch_norm import SyncBatchNorm, desynchronise, synchronise


def count(network):
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(
    ("model", "size", "classes", "options", "expected"),
    [
        ("sagan", 128, 1000, {}, (42_078_852, 39_463_618)),
        ("sagan", 128, 1000, {"attention": []}, (41_996_931, 39_443_137)),
        ("biggan", 128, 1000, {}, (70_433_988, 87_982_370)),
        ("biggan", 128, 1000, {"base_channels": 64}, (31_978_628, 39_448_258)),
        ("biggan", 64, 1000, {}, (70_239_108, 45_500_449)),
        ("biggan", 256, 1000, {}, (82_108_548, 99_225_890)),
        ("biggan", 128, 1000, {"deep": True}, (50_244_484, 34_590_210)),
        ("biggan_cifar10", 32, 10, {}, (4_304_387, 4_207_361)),
    ],
)
def test_official_numbers_of_parameters(model, size, classes, options, expected, monkeypatch):
    """Of the papers' configs; spectral norm and the way weights are drawn change none."""
    monkeypatch.setattr(biggan, "spectral_norm", lambda layer: layer)
    chosen = f"experiment={model}" if model == "biggan_cifar10" else f"model={model}"
    sizes = ["data=folder", "data.root=x", f"data.image_size={size}", f"data.num_classes={classes}"]
    deep = ["model/network=biggan_deep"] if options.pop("deep", False) else []
    config = compose(chosen, *deep, *(sizes if model != "biggan_cifar10" else []), "tuned=none").model
    kinds = biggan_deep if deep else biggan
    made = []
    with torch.device("meta"):
        for kind, node in ((kinds.Generator, config.generator), (kinds.Discriminator, config.discriminator)):
            given = {key: value for key, value in node.items() if key != "_target_"}
            given["attention"] = list(given["attention"])
            made.append(count(kind(**{**given, **options, "init": "normal"})))
    assert tuple(made) == expected


def tiny(**options):
    how = {"image_size": 16, "channels": 3, "num_classes": 5, "base_channels": 4, "attention": [8], **options}
    return Generator(latent_dim=9, class_dim=6, **how), Discriminator(**how)


def deep(**options):
    how = {"image_size": 16, "channels": 3, "num_classes": 5, "base_channels": 4, "attention": [8], **options}
    return biggan_deep.Generator(latent_dim=7, class_dim=6, **how), biggan_deep.Discriminator(**how)


@pytest.mark.parametrize("size", [8, 16, 64, [16, 24]])
def test_shapes_of_deep_networks(size):
    g, d = deep(image_size=size)
    images = g(torch.randn(2, 7), torch.tensor([0, 4]))
    assert images.shape == (2, 3, *([size, size] if isinstance(size, int) else size))
    assert d(images, torch.tensor([0, 4])).shape == (2,)
    assert g.attention
    assert len(g.blocks) == 2 * (1 if size == 8 else 4 if size == 64 else 2)


def conditional_norm(layer, x, condition):
    normed = F.batch_norm(x, None, None, training=True)
    gain, bias = F.linear(condition, layer.gain.weight), F.linear(condition, layer.bias.weight)
    return normed * (1 + gain)[:, :, None, None] + bias[:, :, None, None]


@pytest.mark.parametrize("up", [False, True])
def test_a_deep_block_of_the_generator_is_a_bottleneck_and_drops_maps(float64, up):
    block, x, condition = biggan_deep.GeneratorBlock(8, 4, 3, up=up), torch.randn(2, 8, 4, 6), torch.randn(2, 3)
    parts = [(layer.weight, layer.bias) for layer in block.convolutions]
    assert [tuple(weight.shape) for weight, _ in parts] == [(2, 8, 1, 1), (2, 2, 3, 3), (2, 2, 3, 3), (4, 2, 1, 1)]
    bigger = (lambda y: y.repeat_interleave(2, 2).repeat_interleave(2, 3)) if up else (lambda y: y)
    h = F.conv2d(conditional_norm(block.norms[0], x, condition).relu(), *parts[0])
    h = F.conv2d(bigger(conditional_norm(block.norms[1], h, condition).relu()), *parts[1], padding=1)
    h = F.conv2d(conditional_norm(block.norms[2], h, condition).relu(), *parts[2], padding=1)
    h = F.conv2d(conditional_norm(block.norms[3], h, condition).relu(), *parts[3])
    torch.testing.assert_close(block(x, condition), h + bigger(x[:, :4]))


@pytest.mark.parametrize("down", [False, True])
def test_a_deep_block_of_the_discriminator_is_a_bottleneck_and_adds_maps(float64, down):
    block, x = biggan_deep.DiscriminatorBlock(4, 8, down=down), torch.randn(2, 4, 4, 6)
    parts = [(layer.weight, layer.bias) for layer in block.convolutions]
    assert [tuple(weight.shape) for weight, _ in parts] == [(2, 4, 1, 1), (2, 2, 3, 3), (2, 2, 3, 3), (8, 2, 1, 1)]
    smaller = (lambda y: F.avg_pool2d(y, 2)) if down else (lambda y: y)
    h = F.conv2d(F.conv2d(x.relu(), *parts[0]).relu(), *parts[1], padding=1)
    h = F.conv2d(smaller(F.conv2d(h.relu(), *parts[2], padding=1).relu()), *parts[3])
    kept = smaller(x)
    torch.testing.assert_close(block(x), h + torch.cat([kept, F.conv2d(kept, block.more.weight, block.more.bias)], 1))


@pytest.mark.parametrize("size", [8, 16, 64, [16, 24]])
def test_shapes(size):
    side = [size, size] if isinstance(size, int) else size
    g, d = tiny(image_size=size)
    latents, classes = torch.randn(2, g.latent_dim), torch.tensor([0, 4])
    images = g(latents, classes)
    assert images.shape == (2, 3, *side)
    assert images.abs().max() <= 1
    assert d(images, classes).shape == (2,)
    assert g.latent_dim == 9 // g.parts * g.parts
    assert g.attention.keys() and d.attention.keys() if size != 8 else g.attention.keys()


def test_every_weight_has_spectral_norm_but_the_shared_embedding():
    for network in tiny():
        plain = {name for name, weight in network.named_parameters() if weight.ndim > 1 and "original" not in name}
        assert plain == ({"shared.weight"} if isinstance(network, Generator) else set())


def plain_attention(x, theta, phi, g, o, gate):
    """By the matrix of all products, with loops over nothing but plain functions."""
    n, c, h, w = x.shape
    query = F.conv2d(x, theta).reshape(n, c // 8, h * w)
    key = F.max_pool2d(F.conv2d(x, phi), 2, 2).reshape(n, c // 8, h * w // 4)
    value = F.max_pool2d(F.conv2d(x, g), 2, 2).reshape(n, c // 2, h * w // 4)
    weights = torch.softmax(torch.bmm(query.transpose(1, 2), key), 2)
    gathered = torch.bmm(value, weights.transpose(1, 2)).reshape(n, c // 2, h, w)
    return x + gate * F.conv2d(gathered, o)


def test_attention_is_the_plain_product(float64):
    layer, x = SelfAttention(16), torch.randn(2, 16, 6, 8, requires_grad=True)
    weights = [layer.theta.weight, layer.phi.weight, layer.g.weight, layer.o.weight, layer.gate]
    assert [tuple(weight.shape[:2]) for weight in weights[:4]] == [(2, 16), (2, 16), (8, 16), (16, 8)]
    assert count(layer) == 16 * 2 * 2 + 16 * 8 * 2 + 1
    assert torch.equal(layer(x), x)  # the gate starts at 0
    with torch.no_grad():
        layer.gate.fill_(0.7)
    expected = plain_attention(x, *weights)
    torch.testing.assert_close(layer(x), expected)
    ours, theirs = (torch.autograd.grad(y.square().sum(), [x, *weights]) for y in (layer(x), expected))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("condition", [None, 3])
def test_the_gain_is_one_and_a_linear_function_of_the_condition(float64, condition):
    layer, x = ConditionalBatchNorm(4, 5, condition), torch.randn(6, 4, 3, 3)
    y = torch.randint(5, (6,)) if condition is None else torch.randn(6, 3)
    gain, bias = (y @ part.weight.T if condition else part.weight[y] for part in (layer.gain, layer.bias))
    normed = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(layer(x, y), normed * (1 + gain)[:, :, None, None] + bias[:, :, None, None])


def test_latents_reach_their_own_blocks_alone():
    g = tiny()[0].eval()
    latents, classes = torch.randn(1, 9), torch.tensor([2])
    features = []
    hooks = [block.register_forward_hook(lambda _, __, made: features.append(made)) for block in g.blocks]
    with torch.no_grad():
        g(latents, classes)
        changed = latents.clone()
        changed[:, 6:] += 1  # the last block's
        g(changed, classes)
    for hook in hooks:
        hook.remove()
    assert torch.equal(features[0], features[2])
    assert not torch.allclose(features[1], features[3])


PROCESSES = """
import sys, torch
import torch.distributed as dist
from torch import nn
from lightning_gans.networks.sync_batch_norm import synchronise

torch.set_default_dtype(torch.float64 if sys.argv[2] == "64" else torch.float32)
dist.init_process_group("gloo")
rank = dist.get_rank()
given = torch.load(sys.argv[1], weights_only=True)
network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
network.extend([nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2, affine=False)])
network.load_state_dict(given["state"])
synchronise([network])
synchronise([network])  # once is enough
own = slice(0, 5) if rank == 0 else slice(5, 8)  # shares of unequal size
for _ in range(2):
    x = given["x"][own].clone().requires_grad_()
    network.zero_grad()
    out = network(x)
    (out.square() * given["weights"][own]).sum().backward()
for weight in network.parameters():
    dist.all_reduce(weight.grad)
network.eval()
torch.save({"out": out.detach(), "x": x.grad, "state": network.state_dict(), "eval": network(x).detach(),
            "weights": [weight.grad for weight in network.parameters()]}, f"{sys.argv[1]}.{rank}")
"""


@pytest.mark.parametrize("bits", ["64", "32"])
def test_batch_norm_of_two_processes_is_that_of_one(tmp_path, bits):
    torch.set_default_dtype(torch.float64 if bits == "64" else torch.float32)
    try:
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2, affine=False)
        )
        x = torch.randn(8, 3, 6, 6) + 3
        given = {"state": network.state_dict(), "x": x, "weights": torch.rand(8, 2, 4, 4)}
        torch.save(given, tmp_path / "given")
        (tmp_path / "both.py").write_text(PROCESSES)
        paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
        made = command(*TORCHRUN, str(tmp_path / "both.py"), str(tmp_path / "given"), bits, env=paths)
        assert made.returncode == 0, made.stdout + made.stderr
        two = [torch.load(tmp_path / f"given.{rank}", weights_only=True) for rank in (0, 1)]
        for _ in range(2):
            network.zero_grad()
            x = given["x"].clone().requires_grad_()
            out = network(x)
            (out.square() * given["weights"]).sum().backward()
    finally:
        torch.set_default_dtype(torch.float32)
    close = {"rtol": 1e-5, "atol": 1e-5 if bits == "32" else 1e-12}
    torch.testing.assert_close(torch.cat([one["out"] for one in two]), out.detach(), **close)
    torch.testing.assert_close(torch.cat([one["x"] for one in two]), x.grad, **close)
    network.eval()
    torch.testing.assert_close(torch.cat([one["eval"] for one in two]), network(x).detach(), **close)
    largest = max(weight.grad.abs().max().item() for weight in network.parameters())  # the first bias's is 0
    largest *= 1e-5
    for one in two:
        for name, value in network.state_dict().items():
            torch.testing.assert_close(one["state"][name], value, **close)
        for mine, weight in zip(one["weights"], network.parameters(), strict=True):
            torch.testing.assert_close(mine, weight.grad, rtol=1e-5, atol=largest)


def test_layers_keep_what_they_are(float64):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), ImageBatchNorm(4, "image"), nn.BatchNorm1d(2))
    weights, kinds = list(network.parameters()), [type(layer) for layer in network]
    before = copy.deepcopy(network)
    synchronise([network])
    assert [isinstance(layer, SyncBatchNorm) for layer in network] == [False, True, True]
    assert all(mine is theirs for mine, theirs in zip(network.parameters(), weights, strict=True))
    assert isinstance(network[1], ImageBatchNorm)
    x = torch.randn(3, 3, 5, 5)
    torch.testing.assert_close(network[:2].train()(x), before[:2].train()(x))
    torch.testing.assert_close(network[:2].eval()(x), before[:2].eval()(x))  # each image by its own statistics
    copied = copy.deepcopy(network)
    assert isinstance(copied[1], SyncBatchNorm)
    desynchronise([network])
    assert [type(layer) for layer in network] == kinds

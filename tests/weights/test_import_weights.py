"""Published state dicts: networks of their names, made here, and ours with the same outputs."""

import copy

import pytest
import torch
from torch import nn

import lightning_gans
from conftest import command, command_here
from lightning_gans.config.explain import format_error
from lightning_gans.networks.dropout import NoiseDropout
from lightning_gans.weights import published


class Reference(nn.Module):
    """A network under one attribute, as the names of its state dict have it."""

    def __init__(self, name, network):
        super().__init__()
        self.add_module(name, network)
        torch.manual_seed(0)
        for parameter in self.parameters():
            if parameter.ndim == 4:
                nn.init.normal_(parameter, 0.0, 1.2 / parameter[0].numel() ** 0.5)
            else:
                nn.init.normal_(parameter, 0.3, 0.3)
        for layer in self.modules():
            if getattr(layer, "running_mean", None) is not None:
                nn.init.normal_(layer.running_mean)
                nn.init.uniform_(layer.running_var, 0.5, 2.0)

    def forward(self, images):
        return next(self.children())(images)


def norm_of(kind, width):
    if kind == "batch":
        return nn.BatchNorm2d(width)
    return nn.InstanceNorm2d(width, track_running_stats=kind == "old_instance") if kind else nn.Identity()


def bias_of(kind):
    return kind in ("instance", "old_instance")


class ResidualBlock(nn.Module):
    def __init__(self, width, norm, dropout):
        super().__init__()

        def part():
            return [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias_of(norm)), norm_of(norm, width)]

        noise = [nn.Dropout(0.5)] if dropout else []
        self.conv_block = nn.Sequential(*part(), nn.ReLU(), *noise, *part())

    def forward(self, maps):
        return maps + self.conv_block(maps)


def residual(source=3, made=3, width=4, blocks=9, norm="instance", dropout=False):
    bias = bias_of(norm)
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(source, width, 7, bias=bias), norm_of(norm, width), nn.ReLU()]
    for scale in (1, 2):
        convolution = nn.Conv2d(width * scale, width * scale * 2, 3, stride=2, padding=1, bias=bias)
        layers += [convolution, norm_of(norm, width * scale * 2), nn.ReLU()]
    layers += [ResidualBlock(4 * width, norm, dropout) for _ in range(blocks)]
    for scale in (4, 2):
        options = {"stride": 2, "padding": 1, "output_padding": 1, "bias": bias}
        convolution = nn.ConvTranspose2d(width * scale, width * scale // 2, 3, **options)
        layers += [convolution, norm_of(norm, width * scale // 2), nn.ReLU()]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, made, 7), nn.Tanh()]
    return Reference("model", nn.Sequential(*layers))


class Level(nn.Module):
    """One level of the nested U-Net, which holds all deeper ones."""

    def __init__(self, outer, inner, deeper=None, source=None, norm="batch", dropout=False):
        super().__init__()
        outermost, bias = source is not None, bias_of(norm)
        down = nn.Conv2d(source if outermost else outer, inner, 4, 2, 1, bias=bias)
        inputs = inner * 2 if deeper else inner
        up = nn.ConvTranspose2d(inputs, outer, 4, 2, 1, bias=bias or outermost)
        if outermost:
            layers = [down, deeper, nn.ReLU(), up, nn.Tanh()]
        elif deeper is None:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, norm_of(norm, outer)]
        else:
            layers = [nn.LeakyReLU(0.2), down, norm_of(norm, inner), deeper, nn.ReLU(), up, norm_of(norm, outer)]
            layers += [nn.Dropout(0.5)] if dropout else []
        self.model, self.outermost = nn.Sequential(*layers), outermost

    def forward(self, maps):
        return self.model(maps) if self.outermost else torch.cat([maps, self.model(maps)], 1)


def u_net(source=3, made=3, width=2, downs=7, norm="batch"):
    widths = [width * min(2**level, 8) for level in range(downs)]
    level = Level(widths[-2], widths[-1], norm=norm)
    for depth in range(downs - 2, 0, -1):
        level = Level(widths[depth - 1], widths[depth], level, norm=norm, dropout=depth >= 4)
    return Reference("model", Level(made, widths[0], level, source, norm=norm))


def patches(inputs=3, width=4, strided=3, norm="instance"):
    layers, before = [nn.Conv2d(inputs, width, 4, 2, 1), nn.LeakyReLU(0.2)], width
    for level in range(1, strided + 1):
        made = width * min(2**level, 8)
        convolution = nn.Conv2d(before, made, 4, 2 if level < strided else 1, 1, bias=bias_of(norm))
        layers += [convolution, norm_of(norm, made), nn.LeakyReLU(0.2)]
        before = made
    return Reference("model", nn.Sequential(*layers, nn.Conv2d(before, 1, 4, 1, 1)))


def pixels(inputs=3, width=4, norm="instance"):
    middle = nn.Conv2d(width, 2 * width, 1, bias=bias_of(norm))
    first, last = nn.Conv2d(inputs, width, 1), nn.Conv2d(2 * width, 1, 1, bias=bias_of(norm))
    activation = nn.LeakyReLU(0.2)
    return Reference("net", nn.Sequential(first, activation, middle, norm_of(norm, 2 * width), activation, last))


def imported(state, **options):
    found = published.recognise(state)
    sizes = {"image_size": 128}
    if not found.is_generator:
        sizes |= {"channels": found.inputs, "source_channels": 0}
    node = {**found.node, **sizes, **options}
    return published.build(found, node).eval(), node


def same_outputs(reference, mine, channels, size=128):
    """Of what is read by the reference in evaluation mode; instance norm by the image's own statistics."""
    reference.eval()
    for layer in reference.modules():
        if isinstance(layer, nn.InstanceNorm2d):
            layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None
    images = torch.rand(2, channels, size, size) * 2 - 1
    with torch.no_grad():
        expected, made = reference(images), mine(images)
        exact = copy.deepcopy(reference).double()(images.double())
    assert expected.std() > 0.01
    rounding = (expected - exact).abs().max().item()  # of float32 on this machine
    torch.testing.assert_close(made.double(), exact, rtol=0, atol=20 * rounding + 1e-5)


RUNNING = {"test_statistics": "running", "dropout_at_test": False}


@pytest.mark.parametrize("norm", ["instance", "old_instance", "batch", None])
@pytest.mark.parametrize(("blocks", "dropout"), [(9, False), (6, True)])
def test_residual_generators(norm, blocks, dropout):
    reference = residual(source=2, made=3, blocks=blocks, norm=norm, dropout=dropout)
    state = reference.state_dict()
    last = {9: "model.26.weight", 6: "model.23.weight"}[blocks]
    second = "model.10.conv_block.6.weight" if dropout else "model.10.conv_block.5.weight"
    assert {"model.1.weight", "model.4.weight", "model.7.weight", second, last} <= set(state)
    assert ("model.2.running_mean" in state) == (norm in ("old_instance", "batch"))
    mine, node = imported(state, **RUNNING)
    assert (node["source_channels"], node["channels"], node["base_channels"]) == (2, 3, 4)
    assert (node["blocks"], node["downs"], node["dropout"]) == (blocks, 2, 0.5 if dropout else 0.0)
    assert node["norm"] == {"old_instance": "instance"}.get(norm, norm)
    same_outputs(reference, mine, channels=2)


@pytest.mark.parametrize("norm", ["batch", "instance", "old_instance", None])
@pytest.mark.parametrize("downs", [7, 8])
def test_nested_u_nets(norm, downs):
    reference = u_net(source=1, made=3, downs=downs, norm=norm)
    state = reference.state_dict()
    assert {"model.model.0.weight", "model.model.1.model.1.weight", "model.model.1.model.3.model.1.weight"} <= set(
        state
    )
    mine, node = imported(state, **RUNNING, image_size=2**downs)
    assert (node["source_channels"], node["channels"], node["downs"]) == (1, 3, downs)
    assert (node["base_channels"], node["max_channels"]) == (2, 16)
    assert node["norm"] == {"old_instance": "instance"}.get(norm, norm)
    same_outputs(reference, mine, channels=1, size=2**downs)


@pytest.mark.parametrize(("strided", "field"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_discriminators(strided, field, norm):
    reference = patches(inputs=6, strided=strided, norm=norm)
    if strided == 3:
        assert {f"model.{place}.weight" for place in (0, 2, 5, 8, 11)} <= set(reference.state_dict())
    mine, node = imported(reference.state_dict())
    assert (node["receptive_field"], node["base_channels"], node["norm"]) == (field, 4, norm)
    same_outputs(reference, mine, channels=6)
    small = pixels(norm=norm)
    mine, node = imported(small.state_dict())
    assert node["receptive_field"] == 1
    same_outputs(small, mine, channels=3)


def test_batch_norm_by_the_images_own_statistics_is_their_default_test():
    """Their test command leaves a pix2pix in training mode, on one image; here without its dropout."""
    for reference in (u_net(), residual(norm="batch")):
        mine, _ = imported(reference.state_dict(), test_statistics="image", dropout_at_test=False)
        image = torch.rand(1, 3, 128, 128) * 2 - 1
        reference.train()
        for layer in reference.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
        torch.testing.assert_close(mine.double()(image.double()), reference.double()(image.double()))


def test_biases_before_batch_norm_come_over():
    """Older files have them, before all norms."""
    reference = residual(norm="batch", blocks=6)
    for layer in reference.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.bias is None:
            layer.bias = nn.Parameter(torch.randn(layer.out_channels))
    mine, node = imported(reference.state_dict(), **RUNNING)
    same_outputs(reference, mine, channels=3)
    assert node["bias_before_norm"]
    state = reference.state_dict()
    del state["model.4.bias"]
    with pytest.raises(ValueError, match=r"as a residual generator with batch norm it lacks model\.4\.bias$"):
        published.recognise(state)


WHOLE = {
    **{f"residual, {norm}": residual(blocks=6, norm=norm) for norm in ("instance", "batch", None)},
    "residual with dropout": residual(blocks=6, dropout=True),
    **{f"U-Net, {norm}": u_net(norm=norm) for norm in ("instance", "batch", None)},
    **{f"patches, {norm}": patches(norm=norm) for norm in ("instance", "batch")},
    **{f"pixels, {norm}": pixels(norm=norm) for norm in ("instance", "batch")},
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_that_lacks_any_key_is_refused(kind):
    """Instance norm is known by the biases before it, batch norm by its own weights, blocks by their names."""
    state = WHOLE[kind].state_dict()
    published.recognise(state)
    for key in state:
        if key.endswith("num_batches_tracked"):
            continue
        less = {name: tensor for name, tensor in state.items() if name != key}
        with pytest.raises(ValueError, match="^FILE: ") as caught:
            published.recognise(less, "FILE")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", WHOLE)
def test_what_is_too_much_or_not_finite_is_named(kind):
    state = WHOLE[kind].state_dict()
    with pytest.raises(ValueError, match="it has attention.gamma too$"):
        published.recognise({**state, "attention.gamma": torch.zeros(1)})
    key = next(name for name in reversed(list(state)) if name.endswith("weight"))
    damaged = state[key].clone()
    damaged.view(-1)[:2] = torch.tensor([float("nan"), float("inf")])
    with pytest.raises(ValueError, match=f"weights that are not finite: 2 of {damaged.numel()} in {key}$"):
        published.recognise({**state, key: damaged})


def test_a_layer_of_another_shape_is_named():
    state = residual(blocks=6).state_dict()
    state["model.4.bias"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"model\.4\.bias has shape \(3,\); must be \(8,\)"):
        imported(state)
    state["model.4.weight"] = torch.zeros(3, 3)
    with pytest.raises(ValueError, match=r"model\.4\.weight has shape \(3, 3\); must be that of a convolution"):
        imported(state)


def test_what_is_not_used_and_what_is_not_there_is_told(tmp_path):
    told = []
    files = {"generator": save(residual(norm="old_instance"), tmp_path / "g.pth")}
    published.assemble(files, tell=told.append)
    assert [line.partition(": ")[2][:9] for line in told] == ["not used,", "not given"]
    assert "model.2.running_mean" in told[0]
    assert told[1] == "discriminator: not given; its weights are new"
    told.clear()
    published.build(published.recognise(u_net().state_dict()), imported(u_net().state_dict())[1], tell=told.append)
    assert told == [
        "state dict: its convolutions have no bias where ours have encoder.0.0.bias, encoder.6.1.bias; they are 0"
    ]


@pytest.mark.parametrize("downs", [7, 8])
def test_dropout_stands_where_that_repository_has_it(downs):
    """Not in the innermost layer of the decoder, but in the next three, or two at 128 pixels."""
    reference, (mine, node) = u_net(downs=downs), imported(u_net(downs=downs).state_dict(), image_size=2**downs)
    theirs = [level for level in reference.modules() if isinstance(level, Level)][::-1]  # the innermost first
    dropped = [any(isinstance(layer, nn.Dropout) for layer in level.model) for level in theirs]
    assert dropped == [False, *[True] * (downs - 5), *[False] * 4]
    assert [any(isinstance(layer, NoiseDropout) for layer in block) for block in mine.decoder] == dropped
    assert node["dropout_layers"] == list(range(1, downs - 4))


def save(network, path, prefix=""):
    torch.save({prefix + name: tensor for name, tensor in network.state_dict().items()}, path)
    return str(path)


def test_a_published_generator_becomes_a_checkpoint_that_translates(tmp_path):
    reference = residual(norm="old_instance")
    path = save(reference, tmp_path / "latest_net_G.pth", prefix="module._orig_mod.")
    made = command("lightning_gans.import_weights", f"generator={path}", "out=my imports/a.ckpt", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "translation_resnet.Generator" in made.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["latest_net_G.pth", "my imports"]
    module = lightning_gans.load(tmp_path / "my imports" / "a.ckpt")
    assert type(module).__name__ == "Pix2Pix"
    same_outputs(reference, module.translate, channels=3, size=64)


def test_four_files_become_a_cyclegan_that_can_be_trained_on(tmp_path):
    there, back = residual(source=1, made=3), residual(source=3, made=1, blocks=6)
    files = {
        "generator": save(there, tmp_path / "latest_net_G_A.pth"),
        "generator_back": save(back, tmp_path / "latest_net_G_B.pth"),
        "discriminator": save(patches(inputs=3), tmp_path / "latest_net_D_A.pth"),
        "discriminator_back": save(patches(inputs=1), tmp_path / "latest_net_D_B.pth"),
    }
    content = published.assemble(files, image_size=32)
    torch.save(content, tmp_path / "all.ckpt")
    module = lightning_gans.load(tmp_path / "all.ckpt")
    same_outputs(there, lambda images: module.translate(images), channels=1, size=32)
    same_outputs(back, lambda images: module.translate(images, direction="b2a"), channels=3, size=32)
    same_outputs(patches(inputs=3), module.discriminator, channels=3, size=32)
    same_outputs(patches(inputs=1), module.discriminator_back, channels=1, size=32)
    options = ["data=digit_domains", "data.image_size=32", "data.source_channels=1", "trainer.max_steps=2"]
    options += ["logger=none", "callbacks.evaluation=null", "callbacks.samples=null", "trainer.accelerator=cpu"]
    options += [f"resume={tmp_path / 'all.ckpt'}", f"hydra.run.dir={tmp_path / 'run'}"]
    made = command("lightning_gans.train", *options)
    assert made.returncode == 0, made.stderr
    trained = lightning_gans.load(tmp_path / "run")
    assert trained.iteration == 2
    before, after = module.generator.state_dict(), trained.generator.state_dict()
    moved = [(before[name] - after[name]).abs().max().item() for name in before]
    assert 0 < max(moved) < 1e-3  # two steps of Adam from the published weights


def test_dropout_that_leaves_no_trace_is_off_unless_asked_for(tmp_path):
    path = save(u_net(), tmp_path / "latest_net_G.pth")
    for at_test in (False, True):
        torch.save(published.assemble({"generator": path}, dropout_at_test=at_test), tmp_path / "a.ckpt")
        module = lightning_gans.load(tmp_path / "a.ckpt")
        noise = [layer for layer in module.generator.modules() if isinstance(layer, NoiseDropout)]
        assert [layer.at_test for layer in noise] == [at_test] * 2  # at 128 pixels
        assert module.config["resolved"]["data"]["image_size"] == 128


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["out=."], "out=.: is a folder; give the file to write, e.g. imported.ckpt"),
        (["out=a.ckpt", "test_statistics=mean"], "test_statistics=mean: must be image or running"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_is_read(tmp_path, monkeypatch, capsys, options, words):
    given = ["generator=nowhere.pth", *options]
    assert command_here("lightning_gans.import_weights", *given, cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert words in capsys.readouterr().err


def replaced(state, old, new):
    return {name.replace(old, new): tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"generator": "nowhere.pth"}, "nowhere.pth: no such file"),
        ({"generator": "text"}, "not a readable state dict"),
        ({"generator": "wrapped"}, "not a bare state dict"),
        ({"generator": "other"}, "no generator or discriminator that is known here; its names begin with features.0"),
        ({"generator": "d3"}, "is a discriminator"),
        ({"generator": "g", "discriminator": "g"}, "is a generator"),
        ({"generator": "g", "discriminator": "d3"}, "takes 3 channels; must be 3 + 3, source and image"),
        ({"generator": "g", "generator_back": "g", "discriminator": "d6"}, "takes 6 channels; must be 3"),
        ({"generator": "g", "discriminator_back": "d3"}, "only with generator_back"),
        ({"generator": "g", "generator_back": "g1"}, "maps 1 channels to 3; must be 3 to 3"),
        ({"generator": "zero_padding"}, "no reflection padding"),
        (
            {"generator": "half"},
            "half: as a residual generator with instance norm it lacks model.22.weight, model.22.bias",
        ),
        ({"generator": "narrow"}, "narrow: model.4.weight has shape (8, 3, 3, 3); must be (8, 4, 3, 3)"),
        ({"generator": "no_statistics"}, "with batch norm it lacks model.2.running_mean, model.2.running_var"),
        ({"generator": "g", "discriminator": "deep"}, "deep: a discriminator of 18 tensors up to place 23, 4x4"),
    ],
)
def test_refusals(tmp_path, files, words):
    contents = {
        "wrapped": {"state_dict": {}, "epoch": 3},
        "other": {"features.0.weight": torch.zeros(1, 1, 3, 3)},
        "g": residual().state_dict(),
        "g1": residual(source=1).state_dict(),
        "d3": patches(3).state_dict(),
        "d6": patches(6).state_dict(),
        "deep": patches(6, strided=7).state_dict(),
        "zero_padding": replaced(replaced(residual().state_dict(), "block.1", "block.0"), "block.5", "block.3"),
        "half": {name: t for name, t in residual().state_dict().items() if not name.startswith("model.22")},
    }
    contents["narrow"] = {**contents["g"], "model.4.weight": contents["g"]["model.4.weight"][:, :3]}
    batch = residual(norm="batch").state_dict()
    contents["no_statistics"] = {name: t for name, t in batch.items() if "running" not in name}
    for name, content in contents.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "text").write_text("no weights")
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        published.assemble({name: str(tmp_path / file) for name, file in files.items()}, image_size=128)
    assert words in format_error(caught.value)

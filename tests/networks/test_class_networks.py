"""The projection discriminator and generators to match, against plain functions of their weights."""

import pytest
import torch
import torch.nn.functional as F

from lightning_gans.config.errors import ConfigError
from lightning_gans.networks import dcgan, mlp, r3gan, resnet
from lightning_gans.networks.classes import ClassBatchNorm, ClassProjection, one_hot

K = 4
Y = torch.tensor([3, 0, 1])
SMALL = {"image_size": 16, "channels": 1}
CLASSES = {"classes": "projection", "num_classes": K}
NETWORKS = {
    "dcgan": (dcgan, {"base_channels": 2}),
    "mlp": (mlp, {"hidden": [6]}),
    "resnet": (resnet, {"base_channels": 4}),
    "r3gan": (r3gan, {"base_channels": 4, "group_size": 4}),
}


def features_before(layer, network, *given):
    """What a layer of the network is given."""
    seen = []
    with layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
        network(*given)
    return seen[0]


def test_projection_is_the_papers_formula(float64):
    """With phi the features summed over space: w^T phi + b + <embed(y), phi>."""
    network = resnet.Discriminator(**SMALL, base_channels=4, norm=None, **CLASSES)
    x = torch.randn(3, 1, 16, 16)
    phi = network.blocks(x).sum((2, 3))
    table = network.projection.embedding.weight
    expected = [(network.dense.weight[0] + table[y]) @ phi[i] + network.dense.bias[0] for i, y in enumerate(Y)]
    torch.testing.assert_close(network(x, Y), torch.stack(expected))


@pytest.mark.parametrize("name", ["dcgan", "mlp"])
def test_other_networks_project_their_last_features(name, float64):
    module, options = NETWORKS[name]
    extra = {"dropout": 0.0, "input_dropout": 0.0} if name == "mlp" else {}
    network = module.Discriminator(**SMALL, **options, norm=None, minibatch="stddev", **extra, **CLASSES)
    x = torch.randn(3, 1, 16, 16)
    features = features_before(network.layers[-1], network, x, Y)
    h = features.sum((2, 3)) if name == "dcgan" else features
    own = network.layers[-1](features).flatten()
    torch.testing.assert_close(network(x, Y), own + (network.projection.embedding.weight[Y] * h).sum(1))


def test_r3gan_has_its_own_way(float64):
    """The logit is the product of class_dim features and the embedding; the generator's stands behind the latents."""
    sizes = {"base_channels": 4, "group_size": 4, "class_dim": 5}
    critic = r3gan.Discriminator(**SMALL, **sizes, **CLASSES)
    x, z = torch.randn(3, 1, 16, 16), torch.randn(3, 64)
    features = critic.layers(x)
    assert features.shape == (3, 5)
    torch.testing.assert_close(critic(x, Y), (features * critic.embedding.weight.T[Y]).sum(1))
    generator = r3gan.Generator(**SMALL, **sizes, **CLASSES)
    given = features_before(generator.weights, generator, z, Y)
    torch.testing.assert_close(given, torch.cat([z, generator.embedding.weight.T[Y]], 1))


def test_r3gan_of_cifar_adds_what_its_class_needs():
    """64 x 10 weights of each embedding, 64 inputs of G's dense layer and 63 outputs of D's."""
    sizes = {"image_size": 32, "channels": 3}
    with torch.device("meta"):
        plain, given = (
            [
                sum(p.numel() for p in make(**sizes, **options).parameters())
                for make in (r3gan.Generator, r3gan.Discriminator)
            ]
            for options in ({}, {"classes": "projection", "num_classes": 10})
        )
    assert [a - b for a, b in zip(given, plain, strict=True)] == [640 + 64 * 768, 640 + 63 * 768]


def test_batch_norm_by_class_is_its_formula(float64):
    layer = ClassBatchNorm(2, K)
    torch.nn.init.normal_(layer.gain.weight)
    torch.nn.init.normal_(layer.bias.weight)
    x = torch.randn(3, 2, 4, 4)
    normed = F.batch_norm(x, None, None, training=True)
    expected = torch.stack(
        [normed[i] * layer.gain.weight[y, :, None, None] + layer.bias.weight[y, :, None, None] for i, y in enumerate(Y)]
    )
    torch.testing.assert_close(layer(x, Y), expected)


def test_resnet_generator_takes_the_class_in_its_norms_or_behind_the_latents():
    z = torch.randn(3, 8)
    by_norm = resnet.Generator(**SMALL, latent_dim=8, base_channels=4, **CLASSES).eval()
    assert by_norm.dense.in_features == 8
    assert sum(isinstance(layer, ClassBatchNorm) for layer in by_norm.modules()) == 4  # two in each block
    plain = resnet.Generator(**SMALL, latent_dim=8, base_channels=4).eval()
    weights = by_norm.state_dict()
    state = {
        k: weights.get(k.replace("norm_1.", "norm_1.norm.").replace("norm_2.", "norm_2.norm.") if "norm_" in k else k)
        for k in plain.state_dict()
    }
    state |= {k: v for k, v in plain.state_dict().items() if state[k] is None}  # gains of 1, biases of 0
    plain.load_state_dict(state)
    torch.testing.assert_close(by_norm(z, Y), plain(z))  # every class starts as the unconditional network
    beside = resnet.Generator(**SMALL, latent_dim=8, base_channels=4, norm=None, **CLASSES)
    assert torch.equal(features_before(beside.dense, beside, z, Y), torch.cat([z, one_hot(Y, K, z)], 1))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_take_the_class_only_if_asked(name):
    module, options = NETWORKS[name]
    for kind, given in (("Generator", torch.randn(3, 7)), ("Discriminator", torch.randn(3, 1, 16, 16))):
        make, latent = getattr(module, kind), {"latent_dim": 7} if kind == "Generator" else {}
        with pytest.raises(TypeError, match="takes no classes; 1 were given"):
            make(**SMALL, **options, **latent, num_classes=K)(given, Y)
        with pytest.raises(TypeError, match="takes the class; 0 were given"):
            make(**SMALL, **options, **latent, **CLASSES)(given)
        with pytest.raises(
            ConfigError, match="data=digits, mnist, cifar10.* have labels, .*data=folder with the number"
        ):
            make(**SMALL, **options, **latent, classes="projection")
        network = make(**SMALL, **options, **latent, **CLASSES)
        assert not torch.allclose(network(given, Y), network(given, (Y + 1) % K)) or name == "resnet"
    assert getattr(module.Generator(**SMALL, **options, **CLASSES), "conditions") == ("label",)  # noqa: B009
    assert module.Generator(**SMALL, **options).conditions == ()


def test_spectral_norm_holds_for_the_embedding():
    part = ClassProjection(K, 6, spectral=True)
    for _ in range(50):
        part(torch.randn(3, 6), Y)
    part.eval()
    assert torch.linalg.matrix_norm(part.embedding.weight, 2).item() == pytest.approx(1, abs=1e-3)
    assert not hasattr(ClassProjection(K, 6, spectral=False).embedding, "parametrizations")

"""Families by their papers: what each adds, and parts that combine freely."""

import math

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from conftest import TINY_FAMILY, assert_same_training, newest, refusal, run, tiny
from lightning_gans import build, compose, load
from lightning_gans.config.validation import check_names
from lightning_gans.models.began import Equilibrium

OBJECTIVES = ["saturating", "non_saturating", "least_squares", "wasserstein", "hinge", "relativistic"]
PENALTIES = ["none", "gradient_penalty", "r1", "r2", "r1_r2", "dragan", "approximate_r1_r2"]
AUGMENTS = ["none", "instance_noise", "diffaugment", "adaptive"]
SMALL = {
    "mlp": ["model.generator.hidden=[16]", "model.discriminator.hidden=[16]"],
    "dcgan": TINY_FAMILY["dcgan"],
    "resnet": TINY_FAMILY["dcgan"],
    "r3gan": TINY_FAMILY["r3gan"],
}
BASE = [option for option in tiny("dcgan") if option not in TINY_FAMILY["dcgan"]][1:]


@pytest.mark.parametrize("model", ["gan", "dcgan"])
@pytest.mark.parametrize("network", SMALL)
@pytest.mark.parametrize("number", range(len(PENALTIES)))
def test_parts_combine_freely(tmp_path, model, network, number):
    """Every network with every objective, penalty and augmentation, in pairs that differ from network to network."""
    shift = list(SMALL).index(network) + 2 * (model == "dcgan")
    penalty = PENALTIES[number]
    options = [
        f"model={model}",
        f"model/network={network}",
        f"model/objective={OBJECTIVES[(number + shift) % 6]}",
        f"model/penalty={penalty}",
        f"model/augment={AUGMENTS[(number + shift) % 4]}",
        *SMALL[network],
        "trainer.max_steps=2",
        "callbacks.stability.max_update=null",  # one family's rate may be far too high for another's networks
        "callbacks.stability.max_weight=null",
    ]
    if "model/augment=adaptive" in options and OBJECTIVES[(number + shift) % 6] in ("wasserstein", "relativistic"):
        assert "follows the sign of logits" in refusal(tmp_path, *BASE, *options)
        options.remove("model/augment=adaptive")
    if network == "dcgan" and penalty != "none":
        assert "a per-sample penalty needs a discriminator without batch norm" in refusal(tmp_path, *BASE, *options)
        options.append("model.discriminator.norm=layer")
    if network == "mlp" and penalty == "approximate_r1_r2":  # GAN's network
        assert "whose dropout would differ" in refusal(tmp_path, *BASE, *options)
        options += ["model.discriminator.dropout=0", "model.discriminator.input_dropout=0"]
    made = run(tmp_path, *BASE, *options, tiny_options=False)
    assert made.model.iteration == 2
    assert all(torch.isfinite(term) for term in made.model.terms.values())
    assert ("d_penalty" in made.model.terms) == (penalty != "none")


@pytest.mark.parametrize("data", ["digits", "mnist"])
@pytest.mark.parametrize("model", ["dcgan", "dragan", "gan", "lsgan", "r3gan", "sngan", "wgan", "wgan_gp"])
def test_every_network_is_known_to_every_family_beside_what_is_tuned(model, data):
    for network in ("mlp", "mlp_critic", "dcgan", "dcgan_critic", "resnet", "resnet_critic", "r3gan"):
        check_names(compose(f"model={model}", f"data={data}", f"model/network={network}"))


def test_a_typed_part_stands_before_what_is_tuned():
    own = compose("model=gan", "data=toy2d").model
    assert own.penalty._target_.endswith("R1")
    typed = compose("model=gan", "data=toy2d", "model/penalty=r2").model
    assert typed.penalty._target_.endswith("R2")
    assert typed.penalty.weight == 10  # its own
    assert typed.g_optimizer._target_ == own.g_optimizer._target_ == "torch.optim.RMSprop"  # tuned
    kept = compose("model=dcgan", "data=digits", "model/penalty=r1", "model.discriminator.norm=null").model
    assert kept.g_optimizer.lr == compose("model=dcgan", "data=digits").model.g_optimizer.lr  # tuned: it has no penalty
    assert kept.g_optimizer.lr != compose("model=dcgan", "data=digits", "tuned=none").model.g_optimizer.lr
    with_it = compose("model=gan", "data=toy2d", "model/penalty=r2", "tuned=gan_toy2d").model
    assert with_it.penalty._target_.endswith("R1")  # as typed


@pytest.mark.parametrize("network", ["mlp_critic", "dcgan_critic", "resnet_critic"])
def test_wgan_gp_critics(tmp_path, network):
    small = SMALL[network.partition("_")[0]]
    made = run(tmp_path, *BASE, "model=wgan_gp", f"model/network={network}", *small, tiny_options=False).model
    kinds = {type(layer) for layer in made.discriminator.modules()}
    assert not kinds & {nn.BatchNorm1d, nn.BatchNorm2d, nn.Dropout}
    assert not any("parametrizations" in name for name, _ in made.discriminator.named_parameters())


def test_wgan_clips_before_each_critic_step(tmp_path):
    made = build(compose(*tiny("wgan"), "model.clip_weights=0.01", "trainer.max_steps=2"), tmp_path)
    largest = []
    judge = made.model.logits

    def watched(images):
        weights = [p.detach().abs().max().item() for p in made.model.discriminator.parameters()]
        largest.append((made.model.discriminator.layers[0].weight.requires_grad, max(weights)))
        return judge(images)

    made.model.logits = watched
    made.fit()
    in_critic = [weight for moving, weight in largest if moving]
    in_generator = [weight for moving, weight in largest if not moving]
    assert len(in_critic) == 2 * 5 * 2  # two updates of five steps, real and fake
    assert max(in_critic) <= 0.01
    assert max(in_generator) > 0.01  # the last critic step moved beyond, as in the released code


def test_gan_bounds_the_weights_of_a_unit(tmp_path):
    made = build(compose(*tiny("gan"), "model.max_norm=0.01", "trainer.max_steps=2"), tmp_path)
    start = made.model.discriminator.layers[1].weight.detach().norm(dim=1)
    assert start.max() > 0.01
    made.fit()
    norms = made.model.discriminator.layers[1].weight.detach().norm(dim=1)
    assert norms.max().item() == pytest.approx(0.01, rel=1e-4)
    free = run(tmp_path / "free", "model.max_norm=null", "trainer.max_steps=2", model="gan")
    assert free.model.discriminator.layers[1].weight.norm(dim=1).max() > 0.01


def test_wgan_warm_up(tmp_path):
    model = build(compose(*tiny("wgan"), "model.warm_up_critic=100"), tmp_path).model
    assert [model.plan(step).n_critic for step in (0, 24, 25, 499, 500, 501, 1000)] == [100, 100, 5, 5, 100, 5, 100]
    assert model.plan(0).images == 100 * 8
    assert build(compose(*tiny("wgan")), tmp_path).model.plan(0).n_critic == 5


def test_sngan_generator_batch(tmp_path):
    made = build(compose(*tiny("sngan"), "trainer.max_steps=1", "model.g_batch_size=24"), tmp_path)
    sizes = []
    made.model.discriminator.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    made.fit()
    assert sizes == [8, 8] * 5 + [24]


def test_equilibrium_in_closed_form():
    game = Equilibrium(gamma=0.5, k_rate=0.1)
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.5, 0.7])
    assert game.discriminator(real, fake)["fake"] == 0  # k starts at 0
    measure = game.balance(real.mean(), fake.mean())
    assert game.k.item() == pytest.approx(0.1 * (0.5 * 2 - 0.6))
    assert measure.item() == pytest.approx(2 + abs(0.5 * 2 - 0.6))
    terms = game.discriminator(real, fake)
    assert sum(terms.values()).item() == pytest.approx(2 - 0.04 * 0.6)
    assert game.generator(fake)["adversarial"].item() == pytest.approx(0.6)
    game.balance(torch.tensor(0.0), torch.tensor(9.0))
    assert game.k.item() == 0  # never below
    game.balance(torch.tensor(99.0), torch.tensor(0.0))
    assert game.k.item() == 1  # never above


def test_began_trains_dense_networks(tmp_path):
    options = ["model/network=began_dense", "model.generator.hidden=8", "trainer.max_steps=2"]
    made = run(tmp_path, *options, model="began")
    assert made.model.discriminator.reconstructs
    assert load(tmp_path).sample(3).shape == (3, 1, 16, 16)


def test_began_logs_its_balance_and_keeps_it(tmp_path):
    made = run(tmp_path, "model.k_rate=0.1", model="began")
    model = made.model
    k = model.objective.k.item()
    assert 0 < k <= 1
    assert made.trainer.logged_metrics["train/k"].item() == pytest.approx(k)
    real, fake = model.terms["d_real"].item(), model.terms["g_adversarial"].item()
    measured = made.trainer.logged_metrics["train/convergence"].item()
    assert measured == pytest.approx(real + abs(0.5 * real - fake), rel=1e-5)
    errors = model.logits(torch.zeros(2, 1, 16, 16))
    by_hand = model.discriminator(torch.zeros(2, 1, 16, 16)).abs().flatten(1).mean(1)
    torch.testing.assert_close(errors, by_hand)


def test_vae_terms_in_closed_form(tmp_path):
    """Against torch.distributions, with an encoder and a decoder that the test decides."""
    mean, log_variance = torch.randn(8, 3), torch.randn(8, 3)
    model = build(compose(*tiny("vae"), "model.scale=0.7", "model.beta=2"), tmp_path).model

    class Give(nn.Module):
        def __init__(self, output):
            super().__init__()
            self.output = output

        def forward(self, inputs):
            return self.output

    made, images = torch.rand(8, 1, 16, 16) * 2 - 1, torch.rand(8, 1, 16, 16) * 2 - 1
    model.encoder, model.generator = Give((mean, log_variance)), Give(made)
    model.normal = torch.randn
    terms = model.generator_loss({"image": images})
    posterior = torch.distributions.Normal(mean, torch.exp(log_variance / 2))
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(terms["kl"], 2 * kl)
    surprise = -torch.distributions.Normal(made, 0.7).log_prob(images).flatten(1).sum(1).mean()
    torch.testing.assert_close(terms["reconstruction"], surprise)
    model.likelihood = "bernoulli"
    probability, target = (made + 1) / 2, (images + 1) / 2
    nats = -(target * probability.log() + (1 - target) * (1 - probability).log()).flatten(1).sum(1)
    torch.testing.assert_close(model.negative_log_likelihood(made, images), nats, rtol=1e-4, atol=1e-2)


def test_vae_samples_its_posterior(tmp_path):
    model = build(compose(*tiny("vae"), "model.generator.latent_dim=4"), tmp_path).model
    mean, log_variance = torch.full((1000, 4), 2.0), torch.full((1000, 4), math.log(0.25))
    seen = []
    model.encoder.forward = lambda images: (mean, log_variance)
    model.generator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model.normal = torch.randn
    model.generator_loss({"image": torch.zeros(1000, 1, 16, 16)})
    assert seen[0].mean().item() == pytest.approx(2, abs=0.05)
    assert seen[0].std().item() == pytest.approx(0.5, abs=0.05)


def test_uniform_latents(tmp_path):
    model = run(tmp_path, model="gan", resume=None).model
    latents = model.sampling_inputs(range(500), 0)[0]
    assert latents.min() >= -1
    assert latents.max() < 1
    assert latents.std().item() == pytest.approx(1 / math.sqrt(3), abs=0.02)


def test_uniform_latents_of_variance_one(tmp_path):
    made = build(compose(*tiny("gan"), "model.latent=unit_uniform", "trainer.max_steps=1"), tmp_path)
    made.fit()
    for latents in (made.model.sampling_inputs(range(500), 0)[0], made.model.draw_inputs(500)[0]):
        assert 1.7 < latents.abs().max() <= math.sqrt(3)
        assert latents.std().item() == pytest.approx(1, abs=0.03)


def test_dragan_and_the_progans_as_released():
    assert compose("model=dragan", "tuned=none").model.latent == "uniform"
    assert compose("model=progan", "tuned=none").model.discriminator.group_size == 16  # the whole batch
    for name in ("progan_celebahq1024", "progan_celebahq1024_1gpu", "progan_lsun256", "progan_cifar10"):
        config = compose(f"experiment={name}", *(["data.root=x"] if "celeba" in name else []))
        assert config.model.discriminator.group_size == 4
        assert config.data.flip == (name != "progan_cifar10")


class Reals(Callback):
    """Keeps the real images that every update of the discriminator sees."""

    def on_fit_start(self, trainer, pl_module):
        self.seen, judge = [], pl_module.discriminator_loss

        def watching(batch):
            self.seen.append(batch["image"].clone())
            return judge(batch)

        pl_module.discriminator_loss = watching


def reals(folder, *options, steps=2, resume=None):
    config = compose(*tiny("wgan_gp"), "model.n_critic=2", f"trainer.max_steps={steps}", *options)
    made, watch = build(config, folder), Reals()
    made.trainer.callbacks.append(watch)
    made.fit(resume)
    return torch.stack(watch.seen), made


def test_dequantised_reals_fill_their_levels_evenly(tmp_path):
    """k / 128 - 1 + U[0, 1) / 128 of level k; anew for each image, the same after a resume and without effect off."""
    plain, _ = reals(tmp_path / "plain")
    noisy, made = reals(tmp_path / "noisy", "model.dequantise=true")
    levels = ((plain + 1) * 127.5).round()
    u = (noisy + 1) * 128 - levels
    assert u.min() > -1e-4
    assert u.max() < 1 + 1e-4
    assert u.mean().item() == pytest.approx(0.5, abs=0.01)
    assert u.std().item() == pytest.approx(12**-0.5, abs=0.01)
    assert len(u.flatten(1).unique(dim=0)) == 4  # chunks of two steps
    fakes = made.model.generator(*made.model.sampling_inputs([0], 0))
    assert made.model.augmented(fakes) is fakes  # reals alone
    reals(tmp_path / "broken", "model.dequantise=true", steps=1)
    resumed, again = reals(tmp_path / "broken", "model.dequantise=true", resume=str(tmp_path / "broken"))
    assert torch.equal(resumed, noisy[2:])
    assert_same_training(newest(tmp_path / "broken"), newest(tmp_path / "noisy"))
    for name in ("wgan_gp_cifar10", "sngan_cifar10"):
        assert compose(f"experiment={name}").model.dequantise


REFUSED = [
    (["model=gan", "data=toy2d", "model.dequantise=true"], "model.dequantise=true: needs images"),
    (
        ["model=gan", "model/network=dcgan", "model.marginal_bias=true"],
        "model.marginal_bias=true: dcgan.Generator has no",
    ),
    (["model=gan", "data=toy2d", "model.marginal_bias=true"], "model.marginal_bias=true: mlp.Generator has no bias"),
    (["model=gan", "model.objective.d_weight=0"], "objective.d_weight=0"),
    (["model=gan", "model.latent=gauss"], "model.latent=gauss"),
    (["model=began", "model.gamma=0"], "model.gamma=0"),
    (["model=began", "model.k_rate=-1"], "model.k_rate=-1"),
    (
        ["model=acgan", "model/penalty=approximate_r1_r2", "model.discriminator.norm=null"],
        "model.penalty=ApproximateR1R2: compares two calls of the discriminator, whose dropout would differ",
    ),
    (
        ["model=began", "model.penalty={_target_: lightning_gans.losses.penalties.R1}"],
        "model.penalty=R1: BEGAN has none",
    ),
    (["model=began", "model/objective=hinge"], "model/objective"),
    (["model=vae", "model.scale=0"], "model.scale=0"),
    (["model=vae", "model.latent=uniform"], "model.latent=uniform: must be normal"),
    (["model=vae", "model.likelihood=laplace"], "gaussian or bernoulli"),
    (["model=vae", "model.n_critic=2"], "model.n_critic"),
    (["model=wgan", "model.warm_up_critic=0"], "model.warm_up_critic=0"),
    (["model=wgan", "model.clip_weights=0"], "model.clip_weights=0"),
    (["model=wgan_gp", "model.discriminator.norm=batch"], "a per-sample penalty needs a discriminator without batch"),
    (["model=wgan_gp", "model/network=resnet", "model.discriminator.norm=batch"], "spectral or layer"),
    (["model=r3gan", "model.g_batch_size=16"], "model.g_batch_size=16: not with model.objective=Relativistic"),
    (["model=sngan", "model.reuse_fakes=true"], "model.g_batch_size=128: not with model.reuse_fakes=true"),
    (["model=wgan", "model.discriminator.norm=spectral"], "model.clip_weights=0.01: not with spectral norm"),
    (["model=vae", "model.encoder.latent_dim=3"], "model.encoder gives 3 latents and model.generator takes 64"),
    (["model=gan", "model/network=began"], "model.discriminator: is an autoencoder"),
    (["model=began", "model/network=dcgan", "model.batch_size=32"], "BEGAN's is an autoencoder"),
    (["model=dcgan", "data=toy2d"], "data.image_size=null: the data has points"),
    (["model=gan", "model.max_norm=0"], "model.max_norm=0"),
    (["model=gan", "model.discriminator.dropout=1"], "dropout=1"),
    (["model=gan", "model.generator.hidden=[0]"], "hidden=[0]"),
    (["model/objective=hinges"], "model/objective=hinges"),
    (["model/network=unet"], "model/network=unet"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=lambda x: " ".join(x)[:60] if isinstance(x, list) else "")
def test_what_cannot_be_is_refused_by_name(tmp_path, options, message):
    assert message in refusal(tmp_path, "data=digits", "tuned=none", "trainer.accelerator=cpu", *options)

"""Families made in Python: create_model, the classes' own defaults, the names that packages export."""

import importlib
import inspect
import subprocess
import sys

import hydra
import pytest
import torch

import lightning_gans
from conftest import COLUMNS, MODELS, TABLES, tiny_model, tiny_options
from lightning_gans import create_model, list_models
from lightning_gans.config.errors import ConfigError
from lightning_gans.config.families import target_of
from lightning_gans.config.schemas import CONF_DIR
from lightning_gans.runtime.instantiation import instantiate

LAZY = ("augment", "callbacks", "extractors", "losses", "metrics", "models", "networks", "schedules")

# ------------------------------------------------------------------------------------- defaults


def form(value):
    """Plain values of what an option is made of, with the defaults of factories filled in; networks by their kind."""
    if hasattr(value, "keywords"):  # a factory, of functools or of Hydra
        bound = inspect.signature(value.func).bind_partial(**value.keywords)
        bound.apply_defaults()
        return [value.func.__qualname__, form(dict(bound.arguments))]
    if isinstance(value, dict):
        return {key: form(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [form(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    known = {} if isinstance(value, torch.nn.Module) or callable(value) else vars(value)
    return [type(value).__name__, {key: form(one) for key, one in known.items() if key[0] != "_" and not callable(one)}]


NOT_OPTIONS = ("config", "terms", "test", "prepare_data_per_node", "allow_zero_length_dataloader_with_multiple_devices")


def options_of(module):
    """All but what only measures, such as a callback."""
    return {key: form(value) for key, value in vars(module).items() if key[0] != "_" and key not in NOT_OPTIONS}


@pytest.mark.parametrize("name", MODELS)
def test_a_class_made_directly_has_the_options_of_its_config_or_demands_them(name):
    """So that neither can drift; networks and what depends on the images are demanded."""
    tiny = tiny_options(name)
    networks = ("generator.", "discriminator.", *(() if "encoder" in tiny else ("encoder.",)))
    options = {key: value for key, value in tiny.items() if key.startswith(networks)}
    how = {"columns": COLUMNS} if name in TABLES else {"image_size": 16, "channels": 1, "num_classes": 10}
    made = create_model(name, **how, **options)
    node = made.config["resolved"]["model"]
    demanded = {
        key: instantiate(node[key], _convert_="all")
        for key, parameter in inspect.signature(type(made).__init__).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD and key != "self"
    }
    assert {key.removesuffix("_back") for key in demanded} <= {
        "generator",
        "discriminator",
        "encoder",
        "pool",
        "growth",
    }
    bare = type(made)(**demanded)
    assert options_of(bare) == options_of(made)


def test_a_bare_wgan_gp_is_the_papers():
    from lightning_gans.models import WGANGP
    from lightning_gans.networks import DCGANDiscriminator, DCGANGenerator

    how = {"image_size": 16, "channels": 1, "base_channels": 4}
    module = WGANGP(DCGANGenerator(**how), DCGANDiscriminator(**how, norm=None))
    assert type(module.objective).__name__ == "Wasserstein"
    assert (module.penalty.weight, module.penalty.one_sided, module.penalty.target) == (10, False, 1)
    assert module.n_critic == 5
    assert module.optimizer_factories["d"].keywords == {"lr": 1e-4, "betas": (0.0, 0.9)}
    assert WGANGP(DCGANGenerator(**how), DCGANDiscriminator(**how, norm=None), penalty=None).penalty is None


def test_a_family_without_a_papers_objective_demands_it():
    from lightning_gans.models import AdversarialModule

    with pytest.raises(TypeError, match="objective"):
        AdversarialModule(torch.nn.Identity(), torch.nn.Identity())


# ------------------------------------------------------------------------------------- create_model


def test_overrides_are_choices_values_mappings_and_dotted_names():
    module = tiny_model(
        "wgan_gp",
        penalty="r1",
        n_critic=2,
        g_optimizer={"lr": 1e-3},
        ema=None,
        **{"d_optimizer.lr": 3e-4, "penalty.weight": 5.0},
    )
    assert (type(module.penalty).__name__, module.penalty.weight) == ("R1", 5)
    assert (module.n_critic, module.ema) == (2, None)
    rates = {player: factory.keywords for player, factory in module.optimizer_factories.items()}
    assert {player: (options["lr"], *options["betas"]) for player, options in rates.items()} == {
        "g": (1e-3, 0.0, 0.9),
        "d": (3e-4, 0.0, 0.9),
    }
    assert type(tiny_model("gan", **{"generator.hidden": [8]}).generator).__module__.endswith("networks.mlp")
    assert tiny_model("dcgan", network="resnet").generator.latent_dim == 8
    assert tiny_model("wgan_gp", penalty=None).penalty is None


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("wgangp", {}, "model=wgangp: unknown. Did you mean 'wgan_gp'? Allowed: acgan, began, "),
        (
            "wgan_gp",
            {"penalty": "r3"},
            "penalty=r3: unknown. Allowed: approximate_r1_r2, dragan, gradient_penalty, lazy_r1, none, r1, ",
        ),
        ("wgan_gp", {"n_critc": 3}, "n_critc: unknown. Did you mean 'n_critic'? Allowed: "),
        ("wgan_gp", {"n_critic": 0}, "n_critic=0: must be >= 1"),
        ("wgan_gp", {"g_optimizer": {"lrr": 1}}, "g_optimizer.lrr: unknown. Did you mean 'lr'? Allowed: "),
        ("wgan_gp", {"objective": object()}, "objective=object: is an object; say a choice, numbers or a mapping"),
        ("vae", {"objective": "hinge"}, "objective: unknown. Allowed: accumulate, "),
        ("cgan", {}, "num_classes: missing; cgan is conditional: say num_classes=..."),
    ],
)
def test_mistakes_are_told_in_one_line_with_the_choices(name, options, said):
    with pytest.raises(ConfigError) as raised:
        create_model(name, image_size=16, **options)
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


def test_list_models_by_kind_of_data():
    assert list_models() == MODELS
    assert list_models("super_resolution") == ["srgan"]
    assert "cgan" in list_models("labelled")
    assert "cgan" not in list_models("image")
    with pytest.raises(ConfigError, match="kind=pairs: unknown. Did you mean 'paired'"):
        list_models("pairs")


# ------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("package", LAZY)
def test_a_package_exports_every_class_that_a_config_may_name(package):
    home = importlib.import_module(f"lightning_gans.{package}")
    exported = {getattr(home, name) for name in home.__all__}
    assert set(home.__all__) <= set(dir(home))
    named = {
        target
        for path in CONF_DIR.rglob("*.yaml")
        for line in path.read_text().splitlines()
        if (target := line.strip().removeprefix("_target_: ")).startswith(f"lightning_gans.{package}.")
    }
    assert named
    assert {hydra.utils.get_object(target) for target in named} <= exported
    with pytest.raises(ImportError, match="cannot import name 'Typo'"):
        exec(f"from lightning_gans.{package} import Typo")


def test_the_front_door_and_typos_need_no_torch():
    code = """
import sys, lightning_gans, lightning_gans.models, lightning_gans.networks
assert lightning_gans.list_models() and sorted(lightning_gans.__all__) == lightning_gans.__all__
for name in ("lod", "AlternatingDPP"):
    assert not hasattr(lightning_gans, name)
assert not hasattr(lightning_gans.models, "WGANPG")
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_are_those_of_their_modules():
    assert lightning_gans.models.WGANGP is hydra.utils.get_object(target_of("wgan_gp"))
    assert {getattr(lightning_gans, name) for name in lightning_gans.__all__}
    assert issubclass(
        lightning_gans.AlternatingDDP, importlib.import_module("lightning.pytorch").strategies.DDPStrategy
    )


# ------------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("name", MODELS)
def test_a_module_made_as_a_class_describes_itself(name):
    """So that a plain Trainer's checkpoint of it can be loaded; all parts are of this package."""
    made = tiny_model(name)
    node = made.described["resolved"]["model"]
    assert node["_target_"] == target_of(name)
    again = instantiate(node, _convert_="all")
    assert options_of(again) == options_of(made)
    assert {key: value.shape for key, value in again.named_parameters()} == {
        key: value.shape for key, value in made.named_parameters()
    }


def test_a_module_with_a_strangers_network_describes_nothing():
    from lightning_gans.models import DCGAN
    from lightning_gans.networks import DCGANDiscriminator

    stranger = torch.nn.Sequential(torch.nn.Linear(4, 256), torch.nn.Unflatten(1, (1, 16, 16)))
    stranger.latent_dim = 4
    assert DCGAN(stranger, DCGANDiscriminator(image_size=16, channels=1, base_channels=4)).described is None
